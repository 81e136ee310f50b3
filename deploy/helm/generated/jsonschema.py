"""JSON schemas of attrs classes, as `drakit.decoding` reads them: strict, camelCase, nothing coerced."""

from __future__ import annotations

import enum
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import attrs
from drakit import Quantity
from drakit.decoding import camel

Schema = dict[str, Any]
_PLAIN: Mapping[Any, Schema] = {
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    Path: {"type": "string"},
    Quantity: {"type": ["string", "number"]},
    NoneType: {"type": "null"},
    Any: {},
}


class Schemas:
    """Schemas of classes that name each other; `definitions` are those that were named, for `$defs`."""

    def __init__(self) -> None:
        self.definitions: dict[str, Schema] = {}

    def of(self, kind: Any) -> Schema:
        """The schema of a type: of a class, a reference to its definition."""
        if kind in _PLAIN:
            return dict(_PLAIN[kind])
        if attrs.has(kind):
            return self._reference(kind)
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            # An empty member is what leaving the key out means: nobody writes it.
            return {"enum": [member.value for member in kind if member.value != ""]}
        return self._composed(kind)

    def properties(self, kind: Any) -> dict[str, Schema]:
        """The schema of each key of a class."""
        hints = get_type_hints(kind)
        return {camel(a.name): self.of(hints[a.name]) | _constraint(a) for a in attrs.fields(kind) if a.init}

    def _reference(self, kind: type) -> Schema:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if name not in self.definitions:
            self.definitions[name] = {}  # for classes that name themselves
            required = [camel(a.name) for a in attrs.fields(kind) if a.init and a.default is attrs.NOTHING]
            self.definitions[name] = {
                "type": "object",
                "description": re.split(r"\n\s*\n", (kind.__doc__ or "").strip())[0],
                "additionalProperties": False,
                **({"required": required} if required else {}),
                "properties": self.properties(kind),
            }
        return {"$ref": f"#/$defs/{name}"}

    def _composed(self, kind: Any) -> Schema:
        plain, arguments = get_origin(kind) or kind, get_args(kind)
        if plain in (Union, UnionType):
            return {"anyOf": [self.of(argument) for argument in arguments]}
        if issubclass(plain, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1]) if arguments else {}}
        if issubclass(plain, Collection):
            return {"type": "array", "items": self.of(arguments[0]) if arguments else {}}
        raise TypeError(f"no JSON schema for {kind!r}")


def _constraint(attribute: Any) -> Schema:
    """What a field says of its values in its metadata, in the words of JSON schema."""
    return dict(attribute.metadata.get("schema", {}))
