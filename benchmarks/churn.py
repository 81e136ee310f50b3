"""What publishing devices in the order of their groups saves: pods that come and go, on one and the same node.

The scheduler takes the first devices that fit, in the order of the slice. A node's own order is that of PCI addresses;
the core orders a pool by the ranks of its groups (`drakit.inventory`). Both nodes get the same pods, arrivals and
departures alike; a pod that does not fit is turned away. Measured are whole groups that are still free though a part of
the node is taken, devices that are stranded in broken ones, and pods of one whole group that are turned away although
there are devices enough for them.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Protocol

from attrs import define, field
from drakit.cli.nodetypes import survey_of
from drakit.plan import DeviceClass, kube_profile, read_slices
from drakit.plan.placing import ClusterState, Holdings, Placing, PlannedNode, groups_of
from drakit.plan.workload import ClaimUse, PlannedPod

NODE_TYPES = ("trn2.48xlarge", "trn1.32xlarge")
DRIVER, GROUP = "neuron.aws.com", "resource.aws.com/devicegroup{size}_id"
SIZES = (1, 1, 1, 2, 2, 4, 8)
"""How many devices pods want: of one each, at random. Those of 4 and 8 want a whole group, the others any devices."""
STEPS, SEEDS = 300, 10
MEAN_STAY = 2
"""Steps that a pod stays for; one comes with each, so that a third to a half of the node is in use."""
Document = dict[str, Any]


class Report(Protocol):
    """Where figures go."""

    def figure(self, name: str, value: float, unit: str = "", target: float | None = None, note: str = "") -> None:
        """One figure."""


def churn(report: Report) -> None:
    """All figures: of each order, means over the same random pods."""
    for node_type in NODE_TYPES:
        slices = [one for one in survey_of(node_type).slices if one["spec"]["driver"] == DRIVER]
        _compare(report, f"churn, {node_type}", slices)


def _compare(report: Report, what: str, slices: Sequence[Document]) -> None:
    for name, documents in (("rank order", slices), ("PCI order", [in_pci_order(one) for one in slices])):
        runs = [Run.of(documents, seed) for seed in range(SEEDS)]
        steps = sum(run.steps for run in runs)
        for size in (4, 8):
            stranded = sum(run.stranded[size] for run in runs) / steps
            report.figure(f"{what}, {name}: stranded in groups of {size}", stranded, "dev")
        refused = sum(run.turned_away for run in runs) / max(1, sum(run.grouped for run in runs))
        note = f"{sum(run.grouped for run in runs)} pods of a whole group, enough devices free"
        report.figure(f"{what}, {name}: groups turned away", 100 * refused, "%", note=note)


def in_pci_order(document: Document) -> Document:
    """A slice with its devices in the order of their PCI addresses."""
    spec = document["spec"]
    devices = sorted(spec["devices"], key=lambda one: one["attributes"]["resource.kubernetes.io/pciBusID"]["string"])
    return document | {"spec": spec | {"devices": devices}}


@define
class Run:
    """One sequence of pods on one node."""

    steps: int = 0
    stranded: dict[int, int] = field(factory=lambda: {4: 0, 8: 0})
    grouped: int = 0
    turned_away: int = 0

    @classmethod
    def of(cls, slices: Sequence[Document], seed: int) -> Run:
        """Let pods come and go, the same for each seed whatever the order of devices."""
        chance, run = random.Random(seed), cls()
        state = ClusterState(
            nodes=(PlannedNode(slices[0]["spec"]["nodeName"]),),
            slices=read_slices(slices),
            classes={"c": DeviceClass("c", (f'device.driver == "{DRIVER}"',))},
            profile=kube_profile(),
        )
        running: dict[int, list[tuple[Any, str]]] = {}
        for number in range(STEPS):
            size, leaves = chance.choice(SIZES), chance.expovariate(1 / MEAN_STAY)
            ended = [end for end in running if end <= number]
            for end in ended:
                del running[end]
            holdings = Holdings()
            for entries in running.values():
                for allocation, name in entries:
                    holdings.add(allocation, name)
            free = 16 - sum(len(a.results) for entries in running.values() for a, _ in entries)
            outcome = Placing(state, holdings).place(pod(number, size))
            if outcome.satisfied:
                entry = outcome.claims[0].allocation, f"pod-{number}"
                running.setdefault(number + 1 + int(leaves), []).append(entry)
            if size >= 4 and free >= size:
                run.grouped += 1
                run.turned_away += not outcome.satisfied
            run.steps += 1
            for use in groups_of(state, holdings):
                if use.driver == DRIVER and use.attribute == GROUP.format(size=use.size) and use.size in run.stranded:
                    run.stranded[use.size] += len(use.stranded)
        return run


def pod(number: int, size: int) -> PlannedPod:
    """A pod that wants so many devices, of 4 or more all of one group."""
    devices: Document = {"requests": [{"name": "r", "exactly": {"deviceClassName": "c", "count": size}}]}
    if size >= 4:
        devices["constraints"] = [{"matchAttribute": GROUP.format(size=size)}]
    claim = {"metadata": {"name": f"c-{number}", "namespace": "d", "uid": ""}, "spec": {"devices": devices}}
    use = ClaimUse("c", claim)
    return PlannedPod(name=f"pod-{number}", namespace="d", owner="", spec={}, claims=(use,), alike=number)
