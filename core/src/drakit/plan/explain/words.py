"""How things are put into words: names as they may be shown, values, lists that are not too long."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from drakit.model import Version
from drakit.plan.cel import CelError

LONGEST = 160
"""So much of a name or value is shown."""


def shown(value: object) -> str:
    """Text that came from outside, on one line and harmless to a terminal."""
    text = str(value)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST - 1]}…"
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def value_text(value: object) -> str:
    """A value of a device as an explanation has it."""
    if isinstance(value, str):
        return f'"{shown(value)}"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    if isinstance(value, CelError):
        return _problem(value)
    return f"version {shown(value.text)}" if isinstance(value, Version) else shown(value)


def _problem(error: CelError) -> str:
    return "no such attribute" if error.problem.startswith("no such key") else shown(error.problem)


def listed(items: Iterable[object], most: int = 6) -> str:
    """`a, b and 3 more`."""
    texts = [shown(item) for item in items]
    if len(texts) > most + 1:
        return f"{', '.join(texts[:most])} and {len(texts) - most} more"
    return ", ".join(texts)


def joined(items: Iterable[object]) -> str:
    """`'a', 'b' and 'c'`."""
    texts = [f"'{shown(item)}'" for item in items]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}" if texts else ""


def tallied(counts: Mapping[str, int], most: int = 4) -> str:
    """`3 a, 2 b`, the greatest count first."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return listed((f"{count} {name}" for name, count in ordered), most)


def counted(number: int, noun: str) -> str:
    """`1 device`, `2 devices`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
