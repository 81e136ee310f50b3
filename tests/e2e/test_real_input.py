"""The real input through real sockets and real HTTP: the published claim of four Neurons with their four adapters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from drakit.documents import Document, attribute_from_api, claim_ref
from drakit.testing import Stage
from drakit.testing.controlplane import Unschedulable
from drakit.testing.manifests import Manifest, read_manifest
from drakit.testing.runtime import container_edits, read_devices

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BACKENDS = [{"plugin": "neuron"}, {"plugin": "efa"}]
GROUP = "resource.aws.com/devicegroup4_id"


@frozen
class Expected:
    """One group of four, as the published maps have it: its id, its devices, and its adapters, nearest first."""

    group: str
    neurons: tuple[int, ...]
    adapters: tuple[str, ...]


TRN2 = [
    Expected("13713e551cd37c19", (0, 1, 2, 3), ("c9-00", "b4-00", "b3-00", "ca-00")),
    Expected("671622785349fddf", (4, 5, 6, 7), ("6c-00", "57-00", "56-00", "6d-00")),
    Expected("237e3ef7b968b4d3", (8, 9, 10, 11), ("98-00", "83-00", "82-00", "99-00")),
    Expected("b3d6ce1919d29f8f", (12, 13, 14, 15), ("f5-00", "e0-00", "df-00", "f6-00")),
]
TRN1 = [
    Expected("88a3c6ad1661fe1d", (0, 1, 2, 3), ("10-1a", "a0-1a")),
    Expected("69b2225fd72a59dd", (4, 5, 6, 7), ("20-19", "90-19")),
    Expected("e3c29faa0cd11323", (8, 9, 10, 11), ("20-1a", "90-1a")),
    Expected("178a9e264a26793e", (12, 13, 14, 15), ("10-19", "a0-19")),
]
CASES = {
    "trn2.48xlarge": (EXAMPLES / "aligned-efa-neuron.yaml", TRN2),
    "trn1.32xlarge": (EXAMPLES / "aligned-efa-neuron-trn1.yaml", TRN1),
}


def workers(manifest: Manifest, count: int) -> Manifest:
    """The same manifest with so many pods, all from its one template."""
    (pod,) = manifest.of("Pod")
    others = [item for item in manifest.items if item is not pod]
    return Manifest(manifest.text, [*others, *(_renamed(pod, f"worker-{number}") for number in range(count))])


def _renamed(item: Any, name: str) -> Any:
    return type(item)(item.place, item.document | {"metadata": {"name": name}})


def allocated(claim: Document, driver: str) -> list[str]:
    results = claim["status"]["allocation"]["devices"]["results"]
    return [result["device"] for result in results if result["driver"] == driver]


def groups_of(stage: Stage, claim: Document) -> set[Any]:
    """The group ids of the claim's devices, as the published slices have them."""
    published = {
        (driver, device["name"]): device["attributes"]
        for driver, slices in stage.slices().items()
        for document in slices
        for device in document["spec"]["devices"]
    }
    results = claim["status"]["allocation"]["devices"]["results"]
    return {attribute_from_api(published[result["driver"], result["device"]][GROUP]) for result in results}


@pytest.mark.parametrize("node_type", CASES)
def test_four_workers_fill_the_node_group_by_group_and_a_fifth_must_wait(node_type):
    path, expected = CASES[node_type]
    with Stage(node_type, BACKENDS) as stage:
        complaints = len(stage.kubelet.problems)
        pods = stage.control_plane.submit(workers(read_manifest(path), 5))
        prepared = []
        for pod, group in zip(pods, expected, strict=False):
            (claim,) = stage.control_plane.schedule(pod, stage.control_plane.make_claims(pod))
            assert allocated(claim, "neuron.aws.com") == [f"neuron-device-{number}" for number in group.neurons]
            assert allocated(claim, "dra.net") == [f"pci-0000-{adapter}-0" for adapter in group.adapters]
            assert groups_of(stage, claim) == {group.group}
            answers = stage.prepare(claim)
            assert {driver: answer.error for driver, answer in answers.items()} == {"neuron.aws.com": "", "dra.net": ""}
            edits = container_edits(stage.cdi, stage.kubelet.cdi_ids(claim_ref(claim).uid))
            nodes = [node["path"] for node in edits.device_nodes]
            assert nodes[:4] == [f"/dev/neuron{number}" for number in group.neurons]
            assert len(nodes) == len(set(nodes)) == 4 + len(group.adapters)
            assert all(Path(node["hostPath"]).is_relative_to(stage.root) for node in edits.device_nodes)
            assert all(Path(node["hostPath"]).exists() for node in edits.device_nodes)
            prepared.append((pod, claim))
        with pytest.raises(Unschedulable):
            stage.control_plane.schedule(pods[4], stage.control_plane.make_claims(pods[4]))
        assert len(read_devices(stage.cdi)) == sum(4 + len(group.adapters) for group in expected)
        for pod, claim in prepared:
            assert set(stage.unprepare(claim).values()) == {""}
            stage.control_plane.finish(pod, [claim])
        assert stage.cdi_files() == []
        assert stage.journalled() == {"neuron.aws.com": [], "dra.net": []}
        assert stage.kubelet.problems[complaints:] == []


