"""The planner against the real scheduler: the same verdict, and the same devices where the version's order is fixed."""

from __future__ import annotations

import json

import pytest
from drakit.plan import Bug, Features, KubeProfile
from realkube.cluster import Cluster

from tests.cluster.plan.inventories import Scenario, scenario
from tests.cluster.plan.scheduled import ALLOCATED, ERROR, UNSCHEDULABLE, Answer, Planner, schedule

pytestmark = pytest.mark.cluster

SEEDS = range(60)
ALWAYS = (
    *("All", "firstAvailable", "matchAttribute", "tolerations", "taints", "adminAccess", "bindingConditions"),
    *("bindsToNode", "nodeName", "nodeSelector", "allNodes", "opaque"),
)
OF_FEATURES = {
    "partitionable": ("consumesCounters", "perDeviceNodeSelection"),
    "consumable": ("distinctAttribute", "allowMultipleAllocations", "requestPolicy", "consumedCapacity"),
    "lists": ("ints",),
}


@pytest.fixture(scope="module")
def scenarios(features: Features, profile: KubeProfile) -> list[Scenario]:
    """All of them.

    In 1.35 and 1.36 nodes share what is left of counters, by the name of the pool, and are looked at side by side:
    what one finds hangs on which was first. There counters are only where a pod has one node to go to.
    """
    anywhere = Bug.POOLS_SHARE_COUNTERS not in profile.bugs
    return [scenario(seed, features, anywhere=anywhere, combined=profile.pools_by_slice) for seed in SEEDS]


@pytest.fixture(scope="module")
def scheduled(scheduling: Cluster, scenarios: list[Scenario]) -> dict[str, Answer]:
    """What the scheduler makes of them, all at once."""
    return schedule(scheduling.api, scenarios)


@pytest.fixture(scope="module")
def planner(scheduling: Cluster, profile: KubeProfile, scheduled: dict[str, Answer]) -> Planner:
    """The planner, on what the API server kept of them."""
    return Planner(scheduling.api, profile)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_planner_says_what_the_scheduler_does(
    scenarios: list[Scenario], scheduled: dict[str, Answer], planner: Planner, profile: KubeProfile, seed: int
):
    one = scenarios[SEEDS.index(seed)]
    theirs = scheduled[one.name]
    ours = []
    for answer in planner.answers(one):
        ours.append(answer)
        if answer.is_like(theirs, ordered=profile.ordered):
            return
    pytest.fail(f"the scheduler of {profile.version}: {theirs}\nthe planner: {ours[0]}")


def test_the_scenarios_end_in_every_way(scheduled: dict[str, Answer]):
    assert {answer.verdict for answer in scheduled.values()} == {ALLOCATED, UNSCHEDULABLE, ERROR}


def test_every_feature_is_in_some_scenario(scenarios: list[Scenario], features: Features):
    said = json.dumps([[one.slices, one.claims, one.held] for one in scenarios])
    assert [word for word in ALWAYS if f'"{word}"' not in said] == []
    for feature, words in OF_FEATURES.items():
        assert {f'"{word}"' in said for word in words} == {getattr(features, feature)}, feature
    assert {len(one.nodes) for one in scenarios} == {1, 2, 3} == {len(one.claims) for one in scenarios}
