"""How results are written: tables for people, YAML and JSON for programs.

A table is made for the screen it is shown on: no cell that says which device, driver or place is meant is ever cut, and
a name is broken only where nothing else would fit.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import click
import yaml
from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

PIPED_WIDTH = 10_000
"""Whoever reads a pipe wants whole lines."""

_MARGIN, _GAP = 2, 3
"""What a table takes beside its columns: at its sides, and between two of them."""

_NARROWEST = 12
"""How far the widest column of a table is narrowed before the others are as well."""


def console() -> Console:
    """A console on stdout: coloured and as wide as the window on a terminal, plain and never wrapped elsewhere."""
    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, force_terminal=False, no_color=True, width=PIPED_WIDTH)


def show(item: RenderableType, indent: int = 0) -> None:
    """Show something on stdout. In a pipe no line ends in blanks, whatever the layout fills up.

    A text that is not to be wrapped is not cut either: it is there to be copied.
    """
    screen = console()
    if isinstance(item, Text) and item.no_wrap:
        screen.print(item, soft_wrap=True)
        return
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


class _Dumper(yaml.SafeDumper):
    """PyYAML's, but text of several lines is written as lines."""


_Dumper.add_representer(
    str,
    lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None),
)


def to_yaml(data: Any) -> str:
    """Plain data as YAML, keys in their order."""
    text: str = yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text


def write_stream(documents: Iterable[Any]) -> None:
    """Write YAML documents to stdout one after another, as kubectl takes them."""
    click.echo("---\n".join(map(to_yaml, documents)), nl=False)


Cells = Sequence[Sequence[object]]


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], indent: int = 0) -> Table:
    """A plain table; cells are text as it stands, never markup. `indent` is what it will be shown with.

    Where it does not fit, its widest column is folded.
    """
    cells = list(rows)
    widths = _widths(columns, cells)
    widest = max(range(len(widths)), key=widths.__getitem__)
    left = _room(indent) - _width(widths) + widths[widest]
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        width = left if index == widest and _NARROWEST <= left < widths[widest] else None
        made.add_column(Text(column), overflow="fold", width=width)
    for row in cells:
        made.add_row(*(Text(str(cell)) for cell in row))
    return made


def tables(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[Table]:
    """One table where it fits, else several: the columns one after another, the first of them in each.

    In the latter case a name such as `example.com/model` is broken behind its domain.
    """
    cells = list(rows)
    if _width(_widths(columns, cells)) > _room(0):
        columns = [column.replace("/", "/\n") for column in columns]
    start = 1
    while True:
        count = fitting([columns[0], *columns[start:]], [[row[0], *row[start:]] for row in cells])
        end = start + max(1, count - 1)
        yield table([columns[0], *columns[start:end]], [[row[0], *row[start:end]] for row in cells])
        if (start := end) >= len(columns):
            return


def fitting(columns: Sequence[str], rows: Cells, indent: int = 0) -> int:
    """How many of the columns, from the first on, fit beside one another on the screen."""
    widths = _widths(columns, rows)
    return sum(_width(widths[: count + 1]) <= _room(indent) for count in range(len(widths)))


def _widths(columns: Sequence[str], rows: Cells) -> list[int]:
    """The width of each column: that of its longest line."""
    return [
        max(cell_len(part) for cell in (column, *(row[index] for row in rows)) for part in str(cell).split("\n"))
        for index, column in enumerate(columns)
    ]


def _width(widths: Sequence[int]) -> int:
    return sum(widths) + _GAP * (len(widths) - 1) + _MARGIN


def _room(indent: int) -> int:
    return console().width - indent


def line(label: str, text: str) -> Text:
    """One line beside the tables: a label and its text."""
    return Text.assemble((label, "bold"), " ", text)


def pairs(values: Mapping[str, object]) -> str:
    """`name=value` of each, in one line."""
    return ", ".join(f"{name}={value}" for name, value in values.items())


def counted(number: int, noun: str) -> str:
    """`1 device`, `2 devices`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
