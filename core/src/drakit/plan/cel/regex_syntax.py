"""RE2's regular expressions, parsed: CEL's are RE2's, as Go's `regexp` reads them.

No look-around, no back references, ASCII classes. What RE2 refuses is refused. Of Unicode classes there are general
categories, no scripts.
"""

from __future__ import annotations

import re

from attrs import evolve, frozen

from drakit.plan.cel.regex_nodes import (
    CATEGORIES,
    CLASSES,
    LAST,
    PERL,
    Chars,
    Choice,
    Place,
    Regex,
    Repeat,
    Sequence,
    outside,
    pairs,
    without,
)

MAX_REPEAT = 1000
"""Of one repetition, and of nested ones multiplied."""
MAX_NESTING = 200


@frozen
class _Flags:
    fold: bool = False
    multiline: bool = False
    dot_all: bool = False
    ungreedy: bool = False

    def set(self, letters: str) -> _Flags:
        """With flags as in `im-s`."""
        on, _, off = letters.partition("-")
        names = {"i": "fold", "m": "multiline", "s": "dot_all", "U": "ungreedy"}
        return evolve(self, **{names[c]: True for c in on}, **{names[c]: False for c in off})


_SIMPLE = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PLACES = "AzbB"
_NAMED = re.compile(r"\[:(\^?)(\w+):\]")
_REPEAT = re.compile(r"\{(\d+)(,(\d*))?\}")
_GROUP = re.compile(r"\?(?:P?<(?P<name>\w+)>|(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)]))")
_CODE = re.compile(r"\\(?:x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|(0[0-7]{0,2}|[1-7][0-7]{1,2}))")
_CATEGORY = re.compile(r"\\([pP])(?:\{(\^?)(\w+)\}|([A-Z]))")


def parse(pattern: str) -> Regex:
    """The expression that a pattern is. Raises ValueError for what RE2 does not take, and for scripts."""
    parser = _Parser(pattern)
    found = parser.choice(_Flags())
    if not parser.ended:
        raise ValueError("unexpected )")
    if _size(found) > MAX_REPEAT:
        raise ValueError("invalid repeat count: repetitions in repetitions make too many")
    return found


def _size(node: Regex) -> int:
    """The most that nested repetitions multiply to."""
    if isinstance(node, Repeat):
        own = node.least if node.most is None else node.most
        return max(own, 1) * _size(node.body)
    parts = node.parts if isinstance(node, Sequence | Choice) else ()
    return max(map(_size, parts), default=1)


