"""Claims that nothing but their existence speaks for: interrupted ones, and those of an earlier boot."""

from __future__ import annotations

from typing import Any

import pytest
from drakit.errors import DeviceBusy, HookFailed


def unconfirmed(bench: Any) -> list[str]:
    return [claim.uid for claim in bench.engine.unconfirmed()]


def left_as_intent(bench: Any, uid: str, name: str) -> None:
    """A preparation that can neither be made nor undone."""
    bench.backend.failures = {
        hook: HookFailed("acme", hook, OSError("hangs off the bus")) for hook in ("prepare", "unprepare")
    }
    with pytest.raises(HookFailed):
        bench.prepare(uid, name)
    bench.backend.failures.clear()


def test_what_is_prepared_in_this_boot_is_confirmed_and_not_rolled_back(bench):
    bench.prepare("a", "gpu-0")
    bench.restart()
    assert unconfirmed(bench) == []
    bench.roll_back("a")
    bench.roll_back("nobody")
    assert bench.phases() == {"a": "committed"}


def test_an_interrupted_claim_is_unconfirmed_until_it_is_rolled_back(effective):
    left_as_intent(effective, "a", "gpu-0")
    assert unconfirmed(effective) == ["a"]
    effective.roll_back("a")
    assert unconfirmed(effective) == []
    effective.assert_empty()


def test_an_intent_of_the_batch_under_way_is_no_interrupted_one(effective):
    seen = []

    def look(where: str) -> None:
        if where == "after prepare":
            seen.append((effective.phases(), unconfirmed(effective)))

    effective.moment = look
    effective.prepare("a", "gpu-0")
    assert seen == [({"a": "intent"}, [])]


def test_without_its_backend_an_intent_waits_for_it(effective):
    left_as_intent(effective, "a", "gpu-0")
    effective.has_backend = False
    effective.restart()
    assert unconfirmed(effective) == []
    effective.roll_back("a")
    assert effective.phases() == {"a": "intent"}
    effective.has_backend = True
    effective.restart()
    assert unconfirmed(effective) == ["a"]
    effective.roll_back("a")
    assert effective.backend.calls == [("unprepare", "a")]
    effective.assert_empty()


def test_a_claim_of_an_earlier_boot_is_unconfirmed_and_rolled_back_through_the_hook(bench):
    bench.prepare("a", "gpu-0")
    bench.prepare("b", "gpu-1")
    bench.reboot()
    assert unconfirmed(bench) == ["a", "b"]
    with pytest.raises(DeviceBusy):
        bench.prepare("c", "gpu-0")
    bench.backend.calls.clear()
    bench.roll_back("a")
    assert bench.backend.calls == [("unprepare", "a")]
    assert bench.phases() == {"b": "committed"}
    assert sorted(bench.files()) == ["b"]
    assert bench.prepare("c", "gpu-0")


@pytest.mark.parametrize("confirm", ["prepare", "repeat"])
@pytest.mark.parametrize("trouble", ["none", "the hook fails", "no backend"])
def test_a_claim_that_a_pod_of_this_boot_wants_is_not_rolled_back(bench, confirm, trouble):
    answer = bench.prepare("a", "gpu-0")
    bench.has_backend = trouble != "no backend"
    bench.reboot()
    if trouble == "the hook fails":
        bench.backend.failures["prepare"] = HookFailed("acme", "prepare", OSError())
    assert (bench.prepare("a", "gpu-0") if confirm == "prepare" else bench.repeat("a")) == answer
    bench.has_backend = True
    bench.restart()
    assert unconfirmed(bench) == []
    bench.roll_back("a")
    assert bench.held() == {"gpu-0": {"a"}}


@pytest.mark.parametrize("boots", [("", "boot-2"), ("boot-1", ""), ("", "")])
def test_where_a_boot_is_not_known_nothing_is_taken_for_gone(bench, boots):
    bench.boot_id, after = boots
    bench.start()
    bench.prepare("a", "gpu-0")
    bench.boot_id = after
    bench.restart()
    assert unconfirmed(bench) == []
    bench.roll_back("a")
    assert bench.phases() == {"a": "committed"}
