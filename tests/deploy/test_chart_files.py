"""The chart's generated files are what the code says, and its values and their schema have the same keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import generate
import pytest
import yaml

VALUES = yaml.safe_load((generate.CHART / "values.yaml").read_text())
SCHEMA = json.loads((generate.CHART / "values.schema.json").read_text())
MADE = generate.contents()


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.name)
def test_a_generated_file_is_what_the_code_says(path):
    assert path.read_text() == MADE[path], f"{path.name} is stale; run `make chart`"


def test_no_generated_file_is_left_of_what_is_no_more():
    files = {path for path in (generate.CHART / "files").rglob("*") if path.is_file()}
    assert files <= MADE.keys(), "remove what no generator makes"


def keys(values: dict[str, Any], schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """Every key that the schema has and the values lack, where the values are a mapping that the schema closes."""
    for name, below in schema.get("properties", {}).items():
        if name not in values:
            yield f"{path}{name}"
        elif isinstance(values[name], dict) and values[name]:
            yield from keys(values[name], below, f"{path}{name}.")


def test_every_value_there_is_stands_in_values_yaml():
    lacking = [key for key in keys(VALUES, SCHEMA) if key != "global" and not key.startswith("config.")]
    assert lacking == []


def test_a_key_that_is_no_value_is_refused_at_every_level():
    def open_ones(schema: dict[str, Any], path: str) -> Iterator[str]:
        if "properties" in schema and schema.get("additionalProperties") is not False:
            yield path
        for name, below in schema.get("properties", {}).items():
            yield from open_ones(below, f"{path}.{name}")

    assert list(open_ones(SCHEMA, "")) == []


def test_the_chart_is_of_the_version_of_the_core():
    from importlib.metadata import version

    chart = yaml.safe_load((generate.CHART / "Chart.yaml").read_text())
    assert chart["version"] == chart["appVersion"] == version("drakit")
