"""A hook that hangs costs its own driver, for as long as it hangs, and nobody else anything."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from drakit import DeviceRef, HealthStatus
from drakit.testing import CallFailed, FakeKubelet

UNRULY = """
import time
from pathlib import Path
from drakit import ContainerEdits, Device, Health, HealthStatus, Pool, PreparedDevice, DeviceRef, hookimpl

HERE = Path(__file__).parent

class Plugin:
    driver_name = "hung.example.com"

    def __init__(self, context):
        self.context = context
        self.asked = 0

    def _enter(self, hook):
        self._note(f"{hook} begins")
        while (HERE / f"hang {self.context.driver} {hook}").exists():
            time.sleep(0.002)
        self._note(f"{hook} ends")

    def _note(self, what):
        with (HERE / f"{self.context.driver} notes").open("a") as notes:
            notes.write(what + "\\n")

    @hookimpl
    def discover(self):
        self._enter("discover")
        plugged = (HERE / f"plugged into {self.context.driver}").exists()
        return [Pool([Device(name=name) for name in ("one", "two", "three")[:2 + plugged]])]

    @hookimpl
    def prepare(self, claim):
        self._enter("prepare")
        return [PreparedDevice.of(device, ContainerEdits(env={"A": "1"})) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        self._enter("unprepare")

    @hookimpl
    def health(self):
        self._enter("health")
        self.asked += 1  # always news, so that each report is sent at once
        ref = DeviceRef(self.context.driver, self.context.pool, "one")
        return [Health(ref, HealthStatus.HEALTHY, f"asked {self.asked} times")]
"""
HUNG, CALM = "hung.example.com", "calm.example.com"
BOUND_SECONDS = 3.0
"""How long a hook may take: enough for one that does not hang, on a machine that is busy with other things."""
LONG_BOUND_SECONDS = 44.0
"""Longer than a test waits for anything."""
DRAIN_SECONDS = 0.5
USUAL_SECONDS = 10.0
"""Far longer than a driver takes to answer, and far shorter than that."""


class Pair:
    """One agent with two drivers of one plugin, of which one is made to hang."""

    def __init__(self, node: Any) -> None:
        self.node = node
        node.root.mkdir()
        (node.directory / "unruly.py").write_text(UNRULY)
        info = node.directory / "unruly-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: unruly\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[drakit.plugins]\nunruly = unruly:Plugin\n")
        self.past = 0.0
        self.kubelet = FakeKubelet(node.registry, retry_seconds=0.05, clock=lambda: time.monotonic() + self.past)

    def start(self, **settings: Any) -> None:
        settings = {"hookBoundSeconds": BOUND_SECONDS, "drainSeconds": DRAIN_SECONDS, "healthSeconds": 0.05} | settings
        self.node.start(f"[{{plugin: unruly}}, {{plugin: unruly, driver: {CALM}}}]", **settings)
        self.kubelet.start()
        for driver in (HUNG, CALM):
            self.kubelet.wait_for(driver, 30)

    def hang(self, hook: str) -> None:
        (self.node.directory / f"hang {HUNG} {hook}").touch()

    def let_go(self, hook: str) -> None:
        (self.node.directory / f"hang {HUNG} {hook}").unlink()

    def notes(self, hook: str) -> list[str]:
        """When a hook of the hung driver began and ended, in order."""
        path = self.node.directory / f"{HUNG} notes"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.removeprefix(f"{hook} ") for line in lines if line.startswith(f"{hook} ")]

    def error(self, claim: Any, driver: str = HUNG) -> str:
        return self.kubelet.prepare([claim], driver)[claim.uid].error


@pytest.fixture
def pair(node) -> Iterator[Pair]:
    pair = Pair(node)
    yield pair
    pair.kubelet.close()


@pytest.fixture
def claims(new_claim) -> dict[str, Any]:
    return {
        name: new_claim(name, {driver: ("x", [device])})
        for name, driver, device in [("hangs", HUNG, "one"), ("waits", HUNG, "two"), ("fine", CALM, "one")]
    }


@pytest.mark.reliability(
    fault="A hook of one driver hangs in prepare",
    injected="A plugin of a real agent that does not return until it is told to",
    promise="Its calls are answered at once with what has run for how long; the other driver answers as usual",
)
def test_a_driver_that_hangs_in_prepare_says_so_at_once_and_the_other_answers(pair, claims):
    pair.start()
    pair.hang("prepare")
    assert "prepare of default/hangs has been running for" in pair.error(claims["hangs"])
    begun = pair.notes("prepare")
    for _ in range(5):
        assert "prepare of default/hangs has been running for" in pair.error(claims["waits"])
        refused = pair.kubelet.unprepare([claims["waits"]], HUNG)[claims["waits"].uid]
        assert "prepare of default/hangs has been running for" in refused
        assert not pair.error(claims["fine"], CALM)
        assert pair.kubelet.unprepare([claims["fine"]], CALM) == {claims["fine"].uid: ""}
    assert pair.notes("prepare") == begun == ["begins"]
    pair.let_go("prepare")


@pytest.mark.parametrize("hook", ["prepare", "unprepare"])
def test_the_other_driver_answers_before_the_hung_one_is_declared_stuck(pair, claims, until, hook):
    pair.start(hookBoundSeconds=LONG_BOUND_SECONDS)
    assert not pair.error(claims["hangs"])
    pair.hang(hook)
    calls = {"prepare": pair.kubelet.prepare, "unprepare": pair.kubelet.unprepare}
    with ThreadPoolExecutor(1) as threads:
        hanging = claims["waits"] if hook == "prepare" else claims["hangs"]
        hung = threads.submit(calls[hook], [hanging], HUNG, timeout=LONG_BOUND_SECONDS)
        until(lambda: pair.notes(hook)[-1:] == ["begins"], "the hook to hang")
        for _ in range(3):
            answer = pair.kubelet.prepare([claims["fine"]], CALM, timeout=USUAL_SECONDS)[claims["fine"].uid]
            assert not answer.error
            done = pair.kubelet.unprepare([claims["fine"]], CALM, timeout=USUAL_SECONDS)
            assert done == {claims["fine"].uid: ""}
        assert not hung.done()
        pair.let_go(hook)
        assert hung.result()
    assert pair.notes(hook)[-2:] == ["begins", "ends"]


@pytest.mark.reliability(
    fault="The kubelet gives up on a Prepare that takes too long, and tries it again",
    injected="A client deadline shorter than the hook, and repeats while the first one still runs",
    promise="The repeat never overlaps its twin, and gets the answer of the one preparation there was",
)
def test_a_retry_never_overlaps_its_twin(pair, claims, until):
    pair.start(hookBoundSeconds=30)
    pair.hang("prepare")

    def give_up() -> list[str]:
        with pytest.raises(CallFailed, match="DEADLINE"):
            pair.kubelet.prepare([claims["hangs"]], HUNG, timeout=0.2)
        return pair.notes("prepare")

    until(give_up, "the hook to begin")
    assert give_up() == give_up() == ["begins"]
    with ThreadPoolExecutor(4) as threads:
        answers = [threads.submit(pair.kubelet.prepare, [claims["hangs"]], HUNG) for _ in range(4)]
        pair.let_go("prepare")
        prepared = [answer.result()[claims["hangs"].uid] for answer in answers]
    assert [len(answer.devices) for answer in prepared] == [1] * 4
    assert prepared == prepared[:1] * 4
    assert pair.notes("prepare") == ["begins", "ends"]


def test_a_driver_that_was_stuck_does_the_work_that_waited_one_after_another(pair, claims, until):
    pair.start()
    pair.hang("prepare")
    for name in ("hangs", "waits", "hangs", "waits"):
        assert "has been running for" in pair.error(claims[name])
    pair.let_go("prepare")
    until(lambda: not pair.error(claims["waits"]), "the driver to take work again")
    assert not pair.error(claims["hangs"])
    assert pair.notes("prepare") == ["begins", "ends"] * 2


@pytest.mark.reliability(
    fault="A driver whose hook hangs still reports its devices as healthy",
    injected="A hung prepare, and a kubelet whose clock passes the health time-out",
    promise="Its health stream falls silent and ages to unknown; the health of the other driver goes on",
)
@pytest.mark.parametrize("hook", ["prepare", "health"])
def test_the_health_of_a_hung_driver_alone_ages(pair, claims, until, hook):
    pair.start()
    devices = {driver: DeviceRef(driver, "node-1", "one") for driver in (HUNG, CALM)}
    for device in devices.values():
        until(lambda device=device: pair.kubelet.health(device).status is HealthStatus.HEALTHY, "health")
    pair.hang(hook)
    if hook == "prepare":
        assert "has been running for" in pair.error(claims["hangs"])
    _wait_for_silence(pair, until)
    silent = pair.kubelet.health_messages(HUNG)
    pair.past += 31
    assert pair.kubelet.health(devices[HUNG]).status is HealthStatus.UNKNOWN
    until(lambda: pair.kubelet.health(devices[CALM]).status is HealthStatus.HEALTHY, "the other driver's health")
    assert pair.kubelet.health_messages(HUNG) == silent
    pair.let_go(hook)
    until(lambda: pair.kubelet.health(devices[HUNG]).status is HealthStatus.HEALTHY, "health to be reported again")


def _wait_for_silence(pair: Pair, until: Callable[..., None]) -> None:
    """Wait until the hung driver sends nothing while the other one sends ten reports."""

    def is_silent() -> bool:
        hung, calm = (pair.kubelet.health_messages(driver) for driver in (HUNG, CALM))
        until(lambda: pair.kubelet.health_messages(CALM) >= calm + 10, "the other driver's health")
        return pair.kubelet.health_messages(HUNG) == hung

    until(is_silent, "the hung driver to fall silent")


@pytest.mark.reliability(
    fault="A hook of one driver hangs in discover",
    injected="A plugin of a real agent whose discovery does not return, while the other's hardware changes",
    promise="Claims of both drivers are prepared; new hardware of the other is published",
)
def test_a_driver_that_hangs_in_discover_keeps_nothing_but_its_own_news(pair, claims, api, until):
    pair.start(discoverySeconds=0.1)
    api.wait_for(lambda server: len(server.list("ResourceSlice")) == 2)
    pair.hang("discover")
    until(lambda: pair.notes("discover")[-1] == "begins", "the discovery to hang")
    begun = len(pair.notes("discover"))
    (pair.node.directory / f"plugged into {CALM}").touch()
    api.wait_for(lambda server: _devices(server, CALM) == 3, 30)
    assert _devices(api, HUNG) == 2
    assert not pair.error(claims["hangs"])
    assert not pair.error(claims["fine"], CALM)
    assert len(pair.notes("discover")) == begun
    pair.let_go("discover")
    until(lambda: len(pair.notes("discover")) > begun + 1, "it to be asked again")


def _devices(api: Any, driver: str) -> int:
    slices = [document["spec"] for document in api.list("ResourceSlice") if document["spec"]["driver"] == driver]
    return sum(len(spec.get("devices", ())) for spec in slices)


@pytest.mark.reliability(
    fault="The agent is told to stop while a hook hangs",
    injected="SIGTERM with a hung hook, with a client that waits and with one that has given up",
    promise="The process ends within its drain bound; its sockets are gone",
)
@pytest.mark.parametrize("hook", ["prepare", "discover", "health"])
@pytest.mark.parametrize("client", ["waits", "gave up"])
def test_sigterm_ends_the_process_though_a_hook_hangs(pair, claims, until, hook, client):
    pair.start(hookBoundSeconds=LONG_BOUND_SECONDS, discoverySeconds=0.1)
    pair.hang(hook)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pair.kubelet.prepare, [claims["hangs"]], HUNG, timeout=LONG_BOUND_SECONDS)
        until(lambda: pair.notes(hook)[-1:] == ["begins"], "the hook to hang")
        if client == "gave up" and hook == "prepare":
            with pytest.raises(CallFailed, match="DEADLINE"):
                pair.kubelet.prepare([claims["hangs"]], HUNG, timeout=0.2)
        told = time.monotonic()
        assert pair.node.end(signal.SIGTERM) == 0
        assert time.monotonic() - told < DRAIN_SECONDS + USUAL_SECONDS
        if hook == "prepare":
            assert waiting.exception() is not None
    assert list(pair.node.registry.glob("*.sock")) == []
