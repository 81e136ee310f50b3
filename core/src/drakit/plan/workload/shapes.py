"""Checks of one value: each yields what is wrong with it, and returns the value, or one that nothing follows from.

Null and absent are the same to the API.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Mapping
from typing import Any, TypeVar

from drakit.errors import LimitExceeded, shorten
from drakit.plan.workload.problems import Path, Problem, meant_or_known

T = TypeVar("T")
Checked = Generator[Problem, None, T]

INT32, INT64 = 2**31 - 1, 2**63 - 1


def mapping(value: Any, path: Path, known: Collection[str] = ()) -> Checked[Mapping[str, Any]]:
    """A mapping with keys that are text, of `known` ones where any are given; without the nulls in it."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        yield Problem(path, f"must be a mapping, not {shorten(value, 40)}")
        return {}
    found = {}
    for key, item in value.items():
        if not isinstance(key, str):
            yield Problem(path, f"has the key {shorten(key, 40)}, which must be a string: write it in quotes")
        elif known and key not in known:
            yield Problem((*path, key), f"unknown field{meant_or_known(key, known)}")
        elif item is not None:
            found[key] = item
    return found


def sequence(value: Any, path: Path, limit: int | None = None) -> Checked[list[Any]]:
    """A list of at most so many entries."""
    if value is None:
        return []
    if not isinstance(value, list):
        yield Problem(path, f"must be a list, not {shorten(value, 40)}")
        return []
    if limit is not None and len(value) > limit:
        yield Problem(path, f"Too many: {len(value)}: must have at most {limit} items")
        return value[:limit]
    return value


def text(value: Any, path: Path, *, required: bool = False, limit: int | None = None) -> Checked[str]:
    """A string; "" for one that is not there."""
    if value is None or value == "":
        if required:
            yield Problem(path, "Required value")
        return ""
    if not isinstance(value, str):
        hint = ": write it in quotes" if isinstance(value, bool | int | float) else ""
        yield Problem(path, f"must be a string, not {shorten(value, 40)}{hint}")
        return ""
    if limit is not None and len(value.encode()) > limit:
        yield Problem(path, f"Too long: may not be more than {limit} bytes")
        return ""
    return value


def integer(value: Any, path: Path, *, least: int, default: int, most: int = INT32) -> Checked[int]:
    """A whole number, at least so much."""
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int):
        yield Problem(path, f"must be an integer, not {shorten(value, 40)}")
        return default
    if value > most:
        yield Problem(path, f"Invalid value: {shorten(value, 40)}: is too large; at most {most} can be stored")
        return default
    if value < least:
        rule = {0: "must be greater than or equal to 0", 1: "must be greater than zero"}.get(least, f"min is {least}")
        yield Problem(path, f"Invalid value: {shorten(value, 40)}: {rule}")
        return default
    return value


def flag(value: Any, path: Path) -> Checked[bool]:
    """True or false; false for what is not there."""
    if value is None or isinstance(value, bool):
        return bool(value)
    yield Problem(path, f"must be true or false, not {shorten(value, 40)}")
    return False


def choice(value: Any, path: Path, allowed: Collection[str], default: str = "") -> Checked[str]:
    """One of some words."""
    if value is None or value == "":
        return default
    if value not in allowed:
        named = ", ".join(json.dumps(one) for one in sorted(allowed))
        hint = meant_or_known(value, allowed, 0) if isinstance(value, str) else ""
        hint = hint if "did you mean" in hint else ""
        yield Problem(path, f"Unsupported value: {_quoted(value)}: supported values: {named}{hint}")
        return default
    return str(value)


def rule(check: Callable[[str, Any], None], value: Any, path: Path, *, required: bool = True) -> Checked[str]:
    """A name that keeps a rule of the API's."""
    name = yield from text(value, path, required=required)
    if not name:
        return ""
    try:
        check("", name)
    except LimitExceeded as error:
        yield Problem(path, f"Invalid value: {_quoted(name)}: {error.limit}")
        return ""
    return name


def unique(names: list[Any], path: Path, key: str = "name") -> Checked[None]:
    """Entries of a list that have the same name as one before."""
    for index, name in enumerate(names):
        if name and name in names[:index]:
            yield Problem((*path, index, key) if key else (*path, index), f"Duplicate value: {_quoted(name)}")


def exactly_one(holder: Mapping[str, Any], path: Path, choices: Collection[str]) -> Checked[str]:
    """The one of some fields that is set; "" where it is not one."""
    given = [one for one in choices if holder.get(one) not in (None, "", [])]
    if len(given) == 1:
        return given[0]
    named = " or ".join(choices)
    if given:
        yield Problem(path, f"Invalid value: must have exactly one of {named}, not {' and '.join(given)}")
    else:
        yield Problem(path, f"Required value: must have {named}")
    return ""


def _quoted(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str) and len(value) <= 80 else shorten(value)
