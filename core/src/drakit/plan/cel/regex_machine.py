"""Regular expressions in time that is linear in the text: all ways through an expression are walked at once.

The ways are kept in the order in which a backtracking matcher would try them, so the match is the one that RE2 finds:
the leftmost, and of those the one that is tried first.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from drakit.plan.cel.regex_nodes import Chars, Choice, Place, Regex, Repeat, Sequence, may_be_empty

MAX_STEPS = 20_000
"""Of a program: an expression with repetitions is written out."""

CHARS, SPLIT, PLACE, MATCH = range(4)


@frozen(eq=False)
class _Step:
    kind: int
    test: Chars | str | None = None
    to: tuple[int, ...] = ()


class Machine:
    """A compiled expression. Raises ValueError where it is too large."""

    def __init__(self, root: Regex) -> None:
        self._steps: list[_Step] = []
        self._start = self._compile(root, self._add(_Step(MATCH)))

    def search(self, text: str, start: int = 0) -> tuple[int, int] | None:
        """Where the first match is."""
        found: tuple[int, int] | None = None
        ways: list[tuple[int, int]] = []
        for at in range(start, len(text) + 1):
            if found is None:
                ways.append((self._start, at))
            elif not ways:
                break
            following: list[tuple[int, int]] = []
            seen: set[int] = set()
            for step, begun in self._spread(ways, text, at, seen):
                if step.kind == MATCH:
                    found = (begun, at)
                    break  # what comes later is tried only where this one fails
                test = step.test
                if at < len(text) and isinstance(test, Chars) and test.has(text[at]):
                    following.append((step.to[0], begun))
            ways = following
        return found

    def _spread(self, ways: list[tuple[int, int]], text: str, at: int, seen: set[int]) -> Iterator[tuple[_Step, int]]:
        """The steps that need a character, or end the match, in order; each once."""
        for way, begun in ways:
            stack = [way]
            while stack:
                place = stack.pop()
                if place in seen:
                    continue
                seen.add(place)
                step = self._steps[place]
                if step.kind == SPLIT:
                    stack.extend(reversed(step.to))
                elif step.kind == PLACE:
                    if _is_at(str(step.test), text, at):
                        stack.append(step.to[0])
                else:
                    yield step, begun

    def _add(self, step: _Step) -> int:
        if len(self._steps) >= MAX_STEPS:
            raise ValueError("expression too large")
        self._steps.append(step)
        return len(self._steps) - 1

    def _compile(self, node: Regex, following: int) -> int:
        """The place where the expression begins, if it goes on at `following`."""
        match node:
            case Chars():
                return self._add(_Step(CHARS, node, (following,)))
            case Place(kind=kind):
                return self._add(_Step(PLACE, kind, (following,)))
            case Sequence(parts=parts):
                for part in reversed(parts):
                    following = self._compile(part, following)
                return following
            case Choice(parts=parts):
                return self._add(_Step(SPLIT, None, tuple(self._compile(part, following) for part in parts)))
            case Repeat():
                return self._repeat(node, following)
        return following

    def _repeat(self, node: Repeat, following: int) -> int:
        copies = node.least
        if node.most is None:
            # As Go does (its issue 46123): once or more is the body with a way back, which an empty turn does not take.
            loop = self._add(_Step(SPLIT))
            body = self._compile(node.body, loop)
            self._steps[loop] = _Step(SPLIT, None, _either(body, following, greedy=node.greedy))
            if node.least:
                following, copies = body, node.least - 1
            elif may_be_empty(node.body):
                following = self._add(_Step(SPLIT, None, _either(body, following, greedy=node.greedy)))
            else:
                following = loop
        else:
            end = following
            for _ in range(node.most - node.least):
                body = self._compile(node.body, following)
                following = self._add(_Step(SPLIT, None, _either(body, end, greedy=node.greedy)))
        for _ in range(copies):
            following = self._compile(node.body, following)
        return following


def _either(more: int, enough: int, *, greedy: bool) -> tuple[int, int]:
    return (more, enough) if greedy else (enough, more)


def _is_at(kind: str, text: str, at: int) -> bool:
    match kind:
        case "A":
            return at == 0
        case "z":
            return at == len(text)
        case "^":
            return at == 0 or text[at - 1] == "\n"
        case "$":
            return at == len(text) or text[at] == "\n"
    between = _is_word(text, at - 1) is not _is_word(text, at)
    return between is (kind == "b")


def _is_word(text: str, at: int) -> bool:
    return 0 <= at < len(text) and text[at].isascii() and (text[at].isalnum() or text[at] == "_")
