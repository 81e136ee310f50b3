"""RE2's regular expressions, parsed: CEL's are RE2's, as Go's `regexp` reads them.

No look-around, no back references, ASCII classes. What RE2 refuses is refused. Of Unicode classes there are general
categories, no scripts.
"""

from __future__ import annotations

import re
import unicodedata

from attrs import evolve, frozen

Ranges = tuple[tuple[int, int], ...]

MAX_REPEAT = 1000
"""Of one repetition, and of nested ones multiplied."""
MAX_NESTING = 200
_LAST = 0x10FFFF


@frozen
class Regex:
    """Any expression; as it is, one that matches nothing at all: the empty text."""


@frozen
class Chars(Regex):
    """One character of a set. `fold`: whatever its case. `categories` are general categories, such as `Lu` or `L`."""

    ranges: Ranges
    categories: tuple[tuple[str, bool], ...] = ()
    negated: bool = False
    fold: bool = False

    def has(self, character: str) -> bool:
        """Whether a character is in the set."""
        forms = _forms(character) if self.fold else (character,)
        return any(self._holds(form) for form in forms) is not self.negated

    def _holds(self, character: str) -> bool:
        code = ord(character)
        if any(low <= code <= high for low, high in self.ranges):
            return True
        return any(_in_category(character, name) is not negated for name, negated in self.categories)


def _in_category(character: str, name: str) -> bool:
    return name == "Any" or unicodedata.category(character).startswith(name)


def _forms(character: str) -> set[str]:
    """The character in each case, as far as that is one character."""
    forms = {character}
    for _ in range(2):
        forms |= {other for form in forms for other in (form.lower(), form.upper()) if len(other) == 1}
    return forms | ({"\u212a"} if "k" in forms else set()) | ({"\u017f"} if "s" in forms else set())


@frozen
class Place(Regex):
    """A place rather than a character: `A`, `z`, `^` and `$` of lines, `b` or `B`."""

    kind: str


@frozen
class Sequence(Regex):
    """One after another."""

    parts: tuple[Regex, ...]


@frozen
class Choice(Regex):
    """The first that leads to a match."""

    parts: tuple[Regex, ...]


@frozen
class Repeat(Regex):
    """From `least` to `most` times, None being without end; greedy ones try more first."""

    body: Regex
    least: int
    most: int | None
    greedy: bool = True

    @property
    def varies(self) -> bool:
        """Whether it leaves a choice."""
        return self.least != self.most


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


_CLASSES = {
    "alnum": "09AZaz",
    "alpha": "AZaz",
    "ascii": "\x00\x7f",
    "blank": "\t\t  ",
    "cntrl": "\x00\x1f\x7f\x7f",
    "digit": "09",
    "graph": "!~",
    "lower": "az",
    "print": " ~",
    "punct": "!/:@[`{~",
    "space": "\t\r  ",
    "upper": "AZ",
    "word": "09AZaz__",
    "xdigit": "09AFaf",
}
_PERL = {"d": "09", "w": "09AZaz__", "s": "\t\n\f\r  "}
_SIMPLE = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_PLACES = "AzbB"
_NAMED = re.compile(r"\[:(\^?)(\w+):\]")
_REPEAT = re.compile(r"\{(\d+)(,(\d*))?\}")
_GROUP = re.compile(r"\?(?:P?<(?P<name>\w+)>|(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)]))")
_CODE = re.compile(r"\\(?:x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|(0[0-7]{0,2}|[1-7][0-7]{1,2}))")
_CATEGORY = re.compile(r"\\([pP])(?:\{(\^?)(\w+)\}|([A-Z]))")
_CATEGORIES = frozenset(
    [
        "C",
        "Cc",
        "Cf",
        "Co",
        "Cs",
        "L",
        "Ll",
        "Lm",
        "Lo",
        "Lt",
        "Lu",
        "M",
        "Mc",
        "Me",
        "Mn",
        "N",
        "Nd",
        "Nl",
        "No",
        "P",
        "Pc",
        "Pd",
        "Pe",
        "Pf",
        "Pi",
        "Po",
        "Ps",
        "S",
        "Sc",
        "Sk",
        "Sm",
        "So",
    ]
)
_SEPARATORS = frozenset(("Z", "Zl", "Zp", "Zs", "Any"))


def _pairs(text: str) -> Ranges:
    return tuple((ord(low), ord(high)) for low, high in zip(text[::2], text[1::2], strict=True))


def _outside(ranges: Ranges) -> Ranges:
    found, start = [], 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    return (*found, (start, _LAST)) if start <= _LAST else tuple(found)


def _without(ranges: Ranges, *, fold: bool) -> Ranges:
    """The complement of a class of ASCII characters, and of their other cases."""
    if not fold:
        return _outside(ranges)
    codes = {ord(form) for low, high in ranges for code in range(low, high + 1) for form in _forms(chr(code))}
    return _outside(tuple((code, code) for code in codes))


def may_be_empty(node: Regex) -> bool:
    """Whether it matches the empty text somewhere."""
    match node:
        case Chars():
            return False
        case Sequence(parts=parts):
            return all(map(may_be_empty, parts))
        case Choice(parts=parts):
            return any(map(may_be_empty, parts))
        case Repeat(body=body, least=least):
            return not least or may_be_empty(body)
    return True


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
            ".": Chars(((0, _LAST),) if self._flags.dot_all else _outside(((10, 10),))),
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
        if self._text[self._at] == "\\" and following.lower() in _PERL and following:
            self._at += 2
            ranges = _pairs(_PERL[following.lower()])
            return Chars(ranges if following.islower() else _without(ranges, fold=self._flags.fold))
        if match := _CATEGORY.match(self._text, self._at):
            name = match[3] or match[4]
            if name not in _CATEGORIES | _SEPARATORS:
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
            if code > _LAST:
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
        if match[2] not in _CLASSES:
            raise ValueError(f"invalid character class {match[0]}")
        self._at = match.end()
        ranges = _pairs(_CLASSES[match[2]])
        return Chars(_without(ranges, fold=self._flags.fold) if match[1] else ranges)

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
