"""The file of faults: shared by agents and the command line, never relied upon, and left alone when nothing is new."""

from __future__ import annotations

import fcntl
import json
import os
import time
from pathlib import Path
from typing import ClassVar

import pytest
from drakit import Fault
from drakit.errors import ConfigError
from drakit.faults import FaultBook
from drakit.faults.clearing import clear
from drakit.faults.record import FaultFile, FaultsLocked, Memory, RememberedFault, merged
from hypothesis import given
from hypothesis import strategies as st

DRIVER = "gpu.example.com"


def ecc(count: int) -> Fault:
    return Fault("ecc", f"{count} errors", end="cleared", count=count)


def written(path: Path) -> tuple[int, int] | None:
    """Tells one writing of the file from the next."""
    return (path.stat().st_ino, path.stat().st_mtime_ns) if path.exists() else None


@pytest.fixture
def cli(path) -> FaultFile:
    """The file as the command line has it."""
    return FaultFile(path, DRIVER, "boot-1")


def test_what_ends_with_its_report_and_what_is_well_is_not_written(book, report, path):
    book.judge(report(Fault("hang", "does not answer"), counters={"reads": 3}, epoch="a"))
    book.judge(report(Fault("corrected", "many", end="cleared", count=9, threshold=10)))
    assert not path.exists()


def test_the_file_is_written_when_something_is_new_and_not_again(book, report, path, clock):
    book.judge(report(ecc(3)))
    before = written(path)
    assert before is not None
    for count in range(4, 50):
        clock.seconds += 5
        clock.day = clock.day.replace(second=count)
        book.judge(report(ecc(count), epoch="a" if count > 4 else ""))
        if count == 5:
            before = written(path)
    assert written(path) == before


def test_a_backend_that_tells_another_epoch_each_time_does_not_have_the_file_written_each_time(
    book, report, path, clock
):
    writes = set()
    for number in range(120):
        clock.seconds += 5
        clock.day = clock.day.replace(minute=number % 60)
        book.judge(report(Fault("sram", "bad", end="cleared"), epoch=f"epoch-{number}"))
        writes.add(written(path))
    assert len(writes) <= 120 * 5 / 60 + 2


@pytest.mark.reliability(
    fault="Two agents serve a driver during a rolling update, and both see faults",
    injected="Two books over one file take turns, each seeing a fault of its own",
    promise="Each takes up what the other wrote, and neither overwrites it",
)
def test_each_agent_takes_up_what_the_other_writes(agent, report, names, ref):
    old, new = agent(), agent()
    old.judge(report(ecc(3)))
    new.judge(report(ecc(1), device="gpu-1"))
    assert names(new) == ["gpu-0 ecc", "gpu-1 ecc"]
    old.judge(report())
    assert names(old) == ["gpu-0 ecc", "gpu-1 ecc"]
    assert names(agent()) == ["gpu-0 ecc", "gpu-1 ecc"]


def test_what_an_operator_clears_is_cleared_for_every_agent(agent, report, names, cli):
    old, new = agent(), agent()
    old.judge(report(ecc(3)))
    new.judge(report(ecc(3)))
    assert [name for _, name in clear(cli, ["node-1/gpu-0"])] == ["ecc"]
    for book in (old, new, old, agent()):
        book.judge(report(ecc(3)))
        assert names(book) == []


def test_one_fault_may_be_cleared_alone_and_all_at_once(book, report, names, cli):
    faults = [Fault(name, name, end="cleared") for name in ("ecc", "sram")]
    book.judge([*report(*faults), *report(*faults, device="gpu-1")])
    clear(cli, [], "ecc")
    book.judge([])
    assert names(book) == ["gpu-0 sram", "gpu-1 sram"]
    assert len(clear(cli, [])) == 2
    assert clear(cli, []) == []


@pytest.mark.parametrize(
    ("devices", "fault", "words"),
    [
        (["gpu-9"], "", "nothing is remembered of a device 'gpu-9'.*: gpu-0"),
        (["gpu-0", "gpu-9"], "", "nothing was cleared"),
        (["gpu-0"], "sram", "has no fault 'sram' to be cleared; nothing was"),
    ],
)
def test_what_cannot_be_cleared_is_said_and_nothing_is(book, report, names, cli, devices, fault, words):
    book.judge(report(ecc(3)))
    with pytest.raises(ConfigError, match=words):
        clear(cli, devices, fault)
    book.judge(report())
    assert names(book) == ["gpu-0 ecc"]


