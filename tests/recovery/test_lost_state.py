"""Journals that were damaged or are of another release, reboots, and clocks that jump: on a real agent."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest

YEAR = 366 * 24 * 3600


def line(record: Any) -> bytes:
    text = json.dumps(record).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def flipped(record: bytes) -> bytes:
    middle = len(record) // 2
    return record[:middle] + bytes([record[middle] ^ 1]) + record[middle + 1 :]


def of_a_later_release(record: bytes) -> bytes:
    document = json.loads(record[9:])
    document["schema"] = 99
    document["entry"] |= {"phase": "half-way", "colour": "red"}
    return line(document)


@pytest.fixture
def spoil(site, new_claim) -> Callable[[Callable[[bytes], bytes]], Any]:
    """Prepare claims `one` and `two`, and change what the journal has of `one` while no agent runs: both claims."""

    def run(change: Callable[[bytes], bytes]) -> Any:
        one, two = new_claim("one", "gpu-1"), new_claim("two", "gpu-2")
        site.start()
        answers = site.prepared(one) | site.prepared(two)
        site.kill()
        journal = site.state / "drakit.journal"
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join(change(each) if one.uid.encode() in each else each for each in lines))
        return one, two, answers

    return run


@pytest.mark.reliability(
    fault="Records of the journal are damaged, or a later release wrote what this one does not know",
    injected="A flipped bit, garbage, binary zeros and an unknown phase in one claim's records",
    promise="That claim keeps device and CDI file until Unprepare, which succeeds; others do not notice",
)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(flipped, id="a flipped bit"),
        pytest.param(lambda record: b"\xff\xfe garbage\n", id="garbage"),
        pytest.param(lambda record: b"\0" * len(record[1:]) + b"\n", id="zeros"),
        pytest.param(of_a_later_release, id="a later release"),
    ],
)
def test_a_record_that_cannot_be_read_costs_its_own_claim(site, spoil, new_claim, change):
    one, two, answers = spoil(change)
    files, other = site.files(), new_claim("other", "gpu-1")
    site.start()
    assert site.files() == files
    assert site.prepared(two) == {two.uid: answers[two.uid]}
    assert f"held by claim default/{one.name}" in site.refusal(other)
    assert "delete the pod" in site.refusal(one)
    site.kill()
    site.start()  # and it is no other after the next restart
    assert "held by claim default/one" in site.refusal(other)
    site.unprepare(one)
    assert site.prepared(other)
    site.unprepare(two, other)
    assert (site.entries(), site.files(), site.effects()) == ({}, {}, {})


@pytest.mark.reliability(
    fault="The agent is downgraded to a release that lacks what the journal has",
    injected="Records with a newer schema number and fields this release does not know",
    promise="They are read for what is known: same answers, and Unprepare leaves nothing",
)
def test_records_of_a_later_release_are_used_for_what_is_known(site, spoil):
    def later(record: bytes) -> bytes:
        document = json.loads(record[9:])
        document |= {"schema": 99, "written": "tomorrow"}
        document["entry"] |= {"priority": 3}
        return line(document)

    one, two, answers = spoil(later)
    site.start()
    assert site.prepared(one, two) == answers
    site.unprepare(one, two)
    site.assert_empty()


@pytest.mark.reliability(
    fault="The last record of the journal is cut off, as by a power loss",
    injected="The file cut short within the record of one claim",
    promise="The others are whole; the claim's repeat is prepared again, with the same answer",
)
def test_a_journal_that_was_cut_short_loses_what_was_cut_off_and_no_more(site, spoil):
    one, two, answers = spoil(lambda record: record)
    journal = site.state / "drakit.journal"
    journal.write_bytes(journal.read_bytes()[:-20])
    site.start()
    assert site.prepared(one, two) == answers
    site.unprepare(one, two)
    site.assert_empty()


@pytest.mark.parametrize("site", ["plain.example.com"], indirect=True)
@pytest.mark.reliability(
    fault="The journal cannot be read",
    injected="A directory in its place, then the file back",
    promise="The driver says so and is not served; once it can be read, it serves what is prepared",
)
def test_a_journal_that_cannot_be_read_is_waited_for(site, spoil, until):
    one, two, answers = spoil(lambda record: record)
    journal, away = site.state / "drakit.journal", site.directory / "away"
    journal.rename(away)
    journal.mkdir()
    before = len(site.kubelet.history)
    site.fork()
    until(lambda: "cannot be opened" in site.log.read_text(), "the agent to complain")
    assert len(site.kubelet.history) == before
    journal.rmdir()
    away.rename(journal)
    until(lambda: len(site.kubelet.history) > before, "the driver to be served")
    assert site.prepared(one, two) == answers


@pytest.mark.reliability(
    fault="The wall clock jumps",
    injected="Ten years forward and twenty back, between every two calls and over restarts",
    promise="Nothing differs: answers, holds and releases do not depend on it",
)
def test_no_decision_depends_on_the_wall_clock(site, new_claim):
    one, other = new_claim("one", "gpu-1"), new_claim("other", "gpu-1")
    jumps = iter([10 * YEAR, -10 * YEAR, 10 * YEAR, 0, -10 * YEAR, 10 * YEAR])
    site.start()
    answer = site.prepared(one)
    for restart in (False, True, False, True):
        site.jump(next(jumps))
        if restart:
            site.kill()
            site.start(discoverySeconds=0.05)
        asked = site.calls()
        assert site.prepared(one) == answer
        assert site.calls() == asked  # in one boot, a repeat asks no hook
        assert "held by claim default/one" in site.refusal(other)
    site.jump(next(jumps))
    site.unprepare(one)
    site.jump(next(jumps))
    assert site.prepared(other)
    site.unprepare(other)
    site.assert_empty()


@pytest.mark.reliability(
    fault="The node reboots: the CDI directory is gone, devices are numbered anew, some pods never come back",
    injected="The directory removed, another boot id, device numbers exchanged, one of the claims deleted",
    promise="Files are written anew with the new numbers and the same ids; what is gone is undone and free",
)
def test_after_a_reboot_what_is_wanted_is_whole_and_what_is_gone_is_free(site, new_claim, until):
    kept, gone = new_claim("kept", "gpu-0"), new_claim("gone", "gpu-1")
    site.start()
    answer = site.prepared(kept)
    site.prepared(gone)
    site.kill()
    site.reboot("boot-2")
    (site.root / "numbers").write_text(json.dumps({"gpu-0": 1, "gpu-1": 0}))
    site.api.delete("ResourceClaim", "gone", "default")
    site.start()
    assert site.prepared(kept) == answer
    until(lambda: len(site.files()) == 1, "what is gone to be undone")
    (content,) = site.files().values()
    assert b"/dev/gpu1" in content
    until(lambda: site.entries() == {kept.uid: "committed"}, "its hold to end")
    assert gone.uid not in site.effects()
    assert site.prepared(new_claim("next", "gpu-1"))


@pytest.mark.reliability(
    fault="A plugin is gone while pods have its devices",
    injected="An agent for which the plugin is not installed, then one for which it is again",
    promise="Repeats are answered and pods end; what a preparation changed is undone when the plugin is back",
)
def test_pods_end_though_their_plugin_is_gone(site, new_claim):
    one, two = new_claim("one", "gpu-1"), new_claim("two", "gpu-2")
    site.start()
    answer, files = site.prepared(one), site.files()
    site.kill()
    site.start(backends=[{"plugin": "unruly"}, {"plugin": "no-such-plugin", "driver": site.driver}])
    assert "no-such-plugin" in site.refusal(two)
    assert site.prepared(one) == answer
    assert site.files() == files
    site.unprepare(one)
    assert site.files() == {}
    site.kill()
    site.start()
    site.assert_empty()
