"""Wherever an agent dies, its successor comes to the same end.

The agent is a process that kills itself before its n-th step below its directories, for every n until it survives: no
list of crash points is kept, and a step that is added is tried as well. What follows goes over the real sockets.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from drakit.entries import release_line
from drakit.model import ClaimRef
from drakit.testing import CallFailed

LEAST_STEPS = 4
"""A CDI file, a record torn or whole, and the end of the batch: with fewer, steps are not seen any more."""

MOST_STEPS = pytest.mark.parametrize("site", ["plain.example.com", "described.example.com"], indirect=True)
"""Side effects, and files that describe devices to containers besides: all the steps there are."""


@pytest.fixture
def crashes(site) -> Callable[..., Iterator[Any]]:
    """Give the site as it is now, dead in the middle of an act, once for every step of that act.

    Settings of the agent that dies are given by name.
    """

    def crash(act: Callable[[Any], Any], **settings: Any) -> Iterator[Any]:
        for victim in itertools.count(1):
            with contextlib.closing(site.copy(str(victim))) as crashed:
                if not _dies(crashed, act, victim, settings):
                    assert victim > LEAST_STEPS
                    return
                yield crashed

    return crash


@pytest.fixture
def undisturbed(site) -> Callable[[Callable[[Any], Any]], Any]:
    """What an act answers where nothing goes wrong, and the files for containers after it."""

    def run(act: Callable[[Any], Any]) -> Any:
        with contextlib.closing(site.copy("reference")) as reference:
            reference.start()
            return act(reference), reference.files(), reference.metadata()

    return run


def _dies(site: Any, act: Callable[[Any], Any], victim: int, settings: dict[str, Any]) -> bool:
    """Whether the agent was killed in the act: if not, there is no such step any more."""
    site.start(victim=victim, **settings)
    site.arm()
    try:
        act(site)
    except CallFailed as failed:
        site.where = _where(site, failed)
        return True
    return False


def _where(site: Any, evidence: Any) -> str:
    """Before which step the agent was killed, as it must have been."""
    assert site.ended() == -signal.SIGKILL, evidence
    return site.epitaph.read_text()


def expected_effects(site: Any, claim: ClaimRef, *devices: str) -> dict[str, list[str]]:
    """The side effects of a claim, where the backend has any."""
    return {} if site.driver.startswith("plain") else {claim.uid: [*devices]}


@MOST_STEPS
@pytest.mark.reliability(
    fault="The agent dies in the middle of a preparation",
    injected="SIGKILL before each step that changes a file, and in the middle of each write",
    promise="The kubelet's repeat gets the answer and the files it would have got; nobody else gets the device",
)
def test_wherever_prepare_crashes_its_repeat_comes_to_the_same_end(crashes, undisturbed, new_claim):
    wanted, other = new_claim("wanted", "gpu-0", "gpu-1"), new_claim("other", "gpu-1")
    expected = undisturbed(lambda site: site.prepared(wanted))
    for crashed in crashes(lambda site: site.prepared(wanted)):
        crashed.start()
        assert (crashed.prepared(wanted), crashed.files(), crashed.metadata()) == expected, crashed.where
        assert crashed.effects() == expected_effects(crashed, wanted, "gpu-0", "gpu-1"), crashed.where
        assert "held by claim default/wanted" in crashed.refusal(other)
        crashed.unprepare(wanted)
        assert crashed.prepared(other), crashed.where
        crashed.unprepare(other)
        crashed.assert_empty()


@pytest.mark.reliability(
    fault="The agent dies in the middle of a preparation, and the pod is deleted meanwhile",
    injected="SIGKILL before each step of Prepare, then Unprepare and nothing else",
    promise="Unprepare leaves no hold, no CDI file and no side effect",
)
def test_wherever_prepare_crashes_unprepare_leaves_nothing(crashes, new_claim):
    wanted, other = new_claim("wanted", "gpu-0"), new_claim("other", "gpu-0")
    for crashed in crashes(lambda site: site.prepared(wanted)):
        crashed.start()
        crashed.unprepare(wanted)
        assert (crashed.files(), crashed.effects()) == ({}, {}), crashed.where
        assert crashed.prepared(other), crashed.where
        crashed.unprepare(other)
        crashed.assert_empty()


@pytest.mark.reliability(
    fault="The agent dies while several claims of one pod are prepared",
    injected="SIGKILL before each step of a batch of two claims",
    promise="Each claim comes to the end it would have come to by itself",
)
def test_wherever_a_batch_crashes_each_claim_comes_to_its_end(crashes, undisturbed, new_claim):
    claims = [new_claim("one", "gpu-0"), new_claim("two", "gpu-1")]
    expected = undisturbed(lambda site: site.prepared(*claims))
    for crashed in crashes(lambda site: site.at_once(claims)):
        crashed.start()
        assert (crashed.prepared(*claims), crashed.files(), crashed.metadata()) == expected, crashed.where
        crashed.unprepare(*claims)
        crashed.assert_empty()


@MOST_STEPS
@pytest.mark.reliability(
    fault="The agent dies in the middle of an Unprepare",
    injected="SIGKILL before each step that changes a file, and in the middle of each write",
    promise="The device is held until the repeat, then free; nothing is left behind",
)
def test_wherever_unprepare_crashes_the_device_is_held_or_free_and_never_lost(site, crashes, new_claim):
    ended, other = new_claim("ended", "gpu-0"), new_claim("other", "gpu-0")
    site.start()
    site.prepared(ended)
    site.kill()
    for crashed in crashes(lambda site: site.unprepare(ended)):
        crashed.start()
        if crashed.entries():
            assert "held by claim default/ended" in crashed.refusal(other), crashed.where
            crashed.unprepare(ended)
        assert crashed.prepared(other), crashed.where
        crashed.unprepare(ended)  # as often as the kubelet likes, also when it is another's by now
        assert sorted(crashed.entries()) == [other.uid]
        crashed.unprepare(other)
        crashed.assert_empty()


@pytest.mark.reliability(
    fault="The agent dies while it prepares a claim that was allocated anew under the same uid",
    injected="SIGKILL before each step of the release of the old devices and the preparation of the new",
    promise="The repeat holds the new device alone; the old one is free",
)
def test_wherever_a_new_allocation_crashes_the_old_device_is_free_and_the_new_one_held(
    site, crashes, undisturbed, new_claim
):
    moved = new_claim("moved", "gpu-0")
    site.start()
    site.prepared(moved)
    site.kill()
    site.kubelet.forget(moved.uid)
    assert new_claim("moved", "gpu-1") == moved
    old, new = new_claim("wants-old", "gpu-0"), new_claim("wants-new", "gpu-1")
    expected = undisturbed(lambda site: site.prepared(moved))
    for crashed in crashes(lambda site: site.prepared(moved)):
        crashed.start()
        assert (crashed.prepared(moved), crashed.files(), crashed.metadata()) == expected, crashed.where
        assert crashed.effects() == expected_effects(crashed, moved, "gpu-1"), crashed.where
        assert "held by claim default/moved" in crashed.refusal(new)
        assert crashed.prepared(old), crashed.where
        crashed.unprepare(moved, old)
        crashed.assert_empty()


def test_wherever_prepare_crashes_a_new_allocation_undoes_the_old_one_first(crashes, new_claim):
    """The pod was deleted, and its claim given to another pod with other devices, before the agent is there again."""
    moved, other = new_claim("moved", "gpu-0"), new_claim("other", "gpu-0")
    for crashed in crashes(lambda site: site.prepared(moved)):
        new_claim("moved", "gpu-1")
        crashed.start()
        assert [handle.device.name for handle in crashed.prepared(moved)[moved.uid]] == ["gpu-1"]
        assert crashed.effects() == expected_effects(crashed, moved, "gpu-1"), crashed.where
        assert crashed.prepared(other), crashed.where
        crashed.unprepare(moved, other)
        crashed.assert_empty()
        new_claim("moved", "gpu-0")


@pytest.mark.reliability(
    fault="The agent dies while it starts after a reboot",
    injected="The CDI directory gone, another boot id, SIGKILL before each step of the start",
    promise="The next start makes the files whole, as the devices are numbered in this boot; ids are the same",
)
def test_wherever_a_start_after_a_reboot_crashes_the_next_one_makes_the_files_whole(site, new_claim):
    claims = [new_claim("one", "gpu-0"), new_claim("two", "gpu-1")]
    site.start()
    answer = site.prepared(*claims)
    site.kill()
    swapped = {b"/dev/gpu0": b"/dev/gpu1", b"/dev/gpu1": b"/dev/gpu0"}
    expected = {
        name: re.sub(b"/dev/gpu[01]", lambda node: swapped[node[0]], content) for name, content in site.files().items()
    }
    site.reboot("boot-2")
    (site.root / "numbers").write_text(json.dumps({"gpu-0": 1, "gpu-1": 0}))
    for victim in itertools.count(1):
        with contextlib.closing(site.copy(str(victim))) as crashed:
            try:
                crashed.start(victim=victim, armed=True)
            except crashed.Died as death:
                crashed.where = _where(crashed, death)
            else:
                assert victim > LEAST_STEPS
                break
            crashed.start()
            assert crashed.files() == expected, crashed.where
            assert crashed.prepared(*claims) == answer, crashed.where
            crashed.unprepare(*claims)
            crashed.assert_empty()


EFFECTS = pytest.mark.parametrize("site", ["effects.example.com"], indirect=True)
WITHOUT_ITS_BACKEND = {"backends": [{"plugin": "plain"}]}


@EFFECTS
@pytest.mark.reliability(
    fault="A plugin whose preparations change the node cannot be loaded when a pod of it ends",
    injected="An agent without the plugin unprepares the claim; SIGKILL before each step of that",
    promise="The pod ends at once; what its preparation changed is undone when the plugin is back, however it is lost",
)
def test_wherever_unprepare_without_the_backend_crashes_its_side_effects_are_undone_in_the_end(
    site, crashes, new_claim
):
    ended, other = new_claim("ended", "gpu-0"), new_claim("other", "gpu-0")
    site.start()
    site.prepared(ended)
    site.kill()
    for crashed in crashes(lambda site: site.unprepare(ended), **WITHOUT_ITS_BACKEND):
        if any(phase == "committed" for phase in crashed.entries().values()):
            crashed.start(**WITHOUT_ITS_BACKEND)
            crashed.unprepare(ended)
            crashed.kill()
        assert (crashed.files(), crashed.effects()) == ({}, {ended.uid: ["gpu-0"]}), crashed.where
        crashed.start()
        assert crashed.effects() == {}, crashed.where
        assert crashed.prepared(other), crashed.where
        crashed.unprepare(other)
        crashed.assert_empty()


@EFFECTS
def test_wherever_the_start_that_undoes_what_ended_crashes_the_next_one_undoes_it(site, new_claim):
    ended, other = new_claim("ended", "gpu-0"), new_claim("other", "gpu-0")
    site.start()
    site.prepared(ended)
    site.kill()
    site.start(**WITHOUT_ITS_BACKEND)
    site.unprepare(ended)
    site.kill()
    for victim in itertools.count(1):
        with contextlib.closing(site.copy(str(victim))) as crashed:
            try:
                crashed.start(victim=victim, armed=True)
            except crashed.Died as death:
                crashed.where = _where(crashed, death)
            else:
                assert victim > LEAST_STEPS
                break
            crashed.start()
            assert crashed.prepared(other), crashed.where
            assert crashed.effects() == {other.uid: ["gpu-0"]}, crashed.where
            crashed.unprepare(other)
            crashed.assert_empty()


@pytest.mark.parametrize("site", ["unruly.example.com"], indirect=True)
@pytest.mark.reliability(
    fault="The agent dies while it writes down that a device is unfit",
    injected="A plugin that refuses a device for good; SIGKILL before each step of Prepare and of the file of faults",
    promise="The next start reads the file as it was or is to be, and nothing half written is left",
)
def test_wherever_a_lasting_refusal_crashes_what_is_remembered_of_it_is_whole(site, until, new_claim):
    refused, other = new_claim("unfit", "gpu-0"), new_claim("other", "gpu-0")
    where = []
    for victim in itertools.count(1):
        with contextlib.closing(site.copy(str(victim))) as crashed:
            crashed.start(victim=victim)
            crashed.arm()
            faults = crashed.state / "faults.json"
            with contextlib.suppress(CallFailed):
                assert "gpu-0 has lost its link" in crashed.refusal(refused)
            until(lambda: crashed.has_ended() or faults.exists(), "the refusal to be written down")  # noqa: B023
            if not crashed.has_ended():
                assert victim > LEAST_STEPS
                break
            where.append(_where(crashed, "it was to be killed"))
            crashed.start()
            crashed.assert_whole()
            assert crashed.entries() == {}, where[-1]
            assert "gpu-0 has lost its link" in crashed.refusal(refused)
            until(faults.exists, "the refusal to be written down")
            assert "is faulty: gpu-0 has lost its link" in crashed.refusal(other), where[-1]
            crashed.assert_empty()
    assert {"open faults.json.tmp", "open file faults.json.tmp", "rename faults.json.tmp"} <= set(where)


@pytest.mark.reliability(
    fault="The agent dies while it rids the journal of its history",
    injected="SIGKILL before each step of writing the file anew: new file, write, rename",
    promise="The journal is the old one or the new one, and whole; nothing in it is lost",
)
def test_wherever_the_journal_is_being_written_anew_nothing_in_it_is_lost(site, crashes, undisturbed, new_claim):
    held, wanted = new_claim("held", "gpu-0"), new_claim("wanted", "gpu-1")
    site.start()
    kept = site.prepared(held)
    site.kill()
    with (site.state / "drakit.journal").open("ab") as journal:
        journal.write(release_line("long-gone") * 1100)
    expected = undisturbed(lambda site: site.prepared(wanted))
    where = []
    for crashed in crashes(lambda site: site.prepared(wanted)):
        where.append(crashed.where)
        crashed.start()
        assert (crashed.prepared(wanted), crashed.files(), crashed.metadata()) == expected, crashed.where
        assert crashed.prepared(held) == kept, crashed.where
        crashed.unprepare(wanted, held)
        crashed.assert_empty()
    assert "rename drakit.journal.tmp" in where
