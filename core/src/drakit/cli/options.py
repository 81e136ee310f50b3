"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from drakit.cli import BadInput

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
node_type_option = click.option(
    "--node",
    "node_type",
    metavar="TYPE",
    help="Instead of this machine a faked node of a type that `drakit mock layout` knows, called as its type: with the "
    "backends that have hardware there, or those of --config.",
)
node_option = click.option("--node-name", metavar="NAME", help="The node's name in the cluster; NODE_NAME by default.")


def output_option(default: str, formats: Sequence[str] = FORMATS) -> Callable[[Command], Command]:
    """`-o`: how the result is written."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(formats),
        default=default,
        show_default=True,
        help="How the result is shown.",
    )


def overrides(**flags: Any) -> dict[str, Any]:
    """The flags that were given, as settings have them."""
    return {name: str(value) for name, value in flags.items() if value is not None}


def one_source(given: Mapping[str, Any], *, required: bool = False) -> None:
    """Refuse options that exclude one another, by what was given for each; with `required`, also that none was."""
    named = [name for name, value in given.items() if value]
    if len(named) > 1:
        raise BadInput(f"{' and '.join(named)} say different things of what to look at; give one of them")
    if required and not named:
        raise BadInput(f"there is nothing to look at; give one of {', '.join(given)}")
