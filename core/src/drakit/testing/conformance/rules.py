"""A rule: a function over what is tried, whose docstring is the law and the reason for it."""

from __future__ import annotations

import enum
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from attrs import frozen

import drakit
from drakit.errors import DRAError

_MAX_TEXT = 2000
_MAX_REASON = 300
_OUR_PACKAGES = {"pluggy", "attr", "cattrs"}
"""Beside drakit, whose frames in a traceback say nothing of the plugin."""

_DRAKIT = Path(drakit.__file__).parent

S = TypeVar("S")
"""What rules are tried on: a plugin, or a driver's sockets."""


class NotTried(Exception):
    """A rule cannot be tried on this plugin or driver, or not with what was given; the message says why."""


class Broken(AssertionError):
    """A rule does not hold: what was found, and what the plugin's author does about it."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found}; {remedy}")
        self.found = found
        self.remedy = remedy


class Verdict(enum.StrEnum):
    """What became of a rule."""

    HOLDS = "holds"
    BROKEN = "broken"
    NOT_TRIED = "not tried"


@frozen
class Outcome:
    """The verdict on one rule. `found` is the evidence for or against it, or why it was not tried."""

    verdict: Verdict
    found: str = ""
    remedy: str = ""
    trace: str = ""
    """Where in the plugin it was raised, if it was."""


@frozen
class Rule(Generic[S]):
    """One rule. The first paragraph of the check's docstring is the law, the rest says why it is one.

    A check raises Broken or NotTried; where the rule holds it may return the evidence.
    """

    topic: str
    check: Callable[[S], str | None]

    @property
    def name(self) -> str:
        """The check's name; a test of it is called `test_` and this."""
        return self.check.__name__

    @property
    def law(self) -> str:
        """What must hold, in one sentence."""
        return self._paragraphs()[0]

    @property
    def reason(self) -> str:
        """What becomes of a pod, a node or an operator where it does not."""
        return " ".join(self._paragraphs()[1:])

    def examine(self, subject: S) -> Outcome:
        """Try the rule. Raises nothing the plugin has raised: that breaks the rule which was being tried."""
        try:
            evidence = self.check(subject)
        except NotTried as reason:
            return Outcome(Verdict.NOT_TRIED, _cut(str(reason), _MAX_REASON))
        except Broken as broken:
            return Outcome(Verdict.BROKEN, _cut(broken.found), broken.remedy, _trace(broken))
        except (DRAError, AssertionError) as error:
            return Outcome(Verdict.BROKEN, _cut(str(error)), _remedy(error), _trace(error))
        return Outcome(Verdict.HOLDS, evidence or "")

    def text(self, outcome: Outcome) -> str:
        """An outcome that is not good, for people."""
        lines = [f"the rule:   {self.law}", f"found:      {outcome.found}", f"what to do: {outcome.remedy}"]
        return "\n".join(lines + ([f"\n{outcome.trace}"] if outcome.trace else []))

    def _paragraphs(self) -> list[str]:
        return [" ".join(paragraph.split()) for paragraph in (self.check.__doc__ or self.name).split("\n\n")]


def rules(topic: str, *checks: Callable[[S], str | None]) -> tuple[Rule[S], ...]:
    """The rules of one topic, in the order in which they are tried."""
    return tuple(Rule(topic, check) for check in checks)


def _cut(text: str, limit: int = _MAX_TEXT) -> str:
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} characters more)"


def _remedy(error: BaseException) -> str:
    """What is to be done about an error that no rule foresees."""
    hook = getattr(error, "hook", "")
    where = f"the contract of {hook} is in docs/hooks.md" if hook else "the contract of each hook is in docs/hooks.md"
    if isinstance(_origin(error), OSError):
        return f"files of the node are below the root: reach them by context.path, and expect that one lacks; {where}"
    return where


def _origin(error: BaseException) -> BaseException | None:
    """What the plugin itself raised; None if nothing was."""
    cause = error.__cause__
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    return cause


def _is_ours(file: str) -> bool:
    path = Path(file)
    return file.startswith("<attrs ") or path.parent.name in _OUR_PACKAGES or path.is_relative_to(_DRAKIT)


def _trace(error: BaseException) -> str:
    """The traceback of what the plugin raised, as far as it is in the plugin; empty if nothing was."""
    cause = _origin(error)
    if cause is None:
        return ""
    frames = traceback.extract_tb(cause.__traceback__)
    theirs = [index for index, frame in enumerate(frames) if not _is_ours(frame.filename)]
    if not theirs:
        return ""
    told = traceback.format_list(frames[theirs[0] : theirs[-1] + 1]) + traceback.format_exception_only(cause)
    return "Traceback (most recent call last):\n" + "".join(map(_cut, told)).rstrip()
