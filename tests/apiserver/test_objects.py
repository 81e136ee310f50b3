"""Reading and writing objects, as kube-apiserver does it."""

from __future__ import annotations

import re

import pytest
from drakit.model import Quantity
from drakit.testing import InMemoryApiServer, Refusal
from drakit.testing.apiserver.admission import canonical_quantity
from hypothesis import given
from hypothesis import strategies as st

SLICES = "/apis/resource.k8s.io/v1/resourceslices"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims"


def test_a_created_object_is_given_an_identity(client, a_slice):
    answer = client.request("POST", SLICES, a_slice())
    assert answer.code == 201
    metadata = answer.document["metadata"]
    assert metadata["uid"]
    assert metadata["generation"] == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", metadata["creationTimestamp"])
    assert client.get(f"{SLICES}/slice-a").document == answer.document


def test_a_group_tells_its_versions(client):
    found = client.request("GET", "/apis/resource.k8s.io").document
    assert (found["kind"], found["name"]) == ("APIGroup", "resource.k8s.io")
    assert "v1" in [one["version"] for one in found["versions"]]
    assert found["preferredVersion"]["groupVersion"].startswith("resource.k8s.io/v1")
    assert client.request("GET", "/apis/nothing.example.com").code == 404


def test_every_change_has_a_higher_resource_version(client, a_slice):
    versions = [
        int(client.request("POST", SLICES, a_slice(name)).document["metadata"]["resourceVersion"]) for name in "abc"
    ]
    assert versions == sorted(set(versions))
    listed = client.get(SLICES).document
    assert int(listed["metadata"]["resourceVersion"]) == versions[-1]


def test_a_name_is_generated_from_its_base_cut_to_58_characters(client, a_slice):
    document = a_slice() | {"metadata": {"generateName": "x" * 70}}
    names = {client.request("POST", SLICES, document).document["metadata"]["name"] for _ in range(3)}
    assert len(names) == 3
    assert all(re.fullmatch(r"x{58}[a-z0-9]{5}", name) for name in names)


def test_a_name_or_a_base_is_required(client, a_slice):
    answer = client.request("POST", SLICES, a_slice() | {"metadata": {}})
    assert (answer.code, answer.document["reason"]) == (422, "Invalid")


def test_a_name_that_is_taken_is_refused(client, a_slice):
    client.request("POST", SLICES, a_slice())
    answer = client.request("POST", SLICES, a_slice())
    assert (answer.code, answer.document["reason"]) == (409, "AlreadyExists")


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_an_object_that_is_not_there_is_not_found(client, a_slice, method):
    body = None if method in ("GET", "DELETE") else a_slice("absent")
    kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
    answer = client.request(method, f"{SLICES}/absent", body, kind)
    assert answer.code == 404
    assert answer.document["kind"] == "Status"
    assert answer.document["reason"] == "NotFound"
    assert answer.document["details"] == {"name": "absent", "group": "resource.k8s.io", "kind": "resourceslices"}
    assert answer.document["message"] == 'resourceslices.resource.k8s.io "absent" not found'


@pytest.mark.parametrize(
    "path",
    [
        "/apis/resource.k8s.io/v2/resourceslices",
        f"{SLICES}/a/status",
        f"{CLAIMS}/a/binding/b",
        "/api/v1/x",
    ],
)
def test_a_path_that_is_no_resource_is_not_found(client, path):
    assert client.get(path).code == 404


def test_an_update_of_a_stale_version_is_a_conflict(client, a_slice):
    first = client.request("POST", SLICES, a_slice()).document
    newer = first | {"spec": first["spec"] | {"devices": []}}
    assert client.request("PUT", f"{SLICES}/slice-a", newer).code == 200
    answer = client.request("PUT", f"{SLICES}/slice-a", first)
    assert (answer.code, answer.document["reason"]) == (409, "Conflict")


def test_an_update_without_a_version_is_taken(client, a_slice):
    created = client.request("POST", SLICES, a_slice()).document
    answer = client.request("PUT", f"{SLICES}/slice-a", a_slice(devices=[{"name": "gpu-1"}]))
    assert answer.code == 200
    assert answer.document["spec"]["devices"] == [{"name": "gpu-1"}]
    assert answer.document["metadata"]["uid"] == created["metadata"]["uid"]
    assert answer.document["metadata"]["generation"] == 2


