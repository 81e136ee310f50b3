"""The hooks by which a plugin tells of its node: each answer is checked before it is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from drakit import ClaimRef, DescribedDevice, DeviceRef, Finding, Severity
from drakit.errors import PluginContractError

DRIVER = "gpu.example.com"


def returning(value: Any) -> Callable:
    return lambda **_: value


# node_labels

SERVER, RANK = "example.com/server", "example.com/rank"


def labelling(hosted, answer: Any) -> str:
    return hosted.add(hosted.backend(node_label_keys=(SERVER, RANK), node_labels=returning(answer)))


@pytest.mark.parametrize("labels", [{SERVER: "s-1", RANK: "2"}, {SERVER: ""}, {}])
def test_hook_node_labels_returns_labels_by_key(hosted, labels):
    assert hosted.host.node_labels(labelling(hosted, labels)) == labels


def test_hook_node_labels_may_say_nothing(hosted):
    assert hosted.host.node_labels(labelling(hosted, None)) == {}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([(SERVER, "s-1")], "must return a mapping"),
        ({"example.com/other": "s-1"}, "'example.com/other' is not declared in node_label_keys"),
        ({7: "s-1"}, "7 is not declared in node_label_keys"),
        ({SERVER: 1}, f"{SERVER} must be a label value"),
        ({SERVER: "two words"}, f"{SERVER} must be a label value"),
        ({SERVER: "x" * 64}, f"{SERVER} must be a label value"),
        ({SERVER: None}, f"{SERVER} must be a label value"),
    ],
)
def test_hook_node_labels_with_another_answer_is_a_contract_error(hosted, answer, said):
    name = labelling(hosted, answer)
    with pytest.raises(PluginContractError) as caught:
        hosted.host.node_labels(name)
    assert f"plugin {DRIVER!r}: node_labels: {said}" in str(caught.value)


# check


def test_hook_check_returns_findings(hosted):
    finding = Finding(Severity.WARNING, "firmware", "1.0 loses links; update it")
    name = hosted.add(hosted.extension(check=returning([finding])), name="racks", driver=None)
    assert hosted.host.check(name) == (finding,)


def test_hook_check_that_has_nothing_to_say_finds_nothing(hosted):
    assert hosted.host.check(hosted.add(hosted.backend(check=returning(None)))) == ()


@pytest.mark.parametrize("answer", ["firmware", ("warning", "firmware", "old"), [("warning", "firmware", "old")]])
def test_hook_check_with_another_answer_is_a_contract_error(hosted, answer):
    name = hosted.add(hosted.backend(check=returning(answer)))
    with pytest.raises(PluginContractError, match="check: must return"):
        hosted.host.check(name)


# verify

GIVEN = DescribedDevice(
    device=DeviceRef(DRIVER, "node-1", "gpu-0"), claim=ClaimRef("u-1", "default", "claim"), request="gpu"
)


def test_hook_verify_is_given_the_devices_of_the_container_and_returns_findings(hosted):
    def verify(devices: Any) -> list[Finding]:
        return [Finding(Severity.OK, "devices", ", ".join(str(device.device) for device in devices))]

    name = hosted.add(hosted.extension(verify=verify), name="racks", driver=None)
    assert hosted.host.verify(name, [GIVEN]) == (Finding(Severity.OK, "devices", "gpu.example.com/node-1/gpu-0"),)


def test_hook_verify_that_has_nothing_to_say_finds_nothing(hosted):
    assert hosted.host.verify(hosted.add(hosted.backend(verify=returning(None))), []) == ()
    assert hosted.host.verify(hosted.add(hosted.backend("nic.example.com")), [GIVEN]) == ()


@pytest.mark.parametrize("answer", ["firmware", GIVEN, [GIVEN]])
def test_hook_verify_with_another_answer_is_a_contract_error(hosted, answer):
    name = hosted.add(hosted.backend(verify=returning(answer)))
    with pytest.raises(PluginContractError, match="verify: must return"):
        hosted.host.verify(name, [])