class _Parser:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._nesting = 0
        self._flags = _Flags()

    @property
    def ended(self) -> bool:
        """Whether all was read."""
        return self._at >= len(self._text)

    def choice(self, flags: _Flags) -> Regex:
        """Everything up to the bracket that ends the group; flags that are set in it end with it."""
        before, self._flags = self._flags, flags
        branches = [self._sequence()]
        while self._accept("|"):
            branches.append(self._sequence())
        self._flags = before
        return branches[0] if len(branches) == 1 else Choice(tuple(branches))

    def _accept(self, text: str) -> bool:
        if not self._text.startswith(text, self._at):
            return False
        self._at += len(text)
        return True

    def _sequence(self) -> Regex:
        parts: list[Regex] = []
        repeatable = False
        while not self.ended and self._text[self._at] not in "|)":
            if (repeat := self._repeat()) is not None:
                if not repeatable:
                    raise ValueError(f"missing argument to, or nested, repetition operator at {self._at}")
                parts.append(evolve(repeat, body=parts.pop()))
                repeatable = False
                continue
            parts += self._atom()
            repeatable = bool(parts)  # after flags, what stands before them is repeated
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def _repeat(self) -> Repeat | None:
        character = self._text[self._at]
        counts = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        if character in counts:
            least, most = counts[character]
            self._at += 1
        elif match := _REPEAT.match(self._text, self._at):
            least, most = int(match[1][:9]), None
            if match[2] is None:
                most = least
            elif match[3]:
                most = int(match[3][:9])
            if max(least, most or 0) > MAX_REPEAT or (most is not None and most < least):
                raise ValueError(f"invalid repeat count {match[0]}")
            self._at = match.end()
        else:
            return None
        lazy = self._accept("?")
        return Repeat(Regex(), least, most, greedy=lazy is self._flags.ungreedy)

    def _atom(self) -> list[Regex]:
        character = self._text[self._at]
        if character == "(":
            return self._group()
        if character == "\\":
            return self._escape()
        if character == "[":
            return [self._class()]
        self._at += 1
        multiline = self._flags.multiline
        special: dict[str, Regex] = {
            ".": Chars(((0, LAST),) if self._flags.dot_all else outside(((10, 10),))),
            "^": Place("^" if multiline else "A"),
            "$": Place("$" if multiline else "z"),
        }
        return [special.get(character) or self._one(character)]

    def _one(self, character: str) -> Chars:
        return Chars(((ord(character), ord(character)),), fold=self._flags.fold)

    def _group(self) -> list[Regex]:
        self._at += 1
        flags = self._flags
        if self._text.startswith("?", self._at):
            match = _GROUP.match(self._text, self._at)
            if match is None:
                raise ValueError(f"invalid or unsupported Perl syntax at {self._at - 1}")
            self._at = match.end()
            if not match["name"]:
                flags = flags.set(match["flags"])
                if match["end"] == ")":
                    self._flags = flags
                    return []
        self._nesting += 1
        if self._nesting > MAX_NESTING:
            raise ValueError(f"brackets may be nested {MAX_NESTING} deep")
        found = self.choice(flags)
        self._nesting -= 1
        if not self._accept(")"):
            raise ValueError("missing closing )")
        return [found]

    def _escape(self) -> list[Regex]:
        following = self._text[self._at + 1 : self._at + 2]
        if following == "Q":
            quoted, end, _ = self._text[self._at + 2 :].partition("\\E")
            self._at += 2 + len(quoted) + len(end)
            return [self._one(character) for character in quoted]
        if following and following in _PLACES:
            self._at += 2
            return [Place(following)]
        found = self._set()
        return [self._one(self._character()) if found is None else evolve(found, fold=self._flags.fold)]

    def _set(self) -> Chars | None:
        """A class with a name of its own: digits, general categories and so on."""
        following = self._text[self._at + 1 : self._at + 2]
        if self._text[self._at] == "\\" and following.lower() in PERL and following:
            self._at += 2
            ranges = pairs(PERL[following.lower()])
            return Chars(ranges if following.islower() else without(ranges, fold=self._flags.fold))
        if match := _CATEGORY.match(self._text, self._at):
            name = match[3] or match[4]
            if name not in CATEGORIES:
                raise ValueError(f"the planner does not know the Unicode class {match[0]}; it knows no scripts")
            self._at = match.end()
            return Chars((), ((name, (match[1] == "P") is not bool(match[2])),))
        return None

    def _character(self) -> str:
        """One character, escaped or not."""
        character = self._text[self._at : self._at + 1]
        if character != "\\":
            self._at += 1
            return character
        if match := _CODE.match(self._text, self._at):
            code = int(match[1] or match[2] or match[3], 8 if match[3] else 16)
            if code > LAST:
                raise ValueError(f"invalid escape sequence {match[0]}")
            self._at = match.end()
            return chr(code)
        escaped = self._text[self._at + 1 : self._at + 2]
        if not escaped:
            raise ValueError("trailing backslash")
        self._at += 2
        if escaped in _SIMPLE:
            return _SIMPLE[escaped]
        if escaped.isascii() and not escaped.isalnum():
            return escaped
        raise ValueError(f"invalid escape sequence \\{escaped}")

    def _class(self) -> Chars:
        self._at += 1
        negated = self._accept("^")
        ranges: list[tuple[int, int]] = []
        categories: list[tuple[str, bool]] = []
        first = True
        while first or not self._text.startswith("]", self._at):
            if self.ended:
                raise ValueError("missing closing ]")
            found = self._posix() or self._set() or self._range()
            ranges += found.ranges
            categories += found.categories
            first = False
        self._at += 1
        return Chars(tuple(ranges), tuple(categories), negated, self._flags.fold)

    def _posix(self) -> Chars | None:
        match = _NAMED.match(self._text, self._at)
        if match is None:
            return None
        if match[2] not in CLASSES:
            raise ValueError(f"invalid character class {match[0]}")
        self._at = match.end()
        ranges = pairs(CLASSES[match[2]])
        return Chars(without(ranges, fold=self._flags.fold) if match[1] else ranges)

    def _range(self) -> Chars:
        low = high = self._character()
        if self._text.startswith("-", self._at) and not self._text.startswith("-]", self._at):
            self._at += 1
            if self.ended:
                raise ValueError("missing closing ]")
            high = self._character()
            if high < low:
                raise ValueError(f"invalid character class range {low}-{high}")
        return Chars(((ord(low), ord(high)),))
