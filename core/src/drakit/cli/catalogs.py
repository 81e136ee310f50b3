"""The catalogs that commands on templates go by: those of plugins and those that are given."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from drakit.cli import FINDING
from drakit.cli.nodetypes import known_types
from drakit.cli.plan.sources import shipped_classes
from drakit.errors import ConfigError
from drakit.loading import load_installed
from drakit.plan.catalog import FILE_NAME, Catalog, CatalogFile, combine, hints, read_catalog

catalog_option = click.option(
    "--catalog",
    "files",
    type=click.Path(path_type=Path),
    metavar="FILE",
    multiple=True,
    help="A catalog of your own, beside those of the plugins; may be given several times. A template of it stands in "
    "place of others of its name, and its guardrails hold for all.",
)


def load_catalog(files: Iterable[Path]) -> tuple[Catalog, list[str]]:
    """The catalogs of installed plugins and those given, as one, and what is wrong with those of plugins.

    What is probably misspelt in a file that was given is told on stderr. Raises ConfigError for what is wrong there.
    """
    report = load_installed()
    problems = [str(error) for error in report.failed.values()]
    shipped: list[CatalogFile] = []
    for name, plugin in report.loaded.items():
        path = plugin.declarations.data and plugin.declarations.data / FILE_NAME
        if path and path.is_file():
            try:
                shipped.append(read_catalog(path, origin=f"plugin {name!r}"))
            except ConfigError as error:
                problems.append(f"the catalog of plugin {name!r} is left out: {error}")
    own = [read_catalog(path) for path in files]
    _hint(own, shipped)
    catalog, left_out = combine(shipped, own)
    return catalog, problems + left_out


def _hint(files: Sequence[CatalogFile], shipped: Sequence[CatalogFile]) -> None:
    """Tell what is probably misspelt. A class that a plugin only asks for, as that of another vendor, is known too."""
    if not files:
        return
    classes = {one["metadata"]["name"] for one in shipped_classes()}
    for template in (one for file in shipped for one in file.templates.values()):
        classes.update(*(variant.classes for variant in template.variants.values()))
    types = known_types()
    for file in files:
        for hint in hints(file, types, classes):
            click.echo(f"Hint: {hint}", err=True)


def conclude(problems: Sequence[str]) -> None:
    """Tell what is wrong, which is a finding."""
    for problem in problems:
        click.echo(f"Error: {problem}", err=True)
    if problems:
        raise SystemExit(FINDING)
