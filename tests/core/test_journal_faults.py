"""The journal where writing fails: what was told to be durable is, and what was not is undone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest
from drakit import AllocatedDevice, ClaimRef, DeviceRef
from drakit.errors import JournalError
from drakit.journal import Entry, Journal, Phase
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule


def entry(uid: str, device: str = "gpu-0", phase: Phase = Phase.COMMITTED) -> Entry:
    allocated = AllocatedDevice("gpu", DeviceRef("gpu.example.com", "node-1", device))
    return Entry(claim=ClaimRef(uid, "default", uid), phase=phase, devices=(allocated,))


class Disk:
    """Stands for the disk below a journal: its syncs fail while `broken`."""

    def __init__(self) -> None:
        self.broken = False
        self.syncs = 0

    def sync(self, descriptor: int) -> None:
        if self.broken:
            raise OSError(5, "Input/output error")
        self.syncs += 1
        os.fdatasync(descriptor)


@contextmanager
def no_room_for_a_new_file(path: Path):
    """Nothing can be written anew while a directory stands where the temporary file would."""
    blocker = Path(f"{path}.tmp")
    blocker.mkdir()
    try:
        yield
    finally:
        blocker.rmdir()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drakit.journal"


def reopened(path: Path) -> list[str]:
    journal = Journal(path)
    with journal.locked():
        found = sorted(journal.entries)
    journal.close()
    return found


def test_a_sync_that_fails_is_made_up_for_by_a_whole_new_file(path):
    disk = Disk()
    journal = Journal(path, sync=disk.sync)
    with journal.locked():
        journal.put(entry("a"))
        journal.commit()
        inode = path.stat().st_ino
        disk.broken = True
        journal.put(entry("b"))
        journal.commit()
    journal.close()
    assert path.stat().st_ino != inode
    assert reopened(path) == ["a", "b"]


def test_where_nothing_can_be_written_the_batch_is_undone_and_told(path):
    disk = Disk()
    journal = Journal(path, sync=disk.sync)
    with journal.locked():
        journal.put(entry("a", "gpu-0"))
        journal.commit()
        disk.broken = True
        with no_room_for_a_new_file(path):
            journal.release("a")
            journal.put(entry("b", "gpu-1"))
            journal.put(entry("b", "gpu-2"))
            with pytest.raises(JournalError, match=r"drakit\.journal cannot be written: .*; nothing was changed"):
                journal.commit()
        assert list(journal.entries) == ["a"]
        assert journal.entries["a"] == entry("a", "gpu-0")
        held = [set(journal.holders(DeviceRef("gpu.example.com", "node-1", f"gpu-{n}"))) for n in range(3)]
        assert held == [{"a"}, set(), set()]
    journal.close()
    assert reopened(path) == ["a"]


def test_what_was_undone_does_not_come_back_with_the_next_reading(path):
    """The line had reached the file when its sync failed; the next reading takes it for another agent's otherwise."""
    disk = Disk()
    journal = Journal(path, sync=disk.sync)
    with journal.locked():
        journal.put(entry("a"))
        journal.commit()
    disk.broken = True
    with journal.locked(), no_room_for_a_new_file(path):
        journal.put(entry("b"))
        with pytest.raises(JournalError):
            journal.commit()
    with journal.locked():
        assert list(journal.entries) == ["a"]
    journal.close()
    assert reopened(path) == ["a"]


def test_a_journal_that_failed_works_on_once_the_disk_does(path):
    disk = Disk()
    journal = Journal(path, sync=disk.sync)
    disk.broken = True
    with journal.locked(), no_room_for_a_new_file(path):
        journal.put(entry("a"))
        with pytest.raises(JournalError):
            journal.commit()
    disk.broken = False
    with journal.locked():
        journal.put(entry("b"))
        journal.commit()
    journal.close()
    assert reopened(path) == ["b"]


def test_a_failed_batch_does_not_keep_a_batch_without_changes_from_its_answer(path):
    disk = Disk()
    journal = Journal(path, sync=disk.sync)
    disk.broken = True
    with no_room_for_a_new_file(path):
        with journal.locked():
            journal.put(entry("a"))
            with pytest.raises(JournalError):
                journal.commit()
        with journal.locked():
            journal.commit()
    journal.close()


