"""Claims that end while their backend is not there: their pods end at once, and side effects are undone later."""

from __future__ import annotations

import pytest
from attrs import evolve
from drakit.custody import holds_claims
from drakit.errors import DeviceBusy, HookFailed
from drakit.jobs import Restore


@pytest.fixture
def ended(effective):
    """A claim with side effects whose pod has ended while there was no backend, which is still away."""
    effective.prepare("a", "gpu-0")
    effective.has_backend = False
    effective.restart()
    effective.unprepare("a")
    return effective


def comes_back(bench) -> None:
    bench.has_backend = True
    bench.start()


def test_its_pod_ends_at_once_and_what_it_changed_is_undone_when_the_backend_is_back(ended):
    assert (ended.files(), ended.hardware.prepared) == ({}, {"a": {"gpu-0"}})
    assert [warning for warning in ended.warnings if "undone, and its devices are free, when the backend" in warning]
    comes_back(ended)
    ended.run(Restore())
    assert ended.backend.calls == [("unprepare", "a")]
    ended.assert_empty()


def test_the_backend_is_given_what_prepare_had_answered(ended):
    comes_back(ended)
    ended.run(Restore())
    (undone,) = ended.backend.undone["a"]
    assert undone.state == {"node": "/dev/gpu-0-1"}


def test_a_repeat_of_unprepare_succeeds_and_says_nothing_more(ended):
    warnings = list(ended.warnings)
    ended.unprepare("a")
    ended.restart()
    ended.unprepare("a")
    assert ended.phases() == {"a": "intent"}
    assert [one for one in ended.warnings if one not in warnings] == []


def test_without_side_effects_nothing_is_kept(make_bench, tmp_path):
    bench = make_bench(tmp_path / "plain")
    bench.prepare("a", "gpu-0")
    bench.has_backend = False
    bench.restart()
    bench.unprepare("a")
    bench.assert_empty()
    bench.kill()


def test_an_interrupted_preparation_that_ends_without_the_backend_is_undone_too(effective):
    effective.backend.failures = {hook: HookFailed("acme", hook, OSError()) for hook in ("prepare", "unprepare")}
    with pytest.raises(HookFailed):
        effective.prepare("a", "gpu-0")
    effective.has_backend = False
    effective.restart()
    effective.unprepare("a")
    comes_back(effective)
    effective.run(Restore())
    assert effective.backend.calls == [("unprepare", "a")]
    effective.assert_empty()


def test_what_cannot_be_undone_yet_holds_its_devices_and_is_tried_again(ended):
    comes_back(ended)
    ended.backend.failures["unprepare"] = HookFailed("acme", "unprepare", OSError("busy"))
    ended.run(Restore())
    with pytest.raises(DeviceBusy, match=r"held by claim default/claim-a \(a\) until what it left there is undone"):
        ended.prepare("b", "gpu-0")
    assert [claim.uid for claim in ended.engine.unfinished()] == ["a"]
    del ended.backend.failures["unprepare"]
    ended.roll_back("a")
    assert ended.prepare("b", "gpu-0")
    ended.unprepare("b")
    ended.assert_empty()


def test_the_api_server_is_not_asked_about_it_nor_anything_without_a_backend(ended):
    assert ended.engine.unfinished() == []
    comes_back(ended)
    assert ended.engine.unconfirmed() == []
    assert ended.engine.confirmed() == []


def test_a_pod_that_wants_the_claim_again_has_it_undone_and_prepared_anew(ended):
    comes_back(ended)
    assert ended.prepare("a", "gpu-1")
    assert [hook for hook, _ in ended.backend.calls] == ["unprepare", "prepare"]
    assert ended.hardware.prepared == {"a": {"gpu-1"}}
    assert ended.phases() == {"a": "committed"}
    ended.unprepare("a")
    ended.assert_empty()


def test_what_it_set_in_containers_disagrees_with_nobody(effective):
    effective.hardware.env = {"a": {"MODE": "1"}, "b": {"MODE": "2"}}
    effective.prepare("a", "gpu-0")
    effective.has_backend = False
    effective.restart()
    effective.unprepare("a")
    comes_back(effective)
    effective.prepare("b", "gpu-1")
    assert effective.times_asked == 0


def test_a_driver_with_nothing_but_that_is_not_served_for_it(ended):
    ended.kill()
    assert not holds_claims(ended.path)
    ended.restart()
    assert ended.phases() == {"a": "intent"}


def test_a_driver_with_that_and_a_pod_is_served(effective):
    effective.prepare("a", "gpu-0")
    effective.prepare("b", "gpu-1")
    effective.has_backend = False
    effective.restart()
    effective.unprepare("a")
    effective.kill()
    assert holds_claims(effective.path)


def test_a_record_of_a_release_that_did_not_note_side_effects_ends_as_it_did_there(effective):
    effective.prepare("a", "gpu-0")
    with effective.journal.locked():
        effective.journal.put(evolve(effective.entries()["a"], side_effects=False))
        effective.journal.commit()
    effective.has_backend = False
    effective.restart()
    effective.unprepare("a")
    assert effective.phases() == {}
