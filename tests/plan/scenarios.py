"""Random nodes and claims, in the form of the recorded cases: small, and full of everything that decides."""

from __future__ import annotations

from random import Random
from typing import Any

DRIVERS = ("a.x", "b.x")
CLASSES: tuple[dict[str, Any], ...] = (
    {"metadata": {"name": "any"}, "spec": {}},
    *(
        {
            "metadata": {"name": driver},
            "spec": {"selectors": [{"cel": {"expression": f'device.driver == "{driver}"'}}]},
        }
        for driver in DRIVERS
    ),
)
ON = ("AdminAccess", "PrioritizedList", "PartitionableDevices", "DeviceTaints", "DeviceBindingAndStatus")


def _zone(operator: str, *values: str) -> dict[str, Any]:
    requirement = {"key": "zone", "operator": operator, "values": list(values)}
    return {"nodeSelector": {"nodeSelectorTerms": [{"matchExpressions": [requirement]}]}}


SLICE_NODES: tuple[dict[str, Any], ...] = (
    *({"nodeName": "n1"},) * 6,
    {"allNodes": True},
    {"perDeviceNodeSelection": True},
    {"nodeName": "n2"},
    _zone("In", "a"),
    _zone("Exists"),
    _zone("NotIn", "a"),
)
DEVICE_NODES: tuple[dict[str, Any], ...] = ({"nodeName": "n1"}, {"allNodes": True}, {"nodeName": "n2"})


def scenario(seed: int) -> dict[str, Any]:
    """One case, without an answer."""
    chance = Random(seed)
    features = dict.fromkeys(ON, True) | {
        "ConsumableCapacity": chance.random() < 0.7,
        "ListTypeAttributes": chance.random() < 0.3,
    }
    if chance.random() < 0.3:  # what the stable allocator takes
        features |= {"DeviceBindingAndStatus": False, "ConsumableCapacity": False, "ListTypeAttributes": False}
    maker = Maker(chance, features)
    slices = [one for pool in maker.pools() for one in maker.slices(*pool)]
    return {
        "Name": f"s{seed}",
        "FeatureBits": features,
        "Node": {"metadata": {"name": "n1", "labels": {"zone": "a"}}},
        "Classes": list(CLASSES),
        "Claims": [maker.claim(index) for index in range(chance.choice((1, 1, 1, 2)))],
        "Slices": slices,
        **maker.allocated(slices),
    }


