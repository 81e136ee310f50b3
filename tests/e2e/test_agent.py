"""One agent, several drivers: what befalls one of them is its own affair."""

from __future__ import annotations

import signal
import socket

import pytest

MOCKS = """
- plugin: mock
  driver: a.example.com
  options: {inline: {devices: [{name: "dev-{index}", count: 3}]}}
- plugin: mock
  driver: b.example.com
  options: {inline: {devices: [{name: "dev-{index}", count: 2}]}}
"""

TROUBLE = """
import os, sys, time
from pathlib import Path
from drakit import ContainerEdits, Device, Pool, PreparedDevice, hookimpl

class Plugin:
    driver_name = "trouble.example.com"

    def __init__(self, context):
        self.gate = Path(__file__).with_name("gate")

    @hookimpl
    def discover(self):
        return [Pool([Device(name="one"), Device(name="two")])]

    @hookimpl
    def prepare(self, claim):
        if claim.claim.name == "exits":
            sys.exit(3)
        while claim.claim.name == "hangs" and not self.gate.exists():
            time.sleep(0.01)
        return [PreparedDevice.of(device, ContainerEdits(env={"A": "1"})) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        pass
"""


@pytest.fixture
def trouble(node):
    """A node with one more distribution installed: a plugin that hangs, or exits, when a claim's name says so."""
    node.root.mkdir()
    (node.directory / "trouble.py").write_text(TROUBLE)
    info = node.directory / "trouble-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: trouble\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[drakit.plugins]\ntrouble = trouble:Plugin\n")
    return node


def test_one_plugin_serves_two_drivers_side_by_side(node, kubelet, api, new_claim):
    node.root.mkdir()
    node.start(MOCKS)
    claim = new_claim("both", {"a.example.com": ("x", ["dev-0"]), "b.example.com": ("y", ["dev-0"])})
    for driver in ("a.example.com", "b.example.com"):
        kubelet.wait_for(driver)
        (handle,) = kubelet.prepare([claim], driver)[claim.uid].devices
        assert (handle.device.driver, handle.device.name) == (driver, "dev-0")
    slices = api.wait_for(lambda server: len(found := server.list("ResourceSlice")) == 2 and found)
    assert {s["spec"]["driver"]: len(s["spec"]["devices"]) for s in slices} == {"a.example.com": 3, "b.example.com": 2}


def test_both_dra_versions_give_the_same_answer(node, kubelet, new_claim):
    node.root.mkdir()
    node.start(MOCKS)
    claim = new_claim("one", {"a.example.com": ("x", ["dev-1"])})
    registration = kubelet.wait_for("a.example.com")
    assert registration.versions[:2] == ("v1.DRAPlugin", "v1beta1.DRAPlugin")
    first = kubelet.prepare([claim], "a.example.com")
    assert kubelet.prepare([claim], "a.example.com") == first


def test_a_hook_that_exits_fails_its_claim_alone(trouble, kubelet, new_claim):
    agent = trouble.start("[{plugin: trouble}, {plugin: mock, driver: a.example.com}]")
    kubelet.wait_for("trouble.example.com")
    exits = new_claim("exits", {"trouble.example.com": ("x", ["one"])})
    error = kubelet.prepare([exits], "trouble.example.com")[exits.uid].error
    assert "trouble" in error
    assert "SystemExit" in error
    good = new_claim("good", {"trouble.example.com": ("x", ["one"])})
    assert not kubelet.prepare([good], "trouble.example.com")[good.uid].error
    assert agent.poll() is None


def test_a_hung_hook_makes_its_driver_stuck_and_no_other(trouble, kubelet, new_claim, until):
    agent = trouble.start(
        "[{plugin: trouble}, {plugin: mock, driver: a.example.com, options: {inline: {devices: [{name: dev-0}]}}}]",
        hookBoundSeconds=0.5,
        drainSeconds=1,
    )
    hangs = new_claim("hangs", {"trouble.example.com": ("x", ["one"])})
    waits = new_claim("waits", {"trouble.example.com": ("x", ["two"])})
    other = new_claim("other", {"a.example.com": ("x", ["dev-0"])})
    for driver in ("trouble.example.com", "a.example.com"):
        kubelet.wait_for(driver)
    for claim in (hangs, waits):
        error = kubelet.prepare([claim], "trouble.example.com")[claim.uid].error
        assert "prepare of default/hangs has been running for" in error
    assert not kubelet.prepare([other], "a.example.com")[other.uid].error

    (trouble.directory / "gate").touch()
    until(
        lambda: not kubelet.prepare([waits], "trouble.example.com")[waits.uid].error,
        "the driver to take work again",
    )
    assert not kubelet.prepare([hangs], "trouble.example.com")[hangs.uid].error
    assert agent.poll() is None


def test_a_stop_does_not_wait_for_a_hung_hook(trouble, kubelet, new_claim):
    trouble.start("[{plugin: trouble}]", hookBoundSeconds=0.5, drainSeconds=0.5)
    hangs = new_claim("hangs", {"trouble.example.com": ("x", ["one"])})
    kubelet.wait_for("trouble.example.com")
    assert "has been running" in kubelet.prepare([hangs], "trouble.example.com")[hangs.uid].error
    assert trouble.end(signal.SIGTERM) == 0
    assert list(trouble.registry.glob("*.sock")) == []


def test_a_plugin_that_cannot_be_loaded_costs_its_own_driver(trouble, kubelet):
    (trouble.directory / "trouble.py").write_text("raise ImportError('no such library')")
    agent = trouble.start("[{plugin: trouble}, {plugin: absent}, {plugin: mock, driver: a.example.com}]")
    kubelet.wait_for("a.example.com")
    assert agent.poll() is None
    log = trouble.log.read_text()
    assert "no such library" in log
    assert "'absent': not installed" in log


def test_nothing_is_served_beside_a_foreign_driver_of_the_name(node, kubelet, until):
    node.root.mkdir()
    (node.plugins / "a.example.com").mkdir()
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(node.plugins / "a.example.com" / "dra.sock"))
        foreign.listen()
        node.start(MOCKS)
        kubelet.wait_for("b.example.com")
        until(lambda: "another driver named a.example.com serves" in node.log.read_text(), "the refusal to be logged")
        assert not kubelet.registered("a.example.com")
    until(lambda: kubelet.registered("a.example.com"), "the driver to be served once the other is gone")


@pytest.mark.parametrize(
    ("backends", "settings", "message"),
    [
        ("[{plugin: neuron, optons: {}}]", {}, "unknown key 'optons'"),
        ("[{plugin: absent}]", {}, "plugin 'absent': not installed"),
        ("[{plugin: neuron}, {plugin: mock, driver: neuron.aws.com}]", {}, "driver 'neuron.aws.com' is served by"),
        ("[{plugin: mock, options: {profile: no-such}}]", {}, "no-such"),
        ("[{plugin: neuron}]", {"nodeName": ""}, "nodeName is not set"),
        ("[{plugin: neuron}]", {"root": "/no/such/place"}, "is not a directory"),
    ],
)
def test_what_it_cannot_run_with_ends_it_with_code_2(node, backends, settings, message):
    node.root.mkdir()
    assert node.start(backends, **settings).wait(30) == 2
    log = node.log.read_text()
    assert message in log
    assert "Traceback" not in log
    node.agent = None
