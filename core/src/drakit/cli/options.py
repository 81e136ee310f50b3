"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

FORMATS = ("table", "yaml", "json")

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The agent's configuration; DRAKIT_CONFIG by default. Without one, every installed plugin is used.",
)
root_option = click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Where the node's file system is: / by default, or a directory laid out by `drakit mock layout`.",
)
node_option = click.option("--node-name", metavar="NAME", help="The node's name in the cluster; NODE_NAME by default.")


def output_option(default: str) -> Callable[[Command], Command]:
    """`-o`: how the result is written."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        default=default,
        show_default=True,
        help="How the result is shown.",
    )


def overrides(**flags: Any) -> dict[str, Any]:
    """The flags that were given, as settings have them."""
    return {name: str(value) for name, value in flags.items() if value is not None}
