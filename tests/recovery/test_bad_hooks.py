"""What a plugin does in its hooks is charged to the claim it was asked about, and to nothing else."""

from __future__ import annotations

import pytest

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
