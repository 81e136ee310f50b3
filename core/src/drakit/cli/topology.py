"""`drakit topology`: a picture of a node, or of all nodes of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from drakit.cli import FINDING, BadInput
from drakit.cli.cluster import ClusterState, read_cluster, read_file
from drakit.cli.nodetypes import survey_of
from drakit.cli.offline import read_node
from drakit.cli.options import config_option, node_option, node_type_option, one_source, overrides, root_option
from drakit.cli.pictures import MAX_NAMED, write_pictures
from drakit.cli.published import node_slices
from drakit.plan.topology import Inputs, Picture, pictures_of


@click.command()
@node_type_option
@click.option("--cluster", is_flag=True, help="All nodes of the cluster of the current kubeconfig.")
@root_option
@click.option(
    "--slices",
    "slices_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="ResourceSlices, as YAML or JSON; ResourceClaims and Nodes in it count too.",
)
@click.option(
    "--claims",
    "claims_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="ResourceClaims that have devices, beside those of the cluster.",
)
@click.option("--kubeconfig", metavar="FILE", help="With --cluster; KUBECONFIG by default.")
@config_option
@node_option
@click.option(
    "-o",
    "--output",
    type=click.Choice(("text", "svg", "html")),
    default="text",
    show_default=True,
    help="SVG and HTML are one file each that needs no other, for light and dark pages.",
)
def topology(  # noqa: PLR0917 - click's options, by name
    node_type: str | None,
    cluster: bool,
    root: Path | None,
    slices_file: Path | None,
    claims_file: Path | None,
    kubeconfig: str | None,
    config: Path | None,
    node_name: str | None,
    output: str,
) -> None:
    """Draw the devices of a node: NUMA nodes, PCIe roots, device groups, links, and who has which device.

    Of many nodes, text and SVG show those that look alike once; of a cluster or a file, --node-name shows one alone.
    Exit code 1: something could not be drawn; the picture or stderr says what.
    """
    one_source({"--node": node_type, "--cluster": cluster, "--root": root, "--slices": slices_file}, required=True)
    problems: Sequence[tuple[str, str]] = ()
    warnings: Sequence[tuple[str, str]] = ()
    if cluster:
        found = read_cluster(kubeconfig)
    elif slices_file is not None:
        found = read_file(slices_file, ("ResourceSlice", "ResourceClaim", "Node"))
    elif node_type is not None:
        of_type = survey_of(node_type, config, node_name=node_name)
        found, problems, warnings = ClusterState(slices=of_type.slices), of_type.problems, of_type.node.warnings
    else:
        node = read_node(config, overrides(root=root, node_name=node_name))
        documents, problems = node_slices(node)
        found, warnings = ClusterState(slices=documents), node.warnings
    own = read_file(claims_file, ("ResourceClaim",)).claims if claims_file is not None else ()
    pictures: Sequence[Picture] = pictures_of(Inputs(found.slices, [*found.claims, *own], found.nodes))
    if cluster or slices_file is not None:
        pictures = _only(pictures, node_name)
    if not any(picture.boxes or picture.notes for picture in pictures):
        problems = [*problems, ("topology", "there are no devices to draw")]
    write_pictures(pictures, output)
    for of, warning in warnings:
        click.echo(f"Warning: {of}: {warning}", err=True)
    for of, problem in problems:
        click.echo(f"Error: {of}: {problem}", err=True)
    if problems or any(picture.notes for picture in pictures):
        raise SystemExit(FINDING)


def _only(pictures: Sequence[Picture], name: str | None) -> Sequence[Picture]:
    """The picture of one node, where one was asked for. Raises BadInput where it is not there."""
    chosen = [picture for picture in pictures if name in (None, picture.name)]
    if name is not None and not chosen:
        there = ", ".join(picture.name for picture in pictures[:MAX_NAMED]) or "none"
        more = len(pictures) - MAX_NAMED
        raise BadInput(f"no node {name!r} has devices; there are {there}{f' and {more} more' if more > 0 else ''}")
    return chosen
