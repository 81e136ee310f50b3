"""JSON schemas of settings classes say what strict decoding takes."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from attrs import field, frozen
from drakit import Quantity
from generated.jsonschema import Schemas


class Kind(enum.StrEnum):
    NONE = ""
    A = "a"
    B = "b"


@frozen
class Inner:
    """An inner one.

    More of it.
    """

    needed: int
    others: tuple[Inner, ...] = ()


@frozen(kw_only=True)
class Outer:
    some_name: str
    class_: bool = False
    kind: Kind = Kind.NONE
    inner: Inner | None = None
    by_name: Mapping[str, Inner] = field(factory=dict)
    anything: Mapping[str, Any] = field(factory=dict)
    size: Quantity | None = None
    where: Path = Path()
    ratio: float = field(default=1.0, metadata={"schema": {"minimum": 0}})
    hidden: int = field(default=0, init=False)


def test_a_class_is_closed_and_names_what_it_needs():
    schemas = Schemas()
    assert schemas.of(Outer) == {"$ref": f"#/$defs/{__name__}.Outer"}
    outer = schemas.definitions[f"{__name__}.Outer"]
    inner = {"$ref": f"#/$defs/{__name__}.Inner"}
    assert outer["additionalProperties"] is False
    assert outer["required"] == ["someName"]
    assert outer["properties"] == {
        "someName": {"type": "string"},
        "class": {"type": "boolean"},
        "kind": {"enum": ["a", "b"]},
        "inner": {"anyOf": [inner, {"type": "null"}]},
        "byName": {"type": "object", "additionalProperties": inner},
        "anything": {"type": "object", "additionalProperties": {}},
        "size": {"anyOf": [{"type": ["string", "number"]}, {"type": "null"}]},
        "where": {"type": "string"},
        "ratio": {"type": "number", "minimum": 0},
    }


def test_a_class_that_names_itself_has_one_definition():
    schemas = Schemas()
    schemas.of(Inner)
    (inner,) = schemas.definitions.values()
    assert inner["description"] == "An inner one."
    assert inner["properties"]["others"] == {"type": "array", "items": {"$ref": f"#/$defs/{__name__}.Inner"}}


def test_a_type_that_no_document_can_have_is_an_error():
    with pytest.raises(TypeError, match="no JSON schema for <class 'complex'>"):
        Schemas().of(complex)
