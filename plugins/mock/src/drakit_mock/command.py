"""`drakit mock`: faked hardware for the real plugins."""

from __future__ import annotations

from pathlib import Path

import click
from drakit.errors import ConfigError, DRAError
from drakit.testing import NodeLayout, lay_out

_FINDING = 1
_BAD_INPUT = 2


@click.group()
def mock() -> None:
    """Fake hardware, to run real plugins without it."""


@mock.command()
@click.option("--node", "node_type", required=True, metavar="TYPE", help="Instance type to fake, such as p5.48xlarge.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def layout(node_type: str, directory: Path) -> None:
    """Write a faked node into DIR: what the installed plugins would find on a machine of this TYPE.

    DIR must be empty or missing, or hold the same type already. Exit code 1: a plugin failed and its hardware is
    missing; 2: the type is unknown, or DIR cannot be used.
    """
    try:
        laid = lay_out(node_type, directory)
    except DRAError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(_BAD_INPUT if isinstance(error, ConfigError) else _FINDING) from None
    click.echo(_summary(laid))
    for problem in laid.problems:
        click.echo(f"Error: {problem}", err=True)
    if laid.problems:
        raise SystemExit(_FINDING)


def _summary(laid: NodeLayout) -> str:
    lines = [f"{laid.root}: a faked {laid.node_type}"]
    lines += [f"  {plugin}: {len(functions)} PCI functions" for plugin, functions in laid.functions.items()]
    lines.append(f"To run the agent, or any command that reads a node, on it: --root {laid.root}")
    return "\n".join(lines)
