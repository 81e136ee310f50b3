"""What drivers serve beside plain devices, from the shipped profiles: published, allocated, prepared and undone.

The claims are those of the examples; shared devices, which the planner does not allocate, are allocated here.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from pathlib import Path

import pytest
from drakit.documents import claim_ref
from drakit.testing import Stage
from drakit.testing.controlplane import Unschedulable
from drakit.testing.manifests import read_manifest
from drakit.testing.runtime import container_edits
from drakit_mock.faults import Fault, FaultKind, faults_file, inject, state_directory

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
FEATURES, GPU, ZONED = "features.example.com", "gpu.example.com", "zoned.example.com"
BOUND_SECONDS = 30.0


def backend(driver, profile, **more):
    return {"plugin": "mock", "driver": driver, "options": {"profile": profile}, **more}


@pytest.fixture(scope="module")
def stage():
    backends = [
        backend(FEATURES, "features", deviceMetadata=True),
        backend(GPU, "partitionable-gpu"),
        backend(ZONED, "zoned"),
    ]
    with Stage("generic-gpu-nic", backends, settings={"listAttributes": True, "healthSeconds": 0.1}) as running:
        node = running.server.get("Node", running.node)
        labels = {**node["metadata"]["labels"], "topology.kubernetes.io/zone": "zone-a"}
        running.server.replace(node | {"metadata": node["metadata"] | {"labels": labels}})
        running.server.wait_for(lambda _: "taints" in published(running, FEATURES).get("worn", {}), BOUND_SECONDS)
        yield running


def published(stage, driver):
    return {device["name"]: device for one in stage.slices()[driver] for device in one["spec"].get("devices") or ()}


class Example:
    """One of the examples on a stage: its pods by name, each with its claims."""

    def __init__(self, stage, name):
        manifest = read_manifest(EXAMPLES / f"mock-{name}.yaml")
        self.stage = stage
        self.pods = {pod["metadata"]["name"]: pod for pod in stage.control_plane.submit(manifest)}
        self.claims = {name: stage.control_plane.make_claims(pod) for name, pod in self.pods.items()}

    def remove(self):
        for name, pod in self.pods.items():
            self.stage.control_plane.finish(pod, self.claims[name])
        for kind, namespace in (("ResourceClaimTemplate", "default"), ("DeviceClass", "")):
            for document in self.stage.server.list(kind):
                if document["metadata"]["name"] not in (GPU, "nic.example.com"):
                    self.stage.server.delete(kind, document["metadata"]["name"], namespace)

    @contextlib.contextmanager
    def running(self, pod):
        """Have a pod's claims allocated and prepared; gives the claims and what a container gets of them all."""
        claims = self.stage.control_plane.schedule(self.pods[pod], self.claims[pod])
        self.claims[pod] = claims
        for claim in claims:
            assert [answer.error for answer in self.stage.prepare(claim).values()] == [""]
        ids = [one for claim in claims for one in self.stage.kubelet.cdi_ids(claim["metadata"]["uid"])]
        yield claims, container_edits(self.stage.cdi, ids)
        for claim in claims:
            assert set(self.stage.unprepare(claim).values()) == {""}


@pytest.fixture
def example(stage):
    made = []

    def submit(name):
        made.append(Example(stage, name))
        return made[-1]

    yield submit
    for one in made:
        one.remove()
    assert stage.cdi_files() == []
    assert not any(stage.journalled().values())


def results(claims):
    return [result for claim in claims for result in claim["status"]["allocation"]["devices"]["results"]]


def names(claims):
    return [result["device"] for result in results(claims)]


def environment(edits):
    return dict(entry.split("=", 1) for entry in edits.env)


