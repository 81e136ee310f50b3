"""One agent, several drivers: what befalls one of them is its own affair."""

from __future__ import annotations

import signal
import socket
import time

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
import sys, time
from pathlib import Path
from drakit import ContainerEdits, Device, DeviceGroup, Health, HealthStatus, Pool, PreparedDevice, hookimpl

HERE = Path(__file__).parent
MODE = (HERE / "mode").read_text() if (HERE / "mode").exists() else ""

class Plugin:
    driver_name = "trouble.example.com"

    def __init__(self, context):
        self.context = context
        self.gate = HERE / "gate"

    @hookimpl
    def discover(self):
        with (HERE / "rounds").open("a") as rounds:
            rounds.write("x")
        if MODE == "always changed":
            self.context.changed()
        attributes = {"label": self.context.node_labels.get("late", "none")}
        return [Pool([Device(name="one", attributes=attributes), Device(name="two")])]

    @hookimpl
    def devicegroups(self, inventory):
        if MODE != "groups of nonsense":
            return []
        refs = list(inventory.devices)
        return [DeviceGroup("example.com/g", "a", refs, "high"), DeviceGroup("example.com/g", "b", refs, 1)]

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

    @hookimpl
    def health(self):
        if MODE == "health of nonsense":
            raise RuntimeError("no idea how it is")
        return []

    @hookimpl
    def close(self):
        while MODE == "never closes":
            time.sleep(0.01)
"""
BESIDE = "[{plugin: trouble}, {plugin: mock, driver: a.example.com, options: {inline: {devices: [{name: dev-0}]}}}]"


@pytest.fixture
def trouble(node):
    """A node with one more distribution installed: a plugin that hangs, or exits, when a claim's name says so."""
    node.root.mkdir()
    node.install("trouble", TROUBLE)
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
        BESIDE,
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


def test_what_a_plugin_answers_wrongly_is_its_own_failure(trouble, kubelet, until, new_claim):
    (trouble.directory / "mode").write_text("groups of nonsense")
    agent = trouble.start(BESIDE)
    until(lambda: "devicegroups failed: TypeError" in trouble.log.read_text(), "the failure to be logged")
    claim = new_claim("fine", {"trouble.example.com": ("x", ["one"])})
    kubelet.wait_for("trouble.example.com")
    assert not kubelet.prepare([claim], "trouble.example.com")[claim.uid].error
    assert agent.poll() is None


def test_health_that_cannot_be_had_is_logged_once(trouble, kubelet, until):
    (trouble.directory / "mode").write_text("health of nonsense")
    trouble.start(BESIDE, healthSeconds=0.01)
    until(lambda: "no idea how it is" in trouble.log.read_text(), "the failure to be logged")
    kubelet.wait_for("trouble.example.com")
    trouble.end()
    assert trouble.log.read_text().count("no idea how it is") == 1


def test_a_plugin_that_always_has_news_is_asked_at_a_bounded_rate(trouble, kubelet, until):
    (trouble.directory / "mode").write_text("always changed")
    trouble.start(BESIDE)
    kubelet.wait_for("trouble.example.com")
    start = time.monotonic()
    rounds = trouble.directory / "rounds"
    before = len(rounds.read_text())
    until(lambda: len(rounds.read_text()) >= before + 3, "three rounds")
    asked, passed = len(rounds.read_text()) - before, time.monotonic() - start
    assert asked <= passed / 0.5 + 1


def test_a_plugin_that_never_closes_does_not_hold_up_the_end(trouble, kubelet):
    (trouble.directory / "mode").write_text("never closes")
    trouble.start("[{plugin: trouble}]", drainSeconds=0.5)
    kubelet.wait_for("trouble.example.com")
    assert trouble.end(signal.SIGTERM) == 0
    assert "was not closed" in trouble.log.read_text()


SILENT_NAME_SERVER = """
import socket, threading
from pathlib import Path

genuine = socket.getaddrinfo

def getaddrinfo(host, *args, **options):
    if host != "api.example.com":
        return genuine(host, *args, **options)
    (Path(__file__).parent / "asked").touch()
    threading.Event().wait()

socket.getaddrinfo = getaddrinfo
"""


@pytest.mark.reliability(
    fault="No name server answers, and the agent is told to stop",
    injected="SIGTERM while the API server's name is looked up, which never ends",
    promise="the process ends within its drain bound",
)
def test_a_name_server_that_is_silent_does_not_hold_up_the_end(trouble, until):
    trouble.launcher = None  # only a new interpreter is customised
    (trouble.directory / "sitecustomize.py").write_text(SILENT_NAME_SERVER)
    trouble.start("[{plugin: trouble}]", drainSeconds=0.5, apiServer="http://api.example.com:1")
    until((trouble.directory / "asked").exists, "the name to be looked up")
    assert trouble.end(signal.SIGTERM) == 0


def test_a_journal_that_cannot_be_opened_costs_its_own_driver(trouble, kubelet, until):
    (trouble.plugins / "trouble.example.com" / "drakit.journal").mkdir(parents=True)
    (trouble.plugins / "left.example.com" / "drakit.journal").mkdir(parents=True)
    agent = trouble.start(BESIDE)
    kubelet.wait_for("a.example.com")
    until(lambda: "driver trouble.example.com is not served" in trouble.log.read_text(), "the failure to be logged")
    assert "claims of driver left.example.com, if there are any" in trouble.log.read_text()
    assert agent.poll() is None
    (trouble.plugins / "trouble.example.com" / "drakit.journal").rmdir()
    until(lambda: kubelet.registered("trouble.example.com"), "the driver to be served after all")


@pytest.mark.reliability(
    fault="A plugin cannot be imported any more while pods have its devices",
    injected="Its module raises at import in the agent that follows the one that prepared the claim",
    promise="Its pods end as ever; new claims are refused with what the import failed of",
)
def test_a_driver_whose_plugin_cannot_be_imported_says_why_it_refuses(trouble, kubelet, new_claim):
    claim = new_claim("held", {"trouble.example.com": ("x", ["one"])})
    trouble.start("[{plugin: trouble}]")
    kubelet.wait_for("trouble.example.com")
    assert not kubelet.prepare([claim], "trouble.example.com")[claim.uid].error
    assert trouble.end() == 0
    kubelet.wait_until_gone("trouble.example.com")
    (trouble.directory / "trouble.py").write_text("raise ImportError('no such library')")
    trouble.start(BESIDE)
    kubelet.wait_for("trouble.example.com")
    new = new_claim("new", {"trouble.example.com": ("x", ["two"])})
    assert "no such library" in kubelet.prepare([new], "trouble.example.com")[new.uid].error
    assert kubelet.unprepare([claim], "trouble.example.com") == {claim.uid: ""}


def test_labels_that_come_late_are_seen_when_the_kubelet_registers_again(trouble, kubelet, api):
    trouble.start("[{plugin: trouble}]")
    kubelet.wait_for("trouble.example.com")
    api.wait_for(lambda server: label_of(server) == "none")
    node = api.get("Node", "node-1")
    api.replace({**node, "metadata": {**node["metadata"], "labels": {"late": "here"}}})
    kubelet.restart()
    api.wait_for(lambda server: label_of(server) == "here")


def label_of(api) -> str | None:
    """The `label` attribute of the device `one`, as it is published."""
    for document in api.list("ResourceSlice"):
        for device in document["spec"].get("devices", ()):
            if device["name"] == "one":
                return device["attributes"]["label"]["string"]
    return None


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
