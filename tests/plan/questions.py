"""Questions for the explanation of a claim: pools of made-up devices in groups, and claims that want them."""

from __future__ import annotations

from drakit.model import Device, DeviceRef, ResolvedPool
from drakit.plan import Allocated, DeviceClass, NodeView, SliceSet
from drakit.plan.explain import Question, render

GPU, NIC = "gpu.example.com", "nic.example.com"
GROUP, GROUP8 = "resource.example.com/group4_id", "resource.example.com/group8_id"
CLASSES = {driver: DeviceClass(driver, (f'device.driver == "{driver}"',)) for driver in (GPU, NIC)}
NODE = NodeView("n1")


def grouped(prefix, groups, per_group):
    return [
        Device(
            name=f"{prefix}-{group * per_group + index}",
            attributes={GROUP: f"g{group}", GROUP8: f"h{group // 2}", "index": index},
        )
        for group in range(groups)
        for index in range(per_group)
    ]


def pool(driver, devices, **fields):
    return ResolvedPool(driver=driver, name="n1", devices=tuple(devices), **fields)


def request(name, driver=GPU, *expressions, **fields):
    selectors = [{"cel": {"expression": text}} for text in expressions]
    return {"name": name, "exactly": {"deviceClassName": driver, "selectors": selectors} | fields}


def claim(*requests, match=(), distinct=(), name="c"):
    constraints = [{"matchAttribute": one} for one in match] + [{"distinctAttribute": one} for one in distinct]
    devices = {"requests": list(requests), "constraints": constraints}
    return {"metadata": {"name": name, "namespace": "ns"}, "spec": {"devices": devices}}


def question(pools, *claims, held=(), **fields):
    allocated = Allocated(devices=[DeviceRef(*text.split("/")) for text in held])
    nodes = fields.pop("nodes", [NODE])
    return Question(
        claims=claims, nodes=nodes, slices=SliceSet.of_pools(pools), classes=CLASSES, allocated=allocated, **fields
    )


def edits(explanation):
    return [" & ".join(edit.text for edit in change.edits) for change in explanation.changes]


def text(explanation, width=80):
    return "\n".join(map(str, render(explanation, width)))


def reasons(explanation):
    return [one.text for one in explanation.nodes[0].reasons]
