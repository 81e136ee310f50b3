from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from attrs import evolve
from drakit.errors import DeviceBusy
from drakit.kubelet.proto import dra_v1_pb2, dra_v1beta1_pb2
from drakit.testing import PROFILES, CallFailed

V1BETA1 = evolve(PROFILES["1.37"], dra_services=("v1beta1.DRAPlugin",))
SHARE = "5f0f3c1e-8a7e-4d55-9f51-1b8a39d9d9c1"


@pytest.fixture(params=[PROFILES["1.37"], V1BETA1], ids=["v1", "v1beta1"])
def kubelet(node: Any, request: pytest.FixtureRequest) -> Any:
    return node.kubelet(profile=request.param)


def test_a_claim_is_prepared_and_unprepared(node: Any, kubelet: Any) -> None:
    claims = node.claims()
    node.serve(claims)
    kubelet.wait_for(node.driver)
    answer = kubelet.prepare([node.claim("one")], node.driver)["one"]
    assert answer.devices == (node.handle("one"),)
    assert claims.prepared == [node.claim("one")]
    assert kubelet.cdi_ids("one") == ("example.com/gpu=one-gpu-0",)
    assert kubelet.unprepare([node.claim("one")], node.driver) == {"one": ""}
    assert claims.unprepared == [node.claim("one")]
    assert kubelet.cdi_ids("one") == ()


def test_no_claims_at_all_succeed(node: Any, kubelet: Any) -> None:
    node.serve()
    kubelet.wait_for(node.driver)
    assert kubelet.prepare([], node.driver) == {}
    assert kubelet.unprepare([], node.driver) == {}


def test_a_claim_without_devices_of_this_driver_is_answered(node: Any, kubelet: Any) -> None:
    claims = node.claims()
    claims.answers["none"] = []
    node.serve(claims)
    kubelet.wait_for(node.driver)
    answer = kubelet.prepare([node.claim("none")], node.driver)["none"]
    assert (answer.devices, answer.error) == ((), "")


def test_a_claims_error_is_its_own(node: Any, kubelet: Any) -> None:
    claims = node.claims()
    claims.errors["bad"] = DeviceBusy("device gpu-0 is held by claim default/other; delete the pod that uses it")
    node.serve(claims)
    kubelet.wait_for(node.driver)
    both = [node.claim("bad"), node.claim("good")]
    answers = kubelet.prepare(both, node.driver)
    assert answers["bad"].error == "device gpu-0 is held by claim default/other; delete the pod that uses it"
    assert answers["good"].devices == (node.handle("good"),)
    errors = kubelet.unprepare(both, node.driver)
    assert "held by claim" in errors["bad"]
    assert errors["good"] == ""


@pytest.mark.parametrize("error", [KeyError("boom"), asyncio.CancelledError()], ids=["a bug", "a cancelled future"])
def test_an_unexpected_exception_is_logged_and_told_in_short(node: Any, caplog: Any, error: BaseException) -> None:
    claims = node.claims()
    claims.errors["bad"] = error
    node.serve(claims)
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    for bad in ([node.claim("bad")], [node.claim("bad"), node.claim("good")]):
        text = kubelet.prepare(bad, node.driver)["bad"].error
        assert type(error).__name__ in text
        assert "see the log" in text
        assert "Traceback" not in text
        assert type(error).__name__ in kubelet.unprepare(bad, node.driver)["bad"]
    assert "Traceback" in caplog.text


def test_an_endless_or_unprintable_error_does_not_cost_the_other_claims(node: Any) -> None:
    claims = node.claims()
    claims.errors = {"endless": ValueError("x" * 5_000_000), "unprintable": ValueError("file \udcff")}
    log = logging.getLogger("unprintable")
    log.disabled = True  # what captures logs need not be able to carry this
    node.serve(claims, log=log)
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    answers = kubelet.prepare([node.claim(uid) for uid in ("endless", "unprintable", "good")], node.driver)
    assert len(answers["endless"].error) < 1200
    assert "file ?" in answers["unprintable"].error
    assert answers["good"].devices


def test_an_answer_that_the_wire_cannot_carry_is_that_claims_error(node: Any) -> None:
    claims = node.claims()
    claims.answers["bad"] = [node.handle("bad"), evolve(node.handle("bad"), cdi_ids=("\udcff",))]
    node.serve(claims)
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    answers = kubelet.prepare([node.claim("bad"), node.claim("good")], node.driver)
    assert answers["bad"].error
    assert answers["good"].devices


def test_a_share_id_is_told_in_v1_and_left_out_in_v1beta1(node: Any) -> None:
    claims = node.claims()
    claims.answers["one"] = [node.handle("one", share_id=SHARE)]
    server = node.serve(claims)
    for messages, present in ((dra_v1_pb2, True), (dra_v1beta1_pb2, False)):
        raw = _call(server.endpoint, messages, "NodePrepareResources", ["one"])
        assert (SHARE.encode() in raw) is present
        device = messages.NodePrepareResourcesResponse.FromString(raw).claims["one"].devices[0]
        assert list(device.request_names) == ["gpus"]
        assert (device.pool_name, device.device_name) == ("node-1", "gpu-0")


def test_a_uid_named_twice_is_prepared_and_answered_once(node: Any) -> None:
    claims = node.claims()
    server = node.serve(claims)
    raw = _call(server.endpoint, dra_v1_pb2, "NodePrepareResources", ["one", "one"])
    assert len(dra_v1_pb2.NodePrepareResourcesResponse.FromString(raw).claims) == 1
    assert len(claims.prepared) == 1