def test_admin_access_gives_a_device_that_another_claim_holds_and_shows_more_of_it(example):
    pods = example("features")
    with pods.running("plain") as (plain, edits), pods.running("admin") as (admin, more):
        assert names(plain) == names(admin) == ["plain-0", "plain-1"]
        assert [result.get("adminAccess") for result in results(admin)] == [True, True]
        assert environment(more) == environment(edits) | {
            f"PLAIN_{number}_COUNTERS": f"/dev/plain{number}-counters" for number in (0, 1)
        }
        assert {node["path"] for node in more.device_nodes} - {node["path"] for node in edits.device_nodes} == {
            "/dev/plain0-counters",
            "/dev/plain1-counters",
        }


def test_a_device_goes_to_a_claim_that_tolerates_all_its_taints_those_of_its_health_too(stage, example):
    pods, faults = example("features"), faults_file(state_directory(stage.root))

    def until_taints(number):
        def tainted(_):
            return len(published(stage, FEATURES)["experimental"]["taints"]) == number

        stage.server.wait_for(tainted, BOUND_SECONDS)

    inject(faults, Fault(device="experimental", kind=FaultKind.UNHEALTHY, taint="NoExecute"))
    until_taints(2)
    with pytest.raises(Unschedulable), pods.running("tainted"):
        pass
    faults.unlink()
    until_taints(1)
    with pods.running("tainted") as (claims, _):
        assert names(claims) == ["experimental"]


def test_a_prioritized_list_is_answered_by_its_base_name_and_configured_by_its_full_one(stage, example):
    with example("features").running("prioritized") as (claims, edits):
        (result,) = results(claims)
        assert result["request"] == "device/second-best"
        assert environment(edits)["CHOICE"] == "second-best"
        assert stage.kubelet.cdi_ids(claims[0]["metadata"]["uid"], "device")


def test_a_device_with_binding_conditions_is_published_with_them_and_allocated_with_them(stage, example):
    device = published(stage, FEATURES)["fabric-1"]
    expected = {
        "bindingConditions": ["features.example.com/attached"],
        "bindingFailureConditions": ["features.example.com/attach-failed"],
    }
    assert expected.items() <= device.items()
    assert device["bindsToNode"] is True
    with example("features").running("fabric") as (claims, _):
        (result,) = results(claims)
        assert expected.items() <= result.items()
        (term,) = claims[0]["status"]["allocation"]["nodeSelector"]["nodeSelectorTerms"]
        assert term["matchFields"] == [{"key": "metadata.name", "operator": "In", "values": [stage.node]}]


def test_devices_that_have_one_value_of_a_list_in_common_can_be_had_together(stage, example):
    attributes = published(stage, FEATURES)["socketed-1"]["attributes"]
    assert attributes["fabrics"] == {"strings": ["b", "common"]}
    assert attributes["lanes"] == {"ints": [1, 8]}
    assert attributes["firmwares"] == {"versions": ["1.3.0", "2.0.0"]}
    with example("features").running("listed") as (claims, _):
        assert names(claims) == ["socketed-0", "socketed-1"]


def test_what_a_device_has_become_stands_in_the_claim_and_in_the_containers_file(stage, example):
    with example("features").running("status") as (claims, edits):
        name = claims[0]["metadata"]["name"]

        def devices(server):
            return server.get("ResourceClaim", name, "default")["status"].get("devices")

        (status,) = stage.server.wait_for(devices, BOUND_SECONDS)
        assert status["device"] == "link-0"
        assert status["data"] == {"port": "0", "vlan": 7}
        assert status["networkData"]["ips"] == ["192.0.2.10/24"]
        assert [one["type"] for one in status["conditions"]] == ["features.example.com/LinkUp"]
        (mount,) = edits.mounts
        assert mount["containerPath"].endswith(f"/resourceclaimtemplates/status/device/{FEATURES}-metadata.json")
        document = json.loads(Path(mount["hostPath"]).read_text().splitlines()[0])
        (device,) = document["requests"][0]["devices"]
        assert device["attributes"]["feature"] == {"string": "status"}
        assert device["networkData"]["interfaceName"] == "mock0"


