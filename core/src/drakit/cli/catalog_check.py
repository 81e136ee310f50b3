"""`drakit template check`: whether as many of each template fit on each type of node as its catalog says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from attrs import field, frozen

from drakit.classes import device_classes
from drakit.cli import FINDING
from drakit.cli.catalogs import catalog_option, conclude, load_catalog
from drakit.cli.nodetypes import known_types, survey_of
from drakit.cli.options import config_option, output_option
from drakit.cli.output import counted, line, table, write
from drakit.cli.plan.sources import shipped_classes
from drakit.documents import Document
from drakit.errors import ConfigError
from drakit.loading import load_installed
from drakit.plan import DeviceClass, NodeView, PlanError, read_slices
from drakit.plan.catalog import (
    Catalog,
    EmptyNode,
    Template,
    Variant,
    misfit,
    unknown_class,
    unknown_type,
    variant_for,
)

FITS, WRONG, UNCHECKED = "fits", "wrong", "not checked"


@frozen(kw_only=True)
class Row:
    """One template on one type of node, and what came of it."""

    template: Template
    variant: Variant
    result: str
    reason: str = ""

    @property
    def document(self) -> dict[str, Any]:
        """As programs read it."""
        found = {
            "template": self.template.name,
            "origin": self.template.origin,
            "nodeType": self.variant.node_type,
            "perNode": self.variant.per_node,
            "result": self.result,
        }
        return found | ({"reason": self.reason} if self.reason else {})


@frozen
class Nodes:
    """Empty nodes of every type, each surveyed once for each set of options of plugins. `problems` are of surveys."""

    config: Path | None
    types: Collection[str] = field(factory=known_types)
    problems: list[str] = field(factory=list)
    _made: dict[str, EmptyNode] = field(factory=dict)

    def of(self, node_type: str, options: Mapping[str, Mapping[str, Any]]) -> EmptyNode:
        """A node of a type whose plugins have these options besides. Raises ConfigError."""
        key = repr((node_type, sorted(options.items())))
        if key not in self._made:
            found = survey_of(node_type, self.config, stand_ins=True, options=options)
            settings = found.node.settings
            self.problems.extend(f"{node_type}: {of}: {problem}" for of, problem in found.problems)
            configured = device_classes(settings, load_installed().loaded)
            self._made[key] = EmptyNode(
                NodeView(settings.node_name), read_slices(found.slices), _by_name([*shipped_classes(), *configured])
            )
        return self._made[key]


def _by_name(documents: Iterable[Document]) -> dict[str, DeviceClass]:
    return {one.name: one for one in map(DeviceClass.from_document, documents)}


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--node", "node_type", metavar="TYPE", help="Only on this type of node.")
@catalog_option
@config_option
@output_option("table")
def check(names: Sequence[str], node_type: str | None, files: Sequence[Path], config: Path | None, output: str) -> None:
    """Plan templates, to see that as many fit on each type of node as `perNode` says.

    The devices are those that the installed backends publish on an empty node of the type, or those of --config; a
    template that takes options of plugins is planned with them. Without a NAME all templates are checked.

    Exit code 1: another number fits, or one of --catalog cannot be checked; 2: a catalog or the configuration is wrong.
    """
    catalog, problems = load_catalog(files)
    wanted = _wanted(catalog, names, node_type)
    if not wanted and node_type is not None:
        problems.append(catalog.nothing_for(node_type))
    nodes = Nodes(config)
    rows = [_checked(nodes, *pair) for pair in wanted]
    write(output, [row.document for row in rows], lambda: _tables(rows) if rows else ())
    own = {str(path) for path in files}
    amiss = any(row.result == WRONG or (row.result == UNCHECKED and row.template.origin in own) for row in rows)
    conclude([*problems, *dict.fromkeys(nodes.problems)])
    if amiss:
        raise SystemExit(FINDING)


def _wanted(catalog: Catalog, names: Sequence[str], node_type: str | None) -> list[tuple[Template, Variant]]:
    """Types of nodes in order, so that each is surveyed once at a time. Raises ConfigError for a name that is none."""
    named = [catalog.get(name) for name in dict.fromkeys(names)]
    if node_type is not None and named:
        return [(one, variant_for(one, node_type)) for one in named]
    found = [(one, variant) for one in named or catalog.templates.values() for variant in one.variants.values()]
    found = [pair for pair in found if node_type in (None, pair[1].node_type)]
    return sorted(found, key=lambda pair: pair[1].node_type)


def _checked(nodes: Nodes, template: Template, variant: Variant) -> Row:
    def row(result: str, reason: str = "") -> Row:
        return Row(template=template, variant=variant, result=result, reason=reason)

    if variant.node_type not in nodes.types:
        return row(UNCHECKED, unknown_type(variant.node_type))
    try:
        node = nodes.of(variant.node_type, template.plugin_options)
    except ConfigError as error:
        if not template.plugin_options:
            raise
        return row(WRONG, f"with its pluginOptions: {error}")
    if unknown := [name for name in variant.classes if name not in node.classes]:
        return row(UNCHECKED, unknown_class(unknown[0]))
    try:
        reason = misfit(node, template, variant)
    except PlanError as error:
        return row(WRONG, f"cannot be planned: {error}")
    return row(FITS) if reason is None else row(WRONG, reason)


def _tables(rows: Sequence[Row]) -> Iterator[Any]:
    """What is not as it should be, and how many are."""
    told: dict[tuple[str, str, str], list[str]] = {}
    for row in rows:
        if row.result != FITS:
            told.setdefault((row.template.name, row.result, row.reason), []).append(row.variant.node_type)
    if told:
        cells = [(name, ", ".join(types), result, why) for (name, result, why), types in told.items()]
        yield table(("TEMPLATE", "NODES", "RESULT", "WHY"), cells)
    numbers = {result: sum(row.result == result for row in rows) for result in (FITS, WRONG, UNCHECKED)}
    templates = counted(len({row.template.name for row in rows}), "template")
    types = counted(len({row.variant.node_type for row in rows}), "type")
    counts = ", ".join(f"{number} {_WORDS[result]}" for result, number in numbers.items() if number or result == FITS)
    yield line("Checked:", f"{templates} on {types} of nodes: {counts}")


_WORDS = {FITS: "as the catalog says", WRONG: "not", UNCHECKED: "not checked"}
