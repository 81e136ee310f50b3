"""A rule: a function over what is tried, whose docstring is the law and the reason for it."""

from __future__ import annotations

import enum
import traceback
from collections.abc import Callable
from typing import Generic, TypeVar

from attrs import frozen

from drakit.errors import DRAError

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
            return Outcome(Verdict.NOT_TRIED, str(reason))
        except Broken as broken:
            return Outcome(Verdict.BROKEN, broken.found, broken.remedy, _trace(broken))
        except (DRAError, AssertionError) as error:
            remedy = "the contract of each hook is in docs/hooks.md"
            return Outcome(Verdict.BROKEN, str(error), remedy, _trace(error))
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


def _trace(error: BaseException) -> str:
    """The traceback of what the plugin itself raised; empty if nothing was."""
    cause = error.__cause__
    while cause is not None and cause.__cause__ is not None:
        cause = cause.__cause__
    return "" if cause is None else "".join(traceback.format_exception(cause)).rstrip()
