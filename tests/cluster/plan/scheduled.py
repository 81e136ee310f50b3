"""What the real scheduler makes of scenarios, and what the planner makes of the same objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Any

from attrs import field, frozen
from drakit.plan import (
    Allocated,
    Allocator,
    DeviceClass,
    KubeProfile,
    NodeView,
    PlanError,
    SliceSet,
    Unsatisfied,
    read_slices,
)
from realkube.api import Api
from realkube.waiting import until

from tests.cluster.plan.inventories import NAMESPACE, Document, Scenario, barrier, now

ALLOCATED, UNSCHEDULABLE, ERROR = "allocated", "unschedulable", "error"
ORDERS = 200
"""How many orders are tried before the scheduler is said to be wrong: nearly always the first does."""
_REASONS = {"Unschedulable": UNSCHEDULABLE, "SchedulerError": ERROR}


@frozen(eq=False)
class Answer:
    """What becomes of a pod. `nodes` are the allocations of its claims by node: the scheduler's is for one node."""

    verdict: str
    nodes: dict[str, list[Document]] = field(factory=dict)
    said: str = ""

    def is_like(self, scheduled: Answer, *, ordered: bool) -> bool:
        """Whether it is what the scheduler found: on one of these nodes, with `ordered` the same devices there."""
        if self.verdict != scheduled.verdict or not scheduled.nodes.keys() <= self.nodes.keys():
            return False
        return not ordered or all(self.nodes[node] == found for node, found in scheduled.nodes.items())


def schedule(api: Api, scenarios: Sequence[Scenario]) -> dict[str, Answer]:
    """What the scheduler makes of each, by name. Their pods come when everything else is known to it."""
    last = barrier()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: _prepare(api, one), scenarios))
        _prepare(api, last)
        api.create(last.pod, NAMESPACE)
        until("the scheduler to have seen everything", lambda: _answers(api, [last]))
        list(pool.map(lambda one: api.create(one.pod, NAMESPACE), scenarios))
    return until("an answer for every pod", lambda: _answers(api, scenarios), seen=lambda: _waiting(api, scenarios))


def _prepare(api: Api, scenario: Scenario) -> None:
    for document in (*scenario.classes, *scenario.nodes, *scenario.slices, *scenario.claims):
        api.create(document, NAMESPACE)
    if scenario.held["devices"]["results"]:
        holder = api.create(scenario.holder, NAMESPACE)
        api.replace(holder | {"status": {"allocation": scenario.held}}, "status")


def _answers(api: Api, scenarios: Iterable[Scenario]) -> dict[str, Answer] | None:
    """All of them, or nothing yet."""
    pods = {one["metadata"]["name"]: one for one in api.list("Pod", NAMESPACE)}
    claims = {one["metadata"]["name"]: one for one in api.list("ResourceClaim", NAMESPACE)}
    _make_ready(api, claims.values())
    answers = {one.name: _answer(pods[one.pod["metadata"]["name"]], claims) for one in scenarios}
    known = {name: answer for name, answer in answers.items() if answer is not None}
    return known if len(known) == len(answers) else None


def _waiting(api: Api, scenarios: Iterable[Scenario]) -> str:
    """The scenarios without an answer."""
    lines = []
    for one in scenarios:
        if not _answers(api, [one]):
            status = api.get("Pod", one.pod["metadata"]["name"], NAMESPACE)["status"]
            lines.append(f"{one.name}: {status}")
    return "\n".join(lines)


def _answer(pod: Document, claims: dict[str, Document]) -> Answer | None:
    found = [
        claims[one["resourceClaimName"]].get("status", {}).get("allocation") for one in pod["spec"]["resourceClaims"]
    ]
    if node := pod["spec"].get("nodeName"):
        return Answer(ALLOCATED, {node: [_comparable(one) for one in found]})
    for condition in pod["status"].get("conditions", ()):
        if condition["type"] == "PodScheduled" and condition.get("reason") in _REASONS:
            return Answer(_REASONS[condition["reason"]], said=condition["message"])
    return None


def _make_ready(api: Api, claims: Iterable[Document]) -> None:
    """Say of devices that pods wait for that they are ready, as their driver would."""
    for claim in claims:
        status = claim.get("status", {})
        waiting = [one for one in _results_of(claim) if one.get("bindingConditions")]
        if waiting and not status.get("devices"):
            ready = {"status": status | {"devices": [_ready(one) for one in waiting]}}
            api.replace({"kind": "ResourceClaim", **claim, **ready}, "status")


def _ready(result: Document) -> Document:
    about = {key: result[key] for key in ("driver", "pool", "device", "shareID") if key in result}
    condition = {"status": "True", "reason": "Test", "message": "", "lastTransitionTime": now()}
    return about | {"conditions": [{"type": one, **condition} for one in result["bindingConditions"]]}


def _results_of(claim: Document) -> list[Document]:
    found: list[Document] = claim.get("status", {}).get("allocation", {}).get("devices", {}).get("results", [])
    return found


def _comparable(allocation: Document) -> Document:
    """Without what is random or a time."""
    results = [
        {key: "some" if key == "shareID" else value for key, value in one.items()}
        for one in allocation["devices"]["results"]
    ]
    found = {key: value for key, value in allocation.items() if key != "allocationTimestamp"}
    return found | {"devices": allocation["devices"] | {"results": results}}


class Planner:
    """Answers from what the API server has kept of everything, at one time."""

    def __init__(self, api: Api, profile: KubeProfile) -> None:
        self._profile = profile
        self._documents = api.list("ResourceSlice")
        self._slices = read_slices(self._documents)
        self._classes = {one.name: one for one in map(DeviceClass.from_document, api.list("DeviceClass"))}
        self._claims = {one["metadata"]["name"]: one for one in api.list("ResourceClaim", NAMESPACE)}
        self._nodes = {one["metadata"]["name"]: one["metadata"]["labels"] for one in api.list("Node")}

    def answers(self, scenario: Scenario) -> Iterator[Answer]:
        """What the planner says of a scenario; where the scheduler takes pools and slices in random order, of many."""
        yield self._plan(scenario, self._slices)
        if not self._profile.ordered:
            chance = Random(scenario.name)
            for _ in range(ORDERS):
                yield self._plan(scenario, read_slices(chance.sample(self._documents, len(self._documents))))

    def _plan(self, scenario: Scenario, slices: SliceSet) -> Answer:
        holder = self._claims.get(scenario.holder["metadata"]["name"])
        held = Allocated.of_claims([holder] if holder else [])
        allocator = Allocator(slices, self._classes, held, profile=self._profile)
        claims = [self._claims[one["metadata"]["name"]] for one in scenario.claims]
        names = [one["metadata"]["name"] for one in scenario.nodes]
        try:
            verdicts = allocator.survey(claims, [NodeView(name, self._nodes[name]) for name in names])
        except PlanError as error:
            return Answer(ERROR, said=str(error))
        for verdict in verdicts:
            if verdict.error and verdict.ends_attempt:
                return Answer(ERROR, said=str(verdict.error))
        fitting = {
            view.name: verdict.outcome(view.name) for verdict in verdicts if verdict.fits for view in verdict.nodes
        }
        allocations = {
            name: [_comparable(one.to_api()) for one in outcome]
            for name, outcome in fitting.items()
            if not isinstance(outcome, Unsatisfied)
        }
        return Answer(ALLOCATED, allocations) if allocations else Answer(UNSCHEDULABLE, said=str(_why(verdicts)))


def _why(verdicts: Iterable[Any]) -> str:
    return "; ".join(str(one.error or one.outcome()) for one in verdicts)
