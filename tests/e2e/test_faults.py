"""Faults of devices through a real agent: to health, taints, refusals and Events, over a crash, until they end."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from drakit.testing import CallFailed

DRIVER, KEY = "frail.example.com", "frail.example.com/unhealthy"
TAINTED = "[{plugin: frail, taints: {}}]"
FRAIL = """
import json

from drakit import (
    ContainerEdits, Device, DeviceRef, DeviceUnfit, Fault, Health, Pool, PreparedDevice, hookimpl
)

class Plugin:
    driver_name = "frail.example.com"

    def __init__(self, context):
        self.context = context

    @hookimpl
    def discover(self):
        return [Pool([Device(name=f"dev-{index}") for index in range(4)])]

    @hookimpl
    def prepare(self, claim):
        with self.context.path("/asked").open("a") as asked:
            asked.write(claim.claim.name + "\\n")
        if self.context.path("/unfit").exists():
            raise DeviceUnfit("dev-0 has no link to dev-1", fault="unlinked", devices=["dev-0"])
        return [PreparedDevice.of(device, ContainerEdits(env={"A": "1"})) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        pass

    @hookimpl
    def health(self):
        path = self.context.path("/faults.json")
        faults = json.loads(path.read_text()) if path.exists() else {}
        return [
            Health(
                DeviceRef(self.context.driver, self.context.pool, f"dev-{index}"),
                "Healthy",
                faults=[Fault(**fault) for fault in faults.get(f"dev-{index}", ())],
                counters={"reads": 7},
            )
            for index in range(4)
        ]
"""


@pytest.fixture
def frail(node):
    """A node whose plugin reports what a test tells it to."""
    node.root.mkdir()
    node.install("frail", FRAIL)
    return node


@pytest.fixture
def report(frail):
    """Have the plugin report these faults from now on, by device."""

    def write(**faults) -> None:
        document = {name.replace("_", "-"): found for name, found in faults.items()}
        beside = frail.root / "faults.json.new"
        beside.write_text(json.dumps(document))
        beside.rename(frail.root / "faults.json")

    return write


@pytest.fixture
def taints(api):
    """Wait until just these taints are published: `{device: (value, effect)}`."""

    def wait(expected) -> None:
        api.wait_for(lambda server: _published(server) == expected)

    return wait


def _published(server):
    devices = [device for one in server.list("ResourceSlice") for device in one["spec"].get("devices", ())]
    assert all(taint["key"] == KEY for device in devices for taint in device.get("taints", ()))
    told = {device["name"]: [(one["value"], one["effect"]) for one in device.get("taints", ())] for device in devices}
    return {name: found for name, found in told.items() if found} if told else None


def ecc(count):
    return {"name": "ecc", "message": f"{count} uncorrectable errors", "end": "cleared", "count": count}


def clear(node, *arguments):
    program = Path(sys.executable).with_name("drakit")
    command = [program, "device", "clear", DRIVER, *arguments, "--kubelet-plugins-directory-path", node.plugins]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def answers(kubelet, claim) -> bool:
    """Whether anybody answers: after a crash the kubelet calls in vain for a while."""
    try:
        return bool(kubelet.prepare([claim], DRIVER))
    except CallFailed:
        return False


def asked(node) -> list[str]:
    path = node.root / "asked"
    return path.read_text().split() if path.exists() else []


@pytest.mark.reliability(
    fault="A device has uncorrectable errors, the agent crashes, and its successor sees nothing wrong",
    injected="A fault is reported to a real agent, which is killed; the next one is told that all is well",
    promise="Taint, health and refusal stay until `drakit device clear`; a running agent takes that up at once",
)
def test_a_fault_outlasts_a_crash_and_ends_when_an_operator_clears_it(
    frail, kubelet, api, new_claim, report, taints, until
):
    report(dev_1=[ecc(3)])
    frail.start(TAINTED, healthSeconds=0.1)
    kubelet.wait_for(DRIVER)
    taints({"dev-1": [("ecc", "NoSchedule")]})
    frail.end(signal.SIGKILL)

    report()
    frail.start(TAINTED, healthSeconds=0.1)
    claim = new_claim("late", {DRIVER: ("x", ["dev-1"])})
    until(lambda: answers(kubelet, claim), "the next agent to answer")
    error = kubelet.prepare([claim], DRIVER)[claim.uid].error
    assert "dev-1 is faulty: 3 uncorrectable errors (since" in error
    assert f"drakit device clear {DRIVER} dev-1" in error
    assert asked(frail) == []
    taints({"dev-1": [("ecc", "NoSchedule")]})
    (event,) = api.wait_for(lambda server: server.list("Event"))
    assert (event["reason"], event["regarding"]["kind"]) == ("DeviceFaulty", "Node")

    assert clear(frail, "dev-1") == f"cleared ecc of {DRIVER}/node-1/dev-1\n"
    taints({})
    assert kubelet.prepare([claim], DRIVER)[claim.uid].error == ""
    assert asked(frail) == ["late"]


def test_a_pod_that_runs_is_told_of_the_fault_and_its_claim_is_answered_as_before(
    frail, kubelet, new_claim, report, until
):
    frail.start(TAINTED, healthSeconds=0.1)
    kubelet.wait_for(DRIVER)
    claim = new_claim("early", {DRIVER: ("x", ["dev-0"])})
    answer = kubelet.prepare([claim], DRIVER)[claim.uid]
    (handle,) = answer.devices
    report(dev_0=[ecc(1), {"name": "link", "message": "link down", "end": "gone"}])
    until(lambda: "link down" in kubelet.health(handle.device).message, "the health of the device")
    told = kubelet.health(handle.device)
    assert told.status == "Unhealthy"
    assert "1 uncorrectable errors (since " in told.message
    assert kubelet.prepare([claim], DRIVER)[claim.uid] == answer
    assert asked(frail) == ["early"]


@pytest.mark.reliability(
    fault="The backend finds only when a claim is to be prepared that a device cannot do what it needs",
    injected="prepare of a real agent's plugin raises DeviceUnfit, with hardware and health looked at rarely",
    promise="The device is tainted NoExecute at once, and a repeat is refused without asking; it ends by itself",
)
def test_a_lasting_refusal_taints_at_once_and_ends_by_itself(frail, kubelet, new_claim, taints, until):
    (frail.root / "unfit").touch()
    frail.start(TAINTED, healthSeconds=20, discoverySeconds=600, faultSteadySeconds=600)
    kubelet.wait_for(DRIVER)
    taints({})
    claim = new_claim("pair", {DRIVER: ("x", ["dev-0", "dev-1"])})
    assert kubelet.prepare([claim], DRIVER)[claim.uid].error == "dev-0 has no link to dev-1"
    taints({"dev-0": [("unlinked", "NoExecute")]})
    assert "is faulty: dev-0 has no link to dev-1" in kubelet.prepare([claim], DRIVER)[claim.uid].error
    assert asked(frail) == ["pair"]
    written = frail.plugins / DRIVER / "faults.json"
    until(written.exists, "the refusal to be written down")
    frail.end()

    (frail.root / "unfit").unlink()
    frail.start(TAINTED, healthSeconds=0.1, faultSteadySeconds=0.5)
    kubelet.wait_for(DRIVER)
    taints({})
    assert kubelet.prepare([claim], DRIVER)[claim.uid].error == ""


@pytest.mark.reliability(
    fault="The agent starts anew while a device is faulty",
    injected="A fault that ends with its report is reported to a real agent from its start on",
    promise="The device is tainted in the first slice that is published: there is no moment at which it looks sound",
)
def test_a_device_that_is_faulty_at_the_start_is_tainted_from_the_first_slice_on(frail, kubelet, api, report, taints):
    report(dev_1=[{"name": "hang", "message": "does not answer"}])
    frail.start(TAINTED)
    kubelet.wait_for(DRIVER)
    taints({"dev-1": [("hang", "NoSchedule")]})
    (document,) = api.list("ResourceSlice")
    assert document["metadata"]["generation"] == 1


def test_nobody_is_evicted_for_most_of_the_devices(frail, kubelet, api, report, taints):
    frail.start("[{plugin: frail, taints: {effect: NoExecute}}]", healthSeconds=0.1)
    kubelet.wait_for(DRIVER)
    gone = {"name": "hang", "message": "does not answer"}
    report(dev_0=[gone])
    taints({"dev-0": [("hang", "NoExecute")]})
    report(dev_0=[gone], dev_1=[gone], dev_2=[gone])
    taints({f"dev-{index}": [("hang", "NoSchedule")] for index in range(3)})
    (event,) = api.wait_for(lambda server: server.list("Event"))
    assert event["reason"] == "MostDevicesFaulty"
    assert "more than half of the devices are faulty: no pod is evicted for that" in frail.log.read_text()


def scrape(port: int) -> str:
    """The metrics, or nothing before they are served."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return answer.read().decode()
    except OSError:
        return ""


def test_faults_and_counters_are_metrics_and_without_taints_none_is_published(frail, kubelet, api, report, until):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    report(dev_1=[ecc(3)])
    frail.start("[{plugin: frail}]", healthSeconds=0.1, metricsPort=port)
    kubelet.wait_for(DRIVER)
    device = f'device="dev-1",driver="{DRIVER}"'
    until(lambda: f'drakit_device_fault{{{device},fault="ecc",pool="node-1"}} 1.0' in scrape(port), "the fault")
    assert f'drakit_device_counter_total{{counter="reads",{device},pool="node-1"}} 7.0' in scrape(port)
    assert _published(api) == {}
