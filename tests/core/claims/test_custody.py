"""The caretaker of the journal, over a real API server in memory and a real PodResources socket."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from drakit import ClaimRef, DeviceRef
from drakit.custody import LONG_SECONDS, Custody
from drakit.documents import claim_ref
from drakit.errors import HookFailed
from drakit.jobs import Restore
from drakit.kube.claims import ClaimReader
from drakit.kube.client import KubeClient
from drakit.kube.credentials import Credentials
from drakit.kubelet.podresources import PodResources
from drakit.testing import FakeKubelet, InMemoryApiServer
from drakit.worker import Worker

DRIVER, POOL = "gpu.example.com", "node-1"
BOUND_SECONDS = 20.0


class Node:
    """A bench with what the caretaker asks. `registered` is for how long the kubelet has been."""

    def __init__(self, bench: Any, api: InMemoryApiServer, kubelet: FakeKubelet, socket: Path) -> None:
        self.bench, self.api, self.kubelet, self.socket = bench, api, kubelet, socket
        self.registered = 0.0
        self.rounds = 0

    def claim(self, name: str, *devices: str) -> ClaimRef:
        """An allocated claim."""
        results = [{"request": "gpu", "driver": DRIVER, "pool": POOL, "device": device} for device in devices]
        document = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "any"}}]}},
            "status": {"allocation": {"devices": {"results": results}}} if results else {},
        }
        return claim_ref(self.api.create(document))

    def in_pod(self, claim: ClaimRef, driver: str = DRIVER) -> None:
        self.kubelet.pods.add(claim, [DeviceRef(driver, POOL, "gpu-0")])

    def prepare(self, name: str, *devices: str) -> ClaimRef:
        """A claim that is allocated and prepared by us."""
        claim = self.claim(name, *devices)
        (answer,) = self.bench.engine.run([self.bench.wanted(claim, *devices)])
        assert not isinstance(answer, BaseException), answer
        return claim

    def keep(self, until: Callable[[], object]) -> None:
        """Have the caretaker work until something holds."""

        async def work() -> None:
            client = KubeClient(Credentials(server=self.api.url))
            worker: Worker[Any, Any] = Worker("gpu", self.bench.engine.run, bound_seconds=30)
            custody = Custody(
                engine=self.bench.engine,
                worker=worker,
                reader=ClaimReader(client),
                pods=PodResources(self.socket),
                log=logging.getLogger("custody"),
                round_seconds=0.001,
                registered_seconds=self._registered,
            )
            self.rounds = 0
            task = asyncio.create_task(custody.run(worker.ask(Restore())))
            limit = time.monotonic() + BOUND_SECONDS
            try:
                while not until():
                    assert time.monotonic() < limit
                    assert not task.done(), task
                    await asyncio.sleep(0.001)
                self.holders_known = custody.holders_known.is_set()
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
                await client.close()

        asyncio.run(work())

    def _registered(self) -> float:
        self.rounds += 1
        return self.registered

    def keep_for_rounds(self, rounds: int = 5) -> None:
        self.keep(lambda: self.rounds > rounds)


@pytest.fixture
def node(make_bench, short_path):
    with contextlib.ExitStack() as stack:
        (short_path / "registry").mkdir()
        api = stack.enter_context(InMemoryApiServer())
        socket = short_path / "pods.sock"
        kubelet = stack.enter_context(FakeKubelet(short_path / "registry", pod_resources=socket))
        bench = make_bench(short_path / "state", side_effects=True)
        stack.callback(bench.kill)
        yield Node(bench, api, kubelet, socket)


def test_claims_in_pods_that_the_journal_does_not_know_are_adopted(node):
    stranger = node.claim("theirs", "gpu-0", "gpu-1")
    node.in_pod(stranger)
    node.keep_for_rounds()
    assert node.holders_known
    assert node.bench.phases() == {stranger.uid: "adopted"}
    assert node.bench.held() == {"gpu-0": {stranger.uid}, "gpu-1": {stranger.uid}}
    assert node.bench.backend.calls == []


def test_claims_of_ours_cost_no_read_and_those_of_other_drivers_are_theirs(node):
    ours = node.prepare("ours", "gpu-0")
    other = node.claim("other", "gpu-1")
    node.in_pod(ours)
    node.in_pod(other, driver="nic.example.com")
    before = len(node.api.requests)
    node.keep_for_rounds()
    assert node.bench.phases() == {ours.uid: "committed"}
    assert node.api.requests[before:] == []


def test_a_claim_that_is_gone_or_not_allocated_is_said_and_keeps_no_one_waiting(node, caplog):
    gone = node.claim("gone", "gpu-0")
    idle = node.claim("idle")
    good = node.claim("good", "gpu-1")
    for claim in (gone, idle, good):
        node.in_pod(claim)
    node.api.delete("ResourceClaim", "gone", "default")
    node.keep_for_rounds()
    assert node.holders_known
    assert node.bench.phases() == {good.uid: "adopted"}
    assert sorted(r.message.split(",")[0] for r in caplog.records if "a pod has claim" in r.message) == [
        "a pod has claim default/gone",
        "a pod has claim default/idle",
    ]


def test_a_socket_that_is_not_there_holds_nobody_up_and_is_said_once(node, caplog):
    node.kubelet.close()
    node.socket.unlink(missing_ok=True)
    node.keep_for_rounds()
    assert node.holders_known
    assert len([r for r in caplog.records if "does not say which pods have claims" in r.message]) == 1


def test_a_kubelet_that_does_not_answer_yet_is_asked_again(node, caplog):
    stranger = node.claim("theirs", "gpu-0")
    node.in_pod(stranger)
    node.kubelet.pods.fail("starting")
    node.keep_for_rounds()
    assert not node.holders_known
    node.kubelet.pods.fail("")
    node.keep(lambda: node.bench.phases() == {stranger.uid: "adopted"})
    assert len([r for r in caplog.records if "starting (UNAVAILABLE)" in r.message]) == 1


@pytest.mark.reliability(
    fault="The kubelet restarts while drakit takes over from another driver, and knows of no pods at first",
    injected="The kubelet names a pod's claim only after the new agent has asked which pods there are",
    promise="Its devices are held from ten minutes after the kubelet registered the driver",
)
def test_a_kubelet_that_names_no_pods_at_first_is_asked_again_when_it_has_long_been_registered(node):
    stranger = node.claim("theirs", "gpu-0")

    def starts() -> float:
        """The kubelet answered that it has no pods; now it has been there for long, and knows them."""
        node.in_pod(stranger)
        return LONG_SECONDS

    node._registered = starts
    node.keep(lambda: node.bench.phases() == {stranger.uid: "adopted"})


def test_an_api_server_that_is_away_is_asked_again(node):
    stranger = node.claim("theirs", "gpu-0")
    node.in_pod(stranger)
    node.api.fail(3, 503, path_contains="/resourceclaims/")
    node.keep(lambda: node.bench.phases() == {stranger.uid: "adopted"})


def test_what_ended_without_its_backend_is_tried_until_it_is_undone_whether_the_claim_exists_or_not(node, caplog):
    claims = [node.prepare("a", "gpu-0"), node.prepare("b", "gpu-1")]
    node.bench.has_backend = False
    node.bench.restart()
    for claim in claims:
        node.bench.unprepare(claim.uid)
    node.bench.has_backend = True
    node.bench.start()
    node.api.delete("ResourceClaim", "a", "default")
    node.bench.backend.failures["unprepare"] = HookFailed("acme", "unprepare", OSError("busy"))
    node.keep_for_rounds()
    assert set(node.bench.phases()) == {claim.uid for claim in claims}
    assert all(any(f"claim {claim} left" in record.message for record in caplog.records) for claim in claims)
    node.bench.backend.failures.clear()
    node.keep(lambda: not node.bench.phases())
    node.bench.assert_empty()


@pytest.fixture
def abandoned(node):
    """A claim of ours that is gone, in no pod, and not in use, with a kubelet that has long been registered."""
    claim = node.prepare("a", "gpu-0")
    node.api.delete("ResourceClaim", "a", "default")
    node.bench.backend.in_use_answers = {"gpu-0": False}
    node.registered = LONG_SECONDS
    return claim


@pytest.mark.reliability(
    fault="A claim is gone, and the kubelet never unprepares it",
    injected="The claim is deleted, no pod has it, and the clock says the kubelet has long been registered",
    promise="Its devices stay held until the backend sees them unused; not told by Neuron and EFA: until a reboot",
)
def test_a_claim_that_is_gone_in_no_pod_and_not_in_use_is_undone(node, abandoned):
    node.keep(lambda: not node.bench.phases())
    node.bench.assert_empty()
    assert node.bench.backend.calls[-1] == ("unprepare", abandoned.uid)


@pytest.mark.parametrize(
    "evidence", ["the claim exists", "a pod has it", "in use", "not known", "registered lately", "no answer", "no API"]
)
def test_whatever_speaks_for_a_claim_keeps_it(node, abandoned, evidence):
    match evidence:
        case "the claim exists":
            abandoned = node.prepare("b", "gpu-1")
            node.bench.backend.in_use_answers = {"gpu-1": False}
        case "a pod has it":
            node.in_pod(abandoned)
        case "in use":
            node.bench.backend.in_use_answers = {"gpu-0": True}
        case "not known":
            node.bench.backend.in_use_answers = {}
        case "registered lately":
            node.registered = LONG_SECONDS - 1
        case "no answer":
            node.kubelet.pods.fail("starting")
        case "no API":
            node.api.fail(1000, 503, path_contains="/resourceclaims/")
    node.keep_for_rounds(10)
    assert node.bench.phases()[abandoned.uid] == "committed"


def test_the_kubelet_is_asked_at_a_bounded_pace_and_anew_after_it_registered_again(node, abandoned):
    node.in_pod(abandoned)
    node.keep_for_rounds()
    asked = node.kubelet.pods.asked
    node.keep_for_rounds(50)
    assert node.kubelet.pods.asked <= asked + 3  # twice to adopt, once to reclaim
    seconds = iter([LONG_SECONDS, 1.0])

    def restarts() -> float:
        """Asked at ten minutes, when the pod is there; then the kubelet starts again, and the pod has gone."""
        registered = next(seconds, LONG_SECONDS + 2)
        if registered == 1.0:
            node.kubelet.pods.remove(abandoned.uid)
        return registered

    node._registered = restarts
    node.keep(lambda: not node.bench.phases())


def test_nothing_is_asked_where_nothing_is_held(node):
    node.registered = LONG_SECONDS * 5
    node.keep_for_rounds(20)
    assert node.kubelet.pods.asked == 2  # at start, and when the kubelet has long been registered
    assert node.api.requests == []
