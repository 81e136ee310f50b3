"""What a class of configuration demands is said by CEL as the driver says it, with the place and what is allowed."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest
from attrs import field, frozen
from drakit import AtMost, Between, Each, EachKey, Length, Matches, NoneOf, OneOf, Quantity
from drakit.admission import expression

from tests.admission.evaluating import admission, driver

HEADER = {"apiVersion": "gpu.example.com/v1", "kind": "SharingConfig"}


class Mode(enum.StrEnum):
    FAST = "fast"
    SAFE = "safe"
    UNSET = ""


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@frozen
class Window:
    """Something nested."""

    start: int = field(validator=Between(0, 23))
    zone: str | None = None


@frozen(kw_only=True)
class SharingConfig:
    """Everything that a class of configuration may have."""

    api_version: ClassVar[str] = "gpu.example.com/v1"
    kind: ClassVar[str] = "SharingConfig"
    cross_checks: ClassVar = (
        AtMost(count=1, fields=("exclusive", "window"), says="cannot be given together"),
        AtMost(count=0, fields=("window.zone",), filled=("window.zone",), says="is not supported"),
    )

    clients: int = field(validator=[Between(1, 48), NoneOf((13,))])
    exclusive: bool | None = None
    share: float | None = field(default=None, validator=Between(0, 0.5))
    memory: Quantity | None = field(default=None, validator=Between(Quantity("1Mi"), Quantity("80Gi")))
    mode: Mode = Mode.SAFE
    level: Level = Level.LOW
    colour: Literal["red", "green"] = "red"
    path: Path | None = None
    names: tuple[str, ...] = field(
        default=(), validator=[Length(most=2), Each(Matches("[a-z]+", says="must be letters"))]
    )
    labels: Mapping[str, str] = field(factory=dict, validator=EachKey(Length(most=5)))
    window: Window | None = None
    windows: list[Window] = field(factory=list)
    seen: frozenset[int] = frozenset()
    size: int = field(default=1, validator=OneOf((1, 2, 4)))
    anything: Any = None
    serial: int = 0


KINDS = (SharingConfig,)
GOOD = [
    {},
    {"exclusive": True, "share": 0.5, "memory": "80Gi", "mode": "fast", "level": 2, "colour": "green", "path": "/x"},
    {"exclusive": None, "share": 0, "memory": 2**30, "names": ["a", "b"], "labels": {"a": "", "abcde": "x"}},
    {"window": {"start": 0, "zone": ""}, "windows": [{"start": 23}, {"start": 1, "zone": "z"}], "seen": [1, 1, 2]},
    {"window": {"start": 0, "zone": None}, "exclusive": None, "anything": {"a": [1, None]}, "size": 4, "serial": 2**70},
    {"names": [], "labels": {}, "windows": [], "anything": None, "serial": -(2**64)},
]
BAD = [
    ({"clints": 1}, ['unknown key "clints"', "known keys are anything, clients, colour, "]),
    ({"clients": None}, ["clients must be an integer, not null"]),
    ({"clients": "4"}, ['clients must be an integer, not "4"']),
    ({"clients": 4.0}, ["clients must be an integer, not 4"]),
    ({"clients": True}, ["clients must be an integer, not true"]),
    ({"clients": 0}, ["clients must be from 1 to 48, not 0"]),
    ({"clients": 49}, ["clients must be from 1 to 48, not 49"]),
    ({"clients": 2**64}, ["clients must be"]),
    ({"clients": 13}, ["clients must be none of 13, not 13"]),
    ({"exclusive": "yes"}, ['exclusive must be true or false, not "yes"']),
    ({"share": 0.6}, ["share must be from 0 to 0.5, not 0.6"]),
    ({"share": "0.1"}, ['share must be a number, not "0.1"']),
    ({"memory": "80 GB"}, ['memory must be a quantity such as 80Gi, not "80 GB"']),
    ({"memory": "81Gi"}, ['memory must be from 1Mi to 80Gi, not "81Gi"']),
    ({"memory": 1}, ["memory must be from 1Mi to 80Gi, not 1"]),
    ({"memory": True}, ["memory must be a quantity"]),
    ({"memory": 2**63}, ["memory must be from 1Mi to 80Gi"]),
    ({"memory": -(2**70)}, ["memory must be from 1Mi to 80Gi"]),
    ({"mode": "slow"}, ['mode must be one of fast, safe, not "slow"']),
    ({"mode": 1}, ["mode must be a string, not 1"]),
    ({"level": 3}, ["level must be one of 1, 2, not 3"]),
    ({"level": True}, ["level must be an integer, not true"]),
    ({"colour": "blue"}, ['colour must be one of red, green, not "blue"']),
    ({"path": 5}, ["path must be a string, not 5"]),
    ({"names": "a"}, ['names must be a list, not "a"']),
    ({"names": ["a", "b", "c"]}, ["names must have at most 2 characters or entries, not "]),
    ({"names": ["a", "B"]}, ['names[1] must be letters, not "B"']),
    ({"names": ["a", 1]}, ["names[1] must be a string, not 1"]),
    ({"labels": []}, ["labels must be a mapping, not []"]),
    ({"labels": {"abcdef": ""}}, ['labels: key must have at most 5 characters or entries, not "abcdef"']),
    ({"labels": {"a": 1}}, ['labels["a"] must be a string, not 1']),
    ({"window": {}}, ['window: missing key "start"']),
    ({"window": {"start": 24}}, ["window.start must be from 0 to 23, not 24"]),
    ({"window": {"start": 1, "end": 2}}, ['window: unknown key "end"; known keys are start, zone']),
    ({"window": {"start": 1, "zone": "z"}}, ["window.zone is not supported"]),
    ({"window": 5}, ["window must be a mapping, not 5"]),
    ({"windows": [{"start": 1}, {"start": -1}]}, ["windows[1].start must be from 0 to 23, not -1"]),
    ({"windows": [None]}, ["windows[0] must be a mapping, not null"]),
    ({"exclusive": False, "window": {"start": 1}}, ["exclusive, window cannot be given together"]),
    ({"seen": [1, "2"]}, ['seen[1] must be an integer, not "2"']),
    ({"size": 3}, ["size must be one of 1, 2, 4, not 3"]),
    ({"serial": 0.5}, ["serial must be an integer, not 0.5"]),
    ({"clients": "x", "size": 3}, ["clients must be an integer", "; size must be one of"]),
]


@pytest.mark.parametrize("parameters", GOOD)
def test_what_the_driver_takes_is_admitted(parameters: dict[str, Any]):
    document = HEADER | {"clients": 1} | parameters
    assert driver(KINDS, document) == ""
    assert admission(KINDS, document) == ""


@pytest.mark.parametrize(("parameters", "said"), BAD)
def test_what_the_driver_refuses_is_refused_with_its_place(parameters: dict[str, Any], said: list[str]):
    document = HEADER | {"clients": 1} | parameters
    assert driver(KINDS, document)
    message = admission(KINDS, document)
    assert message.startswith("SharingConfig of gpu.example.com/v1: ")
    assert all(part in message for part in said), message


def test_a_required_key_that_is_missing_is_named():
    assert admission(KINDS, HEADER) == 'SharingConfig of gpu.example.com/v1: missing key "clients"'


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({}, "no apiVersion and no kind; this driver takes SharingConfig of gpu.example.com/v1"),
        ({"kind": "SharingConfig"}, 'no apiVersion and kind "SharingConfig"; this driver takes'),
        ({"apiVersion": "gpu.example.com/v2", "kind": "SharingConfig"}, 'apiVersion "gpu.example.com/v2" and kind "Sh'),
        ({"apiVersion": 1, "kind": None}, "no apiVersion and no kind"),
    ],
)
def test_a_document_of_another_kind_is_told_which_there_are(header: dict[str, Any], said: str):
    document = header | {"clients": 1}
    assert driver(KINDS, document)
    assert admission(KINDS, document).startswith(said)


@frozen
class Headerless:
    """Documents of this class have neither apiVersion nor kind."""

    api_version: ClassVar[str] = ""
    kind: ClassVar[str] = ""
    profile: str | None = None


@pytest.mark.parametrize("header", [{}, {"apiVersion": ""}, {"kind": None}, {"apiVersion": None, "kind": ""}])
def test_a_class_without_header_takes_documents_without_one(header: dict[str, Any]):
    for parameters, fine in (({"profile": "p"}, True), ({"profil": "p"}, False)):
        document = header | parameters
        assert (driver((*KINDS, Headerless), document) == "") is fine
        assert (admission((*KINDS, Headerless), document) == "") is fine


def test_a_driver_without_configuration_takes_none():
    assert admission((), {}) == "no apiVersion and no kind; this driver takes no configuration at all"
    assert driver((), {})


def test_the_driver_is_alone_with_nothing_of_what_rules_state():
    assert expression(KINDS)[1] == []
