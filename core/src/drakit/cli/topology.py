"""`drakit topology`: a picture of a node, or of all nodes of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from attrs import evolve
from rich.text import Text

from drakit.cli import FINDING, BadInput
from drakit.cli.cluster import ClusterState, read_cluster, read_file
from drakit.cli.nodetypes import survey_of
from drakit.cli.offline import read_node
from drakit.cli.options import config_option, node_option, node_type_option, one_source, overrides, root_option
from drakit.cli.output import console, show
from drakit.cli.published import node_slices
from drakit.plan.topology import Inputs, Picture, draw, html_page, pictures_of, svg_document, text_of

TEXT_WIDTH = 80
"""Of text that is not for a window."""
_MAX_NAMED = 8
"""So many nodes are named in a line."""


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
    _write(pictures, output)
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
        there = ", ".join(picture.name for picture in pictures[:_MAX_NAMED]) or "none"
        more = len(pictures) - _MAX_NAMED
        raise BadInput(f"no node {name!r} has devices; there are {there}{f' and {more} more' if more > 0 else ''}")
    return chosen


def _write(pictures: Sequence[Picture], output: str) -> None:
    if not pictures:
        return
    title = f"Topology of {pictures[0].name}" if len(pictures) == 1 else f"Topology of {len(pictures)} nodes"
    if output == "html":
        click.echo(html_page(pictures, title), nl=False)
    elif output == "svg":
        figures = [draw(picture, _heading(names)) for picture, names in _folded(pictures)]
        click.echo(svg_document(figures, title), nl=False)
    else:
        screen = console()
        width = screen.width if screen.is_terminal else TEXT_WIDTH
        parts = [Text("\n").join(text_of(picture, width, names)) for picture, names in _folded(pictures)]
        show(Text("\n\n").join(parts))


def _folded(pictures: Sequence[Picture]) -> Iterator[tuple[Picture, list[str]]]:
    """Pictures that differ in nothing but the node's name once, with the names of all; in the order of the first."""
    alike: list[tuple[Picture, Picture, list[str]]] = []
    for picture in pictures:
        bare = _anonymous(picture)
        same = next((entry for entry in alike if entry[0] == bare), None)
        if same is None:
            alike.append((bare, picture, [picture.name]))
        else:
            same[2].append(picture.name)
    yield from ((picture, names) for _, picture, names in alike)


def _anonymous(picture: Picture) -> Picture:
    """Without what is another on every node: its name, that of its pools, and the values of groups."""
    return evolve(
        picture,
        name="",
        boxes=[evolve(box, ref=evolve(box.ref, pool="pool")) for box in picture.boxes],
        bands=[evolve(band, groups=[evolve(group, value="") for group in band.groups]) for band in picture.bands],
    )


def _heading(names: Sequence[str]) -> str:
    more = len(names) - _MAX_NAMED
    listed = ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")
    return f"{len(names)} nodes: {listed}" if len(names) > 1 else listed
