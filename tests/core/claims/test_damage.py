"""Files that no entry explains, and records that were damaged: where there is doubt, devices stay held."""

from __future__ import annotations

from pathlib import Path

import pytest
from drakit import ClaimError, ClaimRef
from drakit.errors import DeviceBusy, HookFailed
from drakit.jobs import Unprepare


def test_a_file_of_ours_that_no_entry_explains_is_removed_and_others_stay(bench):
    bench.prepare("a", "gpu-0")
    (ours,) = bench.cdi.iterdir()
    (bench.cdi / ours.name.replace("_a.json", "_stray.json")).write_bytes(ours.read_bytes())
    (bench.cdi / f"{ours.name}.tmp").write_bytes(b"{")
    foreign = bench.cdi / "k8s.nic.example.com-claim_stray.json"
    foreign.write_text("theirs")
    bench.restart()
    assert sorted(path.name for path in bench.cdi.iterdir()) == sorted([ours.name, foreign.name])


def test_a_name_that_is_not_ours_keeps_no_claim_from_its_file(bench):
    bench.prepare("a", "gpu-0")
    (ours,) = bench.cdi.iterdir()
    odd = bench.cdi / ours.name.replace("_a.json", "_not a uid.json")
    odd.write_text("theirs")
    ours.unlink()
    bench.restart()
    assert ours.exists()
    assert odd.read_text() == "theirs"


def _damage(bench, uid: str) -> None:
    """Flip a bit in the records of one claim."""
    bench.kill()
    lines = bench.path.read_bytes().splitlines(keepends=True)
    bench.path.write_bytes(b"".join(b"0" * 8 + line[8:] if f'"{uid}"'.encode() in line else line for line in lines))


def test_a_damaged_record_quarantines_its_claim_alone(bench):
    bench.prepare("a", "gpu-0")
    bench.prepare("b", "gpu-1")
    before = bench.files()["a"]
    _damage(bench, "a")
    bench.restart()
    assert bench.phases() == {"a": "quarantined", "b": "committed"}
    assert bench.files()["a"] == before
    assert [warning for warning in bench.warnings if "claim default/claim-a (a): its record was damaged" in warning]
    with pytest.raises(DeviceBusy, match="gpu-0 is held by claim default/claim-a"):
        bench.prepare("c", "gpu-0")
    with pytest.raises(ClaimError, match="the record of claim default/claim-a on this node was damaged"):
        bench.prepare("a", "gpu-0")


def test_an_intent_whose_commit_was_damaged_is_kept_as_containers_may_use_it(effective):
    effective.prepare("a", "gpu-0")
    effective.kill()
    intent, commit = effective.path.read_bytes().splitlines(keepends=True)
    effective.path.write_bytes(intent + b"0" * 8 + commit[8:])
    effective.restart()
    assert effective.phases() == {"a": "quarantined"}
    assert effective.held() == {"gpu-0": {"a"}}
    assert effective.hardware.prepared == {"a": {"gpu-0"}}
    assert sorted(effective.files()) == ["a"]
    assert effective.engine.unconfirmed() == []
    effective.unprepare("a")
    effective.assert_empty()


def test_an_intent_that_came_to_no_file_is_undone_whatever_else_was_damaged(effective):
    effective.backend.failures = {hook: HookFailed("acme", hook, OSError()) for hook in ("prepare", "unprepare")}
    with pytest.raises(HookFailed):
        effective.prepare("a", "gpu-0")
    effective.kill()
    effective.path.write_bytes(effective.path.read_bytes() + b"garbage\n")
    effective.restart()
    assert effective.phases() == {"a": "intent"}


def test_a_quarantined_claim_stays_so_until_it_is_unprepared(bench):
    bench.prepare("a", "gpu-0")
    _damage(bench, "a")
    bench.restart()
    bench.restart()
    assert bench.phases() == {"a": "quarantined"}
    bench.unprepare("a")
    bench.assert_empty()
    assert bench.prepare("b", "gpu-0")


def test_unprepare_of_a_quarantined_claim_succeeds_even_where_the_hook_fails(bench):
    bench.prepare("a", "gpu-0")
    _damage(bench, "a")
    bench.restart()
    bench.backend.failures["unprepare"] = HookFailed("acme", "unprepare", KeyError("state"))
    bench.unprepare("a")
    assert (bench.entries(), bench.files()) == ({}, {})


def test_a_damaged_record_whose_file_cannot_be_read_either_is_quarantined_without_devices(bench):
    bench.prepare("a", "gpu-0")
    _damage(bench, "a")
    (file,) = bench.cdi.iterdir()
    file.write_text("{}")
    bench.restart()
    assert bench.phases() == {"a": "quarantined"}
    assert bench.held() == {}
    bench.unprepare("a")
    assert (bench.entries(), bench.files()) == ({}, {})


