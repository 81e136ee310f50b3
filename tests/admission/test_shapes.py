"""What CEL cannot say is left to the driver, and told; what is around it is checked all the same."""

from __future__ import annotations

import enum
from typing import Any, ClassVar

import attrs
import pytest
from attrs import field, frozen
from drakit import AtMost, Between, Each, Length, Matches, OneOf, Quantity
from drakit.admission import expression
from drakit.admission.policy import MAX_EXPRESSION
from drakit.errors import ConfigError

from tests.admission.evaluating import admission, driver


def configuration(**fields: Any) -> Any:
    kind = attrs.make_class("Config", {"known": field(type=int, default=0), **fields}, frozen=True)
    kind.api_version, kind.kind = "any.example.com/v1", "Config"
    return kind


def notes(kind: Any) -> list[str]:
    return expression((kind,))[1]


def odd(_instance: Any, _attribute: Any, value: int) -> None:
    if value % 2 == 0:
        raise ValueError("must be odd")


class Mode(enum.Enum):
    FAST = "fast"


class Loose(enum.Enum):
    FAST = "fast"

    @classmethod
    def _missing_(cls, value: object) -> Loose:
        return cls.FAST


@pytest.mark.parametrize(
    ("asked", "note"),
    [
        (field(type=int, default=1, validator=odd), "Config.it: odd"),
        (field(type=int, default=1, validator=[Between(0), odd]), "Config.it: odd"),
        (
            field(type=int, default=1, validator=OneOf((1,)), converter=abs),
            "Config.it: its rules, which are asked of what",
        ),
        (field(type=bytes, default=b""), "Config.it: its type, bytes"),
        (field(type=tuple[int, str], default=None), "Config.it: its type, tuple"),
        (field(type=dict[int, str], default=None), "Config.it: its type, dict"),
        (field(type=list[int | None], default=None), "Config.it: its type, int"),
        (field(type=Loose, default=Loose.FAST), "Config.it: its type, Loose"),
        (field(type=Mode, default=Mode.FAST, validator=OneOf(("fast",))), "Config.it: must be one of fast"),
        (field(type=set[int], factory=set, validator=Length(most=2)), "Config.it: must have at most 2"),
        (field(type=int, default=1, validator=Matches("1", says="must be 1")), "Config.it: must be 1"),
        (field(type=str, default="", validator=Matches("a++", says="must be a")), "Config.it: must be a"),
        (field(type=int, default=1, validator=Between(Quantity("1Gi"))), "Config.it: must be at least 1Gi"),
        (field(type=int, default=1, validator=Each(OneOf((1,)))), "Config.it: Each("),
    ],
)
def test_what_the_driver_alone_checks_is_told(asked: Any, note: str):
    kind = configuration(it=asked)
    assert [one for one in notes(kind) if one.startswith(note)]
    header = {"apiVersion": "any.example.com/v1", "kind": "Config"}
    for value in ([{}], None, "\x00", -(2**65), 1.5, {"a": {}}):
        assert admission((kind,), header | {"it": value}) == "" or driver((kind,), header | {"it": value})
    assert 'unknown key "other"' in admission((kind,), header | {"other": 1})
    assert "known must be an integer" in admission((kind,), header | {"known": "1"})


def test_what_a_class_does_after_its_making_is_left_to_the_driver():
    kind = configuration()
    kind.__attrs_post_init__ = lambda self: None
    assert notes(kind) == ["Config: __attrs_post_init__"]


def test_a_check_of_a_field_with_a_converter_is_left_to_the_driver():
    kind = configuration(it=field(type=str | None, default=None, converter=str))
    kind.cross_checks = (AtMost(count=0, fields=("it",), says="is not supported"),)
    assert notes(kind) == ["Config: is not supported"]


def test_a_check_of_a_field_that_there_is_not_is_a_defect_of_the_class():
    kind = configuration()
    kind.cross_checks = (AtMost(count=0, fields=("no_such",), says="is not supported"),)
    with pytest.raises(ConfigError, match=r"Config: cross_checks name the field 'no_such', which it does not have"):
        notes(kind)


@frozen
class Tree:
    """Nested in itself."""

    api_version: ClassVar[str] = "any.example.com/v1"
    kind: ClassVar[str] = "Tree"
    name: str = ""
    left: Tree | None = None
    right: Tree | None = None


def test_a_class_that_is_nested_in_itself_is_followed_as_deep_as_the_policy_has_room():
    text, alone = expression((Tree,))
    assert len(text) <= MAX_EXPRESSION
    assert any("what is nested deeper" in note for note in alone)
    header = {"apiVersion": "any.example.com/v1", "kind": "Tree"}
    assert admission((Tree,), header | {"left": {"right": {"name": 1}}}).endswith(
        "left.right.name must be a string, not 1"
    )
    deep: dict[str, Any] = {"name": 1}
    for _ in range(12):
        deep = {"left": deep}
    assert admission((Tree,), header | deep) == ""
    assert driver((Tree,), header | deep)


def test_classes_that_no_policy_has_room_for_are_a_defect_with_a_remedy():
    each = [Between(0, number) for number in range(900)]
    fields = {f"field_{number}": field(type=int, default=0, validator=each[number]) for number in range(900)}
    with pytest.raises(ConfigError, match="Config: too many fields for an admission policy; split the class"):
        expression((configuration(**fields),))