class Gathering:
    """Prepares nothing until `expected` claims are in flight at once."""

    def __init__(self, expected: int) -> None:
        self._waiting = expected
        self._all_here = asyncio.Event()

    async def prepare(self, claim: Any, _together: frozenset[str] = frozenset()) -> list[Any]:
        self._waiting -= 1
        if not self._waiting:
            self._all_here.set()
        await self._all_here.wait()
        return []

    async def unprepare(self, claim: Any) -> None:
        await self.prepare(claim)


@pytest.mark.parametrize("method", ["prepare", "unprepare"])
def test_the_claims_of_one_call_are_worked_on_at_once(node: Any, method: str) -> None:
    node.serve(Gathering(20))
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    assert len(getattr(kubelet, method)([node.claim(str(i)) for i in range(20)], node.driver)) == 20


def test_each_claim_is_told_of_the_others_of_its_call(node: Any) -> None:
    claims = node.claims()
    node.serve(claims)
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    one, two, alone = (node.claim(name) for name in ("one", "two", "alone"))
    kubelet.prepare([one, two], node.driver)
    kubelet.prepare([alone], node.driver)
    assert claims.together == {
        one.uid: {one.uid, two.uid},
        two.uid: {one.uid, two.uid},
        alone.uid: {alone.uid},
    }


class Slow:
    """Shields its work, as the contract asks, and lets the test decide when it is done."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.abandoned = threading.Event()
        self.done = threading.Event()
        self.release = asyncio.Event()
        self.times = 0
        self._work: dict[str, asyncio.Task[list[Any]]] = {}

    async def prepare(self, claim: Any, _together: frozenset[str]) -> list[Any]:
        work = self._work.get(claim.uid) or asyncio.create_task(self._prepare())
        self._work[claim.uid] = work
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            self.abandoned.set()
            raise

    async def _prepare(self) -> list[Any]:
        self.times += 1
        self.begun.set()
        await self.release.wait()
        self.done.set()
        return []

    async def unprepare(self, claim: Any) -> None:
        """Nothing to undo."""


@pytest.fixture
def slow(node: Any) -> Iterator[Slow]:
    slow = Slow()
    yield slow
    node.loop.call(slow.release.set)


@pytest.mark.parametrize("count", [1, 3])
def test_a_call_that_times_out_abandons_the_answer_and_not_the_work(node: Any, slow: Slow, count: int) -> None:
    node.serve(slow)
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    claims = [node.claim(str(i)) for i in range(count)]
    with pytest.raises(CallFailed) as failed:
        kubelet.prepare(claims, node.driver, timeout=0.3)
    assert failed.value.code == "DEADLINE_EXCEEDED"
    assert slow.abandoned.wait(10)
    assert not slow.done.is_set()
    node.loop.call(slow.release.set)
    assert slow.done.wait(10)
    assert set(kubelet.prepare(claims, node.driver)) == {claim.uid for claim in claims}
    assert slow.times == count


def test_a_server_that_stops_lets_calls_end_within_the_grace(node: Any, slow: Slow) -> None:
    server = node.serve(slow)
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    answers: list[Any] = []
    with _channel(server.endpoint) as channel:
        future = _method(channel, dra_v1_pb2, "NodePrepareResources").future(_request(dra_v1_pb2, ["one"]))
        future.add_done_callback(lambda done: answers.append(done.result()))
        assert slow.begun.wait(10)
        stopping = asyncio.run_coroutine_threadsafe(server.stop(30), node.loop._loop)
        kubelet.wait_until_gone(node.driver)
        assert not stopping.done()
        node.loop.call(slow.release.set)
        assert b"one" in future.result(10)
        stopping.result(10)


@pytest.mark.reliability(
    fault="A stop while a Prepare hangs",
    injected="a call that never returns, and a short grace",
    promise="the stop takes no longer than the grace; the work is not lost",
)
def test_a_server_that_stops_is_not_held_up_by_a_call_past_the_grace(node: Any, slow: Slow) -> None:
    server = node.serve(slow)
    with _channel(server.endpoint) as channel:
        future = _method(channel, dra_v1_pb2, "NodePrepareResources").future(_request(dra_v1_pb2, ["one"]))
        assert slow.begun.wait(10)
        node.loop.run(server.stop(0.05))
        assert future.exception(10) is not None
    assert slow.abandoned.is_set()


def test_a_path_as_authority_is_accepted_as_go_sends_it(node: Any) -> None:
    server = node.serve()
    assert _call(server.endpoint, dra_v1_pb2, "NodePrepareResources", [], authority=str(server.endpoint)) == b""


def _request(messages: Any, uids: list[str]) -> bytes:
    claims = [messages.Claim(uid=uid, namespace="default", name=uid) for uid in uids]
    raw: bytes = messages.NodePrepareResourcesRequest(claims=claims).SerializeToString()
    return raw


def _channel(endpoint: Any, authority: str = "localhost") -> Any:
    return grpc.insecure_channel(f"unix:{endpoint}", options=[("grpc.default_authority", authority)])


def _method(channel: Any, messages: Any, method: str) -> Any:
    return channel.unary_unary(f"/{messages.DESCRIPTOR.package}.DRAPlugin/{method}")


def _call(endpoint: Any, messages: Any, method: str, uids: list[str], authority: str = "localhost") -> bytes:
    with _channel(endpoint, authority) as channel:
        raw: bytes = _method(channel, messages, method)(_request(messages, uids), timeout=10)
        return raw
