"""The answer as a picture: the nodes with what is in use, and on each device that a pod is given, whose it is."""

from __future__ import annotations

from collections.abc import Iterable

import click

from drakit.cli.pictures import write_pictures
from drakit.cli.plan.documents import Answer, Told
from drakit.cli.plan.screens import conclusion
from drakit.cli.plan.sources import Source
from drakit.model import DeviceRef
from drakit.plan.topology import Inputs, pictures_of

DRAWN = ("svg", "html")


def draw_answer(answer: Answer, source: Source, output: str) -> None:
    """Draw every node that has devices. What a picture does not tell, how many pods are placed, is told on stderr."""
    claims = [one for one in source.others if one["kind"] == "ResourceClaim"]
    nodes = [node.view for node in answer.nodes]
    write_pictures(pictures_of(Inputs(source.documents, claims, nodes, marks_of(answer.pods))), output)
    for told in (conclusion(answer.pods).plain, *(f"Note: {note}" for note in answer.notes)):
        click.echo(told, err=True)


def marks_of(pods: Iterable[Told]) -> dict[DeviceRef, str]:
    """The devices that pods are given, with the names of the pod and of its claim; of one that is shared, all."""
    found: dict[DeviceRef, dict[str, None]] = {}
    for told in pods:
        for claim in told.outcome.claims:
            for result in claim.allocation.results if claim.allocation is not None else ():
                found.setdefault(result.device, {})[f"{told.outcome.pod.name}/{claim.use.name}"] = None
    return {ref: ", ".join(names) for ref, names in found.items()}
