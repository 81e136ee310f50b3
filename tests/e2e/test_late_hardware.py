"""Hardware, labels and answers that come late, or go and come back, on a real agent that is never restarted."""

from __future__ import annotations

import pytest

EAGER = """
import threading
from pathlib import Path
from drakit import ContainerEdits, Device, Pool, PreparedDevice, hookimpl

HERE = Path(__file__).parent

class Plugin:
    driver_name = "eager.example.com"

    def __init__(self, context):
        self.context = context
        threading.Thread(target=self.watch, daemon=True).start()

    def watch(self):
        seen = None
        while True:
            now = self.names()
            if seen is not None and now != seen:
                self.context.changed()
            seen = now
            threading.Event().wait(0.02)

    def names(self):
        path = HERE / "devices"
        return path.read_text().split() if path.exists() else []

    @hookimpl
    def discover(self):
        names = self.names()
        if "broken" in names:
            raise OSError("the bus does not answer")
        label = self.context.node_labels.get("late", "none")
        return [Pool([Device(name=name, attributes={"label": label}) for name in names])]

    @hookimpl
    def prepare(self, claim):
        return [PreparedDevice.of(device, ContainerEdits(env={"A": "1"})) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        pass
"""
DRIVER = "eager.example.com"


@pytest.fixture
def eager(node):
    """A node with a plugin that says itself when its hardware, the words in the file `devices`, has changed."""
    node.root.mkdir()
    (node.directory / "eager.py").write_text(EAGER)
    info = node.directory / "eager-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: eager\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[drakit.plugins]\neager = eager:Plugin\n")
    return node


def plug(node, *names: str) -> None:
    """Have exactly these devices, from one moment to the next."""
    (node.directory / "next").write_text(" ".join(names))
    (node.directory / "next").replace(node.directory / "devices")


def published(api, driver: str) -> list[str] | None:
    """The devices of a driver, or None while it has no slices."""
    specs = [document["spec"] for document in api.list("ResourceSlice")]
    own = [spec for spec in specs if spec["driver"] == driver]
    return [device["name"] for spec in own for device in spec.get("devices", ())] if own else None


def writes(api) -> list[str]:
    return [method for method, _ in api.requests if method != "GET"]


@pytest.mark.reliability(
    fault="The kernel module of the hardware is loaded after the agent has started",
    injected="the module's entries appear in a faked /sys under a real agent",
    promise="its devices are published without a restart, with their groups on both sides",
)
def test_a_module_that_is_loaded_late_is_found_without_a_restart(trn2, kubelet, api, new_claim):
    absent = [trn2.root / "sys/class/neuron_device", trn2.root / "sys/module/neuron"]
    aside = trn2.directory / "aside"
    aside.mkdir()
    for path in absent:
        path.rename(aside / path.name)
    agent = trn2.start(discoverySeconds=0.2)
    api.wait_for(lambda server: published(server, "neuron.aws.com") == [] and published(server, "dra.net"), 30)
    for path in reversed(absent):
        (aside / path.name).rename(path)
    api.wait_for(lambda server: len(published(server, "neuron.aws.com") or ()) == 16, 30)

    def grouped(server) -> list[int]:
        devices = [d for document in server.list("ResourceSlice") for d in document["spec"].get("devices", ())]
        return [sum("resource.aws.com/devicegroup4_id" in d["attributes"] for d in devices), len(devices)]

    api.wait_for(lambda server: grouped(server) == [32, 32], 30)
    claim = new_claim("worker", {"neuron.aws.com": ("n", ["neuron-device-0"])})
    assert not kubelet.prepare([claim], "neuron.aws.com")[claim.uid].error
    assert agent.poll() is None


