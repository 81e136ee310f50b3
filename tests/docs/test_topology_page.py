"""docs/topology.md and its drawing are made from the code, and say of it what is so."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
from drakit.cli.topology import topology
from drakit.plan.workload.reading import MAX_JSON_BYTES, MAX_YAML_BYTES

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "topology.md").read_text()


@pytest.fixture(scope="module")
def made():
    specification = importlib.util.spec_from_file_location("topology_page", DOCS / "topology.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_and_its_drawing_are_what_the_code_makes(made):
    assert made.page() == PAGE, "docs/topology.md is stale; run `make docs`"
    assert made.drawing() == (DOCS / "topology.svg").read_text(), "docs/topology.svg is stale; run `make docs`"


def test_every_option_the_page_names_is_one_of_the_command():
    options = {option for parameter in topology.params for option in parameter.opts}
    named = {
        option
        for line in re.findall(r"^drakit topology (.*)", PAGE, re.MULTILINE)
        for option in re.findall(r"(?<!\S)--?[a-z-]+", line)
    }
    assert len(named) > 5
    assert named <= options


def test_every_form_is_on_the_page():
    (output,) = [parameter for parameter in topology.params if parameter.name == "output"]
    assert [form for form in output.type.choices if f"| `{form}` |" not in PAGE] == []


def test_the_limits_are_those_of_the_code():
    said = f"At most {MAX_YAML_BYTES >> 20} MiB of YAML are read, or {MAX_JSON_BYTES >> 20} MiB of JSON"
    assert said in " ".join(PAGE.split())
