"""Several agents on one journal, and whoever else lays hands on the file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from drakit import AllocatedDevice, ClaimRef, DeviceRef
from drakit.errors import JournalError
from drakit.journal import Entry, Journal, Phase


def ref(name: str) -> DeviceRef:
    return DeviceRef("gpu.example.com", "node-1", name)


def entry(uid: str, phase: Phase = Phase.COMMITTED) -> Entry:
    allocated = AllocatedDevice("gpu", ref(f"gpu-{uid}"))
    return Entry(claim=ClaimRef(uid, "default", f"claim-{uid}"), phase=phase, devices=[allocated])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drakit.journal"


def entries(path: Path) -> dict[str, Entry]:
    journal = Journal(path)
    try:
        with journal.locked():
            return dict(journal.entries)
    finally:
        journal.close()


def write(path: Path, one: Entry) -> None:
    journal = Journal(path)
    with journal.locked():
        journal.put(one)
        journal.commit()
    journal.close()


def test_two_agents_see_each_others_records(path):
    one, other = Journal(path), Journal(path)
    for index, (writer, reader) in enumerate([(one, other), (other, one), (one, other)]):
        with writer.locked():
            writer.put(entry(str(index)))
            writer.commit()
        with reader.locked():
            assert str(index) in reader.entries
            assert reader.holders(ref(f"gpu-{index}")) == {str(index)}
    with other.locked():
        other.release("0")
        other.commit()
    with one.locked():
        assert sorted(one.entries) == ["1", "2"]
    one.close()
    other.close()


def test_an_agent_follows_a_file_that_the_other_wrote_anew(path):
    one, other = Journal(path), Journal(path)
    with one.locked():
        one.put(entry("kept"))
        one.commit()
    with other.locked():
        for index in range(1200):
            other.put(entry("x", phase=Phase.INTENT))
            if index % 100 == 0:
                other.commit()
        other.release("x")
        other.commit()
        other.put(entry("new"))
        other.commit()
    with one.locked():
        assert sorted(one.entries) == ["kept", "new"]
        one.put(entry("mine"))
        one.commit()
    with other.locked():
        assert sorted(other.entries) == ["kept", "mine", "new"]
    one.close()
    other.close()


OTHER_AGENT = """
import sys
from pathlib import Path
from drakit.journal import Journal
journal = Journal(Path(sys.argv[1]))
print("waiting", flush=True)
with journal.locked():
    print(*journal.entries)
