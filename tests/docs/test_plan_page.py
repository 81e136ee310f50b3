"""The page on `drakit plan` against the command: its options, its fields, its kinds."""

from __future__ import annotations

import json
import re
from pathlib import Path

from click.testing import CliRunner
from drakit.cli import main
from drakit.cli.plan import plan
from drakit.plan import GATES
from drakit.plan.workload import MAX_PODS
from drakit.plan.workload.kinds import KINDS
from drakit.plan.workload.reading import MAX_JSON_BYTES, MAX_YAML_BYTES
from drakit_neuron.plugin import NeuronPlugin

PAGE = (Path(__file__).parents[2] / "docs/plan.md").read_text()
SAMPLE = NeuronPlugin.data / "templates" / "m-trn2.yaml"


def answered(*args):
    found = CliRunner().invoke(main, ["plan", "-f", str(SAMPLE), "--node", "trn2.48xlarge", "-o", "json", *args])
    assert found.exit_code == 0, found.output
    return json.loads(found.stdout)


def test_every_kind_that_is_planned_is_in_the_table():
    rows = "".join(re.findall(r"^\| ([A-Z][^|]*) \|", PAGE, re.MULTILINE))
    assert {kind for kind in KINDS if kind not in rows} == set()


def test_every_option_of_its_own_is_told():
    own = {option for parameter in plan.params for option in parameter.opts if option.startswith("--")}
    shared = {"--output", "--file", "--namespace", "--kubeconfig"}
    assert {option for option in own - shared if f"`{option}" not in PAGE} == set()


def test_every_gate_is_told():
    assert {name for name in GATES if f"`{name}`" not in PAGE} == set()


def test_every_field_of_the_answer_is_told():
    fields = set(re.findall(r"`(?:pods\[\]\.)?([a-zA-Z]+)(?:\[\])?`", PAGE))
    plain, fitted = answered(), answered("--fit")

    def names(value):
        if isinstance(value, dict):
            return {
                name
                for key, item in value.items()
                for name in {key, *(names(item) if key not in ("allocation", "explanation") else ())}
            }
        return {name for item in value for name in names(item)} if isinstance(value, list) else set()

    assert (names(plain) | names(fitted)) - fields == set()


def test_the_limits_are_those_of_the_code():
    assert f"At most {MAX_PODS:,} pods" in PAGE
    assert f"up to {MAX_YAML_BYTES >> 20} MiB, JSON up to {MAX_JSON_BYTES >> 20} MiB" in PAGE
