"""Matching regular expressions as RE2 does, in bounded time.

Python's `re` matches the tame ones, which is fast: those in which few things vary, and nothing that varies is repeated,
so that turning back costs little. All others are matched by a machine that never turns back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property, lru_cache

from attrs import frozen

from drakit.plan.cel.regex_machine import Machine
from drakit.plan.cel.regex_nodes import Chars, Choice, Place, Regex, Repeat, Sequence
from drakit.plan.cel.regex_syntax import parse

MAX_VARYING = 3
"""How many parts of a tame expression may vary."""
MAX_TEXT = 256
"""How long a text is matched by `re`, if it is ASCII (cases of others differ): attributes have 64 characters."""


@frozen(slots=False)
class Pattern:
    """A compiled regular expression."""

    text: str
    root: Regex

    def search(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """Where the leftmost match begins and ends."""
        if self._tame is not None and len(text) <= MAX_TEXT and text.isascii():
            found = self._tame.search(text, start)
            return found and found.span()
        return self._machine.search(text, start)

    def find_all(self, text: str) -> Iterator[str]:
        """Every match, none overlapping another; an empty one does not follow another match at once."""
        at, last = 0, -1
        while at <= len(text) and (found := self.search(text, at)) is not None:
            start, end = found
            if start != end or start != last:
                yield text[start:end]
            last = end
            at = end if end > start else end + 1

    @cached_property
    def _tame(self) -> re.Pattern[str] | None:
        if not is_tame(self.root):
            return None
        return re.compile(_written(self.root), re.ASCII)

    @cached_property
    def _machine(self) -> Machine:
        return Machine(self.root)


@lru_cache(maxsize=1024)
def compile_re2(text: str) -> Pattern:
    """The pattern RE2 would compile. Raises ValueError for what RE2, or this, does not take."""
    pattern = Pattern(text, parse(text))
    if not is_tame(pattern.root):
        pattern._machine  # noqa: B018, SLF001 - what is too large is said now
    return pattern


def is_tame(root: Regex) -> bool:
    """Whether turning back is cheap whatever the text: see the top of the file."""
    varying = _varying(root)
    return varying is not None and varying <= MAX_VARYING


def _varying(node: Regex) -> int | None:
    """How many parts vary; None where one of them is repeated, or something is not the same for `re`."""
    match node:
        case Place(kind="B"):
            return None  # Python finds none in an empty text
        case Chars(categories=categories, fold=fold):
            return None if categories or (fold and not _ascii(node)) else 0
        case Repeat(body=body):
            inside = _varying(body)
            if inside is None or (inside and node.most != node.least) or (inside and node.least > 1):
                return None
            return inside + node.varies
        case Sequence(parts=parts) | Choice(parts=parts):
            counts = [_varying(part) for part in parts]
            own = isinstance(node, Choice)
            return None if None in counts else own + sum(count or 0 for count in counts)
    return 0


def _ascii(node: Chars) -> bool:
    return all(high < 128 for _, high in node.ranges)


def _written(node: Regex) -> str:
    """The same for Python's `re`."""
    match node:
        case Chars():
            return _set(node)
        case Place(kind=kind):
            return {"A": r"\A", "z": r"\Z", "^": "(?m:^)", "$": "(?m:$)", "b": r"\b"}[kind]
        case Sequence(parts=parts):
            return "".join(map(_written, parts))
        case Choice(parts=parts):
            return f"(?:{'|'.join(map(_written, parts))})"
        case Repeat(body=body, least=least, most=most, greedy=greedy):
            count = f"{{{least},{'' if most is None else most}}}"
            return f"(?:{_written(body)}){count}{'' if greedy else '?'}"
    return ""


def _set(node: Chars) -> str:
    inside = "".join(f"{_code(low)}-{_code(high)}" for low, high in node.ranges)
    found = f"[{'^' if node.negated else ''}{inside}]"
    return f"(?i:{found})" if node.fold else found


def _code(code: int) -> str:
    return f"\\U{code:08x}"
