"""What regular expressions are made of: sets of characters, and what stands in what order."""

from __future__ import annotations

import unicodedata

from attrs import frozen

Ranges = tuple[tuple[int, int], ...]

LAST = 0x10FFFF


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


CLASSES = {
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
PERL = {"d": "09", "w": "09AZaz__", "s": "\t\n\f\r  "}

CATEGORIES = frozenset(
    "C Cc Cf Co Cs L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs Any".split()  # noqa: SIM905
)
"""The general categories of Unicode that a set can name, and all of it."""


def pairs(text: str) -> Ranges:
    """Ranges from their ends: `azAZ` is a to z and A to Z."""
    return tuple((ord(low), ord(high)) for low, high in zip(text[::2], text[1::2], strict=True))


def outside(ranges: Ranges) -> Ranges:
    """The complement of ranges."""
    found, start = [], 0
    for low, high in sorted(ranges):
        if low > start:
            found.append((start, low - 1))
        start = max(start, high + 1)
    return (*found, (start, LAST)) if start <= LAST else tuple(found)


def without(ranges: Ranges, *, fold: bool) -> Ranges:
    """The complement of a class of ASCII characters, and of their other cases."""
    if not fold:
        return outside(ranges)
    codes = {ord(form) for low, high in ranges for code in range(low, high + 1) for form in _forms(chr(code))}
    return outside(tuple((code, code) for code in codes))


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
