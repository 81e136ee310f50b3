"""Upstream's tests use names that its API server refuses, and so does the planner: here they are made valid."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
IDENTIFIER = re.compile(r"[A-Za-z_]\w*")


def made_valid(case: dict[str, Any]) -> dict[str, Any]:
    """The same case, with each name that is not valid replaced wherever it stands."""
    labels = {name: _label(name) for name in _labels(case) if not LABEL.fullmatch(name)}
    qualified = {name: re.sub(r"\W", "", name) for name in _identifiers(case) if not IDENTIFIER.fullmatch(name)}
    if not labels and not qualified:
        return case
    made: dict[str, Any] = _renamed(case, labels, qualified)
    return made


def _label(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()


def _labels(case: dict[str, Any]) -> Iterator[str]:
    for one in case["Slices"] or ():
        yield from (device["name"] for device in one["spec"].get("devices") or ())
    for claim in case["Claims"] or ():
        for request in claim["spec"]["devices"].get("requests") or ():
            yield request["name"]
            yield from (alternative["name"] for alternative in request.get("firstAvailable") or ())


def _identifiers(case: dict[str, Any]) -> Iterator[str]:
    for one in case["Slices"] or ():
        for device in one["spec"].get("devices") or ():
            for kind in ("attributes", "capacity"):
                yield from (name.rpartition("/")[2] for name in device.get(kind) or ())
    for claim in case["Claims"] or ():
        for request in claim["spec"]["devices"].get("requests") or ():
            for exact in (request.get("exactly") or {}, *(request.get("firstAvailable") or ())):
                wanted = (exact.get("capacity") or {}).get("requests") or {}
                yield from (name.rpartition("/")[2] for name in wanted)


def _renamed(value: Any, labels: dict[str, str], qualified: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {_text(key, labels, qualified): _renamed(item, labels, qualified) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, labels, qualified) for item in value]
    return _text(value, labels, qualified) if isinstance(value, str) else value


def _text(text: str, labels: dict[str, str], qualified: dict[str, str]) -> str:
    for old, new in qualified.items():
        text = text.replace(old, new)
    return "".join(labels.get(part, part) for part in re.split(r"([/=])", text))
