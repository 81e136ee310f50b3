"""Claims that a driver of this name prepared before us: what they hold is held, and nothing of theirs is touched."""

from __future__ import annotations

import json
import zlib

import pytest
from drakit.errors import ClaimError, DeviceBusy, HookFailed
from drakit.jobs import Adopt
from drakit.journal import Phase


@pytest.fixture
def adopt(want):
    def adopt(bench, uid: str, *names: str) -> None:
        bench.run(Adopt(want(uid, *names).allocation))

    return adopt


def test_an_adopted_claim_holds_its_devices_until_it_is_unprepared(bench, adopt):
    adopt(bench, "a", "gpu-0", "gpu-1")
    assert bench.phases() == {"a": "adopted"}
    with pytest.raises(DeviceBusy, match="gpu-1 is held by claim default/claim-a"):
        bench.prepare("b", "gpu-1")
    bench.unprepare("a")
    assert ("unprepare", "a") in bench.backend.calls
    assert bench.prepare("b", "gpu-1")
    bench.unprepare("b")
    bench.assert_empty()


def test_an_adopted_claim_survives_restarts_and_leaves_no_file_of_ours(bench, adopt):
    adopt(bench, "a", "gpu-0")
    bench.restart()
    assert bench.phases() == {"a": "adopted"}
    assert bench.files() == {}
    assert bench.backend.calls == []
    with pytest.raises(DeviceBusy):
        bench.prepare("b", "gpu-0")


def test_a_claim_of_ours_is_not_adopted_over(bench, adopt):
    answer = bench.prepare("a", "gpu-0")
    adopt(bench, "a", "gpu-1")
    assert bench.prepare("a", "gpu-0") == answer
    assert bench.held() == {"gpu-0": {"a"}}


@pytest.mark.parametrize("known", [False, True])
def test_a_claim_that_was_unprepared_meanwhile_is_not_adopted(bench, adopt, known):
    """The kubelet may have named it while it was prepared, and be asked no more before it has ended."""
    if known:
        bench.prepare("a", "gpu-0")
    bench.unprepare("a")
    adopt(bench, "a", "gpu-0")
    bench.assert_empty()


def test_a_claim_without_devices_of_ours_is_nothing_to_adopt(bench, adopt):
    adopt(bench, "a")
    bench.assert_empty()


def test_prepare_of_an_adopted_claim_prepares_it_without_undoing_anything(bench, adopt):
    adopt(bench, "a", "gpu-0")
    answer = bench.prepare("a", "gpu-0")
    assert bench.backend.calls == [("prepare", "a")]
    assert bench.phases() == {"a": "committed"}
    assert bench.ids("a") == [identity for handle in answer for identity in handle.cdi_ids]
    bench.restart()
    assert bench.prepare("a", "gpu-0") == answer


@pytest.mark.parametrize("trouble", ["the hook fails", "an unknown device", "another holder", "no backend"])
def test_an_adopted_claim_that_cannot_be_prepared_keeps_its_hold(bench, adopt, trouble):
    adopt(bench, "a", "gpu-0")
    if trouble == "the hook fails":
        bench.backend.failures["prepare"] = HookFailed("acme", "prepare", OSError("busy"))
    elif trouble == "an unknown device":
        bench.known.clear()
    elif trouble == "another holder":
        adopt(bench, "b", "gpu-0")
    else:
        bench.has_backend = False
        bench.restart()
    with pytest.raises((ClaimError, HookFailed)):
        bench.prepare("a", "gpu-0")
    bench.restart()
    assert bench.phases()["a"] == "adopted"
    assert "a" in bench.held()["gpu-0"]


def test_in_one_batch_an_adopted_claim_goes_before_one_that_never_had_the_device(bench, adopt, want):
    adopt(bench, "a", "gpu-0")
    busy, prepared = bench.engine.run([want("b", "gpu-0"), want("a", "gpu-0")])
    assert isinstance(busy, DeviceBusy)
    assert prepared[0].device.name == "gpu-0"
    assert bench.held() == {"gpu-0": {"a"}}


