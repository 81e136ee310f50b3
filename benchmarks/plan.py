"""How long the planner takes, on one node and on many, and on claims that plain backtracking takes for ever over."""

from __future__ import annotations

import copy
import gc
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from drakit.plan import Allocator, DeviceClass, NodeView, read_slices

GPU, NIC = "gpu.example.com", "nic.example.com"
GROUP = "resource.example.com/group"
CLASSES = {driver: DeviceClass(driver, (f'device.driver == "{driver}"',)) for driver in (GPU, NIC)}
Document = dict[str, Any]


class Report(Protocol):
    """Where figures go."""

    def figure(self, name: str, value: float, unit: str = "", target: float | None = None, note: str = "") -> None:
        """One figure."""


def device(name: str, group: object, **attributes: object) -> Document:
    """A device of a group."""
    found: Document = {GROUP: {"string": f"g{group}"}, "model": {"string": "m1"}}
    found |= {key: {"string": value} if isinstance(value, str) else {"int": value} for key, value in attributes.items()}
    return {"name": name, "attributes": found, "capacity": {"memory": {"value": "96Gi"}}}


def node_slice(node: str, devices: list[Document], driver: str = GPU) -> Document:
    """The one slice of a node's pool."""
    return {
        "metadata": {"name": f"{node}-{driver}"},
        "spec": {
            "driver": driver,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": devices,
        },
    }


def request(name: str, driver: str, count: int = 1, *expressions: str) -> Document:
    """A request for devices of a driver."""
    selectors = [{"cel": {"expression": text}} for text in expressions]
    return {"name": name, "exactly": {"deviceClassName": driver, "count": count, "selectors": selectors}}


def claim(requests: list[Document], *together: list[str]) -> Document:
    """A claim with a matchAttribute for each list of requests."""
    constraints = [{"requests": names, "matchAttribute": GROUP} for names in together]
    devices = {"requests": requests, "constraints": constraints}
    return {"metadata": {"name": "c", "namespace": "ns", "uid": "u"}, "spec": {"devices": devices}}


def thirty_two(**attributes: object) -> list[Document]:
    """A node's devices, four to a group."""
    return [device(f"d{index}", index // 4, index=index, **attributes) for index in range(32)]


def aligned(count: int = 4) -> Document:
    """Devices of one group."""
    return claim([request("r", GPU, count, f'device.attributes["{GPU}"].model == "m1"')], ["r"])


def blow_ups() -> Iterator[tuple[str, list[Document], Document]]:
    """Claims that cannot be met, or barely: what plain backtracking takes up to hours for."""
    free = [device(f"d{index}", index // 4) for index in range(15)]
    yield "D: 16 of 15 free", [node_slice("n", free)], claim([request("r", GPU, 16)])
    twelve = [device(f"d{index}", index) for index in range(12)]
    singles = [request(f"r{index}", GPU) for index in range(12)]
    yield (
        "E: 12, and one that nothing matches",
        [node_slice("n", twelve)],
        claim([*singles, request("x", GPU, 1, "false")]),
    )
    yield "F: 13 single requests on 12", [node_slice("n", twelve)], claim([*singles, request("x", GPU)])
    for name, nics in (("G: 8 pairs, one NIC gone", 7), ("H: 8 pairs, the last in reverse", 8)):
        gpus = node_slice("n", [device(f"g{index}", index) for index in range(8)])
        partners = [device(f"n{index}", 7 - index) for index in range(nics)]
        pairs = [[f"g{index}", f"n{index}"] for index in range(8)]
        requests = [request(one, GPU if one[0] == "g" else NIC) for pair in pairs for one in pair]
        yield name, [gpus, node_slice("n", partners, NIC)], claim(requests, *pairs)
    fours = [device(f"d{index}", index // 4) for index in range(16)]
    requests = [request(f"r{index}", GPU, 4) for index in range(4)]
    each = [[f"r{index}"] for index in range(4)]
    yield "I: 4 x 4 of own groups, one device gone", [node_slice("n", fours[:-1])], claim(requests, *each)
    spread = [*fours[:-1], device("odd", 9)]
    yield "J: the same, with an odd one in its place", [node_slice("n", spread)], claim(requests, *each)
    short = [device(f"d{index}", index // 7) for index in range(28)]
    requests = [request(f"r{index}", GPU) for index in range(8)]
    yield "K: 8 of one group, each has 7", [node_slice("n", short)], claim(requests, [f"r{i}" for i in range(8)])


def milliseconds(call: Callable[[], object], rounds: int) -> float:
    """The median of some runs, in time of the processor: it waits for nothing, and others may share the machine."""
    found = []
    for _ in range(rounds):
        gc.collect()
        start = time.process_time()
        call()
        found.append((time.process_time() - start) * 1e3)
    return statistics.median(found)


def plan(report: Report) -> None:
    """All figures of the planner."""
    node = NodeView("n0")
    one = read_slices([node_slice("n0", thirty_two())])
    call: Callable[[], object] = lambda: Allocator(one, CLASSES).allocate_all([aligned()], node)  # noqa: E731
    call()
    report.figure("plan: 1 node of 32, 4 of one group", milliseconds(call, 31), "ms", target=1)
    _many(report, "identical", [node_slice(f"n{index}", copy.deepcopy(thirty_two())) for index in range(1000)], 20)
    distinct = [node_slice(f"n{index}", thirty_two(serial=index)) for index in range(1000)]
    _many(report, "distinct", distinct, 400)
    for name, documents, wanted in blow_ups():
        slices = read_slices(documents)
        allocator = Allocator(slices, CLASSES)
        allocator.allocate_all([wanted], NodeView("n"))
        took = milliseconds(lambda: allocator.allocate_all([wanted], NodeView("n")), 7)  # noqa: B023 - called at once
        report.figure(f"plan: {name}", took, "ms", target=10)


def _many(report: Report, kind: str, documents: list[Document], target: float) -> None:
    nodes = [NodeView(f"n{index}") for index in range(len(documents))]
    read = milliseconds(lambda: read_slices(documents), 3)
    report.figure(f"plan: reading 1000 {kind} nodes of 32", read, "ms", target=150 if kind == "identical" else None)
    for what, wanted in (("met", aligned()), ("not met", aligned(5))):
        slices = read_slices(documents)
        took = milliseconds(lambda: Allocator(slices, CLASSES).survey([wanted], nodes), 5)  # noqa: B023
        report.figure(f"plan: 1000 {kind} nodes, {what}", took, "ms", target=target)
