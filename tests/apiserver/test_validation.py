"""What is refused as invalid, and what is quietly changed."""

from __future__ import annotations

import pytest
from drakit.testing import InMemoryApiServer, Refusal

SLICES = "/apis/resource.k8s.io/v1/resourceslices"
TAINT = {"key": "gpu.example.com/broken", "effect": "NoSchedule"}


def devices(count, **device):
    return [{"name": f"gpu-{index}"} | device for index in range(count)]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"driver": "under_score.example.com"}, "spec.driver"),
        ({"driver": None}, "spec.driver"),
        ({"pool": {"name": "not a pool", "resourceSliceCount": 1}}, "spec.pool.name"),
        ({"pool": {"name": "n1", "generation": -1, "resourceSliceCount": 1}}, "spec.pool.generation"),
        ({"pool": {"name": "n1", "generation": 1}}, "spec.pool.resourceSliceCount"),
        ({"allNodes": True}, "spec"),
        ({"nodeName": None}, "spec"),
        ({"nodeName": None, "allNodes": False}, "spec.allNodes"),
        ({"nodeName": None, "nodeSelector": {"nodeSelectorTerms": []}}, "spec.nodeSelector.nodeSelectorTerms"),
        ({"devices": devices(129)}, "spec.devices"),
        ({"devices": devices(65, taints=[TAINT])}, "spec.devices"),
        ({"devices": [{"name": "GPU_0"}]}, "spec.devices[0].name"),
        ({"devices": [{"name": "a"}, {"name": "a"}]}, "spec.devices[1]"),
        ({"devices": [{}]}, "spec.devices[0].name"),
        ({"devices": devices(1, attributes={"a": {"int": 1, "string": "x"}})}, "spec.devices[0].attributes[a]"),
        ({"devices": devices(1, attributes={"a": {}})}, "spec.devices[0].attributes[a]"),
        ({"devices": devices(1, attributes={"a": {"string": "x" * 65}})}, "spec.devices[0].attributes[a].string"),
        ({"devices": devices(1, attributes={f"a{n}": {"int": 1} for n in range(33)})}, "spec.devices[0]"),
        ({"devices": devices(1, attributes={"a": {"version": "v1"}})}, "spec.devices[0].attributes[a].version"),
        (
            {"devices": devices(1, capacity={"m": {"value": "1Gi", "requestPolicy": {"default": "1"}}})},
            "spec.devices[0].capacity[m].requestPolicy",
        ),
        ({"devices": devices(1, nodeName="n1")}, "spec.devices[0]"),
        ({"devices": devices(1), "nodeName": None, "perDeviceNodeSelection": True}, "spec.devices[0]"),
        ({"devices": devices(1, bindingConditions=["a"])}, "spec.devices[0].bindingFailureConditions"),
        ({"sharedCounters": []}, "spec"),
        ({"devices": None, "sharedCounters": [{"name": "c", "counters": {}}]}, "spec.sharedCounters[0].counters"),
    ],
)
def test_a_slice_beyond_a_limit_is_invalid(client, a_slice, spec, field):
    answer = client.request("POST", SLICES, a_slice(**spec))
    assert (answer.code, answer.document["reason"]) == (422, "Invalid")
    assert field in [cause["field"] for cause in answer.document["details"]["causes"]]
    assert field in answer.document["message"]
    assert answer.document["details"]["kind"] == "ResourceSlice"


@pytest.mark.parametrize(
    "spec",
    [
        {"devices": devices(128)},
        {"devices": devices(64, taints=[TAINT])},
        {"devices": []},
        {"devices": None, "sharedCounters": [{"name": "c", "counters": {"m": {"value": "1"}}}]},
        {"nodeName": None, "allNodes": True},
        {"nodeName": None, "perDeviceNodeSelection": True, "devices": devices(2, allNodes=True)},
    ],
)
def test_a_slice_at_its_limit_is_taken(client, a_slice, spec):
    assert client.request("POST", SLICES, a_slice(**spec)).code == 201


def test_lists_make_a_device_detailed(client, a_slice):
    answer = client.request("POST", SLICES, a_slice(devices=devices(65, attributes={"a": {"ints": [1]}})))
    assert [cause["field"] for cause in answer.document["details"]["causes"]] == ["spec.devices"]


def test_what_is_no_quantity_cannot_even_be_read(client, a_slice):
    answer = client.request("POST", SLICES, a_slice(devices=devices(1, capacity={"m": {"value": "1Xi"}})))
    assert (answer.code, answer.document["reason"]) == (400, "BadRequest")


def test_upper_case_in_the_name_of_a_driver_is_taken(client, a_slice):
    assert client.request("POST", SLICES, a_slice(driver="Upper.example.com")).code == 201


def test_1_34_wants_counters_beside_devices_and_knows_no_limit_of_64(make_client, a_slice):
    with InMemoryApiServer(git_version="v1.34.1") as server:
        client = make_client(server)
        counters = [{"name": "c", "counters": {"m": {"value": "1"}}}]
        assert client.request("POST", SLICES, a_slice("a", sharedCounters=counters)).code == 201
        assert client.request("POST", SLICES, a_slice("b", devices=devices(128, taints=[TAINT]))).code == 201
        for taints in ([TAINT] * 5, [TAINT | {"effect": "None"}]):
            assert client.request("POST", SLICES, a_slice("c", devices=devices(1, taints=taints))).code == 422