def test_an_update_for_another_uid_is_a_conflict(client, a_slice):
    client.request("POST", SLICES, a_slice())
    stranger = a_slice()
    stranger["metadata"]["uid"] = "another"
    assert client.request("PUT", f"{SLICES}/slice-a", stranger).code == 409


def test_an_update_that_changes_nothing_keeps_the_version(client, server, a_slice):
    created = client.request("POST", SLICES, a_slice()).document
    before = server.resource_version
    assert client.request("PUT", f"{SLICES}/slice-a", created).document == created
    assert server.resource_version == before


def test_the_name_in_the_body_must_be_that_of_the_url(client, a_slice):
    client.request("POST", SLICES, a_slice())
    assert client.request("PUT", f"{SLICES}/slice-a", a_slice("slice-b")).code == 400


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b'{"metadata": 1}', b'{"kind": "Pod"}', b'{"spec": []}'])
def test_a_body_that_is_not_the_object_is_a_bad_request(client, body):
    body = body.replace(b'{"spec"', b'{"metadata": {"name": "a"}, "spec"')
    assert client.request("POST", SLICES, body).code == 400


def test_a_delete_with_the_wrong_precondition_is_a_conflict(client, a_slice):
    created = client.request("POST", SLICES, a_slice()).document["metadata"]
    for key, wrong in (("uid", "another"), ("resourceVersion", "1")):
        options = {"preconditions": {key: wrong}}
        assert client.request("DELETE", f"{SLICES}/slice-a", options).document["reason"] == "Conflict"
    right = {"preconditions": {key: created[key] for key in ("uid", "resourceVersion")}}
    answer = client.request("DELETE", f"{SLICES}/slice-a", right)
    assert answer.document["metadata"]["uid"] == created["uid"]
    assert client.get(f"{SLICES}/slice-a").code == 404


def test_a_collection_is_deleted_by_selector(client, server, a_slice):
    for name, node in (("a", "n1"), ("b", "n2"), ("c", "n1")):
        server.create(a_slice(name, node=node))
    assert client.request("DELETE", f"{SLICES}?fieldSelector=spec.nodeName%3Dn1").code == 200
    assert [item["metadata"]["name"] for item in server.list("ResourceSlice")] == ["b"]


def test_an_object_with_a_finalizer_goes_when_the_finalizer_does(client, server, a_claim):
    server.create(a_claim(finalizers=["example.com/held"]))
    marked = client.request("DELETE", f"{CLAIMS}/claim-a").document
    assert marked["metadata"]["deletionTimestamp"]
    assert server.get("ResourceClaim", "claim-a") == marked
    marked["metadata"]["finalizers"] = []
    assert client.request("PUT", f"{CLAIMS}/claim-a", marked).code == 200
    assert client.get(f"{CLAIMS}/claim-a").code == 404


def test_the_status_of_a_claim_is_written_only_through_its_subresource(client, a_claim, allocation):
    created = client.request("POST", CLAIMS, a_claim() | {"status": {"allocation": allocation}}).document
    assert created["status"] == {}
    assert created["metadata"]["namespace"] == "default"
    with_status = created | {"status": {"allocation": allocation}}
    assert client.request("PUT", f"{CLAIMS}/claim-a", with_status).document["status"] == {}
    with_status["metadata"]["labels"] = {"not": "the status"}
    with_status["spec"] = {}
    stored = client.request("PUT", f"{CLAIMS}/claim-a/status", with_status).document
    assert stored["status"] == {"allocation": allocation}
    assert stored["spec"] == created["spec"]
    kept = client.request("PUT", f"{CLAIMS}/claim-a", a_claim()).document
    assert kept["status"] == {"allocation": allocation}


def test_the_facade_writes_the_status_too(server, a_claim, allocation):
    server.create(a_claim() | {"status": {"allocation": allocation}})
    claim = server.get("ResourceClaim", "claim-a")
    assert claim["status"] == {"allocation": allocation}
    del claim["status"]
    assert "status" not in server.replace(claim)


