"""Where in a YAML file something stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import yaml

_PATH = re.compile(r"[\w.\[\]/-]*: ")
_STEP = re.compile(r"\[(\d+)\]|\.?([^.\[\]]+)")
_UNKNOWN = re.compile(r"unknown key '([^']+)'")


def placed(path: Path, problem: str) -> str:
    """A problem of a file that can be read as YAML, which begins with its path in the document, with the line."""
    found = _PATH.match(problem)
    inside = found[0][:-2].lstrip(".") if found else ""
    said = problem[found.end() :] if found else problem
    unknown = _UNKNOWN.match(said)
    steps = [*_steps(inside), *([unknown[1]] if unknown else [])]
    root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    line = _line(root, steps) if root else 1
    return f"{path}:{line}: {inside}: {said}" if inside else f"{path}:{line}: {said}"


def _steps(inside: str) -> Iterator[str | int]:
    for match in _STEP.finditer(inside):
        yield int(match[1]) if match[1] else match[2]


def _line(node: yaml.Node, steps: list[str | int]) -> int:
    """The line of what the steps lead to, or of the last thing on the way to it."""
    line: int = node.start_mark.line + 1
    for step in steps:
        if isinstance(node, yaml.MappingNode):
            below = next(((key, value) for key, value in node.value if key.value == step), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            below = (node.value[step], node.value[step])
        else:
            below = None
        if below is None:
            return line
        line, node = below[0].start_mark.line + 1, below[1]
    return line