def test_partitions_never_add_up_to_more_than_their_gpu_has(example):
    with example("partitions").running("parts") as (claims, _):
        parts, more = claims
        assert names([parts]) == ["gpu-0-half-0", "gpu-0-quarter-0", "gpu-0-quarter-1"]
        assert results([more])[0]["request"] == "gpu/whole"
        assert names([more]) == ["gpu-1"]


def test_a_device_of_the_network_is_for_the_nodes_it_names(stage, example):
    specs = [one["spec"] for one in stage.slices()[ZONED]]
    assert all(spec["perDeviceNodeSelection"] and "nodeName" not in spec for spec in specs)
    devices = published(stage, ZONED)
    assert devices["anywhere"]["allNodes"] is True
    (term,) = devices["nearby-0"]["nodeSelector"]["nodeSelectorTerms"]
    assert term["matchExpressions"][0]["values"] == ["zone-a"]
    with example("zoned").running("nearby") as (claims, _):
        assert names(claims) == ["nearby-0"]


def share_of(stage, template, amounts):
    """A claim with a share of the shared device, as the scheduler writes it where the request leaves out the rest."""
    share = str(uuid.uuid4())
    result = {
        "request": template["spec"]["spec"]["devices"]["requests"][0]["name"],
        "driver": FEATURES,
        "pool": stage.node,
        "device": "shared",
        "shareID": share,
        "consumedCapacity": amounts,
    }
    return share, {"status": {"allocation": {"devices": {"results": [result]}}}}


def test_a_device_is_shared_by_claims_of_which_each_learns_its_part(stage):
    device = published(stage, FEATURES)["shared"]
    assert device["allowMultipleAllocations"] is True
    policies = {name: capacity["requestPolicy"] for name, capacity in device["capacity"].items()}
    assert policies == {
        "memory": {"default": "10Gi", "validRange": {"min": "1Gi", "step": "1Gi"}},
        "engines": {"default": "2", "validValues": ["1", "2", "4", "8"]},
        "share": {"default": "250m", "validRange": {"min": "50m", "max": "500m", "step": "50m"}},
        "contexts": {"default": "4"},
    }
    assert published(stage, FEATURES)["unmetered"]["allowMultipleAllocations"] is True
    manifest = read_manifest(EXAMPLES / "mock-shared.yaml")
    (template,) = [item.document for item in manifest.of("ResourceClaimTemplate")]
    asked = template["spec"]["spec"]["devices"]["requests"][0]["exactly"]["capacity"]["requests"]
    claims = []
    for number in (1, 2):
        share, allocation = share_of(stage, template, {**asked, "contexts": str(4 * number)})
        claim = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": f"part-{number}", "namespace": "default"},
            "spec": template["spec"]["spec"],
            **allocation,
        }
        claims.append((share, stage.server.create(claim)))
    ids = set()
    for number, (share, claim) in enumerate(claims, start=1):
        (answer,) = stage.prepare(claim).values()
        assert not answer.error
        assert [handle.share_id for handle in answer.devices] == [share]
        own = stage.kubelet.cdi_ids(claim_ref(claim).uid)
        assert not ids & set(own)
        ids |= set(own)
        variables = environment(container_edits(stage.cdi, own))
        assert variables["MOCK_CAPACITY_SHARED_MEMORY"] == asked["memory"] == "20Gi"
        assert variables["MOCK_CAPACITY_SHARED_CONTEXTS"] == str(4 * number)
    for _, claim in claims:
        assert set(stage.unprepare(claim).values()) == {""}
        stage.server.delete("ResourceClaim", claim["metadata"]["name"], "default")


def test_list_attributes_are_left_out_where_the_cluster_is_not_said_to_take_them():
    with Stage("generic-gpu-nic", [backend(FEATURES, "features")]) as plain:
        attributes = published(plain, FEATURES)["socketed-0"]["attributes"]
        assert attributes == {"feature": {"string": "listed"}}