def test_an_adopted_claim_ends_even_where_its_backend_cannot_undo_it(bench, adopt):
    adopt(bench, "a", "gpu-0")
    bench.backend.failures["unprepare"] = HookFailed("acme", "unprepare", KeyError("never heard of it"))
    bench.unprepare("a")
    bench.assert_empty()
    assert [warning for warning in bench.warnings if "default/claim-a (adopted): unprepare failed" in warning]


def test_after_a_reboot_an_adopted_claim_is_unconfirmed_as_any_other(bench, adopt):
    adopt(bench, "a", "gpu-0")
    assert bench.engine.unconfirmed() == []
    bench.reboot()
    assert [claim.uid for claim in bench.engine.unconfirmed()] == ["a"]
    with pytest.raises(DeviceBusy):
        bench.prepare("b", "gpu-0")
    bench.roll_back("a")
    bench.assert_empty()


def test_a_foreign_cdi_file_that_is_named_as_ours_would_be_is_left_alone(bench, adopt):
    bench.prepare("mine", "gpu-1")
    (ours,) = bench.cdi.iterdir()
    foreign = bench.cdi / ours.name.replace("_mine.json", "_a.json")
    document = {"cdiVersion": "0.5.0", "kind": "k8s.gpu.example.com/gpu", "devices": [{"name": "a"}]}
    foreign.write_text(json.dumps(document))
    unheard_of = bench.cdi / ours.name.replace("_mine.json", "_unheard-of.json")
    unheard_of.write_text(json.dumps(document))
    adopt(bench, "a", "gpu-0")
    bench.restart()
    assert json.loads(foreign.read_text()) == json.loads(unheard_of.read_text()) == document
    assert bench.phases() == {"mine": "committed", "a": "adopted"}


def test_a_phase_of_a_later_release_holds_its_devices_and_lets_its_pod_end(bench):
    bench.prepare("b", "gpu-1")
    bench.kill()
    device = {"driver": "gpu.example.com", "pool": "node-1", "name": "gpu-0"}
    record = {"schema": 2, "entry": {"claim": {"uid": "a", "namespace": "default", "name": "claim-a"}}}
    record["entry"] |= {"phase": "borrowed", "devices": [{"request": "gpu", "device": device}]}
    text = json.dumps(record).encode()
    with bench.path.open("ab") as file:
        file.write(b"%08x %s\n" % (zlib.crc32(text), text))
    bench.restart()
    assert bench.phases() == {"a": "quarantined", "b": "committed"}
    with pytest.raises(DeviceBusy, match="claim-a"):
        bench.prepare("c", "gpu-0")
    bench.unprepare("a")
    assert bench.prepare("c", "gpu-0")


def test_a_phase_that_is_no_text_is_refused():
    with pytest.raises(ValueError, match="7 is not a valid Phase"):
        Phase(7)
    assert Phase("adopted") is Phase.ADOPTED


def test_an_adopted_claim_that_was_allocated_anew_is_undone_and_prepared_as_it_is_now(bench, adopt):
    adopt(bench, "a", "gpu-0")
    bench.prepare("a", "gpu-1")
    assert bench.backend.calls == [("unprepare", "a"), ("prepare", "a")]
    assert bench.held() == {"gpu-1": {"a"}}


def test_an_adopted_claim_whose_prepare_fails_is_not_undone_under_its_containers(bench, adopt):
    adopt(bench, "a", "gpu-0")
    bench.backend.failures["prepare"] = HookFailed("acme", "prepare", OSError("busy"))
    with pytest.raises(HookFailed):
        bench.prepare("a", "gpu-0")
    assert bench.backend.calls == [("prepare", "a")]


def test_a_commit_that_fails_leaves_an_adopted_claim_adopted(bench, adopt, tmp_path):
    adopt(bench, "a", "gpu-0")
    blocker = bench.path.with_name(f"{bench.path.name}.tmp")

    def break_the_disk(where: str) -> None:
        if where == "before sync" and bench.backend.calls:
            raise OSError(5, "Input/output error")

    bench.moment = break_the_disk
    blocker.mkdir()
    with pytest.raises(Exception, match="nothing was changed"):
        bench.prepare("a", "gpu-0")
    blocker.rmdir()
    bench.moment = lambda _where: None
    assert bench.phases() == {"a": "adopted"}
    assert bench.files() == {}
    assert bench.held() == {"gpu-0": {"a"}}
    assert bench.prepare("a", "gpu-0")
