"""Which scenario `drakit demo` shows a manifest with."""

from __future__ import annotations

from pathlib import Path

import pytest
from drakit.cli.demo.scenarios import choose, load_scenarios
from drakit.testing.manifests import read_manifest

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MINE = """---
apiVersion: resource.k8s.io/v1
kind: DeviceClass
metadata: {name: mine}
spec: {selectors: [{cel: {expression: device.driver == "dra.net"}}]}
"""


@pytest.mark.parametrize(
    ("node_type", "file", "scenario"),
    [
        ("g6e.12xlarge", "efa-shares.yaml", "efa-shares"),
        ("p4de.24xlarge", "efa/gpu-efa-aligned.yaml", "gpu-efa-aligned"),
        ("g5.48xlarge", "efa/gpu-efa-unaligned.yaml", "gpu-efa-aligned"),
        ("p5.48xlarge", "efa-shares.yaml", "efa-shares"),
        ("trn2.48xlarge", "neuron/m-trn2.yaml", "aligned-efa-neuron"),
        ("trn1.32xlarge", "neuron/m-trn2.yaml", "aligned-efa-neuron-trn1"),
        (None, "gpu-nic.yaml", "gpu-nic"),
    ],
)
def test_a_manifest_brings_the_scenario_it_is_of_or_one_with_its_classes(node_type, file, scenario):
    chosen = choose(load_scenarios(), None, node_type, EXAMPLES / file)
    assert chosen.name == scenario
    assert chosen.manifest == EXAMPLES / file
    assert chosen.node_type == node_type or (node_type is None and chosen.node_type == "generic-gpu-nic")


def test_adapters_of_any_type_can_be_shared_in_the_demo(drakit):
    outcome = drakit("demo", "--node", "g6e.12xlarge", "--file", EXAMPLES / "efa-shares.yaml")
    assert outcome.code == 0, outcome.err
    assert "(efa-shares on g6e.12xlarge)" in outcome.out


def test_a_scenario_that_lacks_the_classes_of_a_manifest_is_refused_with_those_that_have_them(drakit):
    aligned = EXAMPLES / "efa" / "gpu-efa-aligned.yaml"
    outcome = drakit("demo", "--scenario", "single-efa", "--file", aligned)
    assert outcome.code == 2
    assert outcome.err == (
        f"Error: {aligned}: scenario single-efa has no DeviceClass gpu.nvidia.com; leave out --scenario, or use "
        "gpu-efa-aligned\n"
    )


@pytest.mark.parametrize("arguments", [(), ("--scenario", "single-efa")])
def test_a_class_that_no_scenario_has_is_refused_with_its_place(drakit, tmp_path, arguments):
    path = tmp_path / "claim.yaml"
    path.write_text(
        (EXAMPLES / "efa" / "gpu-efa-aligned.yaml").read_text().replace("gpu.nvidia.com", "gpu.example.org")
    )
    outcome = drakit("demo", *arguments, "--file", path)
    assert outcome.code == 2
    assert "requests[0]: there is no DeviceClass 'gpu.example.org'; there are " in outcome.err


def test_a_class_that_the_manifest_brings_is_asked_of_no_scenario(tmp_path):
    path = tmp_path / "claim.yaml"
    path.write_text(
        (EXAMPLES / "efa" / "single-efa-claim.yaml").read_text().replace("efa.networking.k8s.aws", "mine") + MINE
    )
    assert read_manifest(path).classes == frozenset()
    assert choose(load_scenarios(), None, "p5.48xlarge", path).name == "gpu-efa-aligned"
