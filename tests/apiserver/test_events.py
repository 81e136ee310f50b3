"""Events of events.k8s.io/v1, as server-side apply writes them."""

from __future__ import annotations

import pytest

PATH = "/apis/events.k8s.io/v1/namespaces/default/events/claim-a.1"
APPLY = "application/apply-patch+yaml"
AGAIN = {"count": 2, "lastObservedTime": "2026-01-01T00:10:00.000000Z"}


def event(**changes):
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": "claim-a.1", "namespace": "default"},
        "eventTime": "2026-01-01T00:00:00.000001Z",
        "reportingController": "drakit",
        "reportingInstance": "node-1",
        "action": "Try",
        "reason": "Tried",
        "regarding": {"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "node-1"},
        "note": "it was tried",
        "type": "Warning",
    } | changes


def apply(client, document, path=PATH):
    return client.request("PATCH", f"{path}?fieldManager=me&force=true", document, APPLY)


def test_an_event_is_created_and_counted_by_applying_it(client):
    for document in (event(), event(), event(series=AGAIN)):
        assert apply(client, document).code in (200, 201)
    stored = client.get(PATH).document
    assert stored["series"] == AGAIN
    assert stored["note"] == "it was tried"


@pytest.mark.parametrize("missing", ["reportingController", "reportingInstance", "action", "reason"])
def test_an_event_lacks_nothing(client, missing):
    document = event(metadata={"name": "lacking", "namespace": "default"})
    del document[missing]
    assert causes(apply(client, document, PATH.replace("claim-a.1", "lacking"))) >= {missing}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"note": "ä" * 513}, "message"),
        ({"reason": "R" * 129}, "reason"),
        ({"action": "A" * 129}, "action"),
        ({"reportingInstance": "n" * 129}, "reportingInstance"),
        ({"type": "Error"}, "type"),
        ({"series": AGAIN | {"count": 1}}, "series.count"),
    ],
)
def test_an_event_keeps_its_limits(client, change, field):
    document = event(metadata={"name": "long", "namespace": "default"}, **change)
    assert causes(apply(client, document, PATH.replace("claim-a.1", "long"))) == {field}


def test_what_an_event_says_stays(client):
    apply(client, event())
    assert causes(apply(client, event(note="another"))) == {"message"}
    other = event()["regarding"] | {"name": "node-2"}
    assert causes(apply(client, event(regarding=other))) == {"involvedObject"}


def test_an_event_of_what_has_no_namespace_is_in_the_default_one(client):
    document = event(metadata={"name": "astray", "namespace": "kube-public"})
    path = PATH.replace("/default/", "/kube-public/").replace("claim-a.1", "astray")
    assert causes(apply(client, document, path)) == {"involvedObject.namespace"}


def causes(answer):
    assert answer.code == 422, answer
    return {cause["field"] for cause in answer.document["details"]["causes"]}