class Maker:
    def __init__(self, chance: Random, features: dict[str, bool]) -> None:
        self.chance = chance
        self.features = features

    def some(self, likelihood: float) -> bool:
        return self.chance.random() < likelihood

    def pools(self) -> list[tuple[str, str]]:
        every = [(driver, pool) for driver in DRIVERS for pool in ("n1", "p1")]
        return sorted(self.chance.sample(every, self.chance.choice((1, 2, 2, 3))))

    def slices(self, driver: str, pool: str) -> list[dict[str, Any]]:
        counters = self.features["PartitionableDevices"] and self.some(0.4)
        parts = self.chance.choice((1, 1, 2))
        devices = [self.device(f"d{index}", counted=counters) for index in range(self.chance.randint(1, 6))]
        count = parts + counters
        found = []
        for part in range(parts):
            where = self.chance.choice(SLICE_NODES)
            own = devices[part::parts]
            if "perDeviceNodeSelection" in where:
                own = [one | self.chance.choice(DEVICE_NODES) for one in own]
            found.append(self.slice(driver, pool, f"s{part}", count, where | {"devices": own}))
        if counters:
            amount = str(self.chance.randint(2, 7))
            shared = [{"name": "cs", "counters": {"m": {"value": amount}}}]
            where = self.chance.choice(({"nodeName": "n1"}, {"nodeName": "n1"}, {"allNodes": True}, *SLICE_NODES[-3:]))
            found.append(self.slice(driver, pool, "c", count, where | {"sharedCounters": shared}))
        if found and self.some(0.04):
            found.pop()
        if found and self.some(0.04):
            self.chance.choice(found)["spec"]["pool"]["generation"] = 2
        return found

    def slice(self, driver: str, pool: str, name: str, count: int, spec: dict[str, Any]) -> dict[str, Any]:
        return {
            "metadata": {"name": f"{driver}-{pool}-{name}"},
            "spec": {
                "driver": driver,
                "pool": {"name": pool, "generation": 1, "resourceSliceCount": count},
                **spec,
            },
        }

    def device(self, name: str, *, counted: bool) -> dict[str, Any]:
        chance = self.chance
        attributes: dict[str, Any] = {"t": {"string": chance.choice("xy")}} if self.some(0.8) else {}
        if self.some(0.9):
            attributes["g"] = {"int": chance.randint(0, 2)}
        if self.some(0.9):
            listed = self.features["ListTypeAttributes"] and self.some(0.6)
            numbers = sorted(chance.sample(range(3), chance.randint(1, 2)))
            attributes["std/l"] = {"ints": numbers} if listed else {"int": numbers[0]}
        device: dict[str, Any] = {"name": name, "attributes": attributes}
        if self.some(0.4):
            device["capacity"] = {"mem": {"value": str(chance.randint(2, 6))}}
        if self.features["ConsumableCapacity"] and self.some(0.3):
            device["allowMultipleAllocations"] = True
            if "capacity" in device and self.some(0.5):
                device["capacity"]["mem"]["requestPolicy"] = chance.choice(
                    (
                        {"default": "1"},
                        {"default": "1", "validValues": ["1", "2"]},
                        {"default": "2", "validRange": {"min": "1", "max": "2", "step": "1"}},
                        {"default": "2", "validRange": {"min": "0", "step": "2"}},
                        {"default": "2", "validRange": {"min": "2"}},
                        {"default": "0"},
                    )
                )
        if counted and self.some(0.6):
            amount = str(chance.randint(1, 3))
            device["consumesCounters"] = [{"counterSet": "cs", "counters": {"m": {"value": amount}}}]
        if self.some(0.1):
            effect = chance.choice(("NoSchedule", "NoExecute", "None"))
            device["taints"] = [{"key": chance.choice("kq"), "value": "v", "effect": effect}]
        if self.some(0.05):
            device |= {"bindingConditions": ["Ready"], "bindingFailureConditions": ["Failed"]}
        return device

    def claim(self, index: int) -> dict[str, Any]:
        requests = [self.request(f"r{number}") for number in range(self.chance.choice((1, 1, 2, 2, 3)))]
        constraints = []
        for _ in range(self.chance.choice((0, 0, 1, 1, 2))):
            kinds = ("matchAttribute", "matchAttribute", "distinctAttribute")
            kind = self.chance.choice(kinds if self.features["ConsumableCapacity"] else kinds[:2])
            constraint: dict[str, Any] = {kind: self.chance.choice(("a.x/g", "std/l", "std/l"))}
            if self.some(0.5):
                names = [request["name"] for request in requests]
                constraint["requests"] = self.chance.sample(names, self.chance.randint(1, len(names)))
            constraints.append(constraint)
        devices = {"requests": requests, "constraints": constraints}
        return {"metadata": {"name": f"c{index}", "uid": f"u{index}"}, "spec": {"devices": devices}}

    def request(self, name: str) -> dict[str, Any]:
        if self.some(0.2):
            alternatives = [self.exact(admin=False) | {"name": f"s{number}"} for number in range(2)]
            return {"name": name, "firstAvailable": alternatives}
        return {"name": name, "exactly": self.exact(admin=True)}

    def exact(self, *, admin: bool) -> dict[str, Any]:
        chance = self.chance
        found: dict[str, Any] = {"deviceClassName": chance.choice(("any", "any", *DRIVERS))}
        if self.some(0.12):
            found["allocationMode"] = "All"
        else:
            count = chance.choice((12, 20, 31)) if self.some(0.03) else chance.choice((1, 1, 2, 2, 3, 4))
            found |= {"allocationMode": "ExactCount", "count": count}
        selectors = ['device.attributes["a.x"].?t.orValue("") == "y"', 'device.attributes["std"].?l.hasValue()']
        if self.some(0.03):
            selectors = ['device.attributes["a.x"].t == "y"']
        if self.some(0.3):
            found["selectors"] = [{"cel": {"expression": chance.choice(selectors)}}]
        if admin and self.some(0.08):
            found["adminAccess"] = True
        if self.some(0.15):
            found["tolerations"] = [{"key": "k", "operator": "Exists"}]
        if self.features["ConsumableCapacity"] and self.some(0.2):
            found["capacity"] = {"requests": {"mem": str(chance.randint(1, 3))}}
        return found

    def allocated(self, slices: list[dict[str, Any]]) -> dict[str, Any]:
        devices, shares, consumed = [], [], {}
        for one in slices:
            spec = one["spec"]
            for device in spec.get("devices") or ():
                ref = f"{spec['driver']}/{spec['pool']['name']}/{device['name']}"
                if not self.some(0.12):
                    continue
                if not device.get("allowMultipleAllocations"):
                    devices.append(ref)
                    continue
                shares.append(f"{ref}/1f2e3d4c-0000-4000-8000-000000000000")
                if "capacity" in device:
                    consumed[ref] = {"mem": "1"}
        return {"AllocatedDevices": devices, "SharedDeviceIDs": shares, "Aggregated": consumed}
