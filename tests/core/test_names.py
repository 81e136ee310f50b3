"""The name rules of the API: what each kind of name may be, and what it may not."""

from __future__ import annotations

import pytest
from drakit import Device, DeviceRef, Taint, TaintEffect
from drakit.errors import LimitExceeded


def device(**more) -> Device:
    return Device("gpu-0", **more)


@pytest.mark.parametrize("name", ["gpu-0", "0", "a", "a-b-c"])
def test_a_device_name_is_a_dns_label(name):
    assert Device(name).name == name


@pytest.mark.parametrize("name", ["", "-a", "a-", "GPU", "a_b", "a.b", "a b", "ä", "a\n", None, 1])
def test_a_device_name_that_is_no_dns_label_is_refused(name):
    with pytest.raises(LimitExceeded, match=r"Device.name must be a DNS label"):
        Device(name)


@pytest.mark.parametrize("name", ["", "Gpu.Example.com", "a..b", ".a", "a.", "a/b", "-a.b", "a\n"])
def test_a_driver_name_that_is_no_lower_case_subdomain_is_refused(name):
    with pytest.raises(LimitExceeded, match=r"DeviceRef.driver must be a lower-case DNS subdomain"):
        DeviceRef(name, "pool", "device")


@pytest.mark.parametrize("name", ["", "/", "a/", "/a", "a//b", "Node-1", "a_b"])
def test_a_pool_name_that_is_no_path_of_subdomains_is_refused(name):
    with pytest.raises(LimitExceeded, match=r"DeviceRef.pool must be DNS subdomains"):
        DeviceRef("d.io", name, "device")


@pytest.mark.parametrize("name", ["index", "_index", "Index_2", "example.com/index", "a/b"])
def test_an_attribute_name_is_a_c_identifier_with_an_optional_domain(name):
    assert device(attributes={name: 1}).attributes[name] == 1


@pytest.mark.parametrize(
    "name", ["", "2nd", "in-dex", "in.dex", "example.com/", "/index", "Example.com/index", "a/b/c"]
)
def test_an_attribute_name_that_is_not_is_refused(name):
    with pytest.raises(LimitExceeded, match="attribute"):
        device(attributes={name: 1})


@pytest.mark.parametrize("key", ["example.com/unhealthy", "Unhealthy", "a.b_c-d", "0"])
def test_a_taint_key_is_a_label_name(key):
    assert Taint(key).effect is TaintEffect.NO_SCHEDULE


@pytest.mark.parametrize("key", ["", "-a", "a-", "a b", "Example.com/a", "/a", "a/", "a/b/c", None])
def test_a_taint_key_that_is_no_label_name_is_refused(key):
    with pytest.raises(LimitExceeded, match=r"Taint.key"):
        Taint(key)


@pytest.mark.parametrize("value", ["-a", "a-", "a b", "a/b", None])
def test_a_taint_value_that_is_no_label_value_is_refused(value):
    with pytest.raises(LimitExceeded, match=r"Taint.value"):
        Taint("key", value)


@pytest.mark.parametrize("effect", ["None", "NoSchedule", "NoExecute"])
def test_a_taint_effect_may_be_given_by_its_api_name(effect):
    assert Taint("key", effect=effect).effect == effect


def test_an_unknown_taint_effect_is_refused():
    with pytest.raises(ValueError, match="PreferNoSchedule"):
        Taint("key", effect="PreferNoSchedule")
