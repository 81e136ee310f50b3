"""Devices that are numbered anew while claims are prepared: files follow, ids stay."""

from __future__ import annotations

import os

import pytest
from drakit.errors import JournalError
from drakit.jobs import Renumber


def tell(bench) -> None:
    """The hardware is numbered anew, and the backend says so."""
    bench.hardware.generation += 1
    bench.engine.renumbered.set()


def test_what_is_prepared_is_numbered_anew_under_the_same_ids(bench):
    answer = bench.prepare("a", "gpu-0")
    tell(bench)
    assert bench.run(Renumber()) == ()
    assert bench.nodes("a") == ["/dev/gpu-0-2"]
    assert bench.ids("a") == list(answer[0].cdi_ids)
    assert not bench.engine.renumbered.is_set()


@pytest.mark.parametrize("repeat", ["prepare", "repeat"])
def test_a_repeat_serves_the_numbers_of_now_and_asks_no_hook_more(bench, repeat):
    answer = bench.prepare("a", "gpu-0")
    tell(bench)
    bench.run(Renumber())
    calls = list(bench.backend.calls)
    assert (bench.prepare("a", "gpu-0") if repeat == "prepare" else bench.repeat("a")) == answer
    assert bench.nodes("a") == ["/dev/gpu-0-2"]
    assert bench.backend.calls == calls


def test_the_numbers_of_now_outlast_the_process(bench):
    bench.prepare("a", "gpu-0")
    tell(bench)
    bench.run(Renumber())
    bench.has_backend = False
    bench.restart()
    assert bench.nodes("a") == ["/dev/gpu-0-2"]


def test_what_is_prepared_is_numbered_anew_before_anything_else_is_prepared(bench):
    bench.prepare("a", "gpu-0")
    tell(bench)
    bench.prepare("b", "gpu-1")
    uids = [uid for hook, uid in bench.backend.calls if hook == "prepare"]
    assert uids == ["a", "a", "b"]


def test_a_prepare_that_notices_it_is_answered_when_other_claims_are_numbered_anew(bench):
    bench.prepare("a", "gpu-0")
    bench.hardware.generation = 2
    bench.asking = lambda _held: bench.engine.renumbered.set() if len(bench.backend.calls) == 2 else None
    bench.prepare("b", "gpu-1")
    assert (bench.nodes("a"), bench.nodes("b")) == (["/dev/gpu-0-2"], ["/dev/gpu-1-2"])
    assert {uid: entry.prepared[0].edits.device_nodes[0].path for uid, entry in bench.entries().items()} == {
        "a": "/dev/gpu-0-2",
        "b": "/dev/gpu-1-2",
    }


def test_a_plugin_that_says_so_whenever_it_is_asked_holds_nothing_up(bench):
    bench.prepare("a", "gpu-0")
    bench.asking = lambda _held: bench.engine.renumbered.set()
    tell(bench)
    bench.run(Renumber())
    assert bench.nodes("a") == ["/dev/gpu-0-2"]
    assert bench.engine.renumbered.is_set(), "what was said last is not forgotten"


def test_numbers_that_could_not_be_recorded_are_made_anew_with_the_next_work(bench, monkeypatch):
    bench.prepare("a", "gpu-0")
    tell(bench)

    def fail(*_arguments):
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as full:
        full.setattr(bench.journal, "_sync", fail)
        full.setattr(bench.journal, "_replace", fail)
        with pytest.raises(JournalError):
            bench.run(Renumber())
    assert bench.repeat("a")
    assert bench.nodes("a") == ["/dev/gpu-0-2"]
    assert bench.entries()["a"].prepared[0].edits.device_nodes[0].path == "/dev/gpu-0-2"


def test_without_a_backend_nothing_is_made_anew(bench):
    bench.prepare("a", "gpu-0")
    bench.has_backend = False
    bench.restart()
    tell(bench)
    assert bench.run(Renumber()) == ()
    assert bench.nodes("a") == ["/dev/gpu-0-1"]


def test_a_start_looks_at_everything_once_whatever_was_said_before(bench):
    bench.prepare("a", "gpu-0")
    bench.start()
    bench.engine.renumbered.set()
    bench.restart()
    assert bench.backend.calls == [("prepare", "a")]
