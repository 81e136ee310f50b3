"""drakit takes over from another driver of the same name, or stands beside a device plugin, and no pod notices."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from drakit.model import DeviceRef

DRIVER = "gpu.example.com"
BACKENDS = "[{plugin: fleet}, {plugin: mock, driver: b.example.com, options: {inline: {devices: [{name: dev-0}]}}}]"
FLEET = """
from drakit import ContainerEdits, Device, Pool, PreparedDevice, hookimpl

class Plugin:
    driver_name = "gpu.example.com"
    device_plugin_resources = ("example.com/gpu", "example.com/gpu.shared")

    def __init__(self, context):
        pass

    @hookimpl
    def discover(self):
        return [Pool([Device(name=f"gpu-{index}") for index in range(4)])]

    @hookimpl
    def prepare(self, claim):
        return [PreparedDevice.of(device, ContainerEdits(env={"A": device.device.name})) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        pass
"""


@pytest.fixture
def fleet(node):
    node.install("fleet", FLEET)
    node.root.mkdir()
    return node


@pytest.fixture
def theirs(fleet, kubelet, new_claim):
    """A claim that a pod has from another driver: a container with its CDI file runs."""
    claim = new_claim("theirs", {DRIVER: ("x", ["gpu-0"])})
    kubelet.pods.add(claim, [DeviceRef(DRIVER, "node-1", "gpu-0")])
    fleet.cdi.mkdir()
    # As several vendors' drivers name theirs, and as we would name ours.
    (fleet.cdi / f"k8s.{DRIVER}-claim_{claim.uid}.json").write_text(
        '{"cdiVersion": "0.5.0", "kind": "gpu.example.com/gpu", "devices": [{"name": "gpu-0"}]}'
    )
    return claim


@pytest.mark.reliability(
    fault="Another driver of the same name is replaced by drakit while its pods run",
    injected="The kubelet names a pod's claim that the new agent has no record of; a new claim wants its device",
    promise="The new claim is refused, naming the holder, until the old pod has ended; its CDI file stays",
)
def test_what_another_driver_prepared_is_held_from_the_first_prepare_on(fleet, theirs, kubelet, new_claim):
    late = new_claim("late", {DRIVER: ("x", ["gpu-0"])})
    free = new_claim("free", {DRIVER: ("x", ["gpu-1"])})
    before = fleet.files()
    fleet.start(BACKENDS)
    kubelet.wait_for(DRIVER)
    answers = kubelet.prepare([late, free], DRIVER)
    assert "gpu-0 is held by claim default/theirs" in answers[late.uid].error
    assert not answers[free.uid].error
    assert before.items() <= fleet.files().items()
    (told,) = (line for line in fleet.log.read_text().splitlines() if "was prepared by another driver" in line)
    assert "claim=default/theirs" in told
    assert kubelet.unprepare([theirs], DRIVER) == {theirs.uid: ""}
    kubelet.pods.remove(theirs.uid)
    assert not kubelet.prepare([late], DRIVER)[late.uid].error


def test_what_was_adopted_is_held_by_the_next_agent_too(fleet, theirs, kubelet, new_claim):
    late = new_claim("late", {DRIVER: ("x", ["gpu-0"])})
    fleet.start(BACKENDS)
    kubelet.wait_for(DRIVER)
    assert "held by" in kubelet.prepare([late], DRIVER)[late.uid].error
    fleet.end(signal.SIGKILL)
    kubelet.pods.remove(theirs.uid)  # its pod is being ended, and no longer counts as active
    seen = len(kubelet.history)
    fleet.start(BACKENDS)
    kubelet.wait_until(lambda: DRIVER in {one.driver for one in kubelet.history[seen:]}, "the next agent")
    assert "held by claim default/theirs" in kubelet.prepare([late], DRIVER)[late.uid].error
    assert kubelet.unprepare([theirs], DRIVER) == {theirs.uid: ""}
    assert not kubelet.prepare([late], DRIVER)[late.uid].error


def test_a_new_claim_waits_for_a_kubelet_that_does_not_say_yet_who_holds_what(fleet, theirs, kubelet, new_claim, until):
    late = new_claim("late", {DRIVER: ("x", ["gpu-0"])})
    kubelet.pods.fail("starting")
    fleet.start(BACKENDS, discoverySeconds=0.1)
    kubelet.wait_for(DRIVER)
    with ThreadPoolExecutor(1) as pod:
        answers = pod.submit(kubelet.prepare, [late], DRIVER)
        until(lambda: "starting (UNAVAILABLE)" in fleet.log.read_text(), "the agent to be told nothing")
        assert not answers.done()
        kubelet.pods.fail("")
        assert "held by claim default/theirs" in answers.result()[late.uid].error


def test_a_pod_of_another_driver_that_is_made_anew_is_prepared_by_us(fleet, theirs, kubelet):
    fleet.start(BACKENDS)
    kubelet.wait_for(DRIVER)
    answer = kubelet.prepare([theirs], DRIVER)[theirs.uid]
    assert not answer.error
    assert [handle.device.name for handle in answer.devices] == ["gpu-0"]
    assert kubelet.unprepare([theirs], DRIVER) == {theirs.uid: ""}


@pytest.mark.reliability(
    fault="What is prepared is lost with the state directory",
    injected="The journal is deleted while no agent runs",
    promise="Devices of claims that pods have stay held",
)
def test_a_lost_journal_is_made_up_for_by_what_the_kubelet_knows(fleet, kubelet, new_claim):
    running = new_claim("running", {DRIVER: ("x", ["gpu-2"])})
    late = new_claim("late", {DRIVER: ("x", ["gpu-2"])})
    fleet.start(BACKENDS)
    kubelet.wait_for(DRIVER)
    assert not kubelet.prepare([running], DRIVER)[running.uid].error
    fleet.end()
    for path in (fleet.plugins / DRIVER).glob("drakit.journal*"):
        path.unlink()
    seen = len(kubelet.history)
    fleet.start(BACKENDS)
    kubelet.wait_until(lambda: DRIVER in {one.driver for one in kubelet.history[seen:]}, "the next agent")
    assert "held by claim default/running" in kubelet.prepare([late], DRIVER)[late.uid].error


def offer(api, **allocatable: str) -> None:
    """Have the Node offer extended resources."""
    node = api.get("Node", "node-1")
    api.replace({**node, "status": {"allocatable": {"cpu": "8", **allocatable}}})


@pytest.mark.reliability(
    fault="A device plugin offers the hardware of a driver on the same node",
    injected="The Node's allocatable names the plugin's extended resource",
    promise="The driver publishes nothing and refuses new claims with the reason until the device plugin is gone",
)
def test_beside_a_device_plugin_new_claims_are_refused_until_it_is_gone(fleet, kubelet, api, new_claim, until):
    offer(api, **{"example.com/gpu.shared": "16"})
    fleet.start(BACKENDS, discoverySeconds=0.1)
    claim = new_claim("one", {DRIVER: ("x", ["gpu-0"]), "b.example.com": ("x", ["dev-0"])})
    for driver in (DRIVER, "b.example.com"):
        kubelet.wait_for(driver)
    until(lambda: "by a device plugin" in fleet.log.read_text(), "the conflict to be seen")
    error = kubelet.prepare([claim], DRIVER)[claim.uid].error
    assert "this node also offers the hardware as example.com/gpu.shared" in error
    assert kubelet.unprepare([claim], DRIVER) == {claim.uid: ""}
    assert not kubelet.prepare([claim], "b.example.com")[claim.uid].error
    api.wait_for(lambda server: [s["spec"]["driver"] for s in server.list("ResourceSlice")] == ["b.example.com"])

    offer(api, **{"example.com/gpu.shared": "0"})
    api.wait_for(lambda server: len(server.list("ResourceSlice")) == 2)
    assert not kubelet.prepare([claim], DRIVER)[claim.uid].error
    assert fleet.log.read_text().count("by a device plugin; remove") == 2  # once at start, once as the claim's error


def published(server, driver: str = DRIVER) -> list[dict]:
    return [document for document in server.list("ResourceSlice") if document["spec"]["driver"] == driver]


@pytest.mark.reliability(
    fault="A device plugin for the hardware of a driver comes to a node where the driver has published it",
    injected="The kubelet, and the Node's allocatable, come to name the plugin's resource under a running agent",
    promise="New claims are refused; slices are withdrawn, and back when it is gone; what is prepared is unprepared",
)
def test_what_was_published_before_a_device_plugin_came_is_withdrawn_while_it_is_there(fleet, kubelet, api, new_claim):
    before = new_claim("before", {DRIVER: ("x", ["gpu-0"])})
    fleet.start(BACKENDS, discoverySeconds=0.1)
    kubelet.wait_for(DRIVER)
    api.wait_for(published)
    assert not kubelet.prepare([before], DRIVER)[before.uid].error
    offer(api, **{"example.com/gpu": "4"})
    kubelet.pods.offer("example.com/gpu", "GPU-0", "GPU-1", "GPU-2", "GPU-3")  # it knows first
    api.wait_for(lambda server: not published(server) and published(server, "b.example.com"))
    late = new_claim("late", {DRIVER: ("x", ["gpu-1"])})
    assert "this node also offers the hardware" in kubelet.prepare([late], DRIVER)[late.uid].error
    assert not kubelet.prepare([before], DRIVER)[before.uid].error
    assert kubelet.unprepare([before], DRIVER) == {before.uid: ""}
    kubelet.pods.offer("example.com/gpu")
    offer(api)
    api.wait_for(published)
    assert not kubelet.prepare([late], DRIVER)[late.uid].error


@pytest.mark.reliability(
    fault="A device plugin restarts, and the Node offers nothing of its resource meanwhile",
    injected="Allocatable says 0 while the kubelet's PodResources names containers with its devices",
    promise="The driver still gives way, and says to whom; it prepares again when the last such pod has ended",
)
def test_pods_of_a_device_plugin_that_restarts_still_have_the_hardware(fleet, kubelet, api, new_claim, until):
    offer(api, **{"example.com/gpu": "0"})
    kubelet.pods.hold("example.com/gpu", "GPU-3")
    fleet.start(BACKENDS, discoverySeconds=0.1)
    claim = new_claim("one", {DRIVER: ("x", ["gpu-0"])})
    kubelet.wait_for(DRIVER)
    until(lambda: "pods on this node still have the hardware" in fleet.log.read_text(), "the pods to be seen")
    assert "as example.com/gpu, by a device plugin" in kubelet.prepare([claim], DRIVER)[claim.uid].error
    assert published(api) == []
    kubelet.pods.hold("example.com/gpu")
    api.wait_for(published)
    assert not kubelet.prepare([claim], DRIVER)[claim.uid].error


def test_slices_that_an_agent_has_left_beside_a_device_plugin_are_withdrawn_by_the_next(fleet, kubelet, api):
    fleet.start(BACKENDS, discoverySeconds=0.1)
    kubelet.wait_for(DRIVER)
    api.wait_for(published)
    fleet.end()
    offer(api, **{"example.com/gpu": "4"})
    assert published(api)
    fleet.start(BACKENDS, discoverySeconds=0.1)
    api.wait_for(lambda server: not published(server) and published(server, "b.example.com"))