def test_the_facade_raises_what_the_server_would_answer(server, a_slice):
    with pytest.raises(Refusal) as caught:
        server.get("ResourceSlice", "absent")
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")
    with pytest.raises(KeyError, match="no kind 'ConfigMap'"):
        server.list("ConfigMap")
    with pytest.raises(Refusal, match="DNS subdomain"):
        server.create(a_slice(driver="Not A Driver"))


def test_what_the_facade_hands_out_is_a_copy(server, a_slice):
    document = a_slice()
    created = server.create(document)
    document["spec"]["devices"].clear()
    created["spec"]["devices"].clear()
    assert server.get("ResourceSlice", "slice-a")["spec"]["devices"]


def test_a_merge_patch_removes_what_is_null(client, server, a_slice):
    server.create(a_slice())
    patch = {"metadata": {"labels": {"a": "1"}}, "spec": {"devices": None}}
    answer = client.request("PATCH", f"{SLICES}/slice-a", patch, "application/merge-patch+json")
    assert answer.document["metadata"]["labels"] == {"a": "1"}
    assert "devices" not in answer.document["spec"]


def test_server_side_apply_merges_keyed_lists_of_a_status(client, server, a_claim, allocation):
    other = {"request": "gpu", "driver": "nic.example.com", "pool": "n1", "device": "nic-0"}
    allocation["devices"]["results"].append(other)
    server.create(a_claim() | {"status": {"allocation": allocation}})
    for driver, device in (("gpu.example.com", "gpu-0"), ("nic.example.com", "nic-0"), ("nic.example.com", "nic-0")):
        patch = {"apiVersion": "resource.k8s.io/v1", "kind": "ResourceClaim"}
        patch |= {"status": {"devices": [{"driver": driver, "pool": "n1", "device": device, "data": {"by": driver}}]}}
        path = f"{CLAIMS}/claim-a/status?fieldManager={driver}"
        assert client.request("PATCH", path, patch, "application/apply-patch+yaml").code == 200
    devices = server.get("ResourceClaim", "claim-a")["status"]["devices"]
    assert [device["data"]["by"] for device in devices] == ["gpu.example.com", "nic.example.com"]


def test_server_side_apply_creates_what_is_not_there(client, a_slice):
    path = f"{SLICES}/slice-a?fieldManager=test"
    assert client.request("PATCH", path, a_slice(), "application/apply-patch+yaml").document["metadata"]["uid"]


def test_a_patch_of_another_kind_is_refused(client, server, a_slice):
    server.create(a_slice())
    assert client.request("PATCH", f"{SLICES}/slice-a", [], "application/json-patch+json").code == 415
    assert client.request("PATCH", f"{SLICES}/slice-a", {}, "application/apply-patch+yaml").code == 400


def test_a_method_that_a_path_does_not_have_is_refused(client):
    assert client.request("PUT", SLICES, {}).code == 405
    assert client.request("POST", f"{SLICES}/a", {}).code == 405


def test_items_of_a_list_carry_neither_kind_nor_version(client, server, a_slice):
    server.create(a_slice("b"))
    server.create(a_slice("a"))
    listed = client.get(SLICES).document
    assert (listed["kind"], listed["apiVersion"]) == ("ResourceSliceList", "resource.k8s.io/v1")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["a", "b"]
    assert all("kind" not in item and "apiVersion" not in item for item in listed["items"])


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("fieldSelector=spec.driver%3Dgpu.example.com", "ab"),
        ("fieldSelector=spec.driver=gpu.example.com,spec.nodeName=n1", "a"),
        ("fieldSelector=metadata.name==c", "c"),
        ("fieldSelector=spec.nodeName!=n1", "b"),
        ("fieldSelector=spec.pool.name=n2", "b"),
        ("fieldSelector=", "abc"),
        ("labelSelector=tier=gold", "a"),
        ("labelSelector=tier%20in%20(gold,silver),tier!=silver", "a"),
        ("labelSelector=tier%20notin%20(gold)", "bc"),
        ("labelSelector=tier", "ab"),
        ("labelSelector=!tier", "c"),
    ],
)
def test_selectors_select(client, server, a_slice, query, found):
    for name, driver, node, tier in (("a", "gpu", "n1", "gold"), ("b", "gpu", "n2", "silver"), ("c", "nic", "n1", "")):
        document = a_slice(name, driver=f"{driver}.example.com", node=node)
        document["metadata"]["labels"] = {"tier": tier} if tier else {}
        server.create(document)
    items = client.get(f"{SLICES}?{query}").document["items"]
    assert "".join(item["metadata"]["name"] for item in items) == found


