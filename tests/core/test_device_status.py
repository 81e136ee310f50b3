"""What a driver may tell of an allocated device: the API's limits, on both sides of each boundary."""

from __future__ import annotations

import json
import re

import pytest
from drakit import Condition, DeviceRef, DeviceStatus, NetworkData, PreparedDevice
from drakit.decoding import structure_lenient, unstructure
from drakit.documents import status_from_api, status_to_api
from drakit.errors import LimitExceeded
from drakit.model import ClaimRef


def condition(**more) -> Condition:
    return Condition(**{"type": "Ready", "status": "True", "reason": "Ok"} | more)


def numbered(count: int) -> list[Condition]:
    return [condition(type=f"example.com/C{index}") for index in range(count)]


def ips(count: int) -> list[str]:
    return [f"192.0.2.{index}/24" for index in range(count)]


# What stands just inside a limit, and just outside it; then what the message must name.
LIMITS = {
    "conditions": (
        lambda: DeviceStatus(conditions=numbered(8)),
        lambda: DeviceStatus(conditions=numbered(9)),
        ("DeviceStatus.conditions", "at most 8", "got 9"),
    ),
    "each condition once": (
        lambda: DeviceStatus(conditions=[condition(), condition(type="Other")]),
        lambda: DeviceStatus(conditions=[condition(), condition(status="False")]),
        ("DeviceStatus.conditions", "each type once", "Ready"),
    ),
    "condition type": (
        lambda: condition(type="example.com/" + "C" * 63),
        lambda: condition(type="example.com/" + "C" * 64),
        ("Condition.type", "63", "CCC"),
    ),
    "reason is one word": (
        lambda: condition(reason="Link_Up:1,2_"),
        lambda: condition(reason="link up"),
        ("Condition.reason", "one word", "link up"),
    ),
    "reason length": (
        lambda: condition(reason="a" * 1024),
        lambda: condition(reason="a" * 1025),
        ("Condition.reason", "1024", "aaa"),
    ),
    "message length": (
        lambda: condition(message="ä" * 16384),
        lambda: condition(message="ä" * 16384 + "x"),
        ("Condition.message", "32768 bytes", "äää"),
    ),
    "time": (
        lambda: condition(since="2026-01-31T12:00:00Z"),
        lambda: condition(since="2026-01-31 12:00"),
        ("Condition.since", "a time such as", "2026-01-31 12:00"),
    ),
    "data size": (
        lambda: DeviceStatus(data={"a": "x" * (10240 - len('{"a":""}'))}),
        lambda: DeviceStatus(data={"a": "x" * (10241 - len('{"a":""}'))}),
        ("DeviceStatus.data", "at most 10240 bytes", "10241"),
    ),
    "data is an object": (
        lambda: DeviceStatus(data={}),
        lambda: DeviceStatus(data=["a"]),
        ("DeviceStatus.data", "JSON object", "['a']"),
    ),
    "data is JSON": (
        lambda: DeviceStatus(data={"a": [None, True, 1.5]}),
        lambda: DeviceStatus(data={"a": {1, 2}}),
        ("DeviceStatus.data", "JSON object (Object of type set", "{1, 2}"),
    ),
    "data has finite numbers": (
        lambda: DeviceStatus(data={"a": 1e308}),
        lambda: DeviceStatus(data={"a": float("nan")}),
        ("DeviceStatus.data", "JSON object", "nan"),
    ),
    "addresses": (
        lambda: NetworkData(ips=ips(16)),
        lambda: NetworkData(ips=ips(17)),
        ("NetworkData.ips", "at most 16", "got 17"),
    ),
    "each address once": (
        lambda: NetworkData(ips=["192.0.2.1/24", "192.0.2.1/25"]),
        lambda: NetworkData(ips=["192.0.2.1/24"] * 2),
        ("NetworkData.ips", "twice", "192.0.2.1/24"),
    ),
    "an address has a prefix": (
        lambda: NetworkData(ips=["192.0.2.1/32"]),
        lambda: NetworkData(ips=["192.0.2.1"]),
        ("NetworkData.ips", "here 192.0.2.1/32", "192.0.2.1"),
    ),
    "an address is spelled in one way": (
        lambda: NetworkData(ips=["2001:db8::1/64"]),
        lambda: NetworkData(ips=["2001:DB8:0:0::1/64"]),
        ("NetworkData.ips", "here 2001:db8::1/64", "2001:DB8:0:0::1/64"),
    ),
    "an IPv4 address in the notation of IPv6": (
        lambda: NetworkData(ips=["::ffff/96"]),
        lambda: NetworkData(ips=["::ffff:192.0.2.1/120"]),
        ("NetworkData.ips", "address with its prefix", "::ffff:192.0.2.1/120"),
    ),
    "an address that means something on one node": (
        lambda: NetworkData(ips=["fe80::1/64"]),
        lambda: NetworkData(ips=["fe80::1%eth0/64"]),
        ("NetworkData.ips", "address with its prefix", "fe80::1%eth0/64"),
    ),
    "an address is one": (
        lambda: NetworkData(ips=["0.0.0.0/0"]),
        lambda: NetworkData(ips=["net1"]),
        ("NetworkData.ips", "address with its prefix", "net1"),
    ),
    "interface name, in bytes": (
        lambda: NetworkData(interface_name="ä" * 128),
        lambda: NetworkData(interface_name="ä" * 128 + "x"),
        ("NetworkData.interface_name", "256 bytes", "äää"),
    ),
    "hardware address, in bytes": (
        lambda: NetworkData(hardware_address="x" * 128),
        lambda: NetworkData(hardware_address="x" * 129),
        ("NetworkData.hardware_address", "128 bytes", "xxx"),
    ),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_value_at_the_limit_is_taken(name):
    LIMITS[name][0]()


@pytest.mark.parametrize("name", LIMITS)
def test_a_value_past_the_limit_is_refused_naming_field_limit_and_value(name):
    _, outside, parts = LIMITS[name]
    with pytest.raises(LimitExceeded) as caught:
        outside()
    for part in parts:
        assert part in str(caught.value)


def test_a_condition_whose_time_is_not_given_is_of_now_and_keeps_it():
    made = condition()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made.since)
    again = structure_lenient(Condition, json.loads(json.dumps(unstructure(made))))
    assert again.since == made.since