def test_damage_in_what_another_agent_appended_holds_its_devices_at_once(make_bench, tmp_path, want):
    one, other = make_bench(tmp_path), make_bench(tmp_path)
    one.prepare("a", "gpu-0")
    other.prepare("b", "gpu-1")
    before = one.path.read_bytes()
    one.path.write_bytes(before.replace(b'"uid":"b"', b'"uid":"x"'))
    busy, prepared = one.engine.run([want("c", "gpu-1"), want("d", "gpu-2")])
    assert isinstance(busy, DeviceBusy)
    assert "gpu-1 is held by claim default/claim-b (b)" in str(busy)
    assert prepared[0].device.name == "gpu-2"
    assert one.phases() == {"a": "committed", "b": "quarantined", "d": "committed"}
    assert [warning for warning in one.warnings if "claim default/claim-b (b): its record was damaged" in warning]
    assert one.nodes("b") == ["/dev/gpu-1-1"]
    one.unprepare("b")
    assert one.prepare("c", "gpu-1")
    one.kill()
    other.kill()


def test_a_batch_is_refused_while_what_damaged_records_held_cannot_be_recorded(bench, want):
    bench.prepare("a", "gpu-0")
    _damage(bench, "a")
    bench.start()
    blocker = Path(f"{bench.path}.tmp")

    def break_the_disk(where: str) -> None:
        if where == "before sync":
            raise OSError(5, "Input/output error")
        if where == "began looking for what damaged records held":
            blocker.mkdir(exist_ok=True)

    bench.moment = break_the_disk
    answers = bench.engine.run([want("b", "gpu-0"), Unprepare(ClaimRef("z", "", ""))])
    assert ["nothing was changed" in str(answer) for answer in answers] == [True, True]
    assert bench.backend.calls == []
    blocker.rmdir()
    bench.moment = lambda _where: None
    with pytest.raises(DeviceBusy):
        bench.prepare("b", "gpu-0")
    assert bench.phases() == {"a": "quarantined"}


def test_a_batch_costs_no_look_at_the_cdi_directory_once_damage_is_settled(bench):
    bench.prepare("a", "gpu-0")
    _damage(bench, "a")
    bench.restart()
    seen = []
    bench.moment = seen.append
    bench.prepare("b", "gpu-1")
    assert [where for where in seen if "damaged" in where] == []


def test_after_a_reboot_a_quarantined_claim_is_prepared_anew_if_its_pod_still_wants_it(bench):
    bench.prepare("a", "gpu-0")
    _damage(bench, "a")
    bench.restart()
    bench.reboot()
    assert bench.prepare("a", "gpu-0")
    assert bench.phases() == {"a": "committed"}
    bench.assert_consistent()


def test_after_a_reboot_a_quarantined_claim_that_is_gone_is_rolled_back(bench):
    """Without this its devices were held for good, where the backend cannot tell whether they are in use."""
    bench.prepare("a", "gpu-0")
    _damage(bench, "a")
    bench.restart()
    bench.roll_back("a")
    assert bench.phases() == {"a": "quarantined"}
    bench.reboot()
    assert [claim.uid for claim in bench.engine.unconfirmed()] == ["a"]
    bench.roll_back("a")
    bench.assert_empty()


def test_a_quarantined_claim_of_unknown_name_is_looked_up_nowhere(bench):
    bench.prepare("a", "gpu-0")
    _damage(bench, "a")
    next(bench.cdi.iterdir()).write_text("{")
    bench.restart()
    assert bench.phases() == {"a": "quarantined"}
    assert bench.engine.confirmed() == []
    bench.reboot()
    assert bench.engine.unconfirmed() == []


@pytest.mark.reliability(
    fault="The journal is lost, while containers run",
    injected="The state directory is emptied between two agents; the CDI files are still there",
    promise="Devices and files of what was prepared stay until its pods have ended: their containers can restart",
)
def test_what_a_lost_journal_held_is_held_by_its_files(bench):
    bench.prepare("a", "gpu-0")
    files = bench.files()
    bench.kill()
    bench.path.unlink()
    bench.restart()
    assert bench.phases() == {"a": "quarantined"}
    assert bench.files() == files
    with pytest.raises(DeviceBusy, match="gpu-0 is held by claim default/claim-a"):
        bench.prepare("b", "gpu-0")
    bench.restart()
    bench.unprepare("a")
    bench.assert_empty()


def test_a_first_agent_finds_nothing_lost(bench):
    assert bench.prepare("a", "gpu-0")
    assert sorted(path.name for path in bench.root.iterdir()) == ["cdi", "drakit.journal", "drakit.journal.lock"]
    assert bench.warnings == []