def test_where_there_is_no_room_for_a_whole_new_file_history_is_kept_for_now(path):
    journal = Journal(path, sync=lambda _descriptor: None)
    with journal.locked(), no_room_for_a_new_file(path):
        for _ in range(600):
            journal.put(entry("a"))
            journal.commit()
            journal.release("a")
            journal.commit()
        assert len(path.read_bytes().splitlines()) == 1200
    with journal.locked():
        journal.put(entry("b"))
        journal.commit()
        assert len(path.read_bytes().splitlines()) == 1
    journal.close()
    assert reopened(path) == ["b"]


def test_a_reading_that_fails_leaves_what_is_known_as_it_was(path):
    journal, other = Journal(path), Journal(path)
    for one, uid in ((journal, "a"), (other, "b")):
        with one.locked():
            one.put(entry(uid))
            one.commit()
    path.rename(f"{path}.old")
    path.write_bytes(Path(f"{path}.old").read_bytes() + b"garbage\n")
    blocker = Path(f"{path}.damaged")
    blocker.mkdir()
    with pytest.raises(JournalError), journal.locked():
        pass
    assert list(journal.entries) == ["a"]
    blocker.rmdir()
    with journal.locked():
        assert list(journal.entries) == ["a", "b"]
    journal.close()
    other.close()


def test_damage_that_cannot_be_set_aside_is_not_passed_over(path):
    """Were it, nobody would know that the claim's devices are to stay held."""
    journal = Journal(path)
    with journal.locked():
        journal.put(entry("a"))
        journal.commit()
    journal.close()
    path.write_bytes(b"garbage\n" + path.read_bytes())
    blocker = Path(f"{path}.damaged")
    blocker.mkdir()
    journal = Journal(path)
    for _ in range(2):
        with pytest.raises(JournalError, match=r"cannot be read or mended: .* directory"), journal.locked():
            pass
    blocker.rmdir()
    with journal.locked():
        assert journal.damaged
        assert list(journal.entries) == ["a"]
    journal.close()


FULL_DISK = """
    import resource, sys
    from pathlib import Path
    from attrs import evolve
    from drakit import AllocatedDevice, ClaimRef, DeviceRef
    from drakit.errors import JournalError
    from drakit.journal import Entry, Journal

    path = Path(sys.argv[1])
    journal = Journal(path)
    with journal.locked():
        journal.put(Entry(claim=ClaimRef("a", "default", "a")))
        journal.commit()
    room = path.stat().st_size + int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
    with journal.locked():
        journal.put(Entry(claim=ClaimRef("b", "default", "b")))
        try:
            journal.commit()
        except JournalError as error:
            print(error)
        print(*journal.entries)
    assert not Path(f"{path}.tmp").exists(), "it would take the room that an append needs"
    with journal.locked():
        print(*journal.entries)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    with journal.locked():
        journal.put(Entry(claim=ClaimRef("c", "default", "c")))
        journal.commit()
"""


