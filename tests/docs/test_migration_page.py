"""docs/migration.md says what `drakit check --cluster` says, and its example of a plugin's file is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from drakit.cli.switchover.commands import LABEL
from drakit.cli.switchover.declared import API_VERSION, FILE_NAME, KIND, Migration
from drakit.cli.switchover.nodes import Verdict
from drakit.cli.switchover.workloads import Change
from drakit.decoding import read_document
from drakit.kube.inspection import RESOURCES
from drakit.testing import InMemoryApiServer

from tests.cli.clusters import AWS_DRIVER, NEURON, claim, node, pod, slice_of, with_claim

PAGE = (Path(__file__).parents[2] / "docs" / "migration.md").read_text()
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("verdict", Verdict)
def test_every_verdict_is_explained(verdict):
    assert f"| `{verdict}` |" in PAGE


def test_the_change_that_is_quoted_is_one():
    assert f"*{Change.RESTART}*" in PAGE


def test_the_label_is_that_of_the_commands():
    assert f"{LABEL}=true" in PAGE
    assert f"agent.nodeSelector.{LABEL}=true" in PAGE


def test_the_example_of_a_plugins_file_is_one(tmp_path):
    (text,) = (text for text in YAML if f"kind: {KIND}" in text)
    path = tmp_path / FILE_NAME
    path.write_text(text)
    migration = read_document(path, Migration, API_VERSION, KIND)
    assert [one.resource for one in migration.device_plugins] == ["example.com/serial", "example.com/serial-half"]
    assert migration.drivers[0].pods_stay


def test_the_role_is_for_what_is_read_and_for_nothing_else():
    (role,) = (yaml.safe_load(text) for text in YAML if "kind: ClusterRole" in text)
    rules = [rule for rule in role["rules"] if "apiGroups" in rule]
    allowed = {(group, name) for rule in rules for group in rule["apiGroups"] for name in rule["resources"]}
    wanted = {(one.group_version.rpartition("/")[0], one.plural) for one in RESOURCES.values()}
    assert allowed == wanted


def test_every_field_of_the_report_is_named(tmp_path):
    from click.testing import CliRunner
    from drakit.cli import main

    with InMemoryApiServer() as server:
        for one in (
            node("n", aws_amazon_com__neuron=16),
            slice_of("n", NEURON, AWS_DRIVER),
            claim("c", "n", NEURON),
            with_claim("p", "n", "c"),
            pod("q", "n", limits={"aws.amazon.com/neuron": "1"}),
        ):
            server.create(one)
        arguments = [
            "check",
            "--cluster",
            "-o",
            "yaml",
            "--kubeconfig",
            str(server.kubeconfig(tmp_path / "kubeconfig")),
        ]
        found = yaml.safe_load(CliRunner().invoke(main, arguments).stdout)
    table = PAGE.split("## The report as data")[1].split("\n## ")[0]
    rows = {
        row.split("|")[1].strip(" `").removesuffix("[]"): row for row in table.splitlines() if row.startswith("| `")
    }
    assert set(found) <= set(rows)
    parts = {
        "nodes": found["nodes"][0],
        "nodes[].served": found["nodes"][0]["served"][0],
        "workloads": found["workloads"][0],
        "workloads[].becomes": next(one["becomes"] for one in found["workloads"] if "becomes" in one),
        "cluster": found["cluster"],
        "features": found["features"][0],
        "deviceClasses": found["deviceClasses"][0],
        "unread": found["unread"][0],
    }
    named = {place: [name for name in part if f"`{name}`" not in rows[place]] for place, part in parts.items()}
    rest = {place: names for place, names in named.items() if names}
    del rest["nodes"]  # its `served` has a row of its own
    assert rest == {}
