"""`drakit slices`: the ResourceSlices as the agent would publish them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from drakit.cli import FINDING
from drakit.cli.nodetypes import survey_of
from drakit.cli.offline import read_node
from drakit.cli.options import (
    config_option,
    node_option,
    node_type_option,
    one_source,
    output_option,
    overrides,
    root_option,
)
from drakit.cli.output import table, write, write_stream
from drakit.cli.published import node_slices
from drakit.documents import Document


@click.command()
@config_option
@root_option
@node_type_option
@node_option
@output_option("yaml")
def slices(config: Path | None, root: Path | None, node_type: str | None, node_name: str | None, output: str) -> None:
    """Show the ResourceSlices of this node as they would be published, but for the Node that owns them.

    With --node, those of a node of that type: what a simulation of such nodes needs. Exit code 1: a plugin failed, or
    a pool cannot be published; stderr says why, and what plugins warn of.
    """
    one_source({"--root": root, "--node": node_type})
    if node_type is not None:
        found = survey_of(node_type, config, node_name=node_name)
        node, documents, problems = found.node, found.slices, found.problems
    else:
        node = read_node(config, overrides(root=root, node_name=node_name))
        documents, problems = node_slices(node)
    if output == "yaml":
        write_stream(documents)
    else:
        write(output, {"apiVersion": "v1", "kind": "List", "items": documents}, lambda: _tables(documents))
    for of, warning in node.warnings:
        click.echo(f"Warning: {of}: {warning}", err=True)
    for of, problem in problems:
        click.echo(f"Error: {of}: {problem}", err=True)
    if problems:
        raise SystemExit(FINDING)


def _tables(documents: Iterable[Document]) -> Iterable[Any]:
    rows = [
        (
            document["spec"]["driver"],
            document["spec"]["pool"]["name"],
            document["metadata"]["generateName"],
            len(document["spec"].get("devices") or ()),
            len(document["spec"].get("sharedCounters") or ()),
        )
        for document in documents
    ]
    yield table(("DRIVER", "POOL", "SLICE", "DEVICES", "COUNTER SETS"), rows)
