"""Opaque configuration of claims and classes is decoded by its header, and refused in the words of who wrote it."""

from __future__ import annotations

import enum
from typing import Any, ClassVar

import pytest
from attrs import frozen
from drakit import ConfigSource, OpaqueConfig
from drakit.decoding import decode_config
from drakit.errors import InvalidDeviceConfig


class Mode(enum.StrEnum):
    FAST = "fast"
    SAFE = "safe"


@frozen
class SharingConfig:
    api_version: ClassVar[str] = "gpu.example.com/v1"
    kind: ClassVar[str] = "SharingConfig"
    mode: Mode = Mode.SAFE
    max_clients: int = 1


@frozen
class SharingConfigV2:
    api_version: ClassVar[str] = "gpu.example.com/v2"
    kind: ClassVar[str] = "SharingConfig"
    clients: int = 1


KINDS = (SharingConfig, SharingConfigV2)


def opaque(**parameters: Any) -> OpaqueConfig:
    header = {"apiVersion": "gpu.example.com/v1", "kind": "SharingConfig"}
    return OpaqueConfig(ConfigSource.CLAIM, header | parameters)


def config_refusal(config: OpaqueConfig, kinds: tuple[type, ...] = KINDS) -> str:
    with pytest.raises(InvalidDeviceConfig) as caught:
        decode_config(config, kinds)
    return str(caught.value)


def test_configuration_is_decoded_by_api_version_and_kind():
    assert decode_config(opaque(mode="fast", maxClients=4), KINDS) == SharingConfig(Mode.FAST, 4)
    assert decode_config(opaque(apiVersion="gpu.example.com/v2", clients=4), KINDS) == SharingConfigV2(4)


def test_configuration_with_an_unknown_key_is_refused_in_the_users_words():
    assert config_refusal(opaque(maxClient=4)) == (
        "opaque parameters (SharingConfig of gpu.example.com/v1): "
        "unknown key 'maxClient'; known keys are maxClients, mode"
    )


def test_configuration_with_a_value_of_another_type_is_refused_with_its_place():
    assert config_refusal(opaque(maxClients="4")) == (
        "opaque parameters (SharingConfig of gpu.example.com/v1): maxClients: must be an integer, not '4'"
    )


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"kind": "SharingConfig"}, "kind 'SharingConfig' and no apiVersion"),
        ({"kind": "SharingConfig", "apiVersion": None}, "kind 'SharingConfig' and no apiVersion"),
        ({"apiVersion": "gpu.example.com/v1", "kind": ""}, "apiVersion 'gpu.example.com/v1' and no kind"),
        ({"apiVersion": "x/v1", "kind": "Other"}, "apiVersion 'x/v1', kind 'Other'"),
        ({}, "no apiVersion and kind"),
    ],
)
def test_configuration_that_lacks_a_part_of_its_header_is_told_which(header, said):
    assert config_refusal(bare(**header)).startswith(f"opaque parameters have {said}; this driver takes SharingConfig")


@pytest.mark.parametrize("kind", ["Sharing", 7, ["SharingConfig"], {}])
def test_configuration_of_another_kind_is_refused_with_what_is_taken(kind):
    message = config_refusal(opaque(kind=kind))
    assert f"kind {kind!r}" in message
    assert "takes SharingConfig of gpu.example.com/v1 or SharingConfig of gpu.example.com/v2" in message


def test_configuration_for_a_driver_that_takes_none_is_refused():
    assert "takes no configuration at all" in config_refusal(opaque(), ())


def test_stored_configuration_of_another_release_is_taken_without_what_is_unknown():
    assert decode_config(opaque(maxClients=2, colour="red"), KINDS, strict=False) == SharingConfig(Mode.SAFE, 2)


@frozen
class BareConfig:
    api_version: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    speed: int = 0


WITH_BARE = (*KINDS, BareConfig)


def bare(**parameters: Any) -> OpaqueConfig:
    return OpaqueConfig(ConfigSource.CLAIM, parameters)


@pytest.mark.parametrize("header", [{}, {"apiVersion": None}, {"kind": ""}, {"apiVersion": "", "kind": None}])
def test_configuration_without_api_version_and_kind_is_that_of_the_one_class_without(header):
    assert decode_config(bare(speed=3, **header), WITH_BARE) == BareConfig(3)
    assert decode_config(opaque(maxClients=4), WITH_BARE) == SharingConfig(max_clients=4)
    assert "have no apiVersion and kind; this driver takes SharingConfig" in config_refusal(bare(speed=3, **header))


@pytest.mark.parametrize(
    "header", [{"apiVersion": "gpu.example.com/v1"}, {"kind": "SharingConfig"}, {"kind": 0}, {"apiVersion": []}]
)
def test_configuration_with_half_a_header_is_nobodys(header):
    message = config_refusal(bare(**header), WITH_BARE)
    assert all(f"{name} {value!r}" in message for name, value in header.items())
    assert message.endswith(" or BareConfig without apiVersion and kind")


def test_configuration_that_may_lack_its_header_is_refused_with_the_names_it_could_have():
    kinds = (SharingConfig, BareConfig)
    assert config_refusal(bare(maxClients=4), kinds) == (
        "opaque parameters (BareConfig without apiVersion and kind): unknown key 'maxClients'; known keys are speed; "
        "if they are meant to be SharingConfig of gpu.example.com/v1, let them say so"
    )
    assert "let them say so" not in config_refusal(bare(maxClients=4), (BareConfig,))
    assert "let them say so" not in config_refusal(bare(speed="fast"), kinds)
    assert "let them say so" not in config_refusal(opaque(speed=1), kinds)