def test_the_time_of_a_condition_does_not_make_it_another():
    assert condition(since="2026-01-31T12:00:00Z") == condition(since="2027-01-31T12:00:00Z")


def test_a_status_comes_back_from_the_journal_and_from_the_api_as_it_was():
    status = DeviceStatus(
        data={"a": (1, 2), "b": {"c": None}},
        conditions=[condition(message="since yesterday", since="2026-01-31T12:00:00Z")],
        network=NetworkData(interface_name="net1", ips=ips(2), hardware_address="02:00"),
    )
    device = PreparedDevice("gpu", DeviceRef("gpu.example.com", "node-1", "gpu-0"), status=status)
    assert structure_lenient(PreparedDevice, json.loads(json.dumps(unstructure(device)))) == device
    (entry,) = status_to_api(ClaimRef("u", "default", "c"), [device])["status"]["devices"]
    assert status_from_api(json.loads(json.dumps(entry))) == status


def test_data_that_its_giver_changes_later_stays_as_it_was_given():
    given = {"ports": [1]}
    status = DeviceStatus(data=given)
    given["ports"].append(2)
    assert status.data == {"ports": [1]}


def test_a_device_that_two_requests_were_given_has_one_entry_and_each_share_its_own():
    def given(request: str, share: str | None = None) -> PreparedDevice:
        status = DeviceStatus(data={"of": request})
        return PreparedDevice(request, DeviceRef("gpu.example.com", "node-1", "gpu-0"), share_id=share, status=status)

    prepared = [given("a"), given("b"), given("c", "s1"), given("d", "s2")]
    entries = status_to_api(ClaimRef("u", "default", "c"), prepared)["status"]["devices"]
    assert [(entry.get("shareID"), entry["data"]["of"]) for entry in entries] == [(None, "a"), ("s1", "c"), ("s2", "d")]
