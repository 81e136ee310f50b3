"""Rules about processes: what survives one, and what a plugin does to the one it is in."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
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


_ASKED_AGAIN = "do slow work in a thread of the plugin's own, and call context.changed() when it is done"
_WAITED_FOR = "a pod waits for it: do before what takes long, or give up with a ClaimError; the kubelet asks again"


@frozen(kw_only=True)
class Step:
    """One thing the process was told to do."""

    name: str
    answer: Any = None
    error: str | None = None


@frozen(kw_only=True)
class Evidence:
    """What a process has shown. `died` says how it ended before its time, with the hook it was in.

    `seconds` has the longest that each hook took.
    """

    steps: Mapping[str, Step]
    seconds: Mapping[str, float]
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
        """A whole life: every hook, a claim prepared and undone, and the end."""
        if "watched" not in self._done:
            self._begin()
        return self._done["watched"]

    def preparing(self) -> Evidence:
        """A process that prepares a claim and ends without a word, as by a crash."""
        if "preparing" not in self._done:
            self._begin()
        return self._done["preparing"]

    def repeating(self) -> Evidence:
        """A process that prepares what `preparing` has prepared; to it, directories are in another order."""
        if "repeating" not in self._done:
            self._go_on()
        return self._done["repeating"]

    def ending(self) -> Evidence:
        """A process that undoes what `preparing` has prepared, and does nothing else."""
        if "ending" not in self._done:
            self._go_on()
        return self._done["ending"]

    def _begin(self) -> None:
        claim, ref = _claim(self.subject, "watched-life")
        life = [["construct"], ["discover"], ["describe"], ["prepare", claim], ["unprepare", ref], ["close"]]
        survivor, _ = _claim(self.subject, "survivor")
        lives = {"watched": life, "preparing": [["construct"], ["prepare", survivor]]}
        self._done.update(_run(self.subject, lives, seed=1))

    def _go_on(self) -> None:
        prepared = self.preparing().answer("prepare")
        claim, ref = _claim(self.subject, "survivor")
        end = ["unprepare", ref, prepared]
        lives = {
            "repeating": [["construct"], ["discover"], ["describe"], ["prepare", claim]],
            "ending": [["construct"], end, end],
        }
        self._done.update(_run(self.subject, lives, seed=2, backwards=True))


@cache
def performance(subject: Subject) -> Performance:
    """The subject's processes."""
    return Performance(subject)


def _claim(subject: Subject, name: str) -> tuple[Any, Any]:
    allocation = allocating.many(subject, name)
    return unstructure(allocation), unstructure(allocation.claim)


def _run(
    subject: Subject, lives: Mapping[str, Sequence[Sequence[Any]]], *, seed: int, backwards: bool = False
) -> dict[str, Evidence]:
    """Processes with one hash seed, one after the other; the evidence of each by its name."""
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
        "lives": [{"name": name, "steps": steps} for name, steps in lives.items()],
        "backwards": backwards,
        "hook_seconds": subject.hook_seconds,
    }
    bound = _START_SECONDS + 2 * subject.hook_seconds * sum(map(len, lives.values()))
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as events:
        told.write(json.dumps(job).encode())
        told.seek(0)
        child = _start((told, printed, events), subject.root, seed)
        try:
            child.wait(bound)
            overdue = ""
        except subprocess.TimeoutExpired:
            overdue = f"did not end within {bound:g} s"
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        return _read(lives, events, printed, overdue or f"ended with code {child.returncode}")


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
        start_new_session=True,  # killed with what it has forked
    )


def _read(names: Iterable[str], events: IO[bytes], printed: IO[bytes], end: str) -> dict[str, Evidence]:
    """What was reported, life by life. `end` is how the process ended that led them."""
    events.seek(0)
    told: dict[str, list[Mapping[str, Any]]] = {name: [] for name in names}
    current: list[Mapping[str, Any]] = []
    for line in events:
        event = json.loads(line)
        current = told[event["life"]] if "life" in event else current
        current.append(event)
    return {name: _evidence(life, printed, end) for name, life in told.items()}


def _evidence(told: Sequence[Mapping[str, Any]], printed: IO[bytes], end: str) -> Evidence:
    steps: dict[str, Step] = {}
    seconds: dict[str, float] = {}
    for event in told:
        if (name := event.get("ended")) and (name not in steps or steps[name].error is None):  # it failed once
            steps[name] = Step(name=name, answer=event["answer"], error=event["error"])
        if hook := event.get("took"):
            seconds[hook] = max(event["seconds"], seconds.get(hook, 0.0))
    begun, finished = told[-1].get("printed", (0, None)) if told else (0, None)
    printed.seek(begun)
    said = printed.read(-1 if finished is None else finished - begun).decode("utf-8", "replace").strip()
    for event in told:
        if "trespasses" in event:
            return Evidence(
                steps=steps,
                seconds=seconds,
                trespasses=event["trespasses"],
                threads=event["threads"],
                printed=said,
            )
    at = next((event.get("hook") or event["began"] for event in reversed(told) if event.keys() & {"hook", "began"}), "")
    how = f"ended with code {told[-1]['code']}" if told and "code" in told[-1] else end
    return Evidence(
        steps=steps,
        seconds=seconds,
        died=f"the process {how} at {at or 'its start'}" + (f", saying:\n{said[-1500:]}" if said else ""),
    )


def discovery_is_the_same_in_every_process(subject: Subject) -> None:
    """A new process discovers the same in the same order, whatever that of sets and directories, and groups it alike.

    That of sets differs from process to process, that of directories from node to node; where it reaches the slices,
    each restart of the agent rewrites them, and the scheduler's first fit wanders.
    """
    lives = performance(subject)
    one, other = lives.watched().answer("discover"), lives.repeating().answer("discover")
    if one == other:
        _compare_descriptions(lives.watched(), lives.repeating())
    else:
        differing = next((pair for pair in zip(_names(one), _names(other), strict=False) if pair[0] != pair[1]), None)
        raise Broken(
            f"another process discovers {differing[1]} where the first had {differing[0]}"
            if differing
            else "another process discovers devices with other values",
            "sort what comes out of sets and directories; take no value from the process",
        )


def _compare_descriptions(one: Evidence, other: Evidence) -> None:
    if any(evidence.steps["describe"].error for evidence in (one, other) if "describe" in evidence.steps):
        return  # the rule of the hook that fails says it
    for before, now in zip(one.answer("describe"), other.answer("describe"), strict=False):
        if before != now:
            raise Broken(
                f"another process says {now} where the first said {before}",
                "sort what attributes, share and devicegroups take out of sets and directories",
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
    for hook, seconds in evidence.seconds.items():
        if seconds > subject.hook_seconds:
            raise Broken(
                f"{hook} took {seconds:.1f} s, and may take {subject.hook_seconds:g} s",
                _WAITED_FOR if hook in ("prepare", "unprepare") else _ASKED_AGAIN,
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
