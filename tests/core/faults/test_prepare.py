"""A faulty device is refused to new claims, by what is remembered and before the backend is asked."""

from __future__ import annotations

import pytest
from drakit import (
    AllocatedDevice,
    ClaimAllocation,
    ClaimError,
    ClaimRef,
    ContainerEdits,
    Fault,
    Health,
    PreparedDevice,
    Toleration,
    TolerationOperator,
)
from drakit.backend import Hooks, HostedBackend
from drakit.errors import DeviceUnfit, PluginContractError
from drakit.faults import TaintPolicy

CLAIM = ClaimRef("uid-1", "team", "training")
KEY = "gpu.example.com/unhealthy"
EXISTS = TolerationOperator.EXISTS


@pytest.fixture
def claim(ref):
    """A claim with one device: `(device="gpu-0", **what_is_allocated)`."""
    return lambda device="gpu-0", **more: ClaimAllocation(CLAIM, [AllocatedDevice("gpu", ref(device), **more)])


@pytest.mark.reliability(
    fault="A device went bad after the scheduler gave it to a claim",
    injected="A fault is reported, then a claim that has the device is prepared for the first time",
    promise="The claim is refused before any container starts, with what is wrong, since when, and what to do",
)
def test_a_faulty_device_is_refused_with_its_fault_and_the_remedy(book, report, claim):
    book.judge(report(Fault("ecc", "3 uncorrectable errors", end="cleared")))
    with pytest.raises(ClaimError) as caught:
        book.check(claim())
    for part in (
        "device gpu.example.com/node-1/gpu-0 is faulty: 3 uncorrectable errors (since 2026-01-02T03:04:05Z)",
        "delete the pod to have it scheduled anew",
        "`drakit device clear gpu.example.com gpu-0`",
    ):
        assert part in str(caught.value)
    book.check(claim("gpu-1"))


def test_a_remembered_fault_refuses_before_the_first_health_report(agent, report, claim):
    agent().judge(report(Fault("ecc", "errors", end="cleared")))
    with pytest.raises(ClaimError, match="is faulty: errors"):
        agent().check(claim())


def test_a_device_that_is_unhealthy_without_a_fault_is_not_refused(book, ref, claim):
    book.judge([Health(ref(), "Unhealthy", "looks odd")])
    book.check(claim())


@pytest.mark.parametrize(
    ("policy", "tolerations"),
    [
        (None, [Toleration(key=KEY, operator=EXISTS)]),
        (None, [Toleration(key=KEY, value="anything", effect="NoExecute")]),
        (None, [Toleration(operator=EXISTS)]),
        (TaintPolicy(KEY), [Toleration(key=KEY, value="ecc")]),
        (TaintPolicy("own/key"), [Toleration(key="other"), Toleration(key="own/key", operator=EXISTS)]),
        (TaintPolicy(KEY, "NoExecute"), [Toleration(operator=EXISTS, toleration_seconds=60)]),
    ],
)
def test_a_claim_that_tolerates_the_taint_gets_the_device(agent, report, claim, policy, tolerations):
    book = agent(policy=policy)
    book.judge(report(Fault("ecc", "errors")))
    book.check(claim(tolerations=tolerations))


@pytest.mark.parametrize(
    ("policy", "tolerations"),
    [
        (None, []),
        (None, [Toleration(key="other", operator=EXISTS), Toleration(value="ecc")]),
        (TaintPolicy(KEY), [Toleration(key=KEY, value="link")]),
        (TaintPolicy("own/key"), [Toleration(key=KEY, operator=EXISTS)]),
        (TaintPolicy(KEY, "NoExecute"), [Toleration(key=KEY, operator=EXISTS, effect="NoSchedule")]),
    ],
)
def test_a_claim_that_tolerates_something_else_does_not(agent, report, claim, policy, tolerations):
    book = agent(policy=policy)
    book.judge(report(Fault("ecc", "errors")), [])
    with pytest.raises(ClaimError):
        book.check(claim(tolerations=tolerations))


def test_admin_access_gets_a_faulty_device(book, report, claim):
    book.judge(report(Fault("ecc", "errors")))
    book.check(claim(admin_access=True))


class Plugin:
    """A backend that counts how often it prepares, and refuses when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.refusal: DeviceUnfit | None = None

    def prepare(self, claim):
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal
        return [PreparedDevice.of(device, ContainerEdits()) for device in claim.devices]


@pytest.fixture
def hooks(hosted, book):
    """The hooks of a backend that has this book, and its plugin."""
    plugin = Plugin()
    instance = hosted.host.instances[hosted.add(hosted.backend(prepare=plugin.prepare))]
    return Hooks("gpu.example.com", HostedBackend(hosted.host, instance, book), lambda _what: None), plugin


def nothing_held(_device):
    return ()


def test_the_backend_is_asked_of_what_is_prepared_already_and_not_of_what_is_new(hooks, book, report, claim):
    asking, plugin = hooks
    before = asking.prepare(claim(), nothing_held)
    book.judge(report(Fault("ecc", "errors")))
    with pytest.raises(ClaimError, match="is faulty"):
        asking.prepare(claim(), nothing_held)
    assert plugin.asked == 1
    assert asking.prepare_again(claim(), before, nothing_held) == before
    assert plugin.asked == 2


def test_a_refusal_of_what_the_claim_does_not_have_is_the_plugins_failure(hooks, claim):
    asking, plugin = hooks
    for wrong in (DeviceUnfit("no link", fault="no link"), DeviceUnfit("no link", fault="link", devices=["gpu-9"])):
        plugin.refusal = wrong
        with pytest.raises(PluginContractError, match="link"):
            asking.prepare(claim(), nothing_held)
    plugin.refusal = DeviceUnfit("no link", fault="link", devices=["gpu-0"])
    with pytest.raises(DeviceUnfit, match="no link"):
        asking.prepare(claim(), nothing_held)