@pytest.mark.reliability(
    fault="The file of faults is damaged, or of nobody knows what",
    injected="Something else stands in it when an agent starts",
    promise="It is warned of once, counts are held against 0 so that nothing faulty passes, the file is written anew",
)
@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b'{"schema": 1}x', b'{"schema": 1, "devices": {"pool": 1}}', b"\xff", b'{"devices": []}',
     b'{"schema": 1, "devices": [{"pool": "", "device": "-"}]}'],
)  # fmt: skip
def test_a_damaged_file_costs_what_it_held_and_no_more(agent, report, names, path, logged, content):
    path.write_bytes(content)
    book = agent()
    for _ in range(3):
        book.judge(report())
    assert logged("cannot be read") == 1
    assert names(book) == []
    book.judge(report(ecc(3)))
    assert names(book) == ["gpu-0 ecc"]
    assert names(agent()) == ["gpu-0 ecc"]


def test_a_pipe_in_the_place_of_the_file_holds_nobody_up(agent, report, names, path, logged):
    os.mkfifo(path)
    book = agent()
    assert logged("not a plain file") == 1
    book.judge(report(ecc(3)))
    assert names(agent()) == ["gpu-0 ecc"]


@pytest.mark.parametrize("befalls", [Path.unlink, lambda path: path.write_bytes(b"{")])
def test_a_file_that_is_removed_or_damaged_in_use_clears_nothing_and_is_written_anew(
    book, report, names, path, agent, befalls
):
    book.judge(report(ecc(3)))
    befalls(path)
    book.judge(report())
    assert names(book) == ["gpu-0 ecc"]
    assert names(agent()) == ["gpu-0 ecc"]


@pytest.mark.reliability(
    fault="The file of faults cannot be written",
    injected="A directory stands where it is to be written",
    promise="It is warned of once, all goes on from memory, and it is written when it can be",
)
def test_without_a_file_all_goes_on_from_memory(book, report, names, path, logged, clock):
    path.with_name("faults.json.tmp").mkdir()
    for _ in range(5):
        book.judge(report(ecc(3)))
        book.judge(report())
        clock.seconds += 30
    assert names(book) == ["gpu-0 ecc"]
    assert logged("cannot be written") == 1
    path.with_name("faults.json.tmp").rmdir()
    clock.seconds += 60
    book.judge(report())
    assert json.loads(path.read_text())["devices"][0]["device"] == "gpu-0"


def test_a_file_that_somebody_else_is_at_work_on_holds_up_no_health(book, report, names, path, cli):
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    began = time.monotonic()
    book.judge(report(ecc(3)))
    assert names(book) == ["gpu-0 ecc"]
    assert not path.exists()
    with pytest.raises(FaultsLocked, match="locked by another process"), cli.locked(0.01):
        pass
    os.close(descriptor)
    assert time.monotonic() - began < 30
    book.judge(report())
    assert path.exists()


def test_a_file_of_a_later_release_is_read_as_far_as_it_is_known(agent, names, path):
    row = {"pool": "node-1", "device": "gpu-0", "faults": {"ecc": {"since": "2026", "shape": "odd"}}, "more": 1}
    path.write_text(json.dumps({"schema": 2, "bootId": "boot-1", "devices": [row], "also": []}))
    assert names(agent()) == ["gpu-0 ecc"]


counts = st.one_of(st.none(), st.integers(1, 3))
memories = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.builds(
        Memory,
        faults=st.dictionaries(st.sampled_from("xyz"), st.builds(RememberedFault, message=st.sampled_from("12"))),
        baselines=st.dictionaries(st.sampled_from("xyz"), counts),
    ).filter(lambda memory: not memory.is_empty),
)


@given(memories, memories, memories)
def test_nothing_that_either_agent_has_found_is_lost_and_nothing_cleared_comes_back(base, ours, theirs):
    found = merged(base, ours, theirs)

    def faults(state):
        return {(ref, name) for ref, memory in state.items() for name in memory.faults}

    begun = faults(ours) - faults(base)
    assert faults(found) == faults(theirs) | begun
    assert merged(base, base, theirs) == theirs
    assert merged(base, ours, base).keys() >= {ref for ref, _ in begun}


class Watched(FaultFile):
    """A file that tells what is done to it."""

    done: ClassVar[list[str]] = []

    def signature(self):
        self.done.append("look")
        return super().signature()

    def read(self):
        self.done.append("read")
        return super().read()

    def locked(self, patience_seconds=0.0):
        self.done.append("lock")
        return super().locked(patience_seconds)


def test_a_round_with_nothing_new_looks_once_and_neither_reads_nor_locks(path, report):
    book = FaultBook(Watched(path, DRIVER, "boot-1"))
    book.open()
    book.judge(report(ecc(3)))
    Watched.done.clear()
    for _ in range(3):
        book.judge(report(ecc(3)))
    assert Watched.done == ["look"] * 3


def test_a_file_that_cannot_be_written_is_tried_again_once_a_minute(path, report, clock):
    path.with_name("faults.json.tmp").mkdir()
    book = FaultBook(Watched(path, DRIVER, "boot-1"), clock=clock)
    book.open()
    Watched.done.clear()
    for _ in range(24):
        book.judge(report(ecc(3)))
        clock.seconds += 5
    assert Watched.done.count("lock") == 2