@pytest.mark.parametrize("room", [0, 1, 40])
def test_a_full_disk_undoes_the_batch_and_is_told_in_words(path, room):
    done = subprocess.run(
        [sys.executable, "-c", dedent(FULL_DISK), str(path), str(room)], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    message, now, later = done.stdout.splitlines()
    assert message == f"journal {path} cannot be written: File too large; nothing was changed"
    assert (now, later) == ("a", "a")
    assert reopened(path) == ["a", "c"]


uids = st.sampled_from("abcdef")
phases = st.sampled_from(Phase)
devices = st.sampled_from(["gpu-0", "gpu-1", "gpu-2"])


class JournalAgainstDict(RuleBasedStateMachine):
    """Any mixture of batches by two agents, failures and restarts agrees with two dicts: what is durable, and now."""

    @initialize()
    def open(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="drakit-journal-"))
        self.path = self.directory / "drakit.journal"
        self.path.touch()  # else it might have been lost, which counts as damage
        self.disk = Disk()
        self.journals = [self._open(), self._open()]
        self.durable: dict[str, Entry] = {}

    def teardown(self) -> None:
        if hasattr(self, "directory"):
            for journal in self.journals:
                journal.close()
            shutil.rmtree(self.directory)

    def _open(self) -> Journal:
        return Journal(self.path, sync=self.disk.sync)

    batches = st.lists(st.tuples(uids, st.none() | st.tuples(devices, phases)), max_size=5)

    def _stage(self, journal: Journal, batch: list) -> dict[str, Entry]:
        after = dict(self.durable)
        for uid, what in batch:
            if what is None:
                journal.release(uid)
                after.pop(uid, None)
            else:
                after[uid] = entry(uid, *what)
                journal.put(after[uid])
        return after

    @rule(batch=batches, agent=st.integers(0, 1))
    def commit(self, batch: list, agent: int) -> None:
        with self.journals[agent].locked():
            after = self._stage(self.journals[agent], batch)
            before = self.journals[agent].syncs
            self.journals[agent].commit()
            assert self.journals[agent].syncs - before <= 1
        self.durable = after

    @rule(batch=batches, agent=st.integers(0, 1))
    def commit_with_a_failing_sync(self, batch: list, agent: int) -> None:
        self.disk.broken = True
        self.commit(batch, agent)
        self.disk.broken = False

    @rule(batch=batches, agent=st.integers(0, 1))
    def fail_to_commit(self, batch: list, agent: int) -> None:
        self.disk.broken = True
        journal = self.journals[agent]
        with journal.locked(), no_room_for_a_new_file(self.path):
            after = self._stage(journal, batch)
            try:
                journal.commit()
            except JournalError:
                assert dict(journal.entries) == self.durable
            else:
                assert after == self.durable  # there was nothing to write
        self.disk.broken = False

    @rule(batch=batches, agent=st.integers(0, 1))
    def crash(self, batch: list, agent: int) -> None:
        with self.journals[agent].locked():
            self._stage(self.journals[agent], batch)
        self.journals[agent].close()
        self.journals[agent] = self._open()

    @precondition(lambda self: self.path.stat().st_size)
    @rule(length=st.integers(1, 30))
    def tear(self, length: int) -> None:
        """A writer dies in the middle of a line."""
        with self.path.open("ab") as file:
            file.write(b"0123abcd {" + b"x" * length)

    @invariant()
    def agree(self) -> None:
        for journal in getattr(self, "journals", ()):
            with journal.locked():
                assert dict(journal.entries) == self.durable
                assert not journal.damaged
                for name in ("gpu-0", "gpu-1", "gpu-2"):
                    device = DeviceRef("gpu.example.com", "node-1", name)
                    holding = {u for u, e in self.durable.items() if e.devices[0].device == device}
                    assert journal.holders(device) == holding


TestJournalAgainstDict = JournalAgainstDict.TestCase
TestJournalAgainstDict.settings = settings(max_examples=40, stateful_step_count=25)


def test_a_file_that_is_written_anew_is_durable_before_it_is_renamed_and_its_name_after(path, monkeypatch):
    """A power failure may keep a name without its content, or lose the name: the order of syncs forbids both."""
    steps: list[str] = []

    def noting(name, real, subject):
        def call(where, *arguments):
            steps.append(f"{name} {subject(where)}")
            return real(where, *arguments)

        monkeypatch.setattr(os, name, call)

    def opened(descriptor: int) -> str:
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        return place.name if place.is_dir() else f"{place.name}, {os.fstat(descriptor).st_size} bytes"

    journal = Journal(path, sync=Disk().sync)
    with journal.locked():
        journal.put(entry("a"))
        journal.commit()
    path.unlink()
    noting("fsync", os.fsync, opened)
    noting("rename", os.rename, lambda where: Path(where).name)
    with journal.locked():
        written = path.stat().st_size
    journal.close()
    assert reopened(path) == ["a"]
    assert steps == [
        f"fsync drakit.journal.tmp, {written} bytes",
        "rename drakit.journal.tmp",
        f"fsync {path.parent.name}",
    ]
