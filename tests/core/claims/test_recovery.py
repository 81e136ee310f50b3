"""Restarts, reboots, damage and other agents: what was prepared stays held, and the same."""

from __future__ import annotations

import shutil
import zlib
from pathlib import Path

import pytest
from drakit import ClaimError, Condition, DeviceStatus
from drakit.errors import DeviceBusy, HookFailed, JournalError
from drakit.jobs import Restore, RollBack


def test_a_restart_makes_the_cdi_files_whole_again(bench):
    answer = bench.prepare("a", "gpu-0")
    bench.prepare("b", "gpu-1")
    shutil.rmtree(bench.cdi)
    bench.restart()
    assert bench.ids("a") == list(answer[0].cdi_ids)
    assert sorted(bench.files()) == ["a", "b"]


def test_a_restart_writes_what_it_has_before_it_asks_the_backend(bench):
    """Containers may be waiting; the backend may hang."""
    bench.prepare("a", "gpu-0")
    bench.prepare("b", "gpu-1")
    shutil.rmtree(bench.cdi)
    seen = []
    bench.start()
    bench.moment = lambda where: seen.append(sorted(bench.files())) if where == "before prepare" else None
    bench.run(Restore())
    assert seen == [["a", "b"], ["a", "b"]]


def test_a_restart_recomputes_edits_as_the_hardware_is_numbered_now(bench):
    answer = bench.prepare("a", "gpu-0")
    bench.hardware.generation = 2
    bench.restart()
    assert bench.nodes("a") == ["/dev/gpu-0-2"]
    assert bench.prepare("a", "gpu-0") == answer
    bench.unprepare("a")
    bench.assert_empty()


@pytest.mark.parametrize("failure", [HookFailed("acme", "prepare", OSError()), ClaimError("not now")])
def test_a_backend_that_cannot_say_leaves_the_edits_as_they_were_journalled(bench, failure):
    bench.prepare("a", "gpu-0")
    bench.hardware.generation = 2
    shutil.rmtree(bench.cdi)
    bench.start()
    bench.backend.failures["prepare"] = failure
    bench.run(Restore())
    assert bench.nodes("a") == ["/dev/gpu-0-1"]
    assert ["kept as it was prepared, for now" in warning for warning in bench.warnings] == [True]


@pytest.mark.parametrize("failure", [KeyError("uverbs0"), HookFailed("acme", "prepare", OSError())])
def test_a_claim_that_cannot_be_recomputed_keeps_no_other_from_it(bench, failure):
    bench.prepare("a", "gpu-0")
    bench.prepare("b", "gpu-1")
    bench.hardware.generation = 2
    bench.start()

    def fail_for_a(where: str) -> None:
        if where == "before prepare" and bench.backend.calls[-1] == ("prepare", "a"):
            raise failure

    bench.moment = fail_for_a
    bench.run(Restore())
    assert (bench.nodes("a"), bench.nodes("b")) == (["/dev/gpu-0-1"], ["/dev/gpu-1-2"])
    assert ["claim default/claim-a: kept as it was prepared" in warning for warning in bench.warnings] == [True]


def test_after_a_reboot_claims_are_prepared_anew_with_the_same_ids(bench):
    answer = bench.prepare("a", "gpu-0")
    bench.reboot()
    assert bench.backend.calls == [("prepare", "a")]
    assert bench.nodes("a") == ["/dev/gpu-0-2"]
    assert bench.prepare("a", "gpu-0") == answer
    assert bench.prepare("a", "gpu-0") == answer
    assert bench.backend.calls == [("prepare", "a")] * 2  # as found at start, and when a pod of this boot wants it
    assert bench.held() == {"gpu-0": {"a"}}


@pytest.mark.parametrize("edits", [True, False])
@pytest.mark.reliability(
    fault="A new release of a plugin edits containers for a device that it left alone, or no longer does",
    injected="the backend answers with edits after a reboot where it had none, and the other way round",
    promise="claims prepared before keep their edits and CDI ids; the log says so",
)
def test_the_ids_of_a_claim_stay_whatever_its_backend_edits_by_now(bench, edits):
    bench.hardware.edits = edits
    answer = bench.prepare("a", "gpu-0")
    assert [len(handle.cdi_ids) for handle in answer] == [int(edits)]
    files = bench.files()
    bench.hardware.edits = not edits
    bench.reboot()
    assert bench.prepare("a", "gpu-0") == answer
    assert bench.files() == files
    assert {"edits other devices of it" in warning for warning in bench.warnings} == {True}


def test_a_condition_tells_since_when_it_holds_and_not_when_it_was_last_asked_for(bench):
    def says(status: str, since: str) -> DeviceStatus:
        return DeviceStatus(conditions=[Condition("example.com/LinkUp", status, "Carrier", since=since)])

    def told() -> Condition:
        (device,) = bench.entries()["a"].prepared
        return device.status.conditions[0]

    first, later, last = (f"2026-01-31T1{hour}:00:00Z" for hour in range(3))
    bench.hardware.status = says("True", first)
    bench.prepare("a", "gpu-0")
    bench.hardware.status = says("True", later)
    bench.reboot()
    bench.prepare("a", "gpu-0")
    assert (told().status, told().since) == ("True", first)
    bench.hardware.status = says("False", last)
    bench.reboot()
    assert (told().status, told().since) == ("False", last)


