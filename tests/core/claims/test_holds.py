"""What `prepare` is told of what is held: enough to divide a device between claims, and nothing when it is over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from drakit import ClaimError, DeviceRef, Hold
from drakit.jobs import Adopt, Prepare, Unprepare

GPU = DeviceRef("gpu.example.com", "node-1", "gpu-0")


def seen(bench: Any, uid: str, **more: Any) -> list[tuple[str, str | None]]:
    """Prepare a claim; the claims and shares that its hook was told to hold gpu-0."""
    told: list[Sequence[Hold]] = []
    bench.asking = lambda held: told.append(held(GPU))
    bench.prepare(uid, "gpu-0", **more)
    (holds,) = told
    return [(hold.claim.uid, hold.prepared.share_id) for hold in holds]


def test_what_other_claims_have_prepared_of_a_device_is_held(bench):
    assert seen(bench, "a", share_id="s-1") == []
    assert seen(bench, "b", share_id="s-2") == [("a", "s-1")]
    assert seen(bench, "c", share_id="s-3") == [("a", "s-1"), ("b", "s-2")]
    bench.unprepare("a")
    assert seen(bench, "d", share_id="s-4") == [("b", "s-2"), ("c", "s-3")]


def test_a_claim_of_the_same_batch_that_came_before_is_held_and_one_to_come_is_not(bench, want):
    told: dict[str, list[str]] = {}

    def ask(held: Callable[[DeviceRef], Sequence[Hold]]) -> None:
        told[bench.backend.calls[-1][1]] = [hold.claim.uid for hold in held(GPU)]

    bench.asking = ask
    bench.engine.run([want(uid, "gpu-0", share_id=f"s-{uid}") for uid in ("c", "b", "a")])
    assert told == {"c": [], "b": ["c"], "a": ["b", "c"]}


def test_a_claim_that_ends_in_the_batch_before_is_not_held(bench, want):
    ended = want("a", "gpu-0", share_id="s-1")
    bench.run(ended)
    told: list[Sequence[Hold]] = []
    bench.asking = lambda held: told.append(held(GPU))
    bench.engine.run([Unprepare(ended.claim), want("b", "gpu-0", share_id="s-2")])
    assert told == [()]


def test_the_state_of_a_preparation_comes_back_as_the_backend_gave_it(bench):
    bench.describes = True
    bench.start()
    bench.prepare("a", "gpu-0", share_id="s-1")
    bench.asking = lambda held: holds.extend(held(GPU))
    holds: list[Hold] = []
    bench.prepare("b", "gpu-0", share_id="s-2")
    (hold,) = holds
    assert str(hold.claim) == "default/claim-a"
    assert hold.prepared.state == {"node": "/dev/gpu-0-1"}
    assert not hold.prepared.edits.mounts, "the files that describe devices are the core's"


def test_after_a_reboot_a_claim_meets_its_own_earlier_preparation(bench):
    bench.prepare("a", "gpu-0", share_id="s-1")
    bench.prepare("b", "gpu-0", share_id="s-2")
    told: dict[str, list[str]] = {}
    bench.asking = lambda held: told.setdefault(bench.backend.calls[-1][1], [hold.claim.uid for hold in held(GPU)])
    bench.reboot()
    assert told == {"a": ["a", "b"], "b": ["a", "b"]}


@pytest.mark.reliability(
    fault="A device to be divided is held by a claim whose preparation is not on record",
    injected="A share of a device is adopted from another driver, or its record is lost",
    promise="The backend is told that the device is held by that claim, with no state to divide it by",
)
@pytest.mark.parametrize("how", ["adopted", "quarantined"])
def test_what_is_held_without_a_preparation_on_record_is_told_with_none(bench, want, how):
    if how == "adopted":
        bench.run(Adopt(want("a", "gpu-0", share_id="s-1").allocation))
    else:
        bench.prepare("a", "gpu-0", share_id="s-1")
        bench.kill()
        bench.path.unlink()
        bench.restart()
        assert bench.phases() == {"a": "quarantined"}
    told: list[Hold] = []
    bench.asking = lambda held: told.extend(held(GPU))
    admin = {"share_id": "s-2"} if how == "adopted" else {"admin": True}
    bench.prepare("b", "gpu-0", **admin)
    (hold,) = told
    assert (hold.claim.uid, dict(hold.prepared.state), hold.prepared.device) == ("a", {}, GPU)


def test_an_interrupted_preparation_is_not_held_for_its_containers_never_started(effective):
    def crash(where: str) -> None:
        if where == "after prepare":
            raise KeyboardInterrupt

    effective.moment = crash
    effective.backend.failures["unprepare"] = RuntimeError("not now")
    with pytest.raises(KeyboardInterrupt):
        effective.prepare("a", "gpu-0", share_id="s-1")
    effective.moment = lambda _where: None
    assert effective.phases() == {"a": "intent"}
    assert seen(effective, "b", share_id="s-2") == []


def test_a_device_with_several_shares_of_one_claim_is_held_once_for_each(bench, want):
    one, other = (want("a", "gpu-0", share_id=share).allocation for share in ("s-1", "s-2"))
    both = type(one)(one.claim, (*one.devices, *other.devices))
    bench.run(Prepare(both))
    assert seen(bench, "b", share_id="s-3") == [("a", "s-1"), ("a", "s-2")]


def test_what_nobody_has_and_what_nobody_knows_is_held_by_nobody(bench):
    told: list[Sequence[Hold]] = []
    bench.asking = lambda held: told.append(held(DeviceRef("other.example.com", "p", "d")))
    bench.prepare("a", "gpu-0")
    assert told == [()]


@pytest.mark.parametrize("ends", ["well", "badly"])
def test_it_may_not_be_asked_when_the_call_is_over(bench, ends):
    if ends == "badly":
        bench.backend.failures["prepare"] = ClaimError("no")
        with pytest.raises(ClaimError):
            bench.prepare("a", "gpu-0")
    else:
        bench.prepare("a", "gpu-0")
    with pytest.raises(RuntimeError, match="during the call"):
        bench.backend.held(GPU)