def test_a_plugin_that_says_that_something_has_changed_is_asked_at_once(eager, kubelet, api):
    eager.start("[{plugin: eager}]", discoverySeconds=3600)
    api.wait_for(lambda server: published(server, DRIVER) == [], 30)
    plug(eager, "one")
    api.wait_for(lambda server: published(server, DRIVER) == ["one"], 30)
    plug(eager, "one", "two")
    api.wait_for(lambda server: published(server, DRIVER) == ["one", "two"], 30)
    plug(eager)
    api.wait_for(lambda server: published(server, DRIVER) == [], 30)
    api.wait_for(lambda server: writes(server) == ["POST", "PUT", "PUT", "PUT"])


@pytest.mark.reliability(
    fault="Discovery begins to fail while the agent runs",
    injected="the plugin's discover raises, and later finds other devices",
    promise="the last good devices stay published and can be prepared; the failure is logged once, and its end",
)
def test_discovery_that_begins_to_fail_keeps_what_was_good_loudly(eager, kubelet, api, new_claim, until):
    plug(eager, "one", "two")
    eager.start("[{plugin: eager}]", discoverySeconds=0.1)
    api.wait_for(lambda server: published(server, DRIVER) == ["one", "two"], 30)
    plug(eager, "broken")
    until(lambda: "the bus does not answer" in eager.log.read_text(), "the failure to be logged")
    claim = new_claim("worker", {DRIVER: ("x", ["two"])})
    assert not kubelet.prepare([claim], DRIVER)[claim.uid].error
    assert published(api, DRIVER) == ["one", "two"]
    plug(eager, "two", "three")
    api.wait_for(lambda server: published(server, DRIVER) == ["two", "three"], 30)
    until(lambda: "no longer so: " in eager.log.read_text(), "the end of it to be logged")
    failures = [line for line in eager.log.read_text().splitlines() if "the bus does not answer" in line]
    assert sum("no longer so" not in line for line in failures) == 1


@pytest.mark.reliability(
    fault="A device vanishes while a claim has it",
    injected="it is no longer discovered by a real agent, and comes back",
    promise="it is no longer published, its claim is answered and released as ever, and it is published again",
)
def test_a_device_that_vanishes_under_a_claim_can_still_be_released(eager, kubelet, api, new_claim):
    plug(eager, "one", "two")
    eager.start("[{plugin: eager}]", discoverySeconds=3600)
    claim = new_claim("worker", {DRIVER: ("x", ["two"])})
    kubelet.wait_for(DRIVER, 30)
    answer = kubelet.prepare([claim], DRIVER)
    assert not answer[claim.uid].error
    plug(eager, "one")
    api.wait_for(lambda server: published(server, DRIVER) == ["one"], 30)
    assert kubelet.prepare([claim], DRIVER) == answer
    late = new_claim("late", {DRIVER: ("x", ["two"])})
    assert "two is not on this node" in kubelet.prepare([late], DRIVER)[late.uid].error
    assert kubelet.unprepare([claim], DRIVER) == {claim.uid: ""}
    plug(eager, "one", "two")
    api.wait_for(lambda server: published(server, DRIVER) == ["one", "two"], 30)
    assert not kubelet.prepare([late], DRIVER)[late.uid].error


def test_labels_that_come_late_are_published_with_one_write(eager, kubelet, api):
    plug(eager, "one")
    eager.start("[{plugin: eager}]", discoverySeconds=0.05)
    api.wait_for(lambda server: published(server, DRIVER) == ["one"], 30)
    node = api.get("Node", "node-1")
    api.replace({**node, "metadata": {**node["metadata"], "labels": {"late": "here"}}})
    kubelet.restart()

    def label(server) -> str:
        (document,) = server.list("ResourceSlice")
        return document["spec"]["devices"][0]["attributes"]["label"]["string"]

    api.wait_for(lambda server: label(server) == "here", 30)
    # Another round has been made since, and had nothing to write.
    plug(eager, "one", "two")
    api.wait_for(lambda server: published(server, DRIVER) == ["one", "two"], 30)
    api.wait_for(lambda server: writes(server) == ["POST", "PUT", "PUT"])
