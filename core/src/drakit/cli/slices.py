"""`drakit slices`: the ResourceSlices as the agent would publish them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from drakit.cli import FINDING
from drakit.cli.offline import OfflineNode, read_node
from drakit.cli.options import config_option, node_option, output_option, overrides, root_option
from drakit.cli.output import table, write, write_stream
from drakit.documents import Document
from drakit.errors import LimitExceeded
from drakit.slices import left_out, pool_slices, slice_document, without_lists


@click.command()
@config_option
@root_option
@node_option
@output_option("yaml")
def slices(config: Path | None, root: Path | None, node_name: str | None, output: str) -> None:
    """Show the ResourceSlices of this node as they would be published, but for the Node that owns them.

    Exit code 1: a plugin failed, or a pool cannot be published; stderr says why, and what plugins warn of.
    """
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


def node_slices(node: OfflineNode) -> tuple[list[Document], list[tuple[str, str]]]:
    """Every slice of every driver, generation 1, and what kept others from being made."""
    documents: list[Document] = []
    problems = list(node.errors)
    name = node.settings.node_name
    for driver, pools in node.survey.pools.items():
        for pool in pools:
            published, lists = (pool, None) if node.settings.list_attributes else without_lists(pool)
            if lists:
                problems.append((driver, left_out(lists)))
            try:
                specs = pool_slices(published, name).specs
            except LimitExceeded as error:
                problems.append((driver, str(error)))
                continue
            for index, spec in enumerate(specs):
                document = slice_document(spec, index=index, generation=1, node=name, node_uid="")
                del document["metadata"]["ownerReferences"]  # the uid of the Node is the cluster's to say
                documents.append(document)
    return documents, problems


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
