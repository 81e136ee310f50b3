"""What is said of fields that the API server did not keep."""

from __future__ import annotations

from typing import Any

import pytest
from drakit.kube.dropped import report
from drakit.slices import differences

DRIVER, POOL = "gpu.example.com", "node-1"
COUNTERS = {"memory": {"value": "40Gi"}}


def device(**fields: Any) -> dict[str, Any]:
    return {"devices": [{"name": "gpu-0", **fields}]}


def without(value: Any, name: str) -> Any:
    """What a server makes of it that drops a field."""
    if isinstance(value, dict):
        return {key: without(item, name) for key, item in value.items() if key != name}
    return [without(item, name) for item in value] if isinstance(value, list) else value


BEHIND_GATES = {
    "taints": ("DRADeviceTaints", device(taints=[{"key": "example.com/hot", "effect": "NoSchedule"}])),
    "sharedCounters": ("DRAPartitionableDevices", {"sharedCounters": [{"name": "gpu-0", "counters": COUNTERS}]}),
    "consumesCounters": (
        "DRAPartitionableDevices",
        device(consumesCounters=[{"counterSet": "gpu-0", "counters": COUNTERS}]),
    ),
    "perDeviceNodeSelection": ("DRAPartitionableDevices", {"perDeviceNodeSelection": True} | device(nodeName="n")),
    "bindingConditions": ("DRADeviceBindingConditions", device(bindingConditions=["example.com/Attached"])),
    "bindingFailureConditions": ("DRADeviceBindingConditions", device(bindingFailureConditions=["example.com/No"])),
    "bindsToNode": ("DRADeviceBindingConditions", device(bindsToNode=True)),
    "allowMultipleAllocations": ("DRAConsumableCapacity", device(allowMultipleAllocations=True)),
    "requestPolicy": (
        "DRAConsumableCapacity",
        device(capacity={"cores": {"value": "4", "requestPolicy": {"default": "1"}}}),
    ),
    "ints": ("DRAListTypeAttributes", device(attributes={"planes": {"ints": [1, 2]}})),
    "bools": ("DRAListTypeAttributes", device(attributes={"planes": {"bools": [True]}})),
    "strings": ("DRAListTypeAttributes", device(attributes={"planes": {"strings": ["a"]}})),
    "versions": ("DRAListTypeAttributes", device(attributes={"planes": {"versions": ["1.0.0"]}})),
}


@pytest.mark.parametrize("name", BEHIND_GATES)
def test_the_gate_is_named_that_a_field_is_behind(name):
    gate, wanted = BEHIND_GATES[name]
    paths = differences(wanted, without(wanted, name))
    assert len(paths) == 1
    said = report(DRIVER, POOL, 3, paths)
    assert said.startswith(f"driver {DRIVER}: the API server did not keep {paths[0]} of slice 3 of pool {POOL};")
    assert f"enable the feature gate {gate} on it, or turn the feature off in the driver" in said


def test_all_gates_are_named_and_of_many_fields_the_first():
    fields = [*(f"devices[{index}].taints" for index in range(5)), "devices[0].bindsToNode"]
    said = report(DRIVER, POOL, 0, fields)
    assert "devices[3].taints and 2 more of slice 0" in said
    assert "enable the feature gate DRADeviceBindingConditions and DRADeviceTaints on it" in said


def test_of_a_field_that_is_behind_no_gate_somebody_else_is_suspected():
    said = report(DRIVER, POOL, 0, ["devices[0].attributes.model.string"])
    assert "an admission webhook may change ResourceSlices" in said
