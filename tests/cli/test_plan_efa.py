"""`drakit plan` on the published EFA templates, beside the GPUs of another driver for which the mock stands in."""

from __future__ import annotations

import json

import pytest
from drakit.cli.nodetypes import survey_of
from drakit_efa.plugin import EfaPlugin

TEMPLATES, OTHERS = EfaPlugin.data / "templates", EfaPlugin.data / "others"
CONFIG = """\
apiVersion: drakit/v1alpha1
kind: AgentConfiguration
backends:
- plugin: efa
- plugin: mock
  driver: gpu.nvidia.com
  options: {profile: nvidia-gpu}
"""
P4D, P5, P5EN, G6E = "p4d.24xlarge", "p5.48xlarge", "p5en.48xlarge", "g6e.48xlarge"
PLACED = [
    ("single-efa-claim", P5, 0, 1),
    ("single-efa-claim", G6E, 0, 1),
    ("gpu-efa-aligned", P4D, 1, 1),
    ("gpu-efa-aligned", P5, 1, 1),
    ("gpu-efa-unaligned", G6E, 1, 1),
    ("aligned-efa-nvidia", P5EN, 1, 1),
    ("one-gpu-four-efas", P5, 1, 4),
]
PENDING = [
    ("gpu-efa-aligned", G6E, "no value of resource.kubernetes.io/pcieRoot suits every request"),
    ("aligned-efa-nvidia", G6E, "no value of resource.kubernetes.io/pcieRoot suits every request"),
    ("one-gpu-four-efas", P4D, "no value of resource.kubernetes.io/pcieRoot suits every request"),
]
ERROR = [("aligned-all-efa-one-nvidia", P5)]
"""A request for all devices that a constraint cannot hold for."""
FILLED = [("gpu-efa-aligned", P4D, 4), ("gpu-efa-aligned", P5, 8), ("one-gpu-four-efas", P5EN, 4)]


@pytest.fixture(scope="module")
def slices(tmp_path_factory):
    """The file of a type's slices; each type is surveyed once."""
    directory, known = tmp_path_factory.mktemp("efa"), {}
    (directory / "agent.yaml").write_text(CONFIG)

    def file(node_type):
        if node_type not in known:
            known[node_type] = directory / f"{node_type}.json"
            found = survey_of(node_type, directory / "agent.yaml")
            known[node_type].write_text(json.dumps({"kind": "List", "items": list(found.slices)}))
        return known[node_type]

    return file


@pytest.fixture
def planned(drakit, slices):
    def plan(name, node_type, *args):
        files = ("-f", TEMPLATES / f"{name}.yaml", "-f", OTHERS / "gpu.nvidia.com.yaml")
        return drakit("plan", *files, "--slices", slices(node_type), "-o", "json", *args).json

    return plan


@pytest.mark.parametrize(("name", "node_type", "gpus", "adapters"), PLACED)
def test_a_published_template_is_placed_where_it_is_for(planned, name, node_type, gpus, adapters):
    (pod,) = planned(name, node_type)["pods"]
    assert pod["outcome"] == "placed"
    given = [one["driver"] for claim in pod["claims"] for one in claim["allocation"]["devices"]["results"]]
    assert (given.count("gpu.nvidia.com"), given.count("dra.net")) == (gpus, adapters)


@pytest.mark.parametrize(("name", "node_type", "reason"), PENDING)
def test_a_published_template_that_must_stay_pending_does_so_with_its_reason(planned, name, node_type, reason):
    (pod,) = planned(name, node_type)["pods"]
    assert pod["outcome"] == "unsatisfied"
    assert reason in pod["reasons"][0]["reason"]


@pytest.mark.parametrize(("name", "node_type"), ERROR)
def test_all_devices_that_cannot_agree_are_no_plan(planned, name, node_type):
    (pod,) = planned(name, node_type)["pods"]
    assert pod["outcome"] in ("error", "unsatisfied")


@pytest.mark.parametrize(("name", "node_type", "copies"), FILLED)
def test_so_many_copies_fit_on_a_node(planned, name, node_type, copies):
    assert planned(name, node_type, "--fit")["fit"]["total"] == copies


def test_every_published_template_is_planned_here():
    assert {path.stem for path in TEMPLATES.glob("*.yaml")} == {name for name, *_ in (*PLACED, *PENDING, *ERROR)}


@pytest.mark.parametrize(("name", "node_type", "gpus", "adapters"), PLACED)
def test_a_published_template_needs_neither_a_configuration_nor_a_class_beside_it(
    drakit, name, node_type, gpus, adapters
):
    found = drakit("plan", "-f", TEMPLATES / f"{name}.yaml", "--node", node_type, "-o", "json")
    assert found.code == 0, found.err
    (pod,) = found.json["pods"]
    given = [one["driver"] for claim in pod["claims"] for one in claim["allocation"]["devices"]["results"]]
    assert (given.count("gpu.nvidia.com"), given.count("dra.net")) == (gpus, adapters)
    (note,) = [note for note in found.json["notes"] if "stand-ins" in note]
    assert note.startswith(f"the devices of gpu.nvidia.com on {node_type} are stand-ins")


def test_what_an_agent_would_publish_has_no_stand_ins():
    assert {one["spec"]["driver"] for one in survey_of(P5).slices} == {"dra.net"}
