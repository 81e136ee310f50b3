"""A claim of this boot that is gone and in no pod ends without Unprepare only where its devices are seen not in use."""

from __future__ import annotations

import pytest
from drakit import ClaimRef
from drakit.errors import DeviceBusy, HookFailed
from drakit.jobs import Adopt, Reclaim


def reclaim(bench, uid: str) -> None:
    bench.run(Reclaim(ClaimRef(uid, "default", f"claim-{uid}")))


def test_a_claim_whose_devices_are_not_in_use_is_undone_as_by_unprepare(bench):
    bench.prepare("a", "gpu-0", "gpu-1")
    bench.backend.in_use_answers = {"gpu-0": False, "gpu-1": False}
    reclaim(bench, "a")
    assert bench.backend.calls[-1] == ("unprepare", "a")
    bench.assert_empty()
    assert [warning for warning in bench.warnings if "default/claim-a (a) is gone" in warning]


@pytest.mark.parametrize("answer", [True, None], ids=["in use", "not known"])
def test_one_device_that_may_be_in_use_keeps_the_claim(bench, answer):
    bench.prepare("a", "gpu-0", "gpu-1")
    bench.backend.in_use_answers = {"gpu-0": False, "gpu-1": answer}
    reclaim(bench, "a")
    assert bench.phases() == {"a": "committed"}
    with pytest.raises(DeviceBusy):
        bench.prepare("b", "gpu-0")


def test_a_backend_that_does_not_say_keeps_the_claim(bench):
    bench.prepare("a", "gpu-0")
    reclaim(bench, "a")
    assert bench.phases() == {"a": "committed"}


def test_a_backend_that_fails_to_say_keeps_the_claim(bench):
    bench.prepare("a", "gpu-0")
    bench.backend.failures["in_use"] = HookFailed("acme", "in_use", OSError("no such node"))
    with pytest.raises(HookFailed):
        reclaim(bench, "a")
    assert bench.phases() == {"a": "committed"}


def test_an_adopted_claim_is_reclaimed_alike(bench, want):
    bench.run(Adopt(want("a", "gpu-0").allocation))
    bench.backend.in_use_answers = {"gpu-0": False}
    reclaim(bench, "a")
    bench.assert_empty()


def test_without_a_backend_or_an_entry_nothing_is_reclaimed(bench):
    reclaim(bench, "nobody")
    bench.prepare("a", "gpu-0")
    bench.has_backend = False
    bench.restart()
    reclaim(bench, "a")
    assert bench.phases() == {"a": "committed"}


def test_an_intent_is_not_reclaimed_but_rolled_back(effective):
    effective.backend.failures = {hook: HookFailed("acme", hook, OSError()) for hook in ("prepare", "unprepare")}
    with pytest.raises(HookFailed):
        effective.prepare("a", "gpu-0")
    effective.backend.failures.clear()
    effective.backend.in_use_answers = {"gpu-0": False}
    reclaim(effective, "a")
    assert effective.phases() == {"a": "intent"}


def test_confirmed_are_the_claims_of_this_boot(bench):
    bench.prepare("a", "gpu-0")
    assert [claim.uid for claim in bench.engine.confirmed()] == ["a"]
    bench.reboot()
    assert bench.engine.confirmed() == []
    bench.repeat("a")
    assert [claim.uid for claim in bench.engine.confirmed()] == ["a"]
