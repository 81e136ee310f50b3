"""What one driver reads from a ResourceClaim: its own devices, with the configuration that applies to each."""

from __future__ import annotations

from typing import Any

import pytest
from drakit import (
    AllocatedDevice,
    ClaimError,
    ClaimRef,
    ConfigSource,
    DeviceRef,
    InvalidDeviceConfig,
    Quantity,
    TaintEffect,
    Toleration,
    TolerationOperator,
)
from drakit.decoding import load_json
from drakit.documents import claim_allocation, claim_ref
from hypothesis import given
from hypothesis import strategies as st

DRIVER, OTHER = "gpu.example.com", "nic.example.com"


def result(request: str = "gpu", device: str = "gpu-0", driver: str = DRIVER, **more: Any) -> dict[str, Any]:
    return {"request": request, "driver": driver, "pool": "node-1", "device": device} | more


def config(source: str, name: str, *requests: str, driver: str = DRIVER, **parameters: Any) -> dict[str, Any]:
    opaque = {"driver": driver, "parameters": {"kind": "K", "name": name} | parameters}
    return {"source": source, "opaque": opaque} | ({"requests": list(requests)} if requests else {})


def document(*results: dict, configs: tuple[dict, ...] = ()) -> dict[str, Any]:
    return {
        "metadata": {"name": "claim", "namespace": "default", "uid": "u-1"},
        "status": {"allocation": {"devices": {"results": list(results), "config": list(configs)}}},
    }


def applied(device: AllocatedDevice) -> list[str]:
    return [opaque.parameters["name"] for opaque in device.opaque]


def test_a_claim_is_known_by_its_metadata():
    assert claim_ref(document()) == ClaimRef("u-1", "default", "claim")
    assert str(claim_ref(document())) == "default/claim"


def test_only_the_drivers_own_devices_are_read_in_their_order():
    claim = document(result(device="gpu-1"), result("nic", "nic-0", OTHER), result(device="gpu-0"))
    allocation = claim_allocation(claim, DRIVER)
    assert allocation.claim == ClaimRef("u-1", "default", "claim")
    assert [str(device.device) for device in allocation.devices] == [
        f"{DRIVER}/node-1/gpu-1",
        f"{DRIVER}/node-1/gpu-0",
    ]
    assert claim_allocation(claim, "absent.example.com").devices == ()


def test_everything_of_a_result_is_read():
    share = "6f1b9c1e-0000-4000-8000-000000000000"
    (device,) = claim_allocation(
        document(result("gpu/big", shareID=share, adminAccess=True, consumedCapacity={"memory": "1Gi"})), DRIVER
    ).devices
    assert device == AllocatedDevice(
        "gpu/big", DeviceRef(DRIVER, "node-1", "gpu-0"), share, {"memory": Quantity(2**30)}, admin_access=True
    )
    assert device.base_request == "gpu"


@pytest.mark.parametrize("status", [None, {}, {"allocation": None}])
def test_a_claim_without_an_allocation_is_refused(status):
    with pytest.raises(ClaimError, match="claim default/claim has no allocation"):
        claim_allocation(document() | {"status": status}, DRIVER)


def test_an_allocation_without_results_is_empty():
    assert claim_allocation(document() | {"status": {"allocation": {"nodeSelector": {}}}}, DRIVER).devices == ()


def test_a_claims_configuration_overrides_a_classs_whatever_their_order_in_the_list():
    configs = (
        config("FromClaim", "claim-1"),
        config("FromClass", "class-1"),
        config("FromClaim", "claim-2"),
        config("FromClass", "class-2"),
    )
    (device,) = claim_allocation(document(result(), configs=configs), DRIVER).devices
    assert applied(device) == ["class-1", "class-2", "claim-1", "claim-2"]
    assert [opaque.source for opaque in device.opaque] == [ConfigSource.CLASS] * 2 + [ConfigSource.CLAIM] * 2


