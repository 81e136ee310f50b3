"""values.schema.json: what is in ../schema, and of `config` what the agent's settings classes and the plugins' say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drakit.decoding import read_yaml
from drakit.settings import BackendSettings, ExtensionSettings, Settings

from generated.jsonschema import Schema, Schemas
from generated.shipped import shipped

PATH = "values.schema.json"
SOURCES = Path(__file__).parents[1] / "schema"
SET_BY_THE_CHART = (
    "nodeName",
    "podUid",
    "root",
    "hostRoot",
    "cdiRoot",
    "kubeletRegistrarDirectoryPath",
    "kubeletPluginsDirectoryPath",
    "kubeletPodResourcesSocket",
    "kubeconfig",
    "apiServer",
)
"""Settings of the agent that follow from what is mounted, and are no values."""


def files() -> dict[str, str]:
    """The schema of all values."""
    schemas = Schemas()
    properties: dict[str, Schema] = {"global": {"type": "object"}}
    for path in sorted(SOURCES.glob("*.yaml")):
        for document in read_yaml(path):
            properties |= document
    properties["config"] = _configuration(schemas)
    document = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart drakit",
        "type": "object",
        "additionalProperties": False,
        "properties": dict(sorted(properties.items())),
        "$defs": dict(sorted(schemas.definitions.items())),
    }
    return {PATH: json.dumps(document, indent=2) + "\n"}


def _configuration(schemas: Schemas) -> Schema:
    properties = schemas.properties(Settings)
    for name in SET_BY_THE_CHART:
        del properties[name]
    for name, kind in {"backends": BackendSettings, "extensions": ExtensionSettings}.items():
        properties[name] = {"type": "array", "items": _enabled(schemas, kind)}
    return {
        "type": "object",
        "description": "The agent's configuration: docs/configuration.md. What depends on mounts, the chart sets.",
        "additionalProperties": False,
        "properties": properties,
    }


def _enabled(schemas: Schemas, kind: type) -> Schema:
    """A plugin that is enabled. The options of one that is not shipped can be anything."""
    properties = schemas.properties(kind)
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["plugin"],
        "properties": properties,
        "allOf": [_options(schemas, name, plugin.declarations.options) for name, plugin in shipped().items()],
    }


def _options(schemas: Schemas, name: str, kind: Any) -> Schema:
    options = schemas.of(kind) if kind else {"maxProperties": 0}
    return {
        "if": {"required": ["plugin"], "properties": {"plugin": {"const": name}}},
        "then": {"properties": {"options": options}},
    }
