"""What must be so after each step: looked at from outside, not in what the step said of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drakit.cli.demo.steps import Agreement
from drakit.documents import Document, attribute_from_api, claim_ref
from drakit.errors import DRAError
from drakit.inventory import qualified
from drakit.model import AttributeValue, DeviceHandle, DeviceRef
from drakit.plan.claims import AllocationMode, Constraint, DeviceClaim, read_claim
from drakit.testing.kubelet import Prepared, Registration
from drakit.testing.nodes import NodeLayout
from drakit.testing.runtime import MergedEdits
from drakit.testing.stage import Stage


class NotAsItMustBe(DRAError):
    """A step of the demo did not come out as it must; the message says what was found instead."""


def _must(so: object, otherwise: str) -> None:
    if not so:
        raise NotAsItMustBe(otherwise)


def layout(laid: NodeLayout) -> NodeLayout:
    """Every plugin wrote its part."""
    _must(not laid.problems, "; ".join(map(str, laid.problems)))
    return laid


def registered(stage: Stage) -> list[Registration]:
    """The kubelet has every driver, by the newest service. How often it had to try is its own affair."""
    registrations = stage.registrations()
    for one in registrations:
        _must(one.service == "v1.DRAPlugin", f"driver {one.driver} was registered for {one.service}, not v1.DRAPlugin")
    return registrations


def published(stage: Stage) -> dict[str, list[Document]]:
    """The API server has exactly the devices that the plugins found, and no plugin had a problem."""
    survey = stage.agent.agent.survey
    problems = [*(problem.error for problem in survey.problems), *survey.failures.values()]
    _must(not problems, "; ".join(map(str, problems)))
    slices = stage.slices()
    there, found = set(_devices(slices)), set(survey.inventory.devices)
    wrong = ", ".join(sorted(map(str, there ^ found)))
    _must(there == found, f"what is published is not what was found; the difference is {wrong}")
    return slices


def allocated(stage: Stage, claims: Sequence[Document]) -> list[Agreement]:
    """Every request has its devices, no device is given twice, and the devices agree in what they must agree in."""
    devices = _devices(stage.slices())
    taken: set[DeviceRef] = set()
    agreements: list[Agreement] = []
    for claim in claims:
        stored = stage.server.get("ResourceClaim", claim["metadata"]["name"], claim["metadata"]["namespace"])
        results = stored["status"]["allocation"]["devices"]["results"]
        wanted = read_claim(stored)
        _check_counts(claim, wanted, results)
        refs = [_ref(result) for result in results if not result.get("adminAccess")]
        _must(len(set(refs)) == len(refs) and not taken & set(refs), f"{_name(claim)}: a device is allocated twice")
        taken |= set(refs)
        _must(set(refs) <= devices.keys(), f"{_name(claim)}: a device is allocated that is not published")
        agreements += [
            _agreement(claim, constraint, results, devices)
            for constraint in wanted.constraints
            if constraint.match_attribute is not None
        ]
    return agreements


def _check_counts(claim: Document, wanted: DeviceClaim, results: Sequence[Document]) -> None:
    for request in wanted.requests:
        own = [result for result in results if result["request"].partition("/")[0] == request.name]
        exactly = request.exactly
        if exactly is not None and exactly.allocation_mode is AllocationMode.EXACT_COUNT:
            _must(
                len(own) == exactly.count,
                f"{_name(claim)}: request {request.name!r} wants {exactly.count} devices and was given {len(own)}",
            )
        else:
            _must(own, f"{_name(claim)}: request {request.name!r} was given nothing")


def _agreement(
    claim: Document,
    constraint: Constraint,
    results: Sequence[Document],
    devices: Mapping[DeviceRef, Mapping[str, AttributeValue]],
) -> Agreement:
    covered = [result for result in results if constraint.covers(result["request"])]
    values = {devices[_ref(result)].get(constraint.attribute) for result in covered}
    _must(
        len(values) == 1 and None not in values,
        f"{_name(claim)}: its devices must have one {constraint.attribute}, and have "
        f"{', '.join(sorted(map(str, values)))}",
    )
    requests = list(dict.fromkeys(result["request"] for result in covered))
    return Agreement(constraint.attribute, str(values.pop()), requests, len(covered))


def prepared(claim: Document, answers: Mapping[str, Prepared]) -> dict[str, Sequence[DeviceHandle]]:
    """Every driver prepared exactly what it was allocated."""
    handles: dict[str, Sequence[DeviceHandle]] = {}
    results = claim["status"]["allocation"]["devices"]["results"]
    for driver, answer in answers.items():
        _must(not answer.error, f"{_name(claim)}: driver {driver} did not prepare it: {answer.error}")
        given = sorted(
            (result["request"].partition("/")[0], _ref(result)) for result in results if result["driver"] == driver
        )
        done = sorted((handle.request, handle.device) for handle in answer.devices)
        _must(given == done, f"{_name(claim)}: driver {driver} was allocated {given} and prepared {done}")
        handles[driver] = answer.devices
    return handles


def edits(merged: MergedEdits, handles: Mapping[str, Sequence[DeviceHandle]]) -> None:
    """Each device means something to its container, and every device node is there on the host."""
    without = [str(handle.device) for own in handles.values() for handle in own if not handle.cdi_ids]
    _must(not without, f"these devices have no CDI id: {', '.join(without)}")
    for node in merged.device_nodes:
        place = Path(node.get("hostPath", node["path"]))
        _must(place.exists(), f"a container would get the device node {place}, which does not exist")


def unprepared(claim: Document, errors: Mapping[str, str]) -> None:
    """No driver had trouble to undo it."""
    for driver, error in errors.items():
        _must(not error, f"{_name(claim)}: driver {driver} did not release it: {error}")


def nothing_left(stage: Stage, complaints: int) -> None:
    """No CDI file, no claim in a journal, no allocation; and no more complaints of the kubelet than so many."""
    files = stage.cdi_files()
    _must(not files, f"CDI files are left: {', '.join(path.name for path in files)}")
    for driver, claims in stage.journalled().items():
        _must(not claims, f"the journal of {driver} still holds {', '.join(map(str, claims))}")
    held = [
        _name(claim) for claim in stage.server.list("ResourceClaim") if (claim.get("status") or {}).get("allocation")
    ]
    _must(not held, f"claims are still allocated: {', '.join(held)}")
    new = stage.kubelet.problems[complaints:]
    _must(not new, f"the kubelet complains: {'; '.join(new)}")


def stopped(stage: Stage) -> None:
    """The agent left no socket behind."""
    sockets = [path for place in (stage.registry, stage.plugins) for path in place.rglob("*.sock")]
    _must(not sockets, f"the agent has stopped and left sockets: {', '.join(map(str, sockets))}")


def _devices(slices: Mapping[str, Sequence[Document]]) -> dict[DeviceRef, Mapping[str, AttributeValue]]:
    """Every published device with its attributes, by their full names."""
    found: dict[DeviceRef, Mapping[str, AttributeValue]] = {}
    for driver, documents in slices.items():
        for document in documents:
            for device in document["spec"].get("devices") or ():
                attributes: dict[str, Any] = device.get("attributes") or {}
                found[DeviceRef(driver, document["spec"]["pool"]["name"], device["name"])] = {
                    qualified(name, driver): attribute_from_api(value) for name, value in attributes.items()
                }
    return found


def _ref(result: Document) -> DeviceRef:
    return DeviceRef(result["driver"], result["pool"], result["device"])


def _name(claim: Document) -> str:
    return f"claim {claim_ref(claim)}"