"""


def test_the_lock_keeps_other_agents_out(path):
    journal = Journal(path)
    with journal.locked():
        other = subprocess.Popen([sys.executable, "-c", OTHER_AGENT, str(path)], stdout=subprocess.PIPE, text=True)
        assert other.stdout.readline() == "waiting\n"
        journal.put(entry("a"))
        journal.commit()
    assert other.communicate()[0] == "a\n"  # it got the lock only after the commit
    journal.close()


def test_an_agent_learns_of_damage_in_what_another_appended(path):
    one = Journal(path)
    with one.locked():
        one.put(entry("a"))
        one.commit()
    write(path, entry("b"))
    path.write_bytes(path.read_bytes().replace(b'"uid":"b"', b'"uid":"x"'))
    with one.locked():
        assert list(one.entries) == ["a"]
        assert one.damaged
    one.close()


def test_an_agent_learns_of_damage_that_another_one_set_aside_and_did_not_settle(path):
    one = Journal(path)
    with one.locked():
        one.put(entry("a"))
        one.commit()
    with path.open("ab") as file:
        file.write(b"garbage\n")
    entries(path)
    with one.locked():
        assert list(one.entries) == ["a"]
        assert one.damaged
        one.damage_is_settled()
        assert not one.damaged
    one.close()


SPOILT: dict[str, Callable[[Path], object]] = {
    "removed": lambda path: path.unlink(),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:10]),
}


@pytest.mark.reliability(
    fault="Somebody removes the journal, or cuts it short, while the agent runs",
    injected="The file removed, or truncated, under an open journal",
    promise="It is written anew from memory, with a warning; nothing is forgotten",
)
@pytest.mark.parametrize("how", SPOILT)
def test_a_file_that_is_spoilt_while_in_use_is_written_anew_from_memory(path, how):
    """What is in memory is what hands out devices: forgotten, they would be given to a second claim."""
    warnings: list[str] = []
    journal = Journal(path, warn=warnings.append)
    with journal.locked():
        journal.put(entry("a"))
        journal.commit()
    SPOILT[how](path)
    with journal.locked():
        assert dict(journal.entries) == {"a": entry("a")}
        assert journal.holders(ref("gpu-a")) == {"a"}
    assert entries(path) == {"a": entry("a")}
    (warning,) = warnings
    assert f"journal {path} was {how} while in use; it is written anew with the 1 claims" in warning
    with journal.locked():
        journal.put(entry("b"))
        journal.commit()
    journal.close()
    assert list(entries(path)) == ["a", "b"]


@pytest.mark.parametrize("cut_to", [0, 10])
@pytest.mark.parametrize("appended", [1, 20])
def test_what_a_new_agent_appended_to_a_file_that_was_cut_short_is_kept_too(path, cut_to, appended):
    """The new one has read a file that was nearly empty; then the old one looks, whether the file is longer or not."""
    old = Journal(path)
    with old.locked():
        for uid in ("ended", "a", "b"):
            old.put(entry(uid))
        old.release("ended")
        old.commit()
    path.write_bytes(path.read_bytes()[:cut_to])
    names = [f"new-{index}" for index in range(appended)]
    for name in names:
        write(path, entry(name))
    with old.locked():
        assert sorted(old.entries) == sorted(["a", "b", *names])
    old.close()
    assert sorted(entries(path)) == sorted(["a", "b", *names])


def test_a_claim_that_ended_does_not_come_back_from_what_is_left_of_the_file(path):
    journal = Journal(path)
    with journal.locked():
        journal.put(entry("ended"))
        journal.commit()
        first = path.stat().st_size
        journal.put(entry("a"))
        journal.release("ended")
        journal.commit()
    path.write_bytes(path.read_bytes()[:first])
    with journal.locked():
        assert sorted(journal.entries) == ["a"]
    journal.close()
    assert sorted(entries(path)) == ["a"]


def test_what_another_agent_appended_before_the_file_was_removed_is_kept_too(path):
    one, other = Journal(path), Journal(path)
    for journal, uid in ((one, "a"), (other, "b")):
        with journal.locked():
            journal.put(entry(uid))
            journal.commit()
    path.unlink()
    for journal in (one, other):
        with journal.locked():
            assert sorted(journal.entries) == ["a", "b"]
        journal.close()
    assert sorted(entries(path)) == ["a", "b"]


def test_a_file_that_is_gone_before_it_was_ever_read_is_an_empty_journal(path):
    write(path, entry("a"))
    warnings: list[str] = []
    journal = Journal(path, warn=warnings.append)
    path.unlink()
    with journal.locked():
        assert dict(journal.entries) == {}
    journal.close()
    assert warnings == []


def test_a_closed_journal_is_refused_and_may_be_closed_again(path):
    journal = Journal(path)
    with journal.locked():
        journal.put(entry("a"))
        journal.commit()
    journal.close()
    journal.close()
    for use in (journal.locked().__enter__, journal.glance):
        with pytest.raises(JournalError, match="was closed"):
            use()
    assert list(journal.entries) == ["a"]


def test_a_journal_closed_under_a_batch_writes_nothing_without_its_lock(path):
    journal = Journal(path)
    with journal.locked():
        journal.put(entry("a"))
        journal.close()
        with pytest.raises(JournalError, match="it was closed; nothing was changed"):
            journal.commit()
    assert entries(path) == {}