def test_the_published_claim_does_not_fit_trn1_and_the_reason_is_given():
    with Stage("trn1.32xlarge", BACKENDS) as stage:
        (pod,) = stage.control_plane.submit(read_manifest(EXAMPLES / "aligned-efa-neuron.yaml"))
        claims = stage.control_plane.make_claims(pod)
        with pytest.raises(Unschedulable, match=r"no value of resource\.aws\.com/devicegroup4_id suits every request"):
            stage.control_plane.schedule(pod, claims)
        (claim,) = [stage.server.get("ResourceClaim", claim["metadata"]["name"]) for claim in claims]
        assert not claim.get("status")


def test_a_repeated_prepare_gives_the_same_and_reads_the_claim_once():
    with Stage("trn2.48xlarge", BACKENDS) as stage:
        (pod,) = stage.control_plane.submit(read_manifest(EXAMPLES / "aligned-efa-neuron.yaml"))
        (claim,) = stage.control_plane.schedule(pod, stage.control_plane.make_claims(pod))
        before = len(stage.server.requests)
        first = stage.prepare(claim)
        files = {path: path.read_bytes() for path in stage.cdi_files()}
        # What is published goes its own way, and what a status says comes afterwards.
        read = [path for method, path in stage.server.requests[before:] if method == "GET" and "claims" in path]
        name = claim["metadata"]["name"]
        assert read == [f"/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/{name}"] * 2
        assert stage.prepare(claim) == first
        assert {path: path.read_bytes() for path in stage.cdi_files()} == files
        stage.unprepare(claim)
        assert stage.unprepare(claim) == {"neuron.aws.com": "", "dra.net": ""}


def test_a_claim_that_was_replaced_under_its_name_is_refused():
    with Stage("trn2.48xlarge", BACKENDS) as stage:
        (pod,) = stage.control_plane.submit(read_manifest(EXAMPLES / "aligned-efa-neuron.yaml"))
        (claim,) = stage.control_plane.schedule(pod, stage.control_plane.make_claims(pod))
        stale = claim | {"metadata": {**claim["metadata"], "uid": "11111111-2222-4333-8444-555555555555"}}
        for answer in stage.prepare(stale).values():
            assert "was deleted and replaced by another of the same name" in answer.error
        assert stage.cdi_files() == []


def test_the_agent_leaves_slices_and_prepared_claims_behind_when_it_stops():
    with Stage("trn2.48xlarge", BACKENDS) as stage:
        (pod,) = stage.control_plane.submit(read_manifest(EXAMPLES / "aligned-efa-neuron.yaml"))
        (claim,) = stage.control_plane.schedule(pod, stage.control_plane.make_claims(pod))
        stage.prepare(claim)
        files = {path: path.read_bytes() for path in stage.cdi_files()}
        stage.stop_agent()
        assert {path: path.read_bytes() for path in stage.cdi_files()} == files
        assert all(stage.slices().values())
        assert not list(stage.registry.iterdir())
        for driver in stage.drivers:
            stage.kubelet.wait_until_gone(driver)
        stage.start_agent()
        assert stage.unprepare(claim) == {"neuron.aws.com": "", "dra.net": ""}
        assert stage.cdi_files() == []
