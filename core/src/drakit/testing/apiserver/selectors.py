"""Label and field selectors, as lists and watches take them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from drakit.testing.apiserver.resources import Document, Resource
from drakit.testing.apiserver.status import bad_request

Selector = Callable[[Document], bool]

_SET = re.compile(r"(?P<key>[^\s!=,()]+)\s+(?P<operator>in|notin)\s+\((?P<values>[^()]*)\)")
_EQUALITY = re.compile(r"(?P<key>[^\s!=,()]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^\s!=,()]*)")
_EXISTENCE = re.compile(r"(?P<absent>!?)\s*(?P<key>[^\s!=,()]+)")
_ALWAYS_SELECTABLE = ("metadata.name", "metadata.namespace")


def selector(resource: Resource, minor: int, labels: str, fields: str) -> Selector | None:
    """What both selectors together select; None for everything. `minor` is the server's release.

    Raises Refusal for one that cannot be parsed, or that names a field this release cannot select by.
    """
    tests = [_label_test(term) for term in _terms(labels)]
    tests += [_field_test(resource, minor, term) for term in _terms(fields)]
    if not tests:
        return None
    return lambda document: all(test(document) for test in tests)


def _terms(text: str) -> list[str]:
    """The terms between commas, but for those inside parentheses."""
    return [term for part in re.findall(r"(?:[^,(]|\([^)]*\))+", text) if (term := part.strip())]


def _label_test(term: str) -> Selector:
    if match := _SET.fullmatch(term):
        key, wanted = match["key"], {value.strip() for value in match["values"].split(",")}
        if match["operator"] == "in":
            return lambda document: _labels(document).get(key) in wanted
        return lambda document: _labels(document).get(key) not in wanted
    if match := _EQUALITY.fullmatch(term):
        key, value = match["key"], match["value"]
        if match["operator"] == "!=":
            return lambda document: _labels(document).get(key) != value
        return lambda document: _labels(document).get(key) == value
    if match := _EXISTENCE.fullmatch(term):
        key, present = match["key"], not match["absent"]
        return lambda document: (key in _labels(document)) is present
    raise bad_request(f"unable to parse label selector term {term!r}")


def _labels(document: Document) -> Mapping[str, str]:
    return document["metadata"].get("labels") or {}


def _field_test(resource: Resource, minor: int, term: str) -> Selector:
    match = _EQUALITY.fullmatch(term)
    if match is None:
        raise bad_request(f"unable to parse field selector term {term!r}")
    name, value, equal = match["key"], match["value"], match["operator"] != "!="
    unknown = name not in (*_ALWAYS_SELECTABLE, *resource.fields)
    # Selecting slices by pool came with 1.37.
    if unknown or (name == "spec.pool.name" and minor < 37):
        raise bad_request(f'field label not supported: "{name}" of {resource.kind}')
    path = tuple(name.split("."))
    return lambda document: (_at(document, path) == value) is equal


def _at(document: Document, path: tuple[str, ...]) -> str:
    """The field as a selector sees it: absent is the empty string."""
    value: Any = document
    for step in path:
        value = (value or {}).get(step)
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
