"""The labels a driver gives its Node: its own only, written when something has to change, and never by force."""

from __future__ import annotations

import asyncio

import pytest
from drakit.kube.client import NODES, KubeClient
from drakit.kube.credentials import Credentials
from drakit.kube.labels import NodeLabels
from drakit.testing.apiserver import InMemoryApiServer
from hypothesis import given, settings
from hypothesis import strategies as st

DRIVER, NODE = "gpu.example.com", "node-1"
RACK, SERVER, THEIRS = "example.com/rack", "example.com/server", "example.com/theirs"


@pytest.fixture
def api():
    with InMemoryApiServer() as server:
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {THEIRS: "x"}}})
        yield server


async def settle(api, *steps: dict[str, str] | None, driver: str = DRIVER) -> list[str]:
    """Settle after each of these was desired, None for nothing new; returns what the last says is wrong."""
    client = KubeClient(Credentials(server=api.url))
    own = NodeLabels(client, driver)
    problems: list = []
    try:
        for labels in steps:
            if labels is not None:
                own.desired(labels)
            problems = await own.settle(await client.get(NODES, NODE))
    finally:
        await client.close()
    return [str(problem) for problem in problems]


def settled(api, *steps, **more) -> list[str]:
    return asyncio.run(settle(api, *steps, **more))


def labels(api) -> dict[str, str]:
    return api.get("Node", NODE)["metadata"].get("labels", {})


def writes(api) -> int:
    return sum(method != "GET" for method, _ in api.requests)


def kubectl_label(api, **changes: str | None) -> None:
    """Set labels of example.com as a person does."""
    node = api.get("Node", NODE)
    changed = node["metadata"].get("labels", {}) | {f"example.com/{key}": value for key, value in changes.items()}
    node["metadata"]["labels"] = {key: value for key, value in changed.items() if value is not None}
    api.replace(node)


def test_labels_are_written_beside_those_of_others(api):
    assert settled(api, {RACK: "r7", SERVER: ""}) == []
    assert labels(api) == {THEIRS: "x", RACK: "r7", SERVER: ""}


def test_nothing_is_written_before_anything_is_desired(api):
    assert settled(api, None) == []
    assert writes(api) == 0


def test_nothing_is_written_where_nothing_has_to_change(api):
    assert settled(api, {RACK: "r7"}, {RACK: "r7"}, None) == []
    assert settled(api, {RACK: "r7"}) == []  # by the next agent, too
    assert writes(api) == 1


def test_a_label_that_is_no_longer_named_goes(api):
    assert settled(api, {RACK: "r7", SERVER: "s"}, {SERVER: "t"}) == []
    assert labels(api) == {THEIRS: "x", SERVER: "t"}


def test_an_agent_that_is_not_to_label_any_more_takes_away_what_the_last_one_wrote(api):
    settled(api, {RACK: "r7"})
    assert settled(api, {}, None) == []
    assert labels(api) == {THEIRS: "x"}
    assert writes(api) == 2


def test_where_there_are_none_to_take_away_nothing_is_written(api):
    assert settled(api, {}) == []
    assert writes(api) == 0


def test_a_label_that_somebody_removed_is_there_again_after_the_next_look(api):
    settled(api, {RACK: "r7"})
    kubectl_label(api, rack=None)
    assert settled(api, {RACK: "r7"}) == []
    assert labels(api)[RACK] == "r7"


@pytest.mark.reliability(
    fault="Somebody else has set a label of the Node that a driver wants to set, to another value",
    injected="The label is set as kubectl does, before or after the driver's own",
    promise="It stays theirs; the driver's other labels are written; the log says whose it is and what to do",
)
@pytest.mark.parametrize("first", ["they", "the driver"])
def test_a_label_that_somebody_else_has_set_otherwise_stays_theirs(api, first):
    if first == "the driver":
        settled(api, {RACK: "r7"})
    kubectl_label(api, rack="mine")
    (problem,) = settled(api, {RACK: "r7", SERVER: "s"})
    assert f"label {RACK} of node {NODE} stays 'mine' and does not become 'r7', for it belongs to" in problem
    assert f"kubectl label node {NODE} {RACK}-" in problem
    assert labels(api) == {THEIRS: "x", RACK: "mine", SERVER: "s"}
    count = writes(api)
    settled(api, {RACK: "r7", SERVER: "s"})
    assert writes(api) == count
    kubectl_label(api, rack=None)
    assert settled(api, {RACK: "r7", SERVER: "s"}) == []
    assert labels(api)[RACK] == "r7"


def test_drivers_do_not_touch_each_others_labels(api):
    settled(api, {RACK: "r7"})
    settled(api, {SERVER: "s"}, driver="nic.example.com")
    assert settled(api, {}) == []
    assert labels(api) == {THEIRS: "x", SERVER: "s"}
    (problem,) = settled(api, {SERVER: "t"})
    assert "belongs to drakit-nic.example.com" in problem


def test_a_label_set_by_somebody_between_look_and_write_is_not_overwritten(api):
    async def main():
        client = KubeClient(Credentials(server=api.url))
        own = NodeLabels(client, DRIVER)
        own.desired({RACK: "r7"})
        node = await client.get(NODES, NODE)
        await asyncio.to_thread(kubectl_label, api, rack="mine")
        (problem,) = await own.settle(node)
        await client.close()
        return str(problem)

    assert "conflict with" in asyncio.run(main())
    assert labels(api)[RACK] == "mine"


@pytest.mark.reliability(
    fault="The agent may not write labels of its Node",
    injected="The in-memory API server answers 403 to every patch",
    promise="The log says how to allow it; everything else goes on",
)
def test_a_refusal_names_the_remedy(api):
    api.fail(status=403, method="PATCH")
    (problem,) = settled(api, {RACK: "r7"})
    assert "allow it with the Helm chart, by `nodeLabels: true` in its `config`, or take that out" in problem


def test_labels_that_may_not_be_taken_away_any_more_are_named(api):
    settled(api, {RACK: "r7", SERVER: "s"})
    api.fail(status=403, method="PATCH")
    (problem,) = settled(api, {})
    assert f"kubectl label node {NODE} {RACK}- {SERVER}-" in problem


keys = st.sampled_from([RACK, SERVER, THEIRS])
values = st.sampled_from(["a", "b"])
steps = st.lists(
    st.tuples(st.sampled_from(["driver", "person"]), st.dictionaries(keys, values | st.none(), max_size=3)), max_size=8
)


@given(steps)
@settings(max_examples=40, deadline=None)
def test_whatever_happens_what_others_set_stays_and_the_rest_is_as_desired(steps):
    with InMemoryApiServer() as api:
        api.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        desired: dict[str, str] = {}
        theirs: dict[str, str] = {}
        for who, change in steps:
            if who == "driver":
                desired = {key: value for key, value in change.items() if value is not None}
            else:
                before = labels(api)
                kubectl_label(api, **{key.partition("/")[2]: value for key, value in change.items()})
                changed = {key: value for key, value in change.items() if before.get(key) != value}
                theirs = {key: value for key, value in (theirs | changed).items() if value is not None}
            problems = settled(api, desired)
            assert labels(api) == desired | theirs
            assert len(problems) == sum(theirs.get(key, value) != value for key, value in desired.items())
