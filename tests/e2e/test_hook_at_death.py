"""A plugin that brings the whole process down costs its own driver, in the end; the others come up and stay."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from drakit.deaths import WINDOW_SECONDS, since_boot

DRIVER = "crash.example.com"
BESIDE = "a.example.com"
PLUGIN = """
import ctypes, os, resource, signal
from pathlib import Path
from drakit import ContainerEdits, Device, Pool, PreparedDevice, hookimpl

HERE = Path(__file__).parent
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

def die(where):
    how = (HERE / "die").read_text().split() if (HERE / "die").exists() else []
    if where in how:
        if "abort" in how:
            os.abort()
        if "kill" in how:
            os.kill(os.getpid(), signal.SIGKILL)
        ctypes.string_at(0)

die("import")

class Plugin:
    DRIVER

    def __init__(self, context):
        die("constructor")

    @hookimpl
    def devicegroups(self, inventory):
        die("devicegroups")
        return []
"""
BACKEND_HOOKS = """
    @hookimpl
    def discover(self):
        die("discover")
        return [Pool([Device(name="one"), Device(name="two")])]

    @hookimpl
    def prepare(self, claim):
        if claim.claim.name == "fatal":
            die("prepare")
        return [PreparedDevice.of(device, ContainerEdits(env={"A": "1"})) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        pass
"""
MOCK = "{plugin: mock, driver: a.example.com, options: {inline: {devices: [{name: dev-0}]}}}"
BACKENDS = f"[{{plugin: crash}}, {MOCK}]"


@pytest.fixture
def crashing(node):
    """A node with a backend that dies where the file `die` says, by a segfault if it says nothing else."""
    node.install("crash", PLUGIN.replace("DRIVER", f'driver_name = "{DRIVER}"') + BACKEND_HOOKS)
    node.root.mkdir()
    return node


def dies(node, how: str, backends: str = BACKENDS, **settings) -> int:
    """Start an agent that dies by itself; returns its exit code."""
    (node.directory / "die").write_text(how)
    agent = node.start(backends, **settings)
    code = agent.wait(30)
    node.agent = None
    return code


@pytest.mark.reliability(
    fault="A plugin's native code crashes the whole agent",
    injected="A plugin that segfaults, aborts or is killed in a hook, its import or its constructor",
    promise="After three deaths in an hour it is held out: the other drivers come up, and its pods can end",
)
@pytest.mark.parametrize(
    ("deaths", "where"),
    [
        ([("", -signal.SIGSEGV), ("abort", -signal.SIGABRT), ("kill", -signal.SIGKILL)], "discover"),
        ([("", -signal.SIGSEGV)] * 3, "constructor"),
        ([("abort", -signal.SIGABRT)] * 3, "import"),
    ],
    ids=["discover", "constructor", "import"],
)
def test_a_backend_that_kills_every_start_is_held_out_and_the_others_come_up(
    crashing, kubelet, new_claim, deaths, where
):
    backends = f"[{{plugin: crash, driver: {DRIVER}}}, {MOCK}]"
    for how, code in deaths:
        assert dies(crashing, f"{where} {how}", backends) == code
    agent = crashing.start(backends)
    claim = new_claim("both", {DRIVER: ("x", ["one"]), BESIDE: ("y", ["dev-0"])})
    for driver in (DRIVER, BESIDE):
        kubelet.wait_for(driver)
    assert not kubelet.prepare([claim], BESIDE)[claim.uid].error
    error = kubelet.prepare([claim], DRIVER)[claim.uid].error
    assert "plugin 'crash': is held out: the agent died 3 times within an hour" in error
    assert f"in {where}; the agent ends at " in error
    assert f"{crashing.plugins}/.drakit/deaths-" in error
    assert kubelet.unprepare([claim], DRIVER) == {claim.uid: ""}
    assert agent.poll() is None
    charged = "crash" if where == "import" else DRIVER
    assert crashing.log.read_text().count(f"an agent died on this node while {charged} was in {where}") == 3


@pytest.mark.parametrize("side_effects", [False, True])
def test_a_claim_that_kills_the_agent_does_not_do_so_for_ever_and_other_claims_can_end(
    crashing, kubelet, new_claim, side_effects
):
    module = crashing.directory / "crash.py"
    line = f'driver_name = "{DRIVER}"'
    assert line in module.read_text()
    module.write_text(module.read_text().replace(line, f"{line}; side_effects = {side_effects}"))
    kept = new_claim("kept", {DRIVER: ("x", ["one"])})
    fatal = new_claim("fatal", {DRIVER: ("x", ["two"])})
    (crashing.directory / "die").write_text("prepare")
    for death in range(4):
        seen = len(kubelet.history)
        agent = crashing.start(BACKENDS)
        kubelet.wait_until(lambda seen=seen: len({r.driver for r in kubelet.history[seen:]}) == 2, "both drivers")
        if death == 0:
            assert not kubelet.prepare([kept], DRIVER)[kept.uid].error
        if death == 3:
            break
        with pytest.raises(Exception, match="NodePrepareResources"):
            kubelet.prepare([fatal], DRIVER)
        assert agent.wait(30) == -signal.SIGSEGV
        crashing.agent = None
    assert "is held out" in kubelet.prepare([fatal], DRIVER)[fatal.uid].error
    assert len(crashing.files()) == 1
    assert kubelet.unprepare([kept, fatal], DRIVER) == {kept.uid: "", fatal.uid: ""}
    assert crashing.files() == {}
    assert agent.poll() is None


def test_what_was_prepared_survives_being_held_out_and_the_plugin_comes_back_when_it_is_lifted(
    crashing, kubelet, new_claim
):
    kept = new_claim("kept", {DRIVER: ("x", ["one"])})
    crashing.start(BACKENDS)
    kubelet.wait_for(DRIVER)
    answer = kubelet.prepare([kept], DRIVER)
    crashing.end()
    for _ in range(3):
        dies(crashing, "discover")
    (crashing.directory / "die").unlink()
    (crashing.plugins / ".drakit" / f"deaths-{DRIVER}.json").unlink()
    seen = len(kubelet.history)
    crashing.start(BACKENDS)
    kubelet.wait_until(lambda: DRIVER in {r.driver for r in kubelet.history[seen:]}, "the driver")
    assert kubelet.prepare([kept], DRIVER) == answer
    other = new_claim("other", {DRIVER: ("x", ["two"])})
    assert not kubelet.prepare([other], DRIVER)[other.uid].error


def test_an_extension_that_kills_the_agent_is_held_out_and_no_backend_is_blamed(node, kubelet, new_claim):
    node.install("crash", PLUGIN.replace("DRIVER", ""))
    node.root.mkdir()
    extensions = [{"plugin": "crash"}]
    for _ in range(3):
        assert dies(node, "devicegroups", f"[{MOCK}]", extensions=extensions) == -signal.SIGSEGV
    seen = len(kubelet.history)  # what died was registered, too, and its sockets are still there
    node.start(f"[{MOCK}]", extensions=extensions)
    claim = new_claim("one", {BESIDE: ("y", ["dev-0"])})
    kubelet.wait_until(lambda: BESIDE in {one.driver for one in kubelet.history[seen:]}, "the driver")
    assert not kubelet.prepare([claim], BESIDE)[claim.uid].error
    log = node.log.read_text()
    assert "crash is not served: plugin 'crash': is held out: the agent died 3 times within an hour" in log
    assert [path.name for path in (node.plugins / ".drakit").glob("deaths-*")] == ["deaths-crash.json"]
    assert "was in devicegroups; Current thread" in log


def test_ends_on_purpose_are_no_deaths_however_often(crashing, kubelet):
    for _ in range(4):
        seen = len(kubelet.history)
        crashing.start(BACKENDS)
        kubelet.wait_until(lambda seen=seen: DRIVER in {r.driver for r in kubelet.history[seen:]}, "the driver")
        assert crashing.end() == 0
    assert [path.name for path in (crashing.plugins / ".drakit").iterdir()] == ["lock"]


@pytest.mark.reliability(
    fault="An innocent plugin is held out, for its hook ran whenever the agent was killed from outside",
    injected="A record of three deaths whose hour is almost over when the agent starts",
    promise="No longer than the hour: the agent then ends by itself, and the next one serves the plugin",
)
def test_an_agent_ends_when_a_plugin_is_held_out_no_longer(crashing, kubelet):
    for _ in range(3):
        dies(crashing, "discover")
    (crashing.directory / "die").unlink()
    crashing.start(BACKENDS)  # which finds the last of them dead
    kubelet.wait_for(BESIDE)
    crashing.end()
    path = crashing.plugins / ".drakit" / f"deaths-{DRIVER}.json"
    history = json.loads(path.read_text())
    over_soon = since_boot() - WINDOW_SECONDS + 5
    path.write_text(json.dumps(history | {"deaths": [{**each, "at": over_soon} for each in history["deaths"]]}))
    assert crashing.start(BACKENDS).wait(30) == 0
    crashing.agent = None
    assert "a plugin is held out no longer" in crashing.log.read_text()
    seen = len(kubelet.history)
    agent = crashing.start(BACKENDS)
    kubelet.wait_until(lambda: DRIVER in {r.driver for r in kubelet.history[seen:]}, "the driver")
    assert agent.poll() is None


@pytest.mark.reliability(
    fault="A plugin hangs while the agent is to stop, so that it is killed, and this three times in an hour",
    injected="SIGTERM with a hook that does not return, and SIGKILL before the drain is over",
    promise="That is held against nobody: the next agent serves the plugin",
)
def test_being_killed_while_it_stops_is_no_death(crashing, kubelet, new_claim, until):
    module = crashing.directory / "crash.py"
    line = 'if claim.claim.name == "fatal"'
    hang = 'if claim.claim.name == "hanging":\n            (HERE / "hangs").touch(); signal.pause()\n        '
    assert line in module.read_text()
    module.write_text(module.read_text().replace(line, hang + line))
    claim = new_claim("hanging", {DRIVER: ("x", ["one"])})
    crashing.start(BACKENDS, drainSeconds=30)
    kubelet.wait_for(DRIVER)
    with ThreadPoolExecutor(1) as pod:
        pod.submit(kubelet.prepare, [claim], DRIVER)
        until((crashing.directory / "hangs").exists, "the hook to be called")
        assert crashing.agent is not None
        crashing.agent.terminate()
        until(lambda: "stopping;" in crashing.log.read_text(), "the drain to begin")
        until(lambda: not list((crashing.plugins / ".drakit").glob("running-*")), "the record to be ended")
        crashing.end(signal.SIGKILL)
    crashing.start(BACKENDS)
    assert not list((crashing.plugins / ".drakit").glob("deaths-*"))