@pytest.mark.parametrize(
    "query", ["fieldSelector=spec.other=1", "fieldSelector=nonsense", "labelSelector=a=b=c", "limit=x"]
)
def test_a_query_that_cannot_be_understood_is_a_bad_request(client, query):
    assert client.get(f"{SLICES}?{query}").code == 400


def test_slices_are_selected_by_pool_only_since_1_37(make_client):
    with InMemoryApiServer(git_version="v1.36.2") as server:
        assert make_client(server).get(f"{SLICES}?fieldSelector=spec.pool.name=n1").code == 400


def test_a_list_comes_in_pages(client, server, a_slice):
    for name in "abcde":
        server.create(a_slice(name))
    names, token, version = [], "", server.resource_version
    while True:
        page = client.get(f"{SLICES}?limit=2&continue={token}").document
        names += [item["metadata"]["name"] for item in page["items"]]
        assert page["metadata"]["resourceVersion"] == version
        server.create(a_slice(f"z{len(names)}"))
        token = page["metadata"].get("continue")
        if token is None:
            break
        assert page["metadata"]["remainingItemCount"]
        server.delete("ResourceSlice", f"z{len(names)}")
    assert names == list("abcde")


def test_a_continued_list_expires_with_the_history(client, server, a_slice):
    for name in "abc":
        server.create(a_slice(name))
    token = client.get(f"{SLICES}?limit=1").document["metadata"]["continue"]
    server.expire_watches()
    answer = client.get(f"{SLICES}?limit=1&continue={token}")
    assert (answer.code, answer.document["reason"]) == (410, "Expired")
    assert client.get(f"{SLICES}?continue=garbage").code == 400


def test_namespaces_are_kept_apart(client, server, a_claim):
    server.create(a_claim(namespace="one"))
    server.create(a_claim(namespace="two"))
    assert len(client.get("/apis/resource.k8s.io/v1/resourceclaims").document["items"]) == 2
    assert len(client.get("/apis/resource.k8s.io/v1/namespaces/one/resourceclaims").document["items"]) == 1
    assert len(server.list("ResourceClaim", "two")) == 1
    assert client.get(f"{CLAIMS}/claim-a").code == 404
    assert client.request("POST", CLAIMS, a_claim(namespace="one")).code == 400


def test_core_objects_live_under_api_v1(client, server):
    for kind, path in (("Node", "nodes"), ("Pod", "namespaces/default/pods")):
        document = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "a"}}
        assert client.request("POST", f"/api/v1/{path}", document).code == 201
        assert server.get(kind, "a")["metadata"]["name"] == "a"


def test_the_server_says_its_version_and_that_it_is_ready(make_client):
    with InMemoryApiServer(git_version="v1.35.4") as server:
        client = make_client(server)
        assert client.get("/version").document["gitVersion"] == "v1.35.4"
        assert client.get("/version").document["minor"] == "35"
        assert client.get("/readyz").document == "ok"


def test_a_git_version_must_be_one():
    with pytest.raises(ValueError, match=r"v1\.36\.2"):
        InMemoryApiServer(git_version="1.36")


@pytest.mark.parametrize(
    ("written", "read_back"),
    [
        ("1024Mi", "1Gi"),
        ("1025Mi", "1025Mi"),
        ("512", "512"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1000k", "1M"),
        ("1e3", "1e3"),
        ("1000e3", "1e6"),
        ("0Gi", "0"),
        ("-2048Ki", "-2Mi"),
        ("1E", "1E"),
        ("1000", "1k"),
    ],
)
def test_quantities_are_read_back_in_their_canonical_form(written, read_back):
    assert canonical_quantity(written) == read_back


@given(st.integers(-(2**50), 2**50), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "e3", "E"]))
def test_the_canonical_form_has_the_same_value_and_is_stable(number, suffix):
    written = f"{number}{suffix}"
    canonical = canonical_quantity(written)
    assert Quantity(canonical) == Quantity(written)
    assert canonical_quantity(canonical) == canonical
