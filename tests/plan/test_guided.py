"""The guided search against the plain one, and the plain one's bugs."""

from __future__ import annotations

from collections import Counter

import pytest
from drakit.plan.candidates import Held, candidates
from drakit.plan.errors import PlanError
from drakit.plan.matching import can_differ
from drakit.plan.nodes import NodeView
from drakit.plan.pools import read_slices
from drakit.plan.requests import read_claims
from drakit.plan.search import Search
from drakit.plan.shortcuts import Solver
from drakit.plan.task import bind
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.plan.corpus.allocator import allocated_of, classes_of, profile_of
from tests.plan.scenarios import scenario


def task_of(case, allocator, source):
    profile = profile_of(case, allocator, source)
    held = Held(allocated_of(case))
    node = NodeView("n1", {"zone": "a"})
    pools = read_slices(case["Slices"]).pools(node, profile)
    return bind(read_claims(case["Claims"], classes_of(case), profile), pools, candidates(pools, node, held), held)


def named(choices):
    return None if choices is None else [(one.claim, one.bound.option.label, one.place) for one in choices]


class Hurried(Solver):
    """Takes no plain steps first."""

    def __init__(self, budget):
        super().__init__(budget)
        self._plain_first = False


def both(seed, allocator, source):
    """The plain answer and the one by shortcuts; None where there is nothing to compare."""
    case = scenario(seed)
    if allocator == "stable" and (
        case["FeatureBits"]["ConsumableCapacity"] or case["FeatureBits"]["ListTypeAttributes"]
    ):
        return None  # it has neither
    try:
        task = task_of(case, allocator, source)
        plain = Search(task, 50_000)
        expected = plain.chosen if plain.run() else None
    except PlanError:
        return None
    return named(expected), named(Hurried(50_000).solve(task))


@settings(max_examples=400)
@example(seed=2356, allocator="incubating", source="v0.37.2")
@given(
    seed=st.integers(0, 10**9),
    allocator=st.sampled_from(["experimental", "stable", "incubating"]),
    source=st.sampled_from(["v0.36.2", "v0.37.2"]),
)
def test_shortcuts_find_what_the_plain_search_finds(seed, allocator, source):
    if answers := both(seed, allocator, source):
        assert answers[0] == answers[1]


def test_what_is_compared_is_worth_comparing():
    kinds: Counter[str] = Counter()
    for seed in range(300):
        answers = both(seed, "experimental", "v0.37.2")
        kinds["none" if answers is None else "met" if answers[0] else "not met"] += 1
    assert kinds["met"] > 40
    assert kinds["not met"] > 80


@pytest.mark.parametrize(
    ("demands", "possible"),
    [
        ([], True),
        ([(1, 0b1), (1, 0b1)], False),
        ([(1, 0b11), (1, 0b1)], True),
        ([(2, 0b111), (1, 0b100)], True),
        ([(2, 0b111), (2, 0b110)], False),
        ([(1, 0b11), (1, 0b110), (1, 0b1100), (1, 0b1)], True),
        ([(1, 0b11), (1, 0b110), (1, 0b101), (1, 0b111)], False),
        ([(1, 0b0011), (1, 0b0110), (1, 0b0101), (1, 0b1000), (1, 0b1000)], False),
    ],
)
def test_requests_can_have_different_devices_or_cannot(demands, possible):
    assert can_differ(demands) is possible


def by_trying(demands, used=0):
    units = [mask for count, mask in demands for _ in range(count)]

    def place(index, used):
        if index == len(units):
            return True
        return any(
            units[index] >> bit & 1 and not used >> bit & 1 and place(index + 1, used | 1 << bit) for bit in range(6)
        )

    return place(0, used)


@given(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 63)), max_size=4))
def test_a_matching_is_found_wherever_there_is_one(demands):
    assert can_differ(demands) is by_trying(demands)
