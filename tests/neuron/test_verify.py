"""Whether a container has the Neuron devices that it was given, and what its runtime is told."""

from __future__ import annotations

import pytest
from drakit import ClaimRef, DescribedDevice, DeviceRef


def given(number, driver="neuron.aws.com", **attributes):
    name = number if isinstance(number, str) else f"neuron-device-{number}"
    return DescribedDevice(
        device=DeviceRef(driver, "node-1", name),
        claim=ClaimRef("u-1", "default", "train"),
        request="neurons",
        attributes={
            key.replace("__", "/").replace("neuron_drakit", "neuron.drakit"): v for key, v in attributes.items()
        },
    )


@pytest.fixture
def container(node):
    """Two of a node's devices, and what the process is told."""
    for name in ("neuron3", "neuron4", "null", "neuron_x", "neuron007"):
        path = node.root / "dev" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    environment = node.root / "proc/self/environ"
    environment.parent.mkdir(parents=True)
    environment.write_bytes(b"HOME=/\0NEURON_RT_VISIBLE_CORES=4-7\0ODD=\xff\0")
    return node


def verify(node, *devices):
    found = node.plugin().verify(devices)
    assert len({finding.what for finding in found}) == len(found)
    return {finding.what: (str(finding.severity), finding.found) for finding in found}


def test_a_container_that_has_what_it_was_given_is_good(container):
    assert verify(container, given(3), given(4)) == {
        "devices": ("ok", "neuron3, neuron4, as given"),
        "environment": (
            "ok",
            (
                "NEURON_RT_VISIBLE_CORES='4-7', NEURON_LOGICAL_NC_CONFIG=(not set), DRAKIT_NEURON_CORES=(not set), "
                "NEURON_RT_ULTRASERVER_MODE=(not set)"
            ),
        ),
    }


def test_devices_of_a_driver_of_another_name_are_known_by_their_type(container):
    found = verify(container, *(given(number, "mine.example.com", resourceType="neuron_device") for number in (3, 4)))
    assert found["devices"] == ("ok", "neuron3, neuron4, as given")


def test_a_device_that_is_missing_names_claim_request_and_remedy(container):
    found = verify(container, given(3), given(4), given(5))
    severity, text = found["neuron-device-5"]
    assert severity == "error"
    assert text.startswith("of claim default/train, request neurons: /dev/neuron5 is not in this container")
    assert "resources.claims" in text
    assert found["devices"] == ("ok", "neuron3, neuron4, as given")


def test_a_device_that_was_not_given_is_a_warning(container):
    found = verify(container, given(3))
    severity, text = found["foreign devices"]
    assert severity == "warning"
    assert text.startswith("neuron4: seen here, and not given")


@pytest.mark.parametrize(("devices", "missing"), [(2, False), (16, True)])
def test_the_device_that_stands_for_the_node_is_all_its_devices(container, devices, missing):
    found = verify(container, given("neuron-node", resourceType="neuron_node", neuron_drakit__devices=devices))
    assert ("neuron-node" in found) is missing
    assert "foreign devices" not in found
    if missing:
        assert "it is 16 devices, and this container has 2" in found["neuron-node"][1]


def test_of_a_container_without_metadata_what_it_sees_is_told(container):
    found = verify(container)
    assert found["devices"] == ("ok", "this container sees neuron3, neuron4; whether it was given them is not known")


def test_where_there_are_no_devices_there_is_nothing_to_say(node):
    assert verify(node) == {}
    assert verify(node, given(0, "gpu.example.com")) == {}


def test_an_environment_that_cannot_be_read_is_left_out(container):
    (container.root / "proc/self/environ").unlink()
    assert "environment" not in verify(container, given(3), given(4))
