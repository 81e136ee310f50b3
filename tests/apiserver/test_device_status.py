"""What the server takes, refuses and drops of a claim's `status.devices`."""

from __future__ import annotations

import pytest

CLAIM = "/apis/resource.k8s.io/v1/namespaces/default/resourceclaims/claim-a"
APPLY = "application/apply-patch+yaml"
CONDITION = {"type": "Ready", "status": "True", "reason": "Ok", "lastTransitionTime": "2026-01-31T12:00:00Z"}


@pytest.fixture
def apply(client):
    """`apply(*entries, **metadata)`: apply these entries to the status of the claim."""

    def request(*entries: dict, **metadata):
        patch = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaim",
            "metadata": metadata,
            "status": {"devices": list(entries)},
        }
        return client.request("PATCH", f"{CLAIM}/status?fieldManager=test&force=true", patch, APPLY)

    return request


@pytest.fixture
def claim(server, a_claim, allocation):
    return server.create(a_claim() | {"status": {"allocation": allocation}})


def entry(**more) -> dict:
    return {"driver": "gpu.example.com", "pool": "n1", "device": "gpu-0"} | more


def test_a_status_is_applied_to_the_very_claim_that_is_meant(apply, server, claim):
    uid = claim["metadata"]["uid"]
    assert apply(entry(data={"a": 1}), uid=uid).code == 200
    assert apply(entry(data={"a": 2}), uid=f"{uid}-of-another").code == 409
    (found,) = server.get("ResourceClaim", "claim-a")["status"]["devices"]
    assert found["data"] == {"a": 1}


def test_a_status_is_not_applied_to_what_is_not_there(apply):
    assert apply(entry()).code == 404


def test_a_device_that_is_not_allocated_has_no_status(apply, claim):
    answer = apply(entry(device="gpu-7"))
    assert answer.code == 422
    assert "must be an allocated device" in answer.document["message"]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"data": {"a": "x" * 10240}}, "at most 10240 bytes"),
        ({"data": "text"}, "must be a JSON object"),
        ({"conditions": [CONDITION | {"type": f"C{index}"} for index in range(9)]}, "at most 8"),
        ({"conditions": [CONDITION | {"reason": "two words"}]}, "must be one word"),
        ({"networkData": {"ips": ["192.0.2.1"]}}, "address with its prefix"),
        ({"networkData": {"interfaceName": "x" * 257}}, "256 bytes"),
    ],
)
def test_a_status_past_the_limits_is_refused(apply, claim, part, message):
    answer = apply(entry(**part))
    assert answer.code == 422
    assert message in answer.document["message"]


def test_what_was_said_of_a_device_goes_when_the_device_is_taken_away(apply, client, server, claim):
    apply(entry(data={"a": 1}))
    document = server.get("ResourceClaim", "claim-a")
    document["status"].pop("allocation")
    assert client.request("PUT", f"{CLAIM}/status", document).code == 200
    assert not server.get("ResourceClaim", "claim-a")["status"].get("devices")
