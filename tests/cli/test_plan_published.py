"""`drakit plan` on published templates and examples, as the control plane would place them on faked nodes."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from attrs import evolve
from drakit.testing import InMemoryApiServer
from drakit.testing.controlplane import ControlPlane, Unschedulable
from drakit.testing.manifests import read_manifest
from drakit_efa.plugin import EfaPlugin
from drakit_neuron.plugin import NeuronPlugin

from tests.cli.planning import EFA, EXAMPLES, NEURON, OLD_DRIVER, TEMPLATES, TRN1, TRN2, ULTRA, results

PLACED = [
    ("1x4-connected-neurons", TRN2, 4, 0),
    ("l-trn2", TRN2, 8, 0),
    ("xl-trn2", TRN2, 16, 0),
    ("all-neurons", TRN2, 16, 0),
    ("all-neurons-lnc-1", TRN2, 16, 0),
    ("lnc-neurons", TRN2, 16, 0),
    ("neuron-efa-16x8", TRN1, 16, 8),
    ("xl-lnc2-trn2-efa", TRN2, 8, 8),
    ("xxl-lnc2-trn2-efa", TRN2, 16, 16),
    ("s-lnc1-trn2", TRN2, 1, 0),
    ("s-lnc2-trn2", TRN2, 1, 0),
    ("m-trn2", TRN2, 2, 0),
    ("linked-pair", TRN1, 2, 0),
    ("all-efas-and-neurons", TRN2, 16, 16),
    ("all-efas", TRN2, 0, 16),
    ("first-available-neuron", TRN1, 1, 0),
    ("us-2-node-config", ULTRA, 1, 0),
    ("us-4-node-config", ULTRA, 1, 0),
    ("us-and-lnc-config", ULTRA, 1, 0),
    ("driver-version-neuron", OLD_DRIVER, 16, 0),
    ("2.27-driver-trn2", OLD_DRIVER, 8, 0),
]
PENDING = [
    ("two-efas-four-neurons", TRN2, "no value of resource.aws.com/devicegroup1_id suits every request"),
    ("two-efas-four-neurons", TRN1, "no value of resource.aws.com/devicegroup1_id suits every request"),
    ("driver-version-neuron", TRN2, "0 match its selectors"),
    ("2.27-driver-trn2", TRN2, "0 match its selectors"),
    ("1x4-connected-neurons", TRN1, "0 match its selectors"),
    ("us-2-node-config", TRN2, "0 match its selectors"),
]


@pytest.mark.parametrize(("name", "node_type", "neurons", "adapters"), PLACED)
def test_a_published_template_is_placed_where_it_is_for(planned, name, node_type, neurons, adapters):
    _, answer = planned(TEMPLATES / f"{name}.yaml", node_type)
    (found,) = answer["pods"]
    assert (found["outcome"], found["node"]) == ("placed", "node-1")
    drivers = [one["driver"] for one in results(found)]
    assert (drivers.count(NEURON), drivers.count(EFA)) == (neurons, adapters)


@pytest.mark.parametrize(("name", "node_type", "reason"), PENDING)
def test_a_published_template_that_must_stay_pending_does_so_with_its_reason(planned, name, node_type, reason):
    code, answer = planned(TEMPLATES / f"{name}.yaml", node_type)
    (found,) = answer["pods"]
    assert (code, found["outcome"], found["node"]) == (1, "unsatisfied", None)
    assert any(reason in one["reason"] and one["nodes"] == ["node-1"] for one in found["reasons"])


def test_every_published_template_is_planned_here():
    assert {path.stem for path in TEMPLATES.glob("*.yaml")} == {name for name, *_ in (*PLACED, *PENDING)}


@pytest.mark.parametrize(
    ("path", "node_type", "devices"),
    [
        (EXAMPLES / "aligned-efa-neuron.yaml", TRN2, 8),
        (EXAMPLES / "ultraserver-job.yaml", ULTRA, 1),
        (EfaPlugin.data / "examples/shared-efa.yaml", TRN2, 4),
    ],
)
def test_the_published_examples_are_placed(planned, path, node_type, devices):
    _, answer = planned(path, node_type, node_type)
    assert {one["outcome"] for one in answer["pods"]} == {"placed"}
    assert {len(results(one)) for one in answer["pods"]} == {devices}


def test_aligned_adapters_stay_pending_on_trn1_which_has_half_as_many(planned):
    code, answer = planned(EXAMPLES / "aligned-efa-neuron.yaml", TRN1)
    assert code == 1
    assert "no value of resource.aws.com/devicegroup4_id" in answer["pods"][0]["reasons"][0]["reason"]


def test_a_claim_that_pods_share_is_allocated_once_and_brings_them_to_one_node(planned):
    _, answer = planned(EfaPlugin.data / "examples/shared-efa.yaml", TRN2, TRN2)
    first, second = answer["pods"]
    assert first["node"] == second["node"] == "node-1"
    assert results(first) == results(second)
    assert [one["claims"][0]["allocatedBefore"] for one in (first, second)] == [False, True]


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_plan_is_what_the_control_plane_of_the_test_kit_does(planned, inventories, path):
    manifest = read_manifest(path)
    (made,) = manifest.of("Pod")
    copies = [
        evolve(made, document=made.document | {"metadata": {"name": f"{made.name}-{n}", "namespace": "default"}})
        for n in range(3)
    ]
    manifest = evolve(manifest, items=[*(one for one in manifest.items if one is not made), *copies])
    with InMemoryApiServer() as server:
        for document in (*inventories.slices(TRN2), *shipped_classes()):
            metadata = {key: value for key, value in document["metadata"].items() if key != "ownerReferences"}
            server.create(document | {"metadata": metadata})
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}})
        plane = ControlPlane(server, "node-1")
        expected = [scheduled(plane, one) for one in plane.submit(manifest)]
    _, answer = planned([item.document for item in manifest.items], TRN2)
    assert [[devices(claim) for claim in one["claims"]] for one in answer["pods"]] == expected


def shipped_classes() -> list[Any]:
    places = [plugin.data / "deviceclasses" for plugin in (NeuronPlugin, EfaPlugin)]
    return [yaml.safe_load(path.read_text()) for place in places for path in place.glob("*.yaml")]


def scheduled(plane: ControlPlane, document: Any) -> list[Any]:
    try:
        claims = plane.schedule(document, plane.make_claims(document))
    except Unschedulable:
        return []
    return [devices({"allocation": claim["status"]["allocation"]}) for claim in claims]


def devices(claim: Any) -> list[Any]:
    found = claim["allocation"]["devices"]["results"]
    return [(one["request"], one["driver"], one["pool"], one["device"]) for one in found]
