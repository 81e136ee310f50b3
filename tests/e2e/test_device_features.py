"""One plugin that serves every feature of devices, through a real agent: to slices, answers, files and claims."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drakit.documents import claim_ref

DRIVER, NODE = "features.example.com", "node-1"
SHARES = ["6f1b9c1e-0000-4000-8000-00000000000a", "6f1b9c1e-0000-4000-8000-00000000000b"]
BACKENDS = "[{plugin: features}]"
PLUGIN = """
from pathlib import Path

from drakit import (
    BindingConditions, Condition, ContainerEdits, CounterConsumption, CounterSet, Device, DeviceRef, DeviceStatus,
    Health, HealthStatus, NetworkData, Pool, PreparedDevice, RequestPolicy, SharePolicy, Taint, ValidRange, hookimpl,
)


class Plugin:
    driver_name = "features.example.com"
    device_metadata = True

    def __init__(self, context):
        self.context = context

    @hookimpl
    def discover(self):
        whole = CounterSet("gpu-0", {"memory": "80Gi"})
        bound = BindingConditions(["features.example.com/Attached"], ["features.example.com/Failed"], True)
        half = [CounterConsumption("gpu-0", {"memory": "40Gi"})]
        return [Pool([
            Device("plain", {"model": "A", "planes": (1, 2)}),
            Device("half-0", consumes=half),
            Device("shared", capacity={"cores": 4}),
            Device("attached", binding=bound),
        ], counters=[whole])]

    @hookimpl
    def share(self, device):
        if device.name == "shared":
            limits = ValidRange(minimum="250m", maximum=2, step="250m")
            return SharePolicy({"cores": RequestPolicy(default="500m", valid_range=limits)})

    @hookimpl
    def prepare(self, claim):
        return [
            PreparedDevice.of(device, ContainerEdits(env={
                "CORES": str(device.consumed.get("cores", "all")), "ADMIN": str(device.admin_access)
            }), status=self._status(device))
            for device in claim.devices
        ]

    def _status(self, device):
        if device.device.name == "plain":
            return DeviceStatus(
                data={"firmware": "1.2"},
                conditions=[Condition("features.example.com/LinkUp", "True", "Negotiated")],
                network=NetworkData(interface_name="net1", ips=["192.0.2.5/24"]),
            )

    @hookimpl
    def unprepare(self, claim, prepared):
        pass

    @hookimpl
    def health(self):
        ref = DeviceRef(self.context.driver, self.context.pool, "plain")
        if self.context.path("/broken").exists():
            return [Health(ref, HealthStatus.UNHEALTHY, taint=Taint("features.example.com/broken", effect="NoExecute"))]
        return [Health(ref, HealthStatus.HEALTHY)]