def test_a_backend_that_fails_after_a_reboot_is_asked_again_by_the_repeat(bench):
    answer = bench.prepare("a", "gpu-0")
    bench.boot, bench.hardware.generation = 2, 2
    bench.start()
    bench.backend.failures["prepare"] = HookFailed("acme", "prepare", OSError())
    bench.run(Restore())
    assert bench.nodes("a") == ["/dev/gpu-0-1"]
    bench.backend.failures.clear()
    assert bench.prepare("a", "gpu-0") == answer
    assert bench.nodes("a") == ["/dev/gpu-0-2"]


def test_a_claim_that_cannot_be_prepared_in_the_new_boot_is_told_so(bench):
    bench.prepare("a", "gpu-0")
    bench.boot = 2
    bench.start()
    bench.backend.failures["prepare"] = ClaimError("the device is in another mode now")
    with pytest.raises(ClaimError, match="in another mode"):
        bench.prepare("a", "gpu-0")
    assert bench.held() == {"gpu-0": {"a"}}


def test_configuration_of_a_stored_claim_is_read_leniently_after_a_downgrade(bench):
    config = {"apiVersion": "gpu.example.com/v1", "kind": "SharingConfig", "clients": 3}
    bench.prepare("a", "gpu-0", config=config)
    text = bench.path.read_text()
    bench.kill()
    bench.path.write_text("")
    _rewrite(bench.path, text.replace('"clients":3', '"clients":3,"colour":"red"'))
    bench.restart()
    assert bench.warnings == []
    assert bench.backend.configs["a"][0].clients == 3


def _rewrite(path: Path, text: str) -> None:
    """Write lines with the checksums they must have."""
    for line in text.splitlines():
        record = line[9:].encode()
        with path.open("ab") as file:
            file.write(b"%08x %s\n" % (zlib.crc32(record), record))


# Intents


def _interrupt(bench, uid: str, name: str) -> None:
    """A process that dies while the hook runs: its intent is durable, and the hardware is as the hook left it."""
    frozen = bench.root / "frozen"

    def take(where: str) -> None:
        if where == "after prepare":
            shutil.copyfile(bench.path, frozen)

    bench.moment = take
    bench.prepare(uid, name)
    bench.moment = lambda _where: None
    bench.kill()
    shutil.copyfile(frozen, bench.path)
    shutil.rmtree(bench.cdi)


def test_an_interrupted_claim_is_undone_before_it_is_prepared_again(effective):
    _interrupt(effective, "a", "gpu-0")
    effective.restart()
    assert effective.phases() == {"a": "intent"}
    assert effective.held() == {"gpu-0": {"a"}}
    effective.prepare("a", "gpu-0")
    assert effective.backend.calls == [("unprepare", "a"), ("prepare", "a")]
    assert effective.phases() == {"a": "committed"}


def test_an_interrupted_claim_that_is_gone_is_rolled_back(effective):
    _interrupt(effective, "a", "gpu-0")
    effective.restart()
    effective.roll_back("a")
    effective.assert_empty()


def test_rolling_back_does_nothing_to_a_claim_that_was_completed(bench):
    bench.prepare("a", "gpu-0")
    bench.roll_back("a")
    bench.roll_back("nobody")
    assert bench.phases() == {"a": "committed"}


def test_an_interrupted_claim_holds_its_device(effective):
    _interrupt(effective, "a", "gpu-0")
    effective.restart()
    with pytest.raises(DeviceBusy):
        effective.prepare("b", "gpu-0")
    effective.unprepare("a")
    assert effective.prepare("b", "gpu-0")


def test_an_interrupted_claim_of_another_allocation_is_held_by_the_new_one(effective):
    _interrupt(effective, "a", "gpu-0")
    effective.restart()
    seen = []
    effective.moment = lambda where: seen.append(effective.held()) if where == "before prepare" else None
    effective.prepare("a", "gpu-1")
    assert seen == [{"gpu-1": {"a"}}]


def test_an_intent_is_durable_before_the_hook_is_asked(effective):
    moments = []
    effective.moment = moments.append
    effective.prepare("a", "gpu-0")
    assert moments.index("after sync") < moments.index("before prepare")
    assert moments.count("after sync") == 2


def test_a_batch_has_one_sync_for_all_intents_and_one_for_all_commits(effective, want):
    effective.engine.run([want(f"u-{index}", f"gpu-{index}") for index in range(8)])
    assert effective.journal.syncs == 2


def test_without_side_effects_there_is_one_record_and_no_intent(make_bench, tmp_path):
    bench = make_bench(tmp_path, side_effects=False)
    bench.prepare("a", "gpu-0")
    assert bench.journal.syncs == 1
    assert len(bench.path.read_bytes().splitlines()) == 1
    bench.kill()


