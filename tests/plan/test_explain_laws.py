"""Laws that every explanation keeps, whatever the claims and nodes: on random scenarios, and on hostile names."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter

import pytest
from attrs import evolve
from drakit.plan import Allocator, NodeView, PlanError, Stage, inspect, read_slices
from drakit.plan.explain import Answer, Limits, Question, explain, render, to_document
from drakit.plan.explain.edits import only
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plan.corpus.allocator import allocated_of, classes_of, profile_of
from tests.plan.scenarios import scenario

SOURCES = st.sampled_from(["v0.36.2", "v0.37.2"])
LIMITS = Limits(steps=20_000, trials=120, trial_steps=2_000)


def question_of(seed, source="v0.36.2", **fields):
    case = scenario(seed)
    return Question(
        claims=case["Claims"],
        nodes=[NodeView("n1", {"zone": "a"})],
        slices=read_slices(case["Slices"]),
        classes=classes_of(case),
        allocated=allocated_of(case),
        profile=profile_of(case, "experimental", source),
        **fields,
    )


def verdict_of(question):
    """What the engine itself says, asked anew: nothing of the explanation's own trials."""
    allocator = Allocator(question.slices, question.classes, question.allocated, profile=question.profile, steps=20_000)
    try:
        return allocator.survey(question.claims, question.nodes)[0]
    except PlanError:
        return None


def fits(question):
    verdict = verdict_of(question)
    return verdict is not None and verdict.fits


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**9), source=SOURCES)
def test_every_change_that_is_told_is_met_by_the_planner(seed, source):
    for change in explain(question_of(seed, source), LIMITS).changes:
        assert change.nodes == ("n1",)
        assert fits(change.question), [edit.text for edit in change.edits]


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**9), source=SOURCES)
def test_a_reason_cannot_be_met_and_can_be_without_any_one_part_of_it(seed, source):
    question = question_of(seed, source)
    for node in explain(question, LIMITS).nodes:
        for reason in node.reasons:
            assert reason.parts
            assert not fits(evolve(question, claims=only(question.claims, reason.parts)))
            if reason.exact:
                for part in reason.parts:
                    rest = [one for one in reason.parts if one != part]
                    assert fits(evolve(question, claims=only(question.claims, rest))), (reason.text, part)


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 10**9), source=SOURCES)
def test_the_counts_of_a_funnel_add_up_to_what_the_planner_sees(seed, source):
    question = question_of(seed, source)
    verdict = verdict_of(question)
    if verdict is None or verdict.task is None:
        return
    (node,) = explain(question, LIMITS).nodes
    for funnel, view in zip(node.funnels, inspect(verdict.task), strict=True):
        assert funnel.seen == len(view.devices)
        assert funnel.usable == len(view.at(Stage.USABLE))
        assert funnel.usable + sum(step.lost for step in funnel.steps) == funnel.seen
        left = funnel.seen
        for step in funnel.steps:
            left -= step.lost
            assert step.left == left
        for conjunct in funnel.conjuncts:
            assert 0 <= conjunct.holds + conjunct.fails <= conjunct.of
            for counts in conjunct.values.values():
                assert sum(counts.values()) == conjunct.of - conjunct.holds


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**9), source=SOURCES, width=st.sampled_from([80, 120, 40, 1]))
def test_any_explanation_can_be_shown_and_is_the_same_again(seed, source, width):
    question = question_of(seed, source)
    explanation = explain(question, LIMITS)
    lines = list(map(str, render(explanation, width)))
    assert lines
    longest = max(len(word) for line in lines for word in line.split())
    assert all(len(line) <= max(width, 40, longest + 14) for line in lines)
    document = to_document(explanation)
    assert json.loads(json.dumps(document)) == document
    again = explain(question_of(seed, source), LIMITS)
    assert list(map(str, render(again, width))) == lines
    assert to_document(again) == document


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10**9), source=SOURCES)
def test_the_answer_is_the_planners(seed, source):
    question = question_of(seed, source)
    verdict = verdict_of(question)
    explanation = explain(question, LIMITS)
    assert explanation.satisfied is (verdict is not None and verdict.fits)
    if explanation.satisfied:
        (node,) = explanation.nodes
        chosen = Counter(str(verdict.task.candidates[choice.place].ref) for choice in verdict.chosen)
        assert Counter(str(ref) for one in node.given for ref in one.devices) == chosen
        assert explanation.changes == ()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**9), trials=st.integers(0, 12))
def test_limits_only_make_an_explanation_say_less(seed, trials):
    question = question_of(seed)
    explanation = explain(question, evolve(LIMITS, trials=trials))
    assert explanation.satisfied is fits(question)
    assert all(fits(change.question) for change in explanation.changes)


def test_what_is_explained_is_worth_explaining():
    """The laws above are kept by something: among random scenarios there are reasons and changes of every kind."""
    kinds: Counter[str] = Counter()
    for seed in range(150):
        explanation = explain(question_of(seed), LIMITS)
        for node in explanation.nodes:
            kinds[node.answer.name] += 1
            kinds.update(reason.kind.name for reason in node.reasons)
            kinds["poison"] += bool(node.poisons)
            kinds["drift"] += node.drift is not None
        kinds["changed"] += bool(explanation.changes)
        kinds["two changes"] += any(len(change.edits) > 1 for change in explanation.changes)
    assert all(kinds[one] for one in ("FITS", "DOES_NOT_FIT", "ERROR", "REQUEST", "CONSTRAINT", "TOGETHER")), kinds
    assert all(kinds[one] for one in ("drift", "changed", "two changes")), kinds


HOSTILE = [
    "\x1b[31mred\x1b[0m",
    "a\nb",
    "[bold]x[/bold]",
    "\u202eabc",
    "%s{0}{x}",
    "x" * 5_000,
    '"; rm -rf /',
    "日本語",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_do_no_harm(name):
    """They reach an explanation from claims, classes, holders, kinds and the values of devices."""
    case = scenario(0)
    spec = {"driver": "a.x", "nodeName": "n1", "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1}}
    devices = [{"name": f"d{n}", "attributes": {"t": {"string": name[:64]}}} for n in range(3)]
    slices = [{"metadata": {"name": name}, "spec": spec | {"devices": devices}}]
    selector = {"cel": {"expression": f"device.attributes['a.x'].t == {json.dumps('not ' + name)}"}}
    requests = [{"name": "r", "exactly": {"deviceClassName": "any", "count": 2, "selectors": [selector]}}]
    document = {"metadata": {"name": name, "namespace": name}, "spec": {"devices": {"requests": requests}}}
    held = allocated_of(case | {"AllocatedDevices": ["a.x/n1/d0"], "SharedDeviceIDs": [], "Aggregated": {}})
    question = Question(
        claims=[document],
        nodes=[NodeView("n1", {"zone": name})],
        slices=read_slices(slices),
        classes=classes_of(case),
        allocated=held,
        holders=dict.fromkeys(held.devices, name),
        kinds={"n1": name},
        node_types={name: lambda: (read_slices(slices), NodeView("n1"))},
    )
    explanation = explain(question, LIMITS)
    assert explanation.changes
    lines = list(map(str, render(explanation)))
    assert not [one for line in lines for one in line if unicodedata.category(one) in ("Cc", "Cf")]
    assert max(map(len, lines)) < 400
    assert json.loads(json.dumps(to_document(explanation)))


@pytest.mark.parametrize("answer", list(Answer))
def test_only_a_definite_no_is_one(answer):
    assert answer.refuses is (answer in (Answer.DOES_NOT_FIT, Answer.ERROR))
