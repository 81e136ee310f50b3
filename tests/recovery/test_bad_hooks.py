"""What a plugin does in its hooks is charged to the claim it was asked about, and to nothing else."""

from __future__ import annotations

import signal

import pytest
from drakit.testing import CallFailed

pytestmark = pytest.mark.parametrize("site", ["unruly.example.com"], indirect=True)


@pytest.mark.reliability(
    fault="A hook raises, exits, returns rubbish or a generator, recurses without end",
    injected="A plugin of a real agent that does each of it in prepare",
    promise="That claim's error names plugin and hook; other claims are prepared, the process lives",
)
@pytest.mark.parametrize(
    ("habit", "words"),
    [
        ("raises", "RuntimeError: the firmware is on fire"),
        ("exits", "SystemExit"),
        ("interrupts", "KeyboardInterrupt"),
        ("stops", "StopIteration"),
        ("recurses", "RecursionError"),
        ("nothing", "did not prepare"),
        ("rubbish", "must return a sequence of PreparedDevice"),
        ("endless", "must return a sequence of PreparedDevice"),
        ("leaks", "must return a sequence of PreparedDevice"),
        ("unasked", "prepared unasked"),
    ],
)
def test_a_hook_that_misbehaves_costs_its_own_claim(site, new_claim, habit, words):
    bad, good = new_claim(habit, "gpu-0"), new_claim("good", "gpu-1")
    site.start()
    answers = site.kubelet.prepare([bad, good], site.driver)
    assert words in answers[bad.uid].error
    assert "unruly" in answers[bad.uid].error
    assert "prepare" in answers[bad.uid].error
    assert not answers[good.uid].error
    free = new_claim("free", "gpu-0")
    assert site.prepared(free), "a failed preparation holds nothing"
    site.unprepare(bad, good, free)
    site.assert_empty()
    assert site.end() == 0


@pytest.mark.reliability(
    fault="A plugin starts threads, and they die",
    injected="Threads of a plugin that raise and exit within prepare",
    promise="The claim is prepared and the process lives",
)
def test_threads_of_a_plugin_that_die_cost_nothing(site, new_claim):
    claim = new_claim("spawns", "gpu-0")
    site.start()
    assert site.prepared(claim)
    assert site.end() == 0


@pytest.mark.reliability(
    fault="A hook raises or exits when a pod ends",
    injected="A plugin of a real agent that does each of it in unprepare",
    promise="That claim's error names plugin and hook, its device stays held; others end, and a repeat succeeds",
)
@pytest.mark.parametrize(
    ("habit", "words"),
    [
        ("raises", "RuntimeError: the firmware is on fire"),
        ("exits", "SystemExit"),
        ("interrupts", "KeyboardInterrupt"),
        ("stops", "StopIteration"),
        ("recurses", "RecursionError"),
    ],
)
def test_an_unprepare_that_misbehaves_keeps_its_device_until_a_repeat_succeeds(site, new_claim, habit, words):
    ended, other = new_claim("ended", "gpu-0"), new_claim("other", "gpu-0")
    site.start()
    answer, files = site.prepared(ended), site.files()
    (site.root / "unprepare").write_text(habit)
    error = site.kubelet.unprepare([ended], site.driver)[ended.uid]
    assert words in error
    assert "unruly" in error
    assert "unprepare" in error
    assert "held by claim default/ended" in site.refusal(other)
    assert (site.files(), site.prepared(ended)) == (files, answer)
    (site.root / "unprepare").unlink()
    site.unprepare(ended)
    assert site.prepared(other)
    site.unprepare(other)
    site.assert_empty()
    assert site.end() == 0


@pytest.mark.reliability(
    fault="A hook hangs when a pod ends",
    injected="A plugin of a real agent that does not return from unprepare until it is told to",
    promise="The call is told what has run for how long, the device stays held, and a repeat succeeds once it returns",
)
def test_an_unprepare_that_hangs_keeps_its_device_until_it_returns(site, new_claim, until):
    ended, other = new_claim("ended", "gpu-0"), new_claim("other", "gpu-0")
    site.start(hookBoundSeconds=0.5)
    site.prepared(ended)
    (site.root / "unprepare").write_text("hangs")
    error = site.kubelet.unprepare([ended], site.driver)[ended.uid]
    assert "unprepare of default/ended has been running for" in error
    assert (site.root / "hangs").exists()
    assert "unprepare of default/ended has been running for" in site.refusal(other)
    assert site.files(), "what is not undone keeps its file"
    (site.root / "unprepare").unlink()
    until(lambda: site.kubelet.unprepare([ended], site.driver) == {ended.uid: ""}, "the driver to go on")
    assert site.prepared(other)
    site.unprepare(other)
    site.assert_empty()


@pytest.mark.reliability(
    fault="The agent dies of a crash in a hook while a claim is prepared",
    injected="A plugin that aborts the process in prepare, each time it is asked for one claim",
    promise="The next agent serves what is prepared, the claim's device goes to nobody, and its pod can end",
)
def test_a_claim_that_kills_the_agent_costs_its_own_pod(site, new_claim):
    deadly, good, other = new_claim("aborts", "gpu-0"), new_claim("good", "gpu-1"), new_claim("other", "gpu-0")
    site.start()
    answer = site.prepared(good)
    with pytest.raises(CallFailed):
        site.kubelet.prepare([deadly], site.driver)
    assert site.ended() == -signal.SIGABRT
    site.start()
    assert site.prepared(good) == answer
    site.unprepare(deadly)
    assert site.prepared(other)
    site.unprepare(good, other)
    site.assert_empty()
