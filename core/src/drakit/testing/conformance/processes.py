"""Rules about processes: what survives one, and what a plugin does to the one it is in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Any

from attrs import field, frozen

from drakit.context import read_boot_id
from drakit.decoding import unstructure
from drakit.testing.conformance import allocating
from drakit.testing.conformance.location import Unlocatable, location_of
from drakit.testing.conformance.preparing import compare_answers
from drakit.testing.conformance.rules import Broken, NotTried, rules
from drakit.testing.conformance.subject import Subject

_START_SECONDS = 30.0
"""What a process may take beside its hooks: imports, on a machine that has other work."""


@frozen(kw_only=True)
class Step:
    """One thing the process was told to do."""

    name: str
    seconds: float
    answer: Any = None
    error: str | None = None


@frozen(kw_only=True)
class Evidence:
    """What a process has shown. `died` says how it ended before its time, with the step it was at."""

    steps: Mapping[str, Step]
    trespasses: Sequence[str] = ()
    threads: Sequence[str] = ()
    printed: str = ""
    died: str = ""

    def answer(self, name: str) -> Any:
        """What a step has answered. Raises NotTried where it did not."""
        step = self.steps.get(name)
        if step is None:
            raise NotTried(f"{self.died or 'the process did not get as far'}, see hooks_answer_in_time")
        if step.error is not None:
            raise NotTried(f"{name} fails: {step.error}")
        return step.answer


@frozen(eq=False)
class Performance:
    """A subject in processes of its own; each is run once, for all rules that look at it."""

    subject: Subject
    _done: dict[str, Evidence] = field(factory=dict, init=False)

    def watched(self) -> Evidence:
        """A whole life: every hook, a claim prepared twice and undone, and the end."""
        claim, ref = _claim(self.subject, "watched-life")
        life = [["construct"], ["discover"], ["describe"], ["prepare", claim], ["unprepare", ref], ["close"]]
        return self._run("watched", life, seed=1)

    def preparing(self) -> Evidence:
        """A process that prepares a claim and ends without a word, as by a crash."""
        claim, _ = _claim(self.subject, "survivor")
        return self._run("preparing", [["construct"], ["prepare", claim]], seed=2)

    def repeating(self) -> Evidence:
        """A process that prepares what `preparing` has prepared."""
        self.preparing().answer("prepare")
        claim, _ = _claim(self.subject, "survivor")
        return self._run("repeating", [["construct"], ["discover"], ["prepare", claim]], seed=3)

    def ending(self) -> Evidence:
        """A process that undoes what `preparing` has prepared, and does nothing else."""
        prepared = self.preparing().answer("prepare")
        _, ref = _claim(self.subject, "survivor")
        return self._run("ending", [["construct"], ["unprepare", ref, prepared], ["unprepare", ref, prepared]], seed=4)

    def _run(self, name: str, steps: Sequence[Sequence[Any]], seed: int) -> Evidence:
        if name not in self._done:
            self._done[name] = _run(self.subject, steps, seed)
        return self._done[name]


@cache
def performance(subject: Subject) -> Performance:
    """The subject's processes."""
    return Performance(subject)


def _claim(subject: Subject, name: str) -> tuple[Any, Any]:
    allocation = allocating.many(subject, name)
    return unstructure(allocation), unstructure(allocation.claim)


def _run(subject: Subject, steps: Sequence[Sequence[Any]], seed: int) -> Evidence:
    try:
        plugin = location_of(subject.plugin)
    except Unlocatable as error:
        raise NotTried(str(error)) from None
    job = {
        "plugin": plugin,
        "driver": subject.name,
        "root": str(subject.root),
        "options": dict(subject.options),
        "boot_id": read_boot_id(subject.root),
        "steps": steps,
        "hook_seconds": subject.hook_seconds,
    }
    bound = _START_SECONDS + 2 * subject.hook_seconds * len(steps)
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as events:
        told.write(json.dumps(job).encode())
        told.seek(0)
        child = _start((told, printed, events), subject.root, seed)
        try:
            code = child.wait(bound)
        except subprocess.TimeoutExpired:
            code = None
            child.kill()
            child.wait()
        return _read(_text(events), _text(printed), code, bound)


def _start(files: Sequence[IO[bytes]], root: Path, seed: int) -> subprocess.Popen[bytes]:
    """Start the child on three files: its job, what it prints and what it reports."""
    told, printed, events = files
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONHASHSEED": str(seed),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    return subprocess.Popen(  # noqa: S603 - this interpreter, and a module of ours
        [sys.executable, "-P", "-m", "drakit.testing.conformance.child", str(events.fileno())],
        stdin=told,
        stdout=printed,
        stderr=printed,
        env=environment,
        cwd=root,
        pass_fds=[events.fileno()],
    )


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


