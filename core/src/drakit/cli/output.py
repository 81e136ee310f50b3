"""How results are written: tables for people, YAML and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click
import yaml
from rich import box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 10_000
"""Whoever reads a pipe wants whole lines."""


def console() -> Console:
    """A console on stdout: coloured and as wide as the window on a terminal, plain and never wrapped elsewhere."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, force_terminal=False, no_color=True, width=PIPED_WIDTH)


def show(item: RenderableType, indent: int = 0) -> None:
    """Show something on stdout. In a pipe no line ends in blanks, whatever the layout fills up."""
    screen = console()
    padded = Padding(item, (0, 0, 0, indent), expand=False)
    if screen.is_terminal:
        screen.print(padded)
        return
    with screen.capture() as captured:
        screen.print(padded)
    for row in captured.get().splitlines():
        click.echo(row.rstrip())


def write(output: str, data: Any, tables: Callable[[], Iterable[RenderableType]]) -> None:
    """Write a result to stdout: `data` as YAML or JSON, or the tables, which are made only where they are wanted."""
    if output == "json":
        click.echo(json.dumps(data, indent=2))
    elif output == "yaml":
        click.echo(to_yaml(data), nl=False)
    else:
        for item in tables():
            show(item)


def to_yaml(data: Any) -> str:
    """Plain data as YAML, keys in their order."""
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)
    return text


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A plain table; cells are text as it stands, never markup."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(Text(column), overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    return made


def line(label: str, text: str) -> Text:
    """One line beside the tables: a label and its text."""
    return Text.assemble((label, "bold"), " ", text)


def pairs(values: Mapping[str, object]) -> str:
    """`name=value` of each, in one line."""
    return ", ".join(f"{name}={value}" for name, value in values.items())