@pytest.mark.parametrize(
    "change", [{"driver": "other.example.com"}, {"nodeName": "n2"}, {"pool": {"name": "p", "resourceSliceCount": 1}}]
)
def test_the_identity_of_a_slice_cannot_change(client, server, a_slice, change):
    server.create(a_slice())
    answer = client.request("PUT", f"{SLICES}/slice-a", a_slice(**change))
    (cause,) = answer.document["details"]["causes"]
    assert cause["message"].endswith(": field is immutable")


def test_a_refused_update_leaves_the_object_as_it_was(client, server, a_slice):
    created = server.create(a_slice())
    client.request("PUT", f"{SLICES}/slice-a", a_slice(devices=devices(129)))
    assert server.get("ResourceSlice", "slice-a") == created


def test_a_slice_is_read_back_in_canonical_form(client, a_slice):
    device = {
        "name": "gpu-0",
        "attributes": {},
        "capacity": {"memory": {"value": "1024Mi"}},
        "taints": [TAINT],
        "consumesCounters": [],
    }
    spec = client.request("POST", SLICES, a_slice(devices=[device], perDeviceNodeSelection=None)).document["spec"]
    taint = spec["devices"][0]["taints"][0]
    assert taint.pop("timeAdded").endswith("Z")
    assert spec["devices"] == [{"name": "gpu-0", "capacity": {"memory": {"value": "1Gi"}}, "taints": [TAINT]}]
    assert "perDeviceNodeSelection" not in spec


def test_a_field_behind_a_gate_that_is_off_is_dropped(client, server, a_slice):
    server.drops("taints")
    answer = client.request("POST", SLICES, a_slice(devices=devices(1, taints=[TAINT])))
    assert answer.code == 201
    assert answer.document["spec"]["devices"] == [{"name": "gpu-0"}]


def test_a_field_is_kept_once_its_gate_is_on(client, server, a_slice):
    server.drops("taints", "bindsToNode")
    server.keeps("taints")
    answer = client.request("POST", SLICES, a_slice(devices=devices(1, taints=[TAINT], bindsToNode=True)))
    assert answer.document["spec"]["devices"][0].keys() == {"name", "taints"}


def test_a_server_that_is_upgraded_has_the_rules_of_its_release(make_client, a_slice):
    with InMemoryApiServer(git_version="v1.34.1") as server:
        client = make_client(server)
        server.upgrade("v1.35.0")
        assert client.get("/version").document["gitVersion"] == "v1.35.0"
        assert client.request("POST", SLICES, a_slice("b", devices=devices(65, taints=[TAINT]))).code == 422


def test_the_spec_of_a_claim_cannot_change(server, a_claim):
    claim = server.create(a_claim())
    claim["spec"]["devices"]["requests"][0]["name"] = "other"
    with pytest.raises(Refusal, match="spec: Invalid value: null: field is immutable"):
        server.replace(claim)


def test_an_allocation_is_cleared_but_never_changed(server, a_claim, allocation):
    claim = server.create(a_claim() | {"status": {"allocation": allocation}})
    claim["status"]["allocation"]["devices"]["results"][0]["device"] = "gpu-1"
    with pytest.raises(Refusal, match=r"status.allocation: .*field cannot be modified once set"):
        server.replace(claim)
    assert server.replace(claim | {"status": {}})["status"] == {}


def test_a_device_status_is_only_for_an_allocated_device(server, a_claim, allocation):
    status = {"allocation": allocation, "devices": [{"driver": "gpu.example.com", "pool": "n1", "device": "gpu-9"}]}
    with pytest.raises(Refusal, match="must be an allocated device"):
        server.create(a_claim() | {"status": status})


def test_a_claim_is_reserved_only_when_allocated(server, a_claim):
    with pytest.raises(Refusal, match="reservedFor"):
        server.create(a_claim() | {"status": {"reservedFor": [{"resource": "pods", "name": "p", "uid": "u"}]}})


@pytest.mark.parametrize(
    ("parameters", "message"), [("text", "JSON object"), ({"x": "y" * 10300}, "10240 bytes"), (None, "Required value")]
)
def test_opaque_parameters_are_a_json_object_of_limited_size(server, parameters, message):
    config = {"opaque": {"driver": "gpu.example.com", "parameters": parameters}}
    document = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": "gpu"},
        "spec": {"config": [config]},
    }
    with pytest.raises(Refusal, match=message):
        server.create(document)


def test_a_template_is_checked_as_its_claims_will_be(server, a_claim):
    template = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": "t"},
        "spec": {"spec": a_claim()["spec"]},
    }
    server.create(template)
    template["metadata"]["name"] = "u"
    template["spec"]["spec"]["devices"]["constraints"] = [{"requests": ["absent"], "matchAttribute": "a/b"}]
    with pytest.raises(Refusal, match=r"spec.spec.devices.constraints\[0\].requests"):
        server.create(template)