def _read(events: str, printed: str, code: int | None, bound: float) -> Evidence:
    told = [json.loads(line) for line in events.splitlines()]
    steps: dict[str, Step] = {}
    for event in told:
        name = event.get("ended")
        if name and (name not in steps or steps[name].error is None):  # what failed once has failed
            seconds, answer, error = event["seconds"], event["answer"], event["error"]
            steps[name] = Step(name=name, seconds=seconds, answer=answer, error=error)
    if told and "trespasses" in told[-1]:
        return Evidence(
            steps=steps, trespasses=told[-1]["trespasses"], threads=told[-1]["threads"], printed=printed.strip()
        )
    at = told[-1].get("began", "its end") if told else "its start"
    how = f"did not end within {bound:g} s" if code is None else f"ended with code {code}"
    said = printed.strip()
    return Evidence(steps=steps, died=f"the process {how} at {at}" + (f", saying:\n{said[-1500:]}" if said else ""))


def discovery_is_the_same_in_every_process(subject: Subject) -> None:
    """A new process discovers the same, in the same order.

    The order of sets differs from process to process; where it reaches the slices, each restart of the agent rewrites
    them, and the scheduler's first fit wanders.
    """
    lives = performance(subject)
    one, other = lives.watched().answer("discover"), lives.repeating().answer("discover")
    if one != other:
        differing = next((pair for pair in zip(_names(one), _names(other), strict=False) if pair[0] != pair[1]), None)
        raise Broken(
            f"another process discovers {differing[1]} where the first had {differing[0]}"
            if differing
            else "another process discovers devices with other values",
            "sort what comes out of sets and directories; take no value from the process",
        )


def _names(pools: Sequence[Any]) -> list[str]:
    return [device["name"] for _, _, _, devices in pools for device in devices]


def prepare_is_the_same_in_every_process(subject: Subject) -> None:
    """A process that was not there the first time prepares a claim with the same answer.

    After a crash the core asks again, in a new process; containers of the pod may run with the first answer.
    """
    lives = performance(subject)
    expected, again = lives.preparing().answer("prepare"), lives.repeating()
    compare_answers(expected, again.answer("prepare"), "prepare in a new process")


def unprepare_works_in_a_new_process(subject: Subject) -> None:
    """`unprepare` succeeds, twice, in a process that has neither discovered nor prepared anything.

    The agent that prepared a claim is seldom the one that ends it: it is restarted, updated, and outlived by pods.
    """
    evidence = performance(subject).ending()
    step = evidence.steps.get("unprepare")
    if step is None:
        raise NotTried(f"{evidence.died}, see hooks_answer_in_time")
    if step.error is not None:
        raise Broken(
            f"in a new process: {step.error}", "find what there is to undo by the claim's uid and by `prepared`"
        )


def nothing_outside_the_root_is_touched(subject: Subject) -> None:
    """Hooks open, list and change nothing outside the context's root, and start no programs.

    The root is the node: in a container it is a mount, in a test a directory. What is read beside it is the
    container's own, which is another machine.
    """
    if subject.root == Path("/"):
        raise NotTried("the root is /, and nothing is outside of it; give a tree (--dra-root)")
    if found := performance(subject).watched().trespasses:
        raise Broken(
            f"a hook {found[0]}" + (f", and {len(found) - 1} more" if found[1:] else ""),
            "reach files by context.path and devices by context.open_device; let options name what else there is",
        )


def hooks_do_not_print(subject: Subject) -> None:
    """Hooks write nothing to stdout or stderr.

    The agent's own lines are there, one per event, for machines to read; what a plugin has to say goes to its log.
    """
    printed = performance(subject).watched().printed
    if printed:
        raise Broken(f"hooks have printed {printed[:200]!r}", "use context.log")


def no_thread_is_left(subject: Subject) -> None:
    """After `close` no thread of the plugin runs any more.

    What still runs works on hardware while another instance, or none, is in charge of it.
    """
    evidence = performance(subject).watched()
    evidence.answer("close")
    if evidence.threads:
        raise Broken(f"the thread {evidence.threads[0]!r} runs on after close", "implement close, and join it there")


def hooks_answer_in_time(subject: Subject) -> None:
    """Every hook returns, well within the agent's bound, and the process outlives it.

    A hook past its bound makes its driver stuck: no claim is prepared or undone until it returns.
    """
    evidence = performance(subject).watched()
    if evidence.died:
        raise Broken(evidence.died, "let no hook wait for what may not come, nor end the process")
    for step in evidence.steps.values():
        if step.seconds > subject.hook_seconds:
            raise Broken(
                f"{step.name} took {step.seconds:.1f} s, and may take {subject.hook_seconds:g} s",
                "do slow work in a thread of the plugin's own, and call context.changed() when it is done",
            )


RULES = rules(
    "Across processes",
    hooks_answer_in_time,
    discovery_is_the_same_in_every_process,
    prepare_is_the_same_in_every_process,
    unprepare_works_in_a_new_process,
    nothing_outside_the_root_is_touched,
    hooks_do_not_print,
    no_thread_is_left,
)