def test_a_preparation_that_can_neither_be_made_nor_undone_stays_an_intent_that_holds(effective, want):
    effective.backend.failures["prepare"] = HookFailed("acme", "prepare", OSError("x"))
    effective.backend.failures["unprepare"] = HookFailed("acme", "unprepare", OSError("y"))
    first, second = effective.engine.run([want("a", "gpu-0"), want("b", "gpu-0")])
    assert "prepare failed" in str(first)
    assert isinstance(second, DeviceBusy)
    assert effective.phases() == {"a": "intent"}
    assert "could not be undone yet" in effective.warnings[0]
    effective.backend.failures.clear()
    effective.prepare("a", "gpu-0")
    assert effective.backend.calls[-2:] == [("unprepare", "a"), ("prepare", "a")]


def test_an_intent_that_cannot_be_undone_is_not_prepared_over(effective):
    _interrupt(effective, "a", "gpu-0")
    effective.restart()
    effective.backend.failures["unprepare"] = HookFailed("acme", "unprepare", OSError("y"))
    with pytest.raises(HookFailed):
        effective.prepare("a", "gpu-0")
    assert effective.backend.calls == [("unprepare", "a")]
    assert effective.phases() == {"a": "intent"}


# A journal that cannot be written


class _BrokenDisk:
    """From a moment on, the journal can be neither synced nor written anew."""

    def __init__(self, bench, syncs: int) -> None:
        self.bench = bench
        self.left = syncs
        self.blocker = Path(f"{bench.path}.tmp")
        self.blocker.mkdir()
        bench.moment = self

    def __call__(self, where: str) -> None:
        if where == "before sync":
            if self.left == 0:
                raise OSError(5, "Input/output error")
            self.left -= 1

    def mend(self) -> None:
        self.blocker.rmdir()
        self.bench.moment = lambda _where: None


def test_nothing_is_told_to_be_prepared_that_is_not_durable(bench, want):
    held = bench.prepare("held", "gpu-7")
    disk = _BrokenDisk(bench, syncs=1 if bench.side_effects else 0)
    answers = bench.engine.run([want("a", "gpu-0"), want("b", "gpu-99"), want("held", "gpu-7")])
    assert isinstance(answers[0], JournalError)
    assert "nothing was changed" in str(answers[0])
    assert isinstance(answers[1], ClaimError)
    assert isinstance(answers[2], JournalError)
    assert sorted(bench.files()) == ["held"]
    disk.mend()
    bench.assert_consistent()
    assert bench.prepare("held", "gpu-7") == held
    assert bench.prepare("a", "gpu-0")


def test_a_claim_whose_release_is_not_durable_keeps_its_file_and_its_hold(bench):
    bench.prepare("a", "gpu-0")
    disk = _BrokenDisk(bench, syncs=0)
    with pytest.raises(JournalError):
        bench.unprepare("a")
    assert bench.nodes("a")
    assert bench.held() == {"gpu-0": {"a"}}
    disk.mend()
    bench.unprepare("a")
    bench.assert_empty()


def test_an_intent_that_cannot_be_recorded_asks_no_hook(effective, want):
    disk = _BrokenDisk(effective, syncs=0)
    answers = effective.engine.run([want("a", "gpu-0"), want("b", "gpu-1")])
    assert [type(answer) for answer in answers] == [JournalError, JournalError]
    assert effective.backend.calls == []
    disk.mend()
    effective.assert_empty()


def test_a_commit_that_fails_within_a_batch_takes_back_every_success_before_it(effective, want):
    """Allocated anew in a batch, a claim needs its intent recorded in between: what came before is undone with it."""
    effective.prepare("old", "gpu-0")
    disk = _BrokenDisk(effective, syncs=1)
    answers = effective.engine.run([want("a", "gpu-1"), want("old", "gpu-2"), want("b", "gpu-3")])
    assert [type(answer) for answer in answers] == [JournalError] * 3
    disk.mend()
    effective.assert_consistent()
    assert effective.phases() == {"a": "intent", "b": "intent", "old": "committed"}
    assert effective.prepare("a", "gpu-1")


def test_an_intent_left_by_a_failed_commit_holds_its_device_and_is_undone_first(effective, want):
    disk = _BrokenDisk(effective, syncs=1)
    effective.engine.run([want("a", "gpu-0")])
    disk.mend()
    with pytest.raises(DeviceBusy):
        effective.prepare("b", "gpu-0")
    effective.backend.calls.clear()
    effective.prepare("a", "gpu-0")
    assert effective.backend.calls == [("unprepare", "a"), ("prepare", "a")]


# Two agents of a rolling update


def test_what_one_agent_prepared_the_other_answers_refuses_and_releases(make_bench, tmp_path):
    one = make_bench(tmp_path)
    answer = one.prepare("a", "gpu-0")
    other = make_bench(tmp_path)
    assert other.prepare("a", "gpu-0") == answer
    with pytest.raises(DeviceBusy):
        other.prepare("b", "gpu-0")
    other.unprepare("a")
    assert one.prepare("c", "gpu-0")
    assert one.run(RollBack(one.entries()["c"].claim)) == ()
    assert other.phases() == {}  # it has not looked since
    other.run(Restore())
    assert other.phases() == {"c": "committed"}
    one.kill()
    other.kill()
