"""Rules of configuration: what they refuse by themselves, and how they are stated."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import field, frozen
from drakit import AtMost, Between, Each, EachKey, Length, Matches, NoneOf, OneOf, Quantity
from drakit.rules import literal


@frozen
class Ports:
    """Two fields, one of them open."""

    first_port: int = field(default=1, validator=Between(1, 10))
    names: Any = field(default=None, validator=Each([Length(most=3), Matches("[a-z]+", says="must be letters")]))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"first_port": 0}, "firstPort must be from 1 to 10, not 0"),
        ({"names": ["ab", "AB"]}, "names[1] must be letters, not 'AB'"),
        ({"names": {"a": "abcd"}}, "names[\"a\"] must have at most 3 characters or entries, not 'abcd'"),
    ],
)
def test_a_rule_names_the_field_as_documents_do(fields: dict[str, Any], message: str):
    with pytest.raises(ValueError) as refused:  # noqa: PT011 - the message is compared
        Ports(**fields)
    assert str(refused.value) == message


def test_a_field_that_is_left_open_is_asked_nothing():
    assert Ports(names=None).names is None
    assert Ports(names=["a", None]).names == ["a", None]


@pytest.mark.parametrize(
    ("rule", "good", "bad"),
    [
        (OneOf((1, 2)), [1, 2], [0, 3]),
        (NoneOf(("a", "b")), ["c", ""], ["a"]),
        (Between(least=0), [0, 2**70], [-1]),
        (Between(most=1.5), [1.5, -1], [1.6]),
        (
            Between(Quantity("1Ki"), Quantity("1Mi")),
            [Quantity(1024), Quantity("1Mi")],
            [Quantity("1G"), Quantity(1023)],
        ),
        (Matches("a|ab", says="must be a or ab"), ["a", "ab"], ["abc", "a\n", ""]),
        (Matches(r"\w+", says="must be a word"), ["a_1"], ["é"]),
        (Length(1, 2), ["a", [1, 2], {"a": 1}], ["", [1, 2, 3], {}]),
        (EachKey(Length(most=1)), [{}, {"a": 1}], [{"ab": 1}]),
    ],
)
def test_a_rule_holds_or_says_what_must_be(rule: Any, good: list[Any], bad: list[Any]):
    assert [rule.problem(value) for value in good] == ["" for _ in good]
    assert all(" must " in rule.problem(value) for value in bad)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: OneOf(()),
        lambda: OneOf((1, "a")),
        lambda: OneOf((None,)),
        Between,
        lambda: Between(1, Quantity(2)),
        lambda: Between(most=2**63),
        Length,
        lambda: Matches("(", says="must not be"),
        lambda: Matches("(?i)a", says="must be read by all alike"),
        lambda: Matches(r"\s", says="must be read by all alike"),
        lambda: Matches(r"(a)\1", says="must be read by all alike"),
        lambda: Matches("[[:alpha:]]", says="must be read by all alike"),
        lambda: Matches("a{,3}", says="must be read by all alike"),
        lambda: AtMost(count=2, fields=("a", "b"), says="never happens"),
        lambda: AtMost(count=0, fields=("a",), filled=("b",), says="is not about a"),
    ],
)
def test_a_rule_that_means_nothing_or_not_the_same_to_all_is_refused_where_it_is_stated(wrong: Any):
    with pytest.raises(Exception, match=r"must|means something else|unterminated"):
        wrong()


@frozen
class Inner:
    """Nested."""

    a_name: str | None = None
    on: bool | None = None


@frozen
class Outer:
    """Fields that exclude each other."""

    inner: Inner | None = None
    items: tuple[int, ...] = ()


def test_fields_that_are_too_many_are_named_as_documents_do():
    rule = AtMost(
        count=1, fields=("inner.a_name", "inner.on", "items"), filled=("items", "inner.a_name"), says="exclude"
    )
    for fine in (Outer(), Outer(Inner("", on=False)), Outer(Inner("a")), Outer(Inner(), (1,)), Outer(None, (1,))):
        rule.check(fine)
    with pytest.raises(ValueError, match=r"^inner\.aName, inner\.on, items exclude$"):
        rule.check(Outer(Inner("a", on=False), (1,)))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (-5, "-5"),
        (1.5, "1.5"),
        ('a"\\\n\x01é', '"a\\"\\\\\\n\\u0001é"'),
        (Quantity("1Gi"), 'quantity("1Gi")'),
    ],
)
def test_literals_are_those_of_cel(value: Any, text: str):
    assert literal(value) == text