"""


@pytest.fixture
def features(node):
    node.root.mkdir()
    (node.directory / "features.py").write_text(PLUGIN)
    info = node.directory / "features-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: features\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[drakit.plugins]\nfeatures = features:Plugin\n")
    return node


def devices(api) -> dict[str, dict]:
    """Every published device, by name, of a pool that is complete."""
    specs = [document["spec"] for document in api.list("ResourceSlice")]
    if not specs or any(spec["pool"]["resourceSliceCount"] != len(specs) for spec in specs):
        return {}
    return {device["name"]: device for spec in specs for device in spec.get("devices", ())}


def edits(node, claim) -> list[dict]:
    (document,) = [json.loads(content) for name, content in node.files().items() if claim.uid in name]
    return [device["containerEdits"] for device in document["devices"]]


def prepare(kubelet, *claims):
    kubelet.wait_for(DRIVER)
    answers = kubelet.prepare(list(claims), DRIVER)
    assert [answers[claim.uid].error for claim in claims] == [""] * len(claims)
    return [answers[claim.uid].devices for claim in claims]


def test_every_feature_of_a_device_is_in_its_slice(features, kubelet, api):
    features.start(BACKENDS)
    found = api.wait_for(devices)
    assert found["plain"]["attributes"] == {"model": {"string": "A"}}
    assert found["half-0"]["consumesCounters"] == [{"counterSet": "gpu-0", "counters": {"memory": {"value": "40Gi"}}}]
    assert found["shared"]["allowMultipleAllocations"] is True
    assert found["shared"]["capacity"]["cores"]["requestPolicy"] == {
        "default": "500m",
        "validRange": {"min": "250m", "max": "2", "step": "250m"},
    }
    assert found["attached"]["bindingConditions"] == ["features.example.com/Attached"]
    assert found["attached"]["bindingFailureConditions"] == ["features.example.com/Failed"]
    assert found["attached"]["bindsToNode"] is True
    (counters,) = [spec["sharedCounters"] for d in api.list("ResourceSlice") if "sharedCounters" in (spec := d["spec"])]
    assert counters == [{"name": "gpu-0", "counters": {"memory": {"value": "80Gi"}}}]
    log = features.log.read_text()
    assert log.count("attributes that are lists are not published: planes; set listAttributes") == 1


def test_where_the_operator_says_so_attributes_may_be_lists(features, kubelet, api):
    features.start(BACKENDS, listAttributes=True)
    assert api.wait_for(devices)["plain"]["attributes"]["planes"] == {"ints": [1, 2]}
    assert "not published" not in features.log.read_text()


@pytest.mark.reliability(
    fault="A device breaks, and is mended",
    injected="the plugin of a real agent reports it unhealthy with a taint, and healthy later",
    promise="the taint is in the slice while the fault lasts, and goes with it",
)
def test_a_taint_comes_with_a_fault_and_goes_with_it(features, kubelet, api):
    features.start(BACKENDS, healthSeconds=0.05)
    api.wait_for(lambda server: "taints" not in devices(server).get("plain", {"taints": []}))
    (features.root / "broken").touch()
    (taint,) = api.wait_for(lambda server: devices(server).get("plain", {}).get("taints"))
    assert (taint["key"], taint["effect"]) == ("features.example.com/broken", "NoExecute")
    (features.root / "broken").unlink()
    api.wait_for(lambda server: "taints" not in devices(server).get("plain", {"taints": []}))


def allocate(api, name: str, device: str, **more) -> dict:
    """A claim with one device, as a scheduler leaves it."""
    result = {"request": "any", "driver": DRIVER, "pool": NODE, "device": device} | more
    return api.create(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"devices": {"requests": [{"name": "any", "exactly": {"deviceClassName": "any"}}]}},
            "status": {"allocation": {"devices": {"results": [result]}}},
        }
    )


@pytest.fixture
def claim(api):
    """`claim(name, device, **more)`: a claim with one device, for the kubelet."""
    return lambda name, device, **more: claim_ref(allocate(api, name, device, **more))


def test_two_claims_share_a_device_each_with_what_it_consumes(features, kubelet, claim):
    features.start(BACKENDS)
    one, other = (
        claim(f"claim-{amount}", "shared", shareID=share, consumedCapacity={"cores": amount})
        for share, amount in zip(SHARES, ("500m", "2"), strict=True)
    )
    answers = prepare(kubelet, one, other)
    assert [handle.share_id for (handle,) in answers] == SHARES
    assert [edits(features, c)[0]["env"][0] for c in (one, other)] == ["CORES=500m", "CORES=2"]


def test_admin_access_reaches_a_device_in_use_and_the_plugin_knows_it(features, kubelet, claim):
    features.start(BACKENDS)
    user, admin = claim("user", "plain"), claim("admin", "plain", adminAccess=True)
    prepare(kubelet, user)
    prepare(kubelet, admin)
    assert [edits(features, c)[0]["env"][1] for c in (user, admin)] == ["ADMIN=False", "ADMIN=True"]


def test_a_choice_of_a_prioritized_list_is_told_by_its_request(features, kubelet, claim):
    features.start(BACKENDS)
    ((handle,),) = prepare(kubelet, claim("choice", "plain", request="any/second"))
    assert handle.request == "any"


def test_a_container_finds_what_its_device_is_and_the_claim_says_how_it_is(features, kubelet, api, claim):
    features.start(BACKENDS)
    wanted = claim("described", "plain")
    prepare(kubelet, wanted)
    (mount,) = edits(features, wanted)[0]["mounts"]
    path = f"/var/run/kubernetes.io/dra-device-attributes/resourceclaims/described/any/{DRIVER}-metadata.json"
    assert mount["containerPath"] == path
    beta, alpha = (json.loads(line) for line in Path(mount["hostPath"]).read_text().splitlines())
    assert [beta["apiVersion"], alpha["apiVersion"]] == [
        f"metadata.resource.k8s.io/{version}" for version in ("v1beta1", "v1alpha1")
    ]
    network = {"interfaceName": "net1", "ips": ["192.0.2.5/24"]}
    assert beta["requests"] == [
        {
            "name": "any",
            "devices": [
                {
                    "driver": DRIVER,
                    "pool": NODE,
                    "name": "plain",
                    "attributes": {"model": {"string": "A"}},
                    "networkData": network,
                }
            ],
        }
    ]
    (said,) = api.wait_for(lambda server: server.get("ResourceClaim", "described")["status"].get("devices"))
    assert (said["data"], said["networkData"]) == ({"firmware": "1.2"}, network)
    assert [condition["reason"] for condition in said["conditions"]] == ["Negotiated"]


@pytest.mark.reliability(
    fault="The API server is away, or refuses, when the status of a device is to be written",
    injected="the in-memory API server leaves every patch of a real agent without an answer",
    promise="claims are prepared and unprepared as ever",
)
def test_a_status_that_cannot_be_written_never_delays_a_pod(features, kubelet, api, claim):
    features.start(BACKENDS)
    kubelet.wait_for(DRIVER)
    api.hang(next=100, method="PATCH")
    for name in ("first", "second"):
        wanted = claim(name, "plain")
        prepare(kubelet, wanted)
        assert kubelet.unprepare([wanted], DRIVER) == {wanted.uid: ""}


def test_the_settings_override_what_the_class_says_of_metadata(features, kubelet, claim):
    features.start("[{plugin: features, deviceMetadata: false}]")
    wanted = claim("plain", "plain")
    prepare(kubelet, wanted)
    assert "mounts" not in edits(features, wanted)[0]
    assert not (features.plugins / DRIVER / "metadata").exists()
