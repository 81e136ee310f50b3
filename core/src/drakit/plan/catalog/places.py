"""Where in a catalog file something stands."""

from __future__ import annotations

import re
from collections.abc import Iterator

from drakit.plan.workload.reading import Located

_PATH = re.compile(r"[\w.\[\]/-]*: ")
_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")
_UNKNOWN = re.compile(r"unknown key '([^']+)'")


def placed(document: Located, problem: str) -> str:
    """A problem of a document, which begins with its path in it, with file and line."""
    found = _PATH.match(problem)
    inside = found[0][:-2].lstrip(".") if found else ""
    said = problem[found.end() :] if found else problem
    unknown = _UNKNOWN.match(said)
    place = document.place((*_steps(inside), *([unknown[1]] if unknown else [])))
    return f"{place}: {inside}: {said}" if inside else f"{place}: {said}"


def _steps(inside: str) -> Iterator[str | int]:
    for match in _STEP.finditer(inside):
        yield int(match[1]) if match[1] else match[2]