@given(st.lists(st.sampled_from(["FromClass", "FromClaim"]), max_size=8))
def test_within_one_source_the_order_of_the_list_is_kept(sources):
    configs = tuple(config(source, f"{source}-{index}") for index, source in enumerate(sources))
    (device,) = claim_allocation(document(result(), configs=configs), DRIVER).devices
    names = [entry["opaque"]["parameters"]["name"] for entry in configs]
    assert applied(device) == [n for n in names if "Class" in n] + [n for n in names if "Claim" in n]


def test_configuration_applies_to_the_requests_it_names_or_to_all():
    configs = (
        config("FromClass", "all"),
        config("FromClass", "gpu", "gpu"),
        config("FromClass", "big", "gpu/big"),
        config("FromClass", "small", "gpu/small"),
        config("FromClass", "several", "other", "gpu/big"),
    )
    claim = document(result("gpu/big"), result("other", "gpu-1"), configs=configs)
    big, other = claim_allocation(claim, DRIVER).devices
    assert applied(big) == ["all", "gpu", "big", "several"]
    assert applied(other) == ["all", "several"]


def test_configuration_of_other_drivers_is_passed_over_whatever_it_holds():
    twice = load_json('{"a": 1, "a": 2}')
    configs = (
        config("FromClaim", "x", driver=OTHER),
        {"source": "?", "opaque": {"driver": OTHER, "parameters": twice}},
    )
    (device,) = claim_allocation(document(result(), configs=configs), DRIVER).devices
    assert device.opaque == ()


def test_a_driver_without_devices_in_the_claim_does_not_look_at_its_configuration():
    configs = ({"source": "FromClaim", "opaque": {"driver": DRIVER, "parameters": "no object"}},)
    assert claim_allocation(document(result(driver=OTHER), configs=configs), DRIVER).devices == ()


def test_a_duplicate_key_anywhere_in_the_parameters_is_refused():
    parameters = load_json('{"kind": "K", "limits": [{"memory": 1, "memory": 2}]}')
    configs = ({"source": "FromClaim", "opaque": {"driver": DRIVER, "parameters": parameters}},)
    with pytest.raises(InvalidDeviceConfig, match="have the key 'memory' twice; give it once"):
        claim_allocation(document(result(), configs=configs), DRIVER)


@pytest.mark.parametrize("parameters", [None, "text", 1, [1]])
def test_parameters_that_are_no_object_are_refused(parameters):
    configs = ({"source": "FromClaim", "opaque": {"driver": DRIVER, "parameters": parameters}},)
    with pytest.raises(InvalidDeviceConfig, match="must be a JSON object"):
        claim_allocation(document(result(), configs=configs), DRIVER)


@pytest.mark.parametrize("source", [None, "FromNode", ["FromClass"]])
def test_a_configuration_of_an_unknown_source_is_refused(source):
    entry = config("FromClaim", "x") | {"source": source}
    with pytest.raises(InvalidDeviceConfig, match="unknown source"):
        claim_allocation(document(result(), configs=(entry,)), DRIVER)


def test_a_configuration_of_a_future_type_is_refused():
    with pytest.raises(InvalidDeviceConfig, match="not opaque"):
        claim_allocation(document(result(), configs=({"source": "FromClaim", "typed": {}},)), DRIVER)


def test_the_tolerations_of_a_result_are_read():
    entries = [
        {"key": "gpu.example.com/unhealthy", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "a", "value": "b", "tolerationSeconds": 60},
    ]
    (device,) = claim_allocation(document(result(tolerations=entries)), DRIVER).devices
    assert device.tolerations == (
        Toleration(key="gpu.example.com/unhealthy", operator=TolerationOperator.EXISTS, effect=TaintEffect.NO_SCHEDULE),
        Toleration(key="a", value="b", toleration_seconds=60),
    )


def test_a_toleration_of_a_later_release_tolerates_nothing_and_costs_no_claim():
    entries = [{"key": "a", "operator": "Matches"}, {"key": "a", "effect": "Whatever"}, {"key": "a"}]
    (device,) = claim_allocation(document(result(tolerations=entries)), DRIVER).devices
    assert device.tolerations == (Toleration(key="a"),)
