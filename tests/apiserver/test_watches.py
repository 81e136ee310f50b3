"""Watches: replay, selection, bookmarks, and their end."""

from __future__ import annotations

import pytest
from drakit.testing import InMemoryApiServer

SLICES = "/apis/resource.k8s.io/v1/resourceslices"


def names(events):
    return [(kind, document["metadata"].get("name")) for kind, document in events]


def test_a_watch_without_a_version_begins_with_what_there_is(server, watch, a_slice):
    server.create(a_slice("a"))
    stream = watch(SLICES)
    server.create(a_slice("b"))
    assert names([stream.next(), stream.next()]) == [("ADDED", "a"), ("ADDED", "b")]


def test_a_watch_from_a_version_replays_what_came_after(server, watch, a_slice):
    created = server.create(a_slice("a"))
    version = server.resource_version
    server.replace(created | {"spec": created["spec"] | {"devices": []}})
    server.delete("ResourceSlice", "a")
    server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
    server.create(a_slice("b"))
    stream = watch(f"{SLICES}?resourceVersion={version}")
    events = [stream.next() for _ in range(3)]
    assert names(events) == [("MODIFIED", "a"), ("DELETED", "a"), ("ADDED", "b")]
    versions = [int(document["metadata"]["resourceVersion"]) for _, document in events]
    assert versions == sorted(set(versions))
    assert "devices" not in events[1][1]["spec"]


def test_a_watch_sees_only_its_selection(server, watch, a_slice):
    stream = watch(f"{SLICES}?fieldSelector=spec.driver%3Dgpu.example.com,spec.nodeName%3Dn1")
    server.create(a_slice("a", node="n2"))
    server.create(a_slice("b", driver="nic.example.com"))
    server.create(a_slice("c"))
    assert names([stream.next()]) == [("ADDED", "c")]


def test_an_object_that_leaves_the_selection_is_deleted_for_the_watch(server, watch, a_slice):
    stream = watch(f"{SLICES}?labelSelector=tier%3Dgold")
    plain = server.create(a_slice("a"))
    gold = plain | {"metadata": {"name": "a", "labels": {"tier": "gold"}}}
    server.replace(gold)
    server.replace(gold | {"spec": plain["spec"] | {"devices": []}})
    server.replace(plain | {"metadata": {"name": "a"}})
    assert names([stream.next() for _ in range(3)]) == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_a_watch_of_a_namespace_sees_only_its_own(server, watch, a_claim):
    stream = watch("/apis/resource.k8s.io/v1/namespaces/one/resourceclaims")
    server.create(a_claim(namespace="two"))
    server.create(a_claim(namespace="one"))
    assert stream.next()[1]["metadata"]["namespace"] == "one"


def test_a_version_before_the_history_is_gone(make_client, a_slice):
    with InMemoryApiServer(history=5) as server:
        for index in range(12):
            server.create(a_slice(f"s{index}"))
        old = make_client(server).watch(f"{SLICES}?resourceVersion=2")
        recent = make_client(server).watch(f"{SLICES}?resourceVersion={int(server.resource_version) - 5}")
        events = old.rest()
        assert names([recent.next()]) == [("ADDED", "s7")]
        old.close()
        recent.close()
    assert [(kind, status["code"], status["reason"]) for kind, status in events] == [("ERROR", 410, "Expired")]


def test_expired_watches_end_and_cannot_be_continued(server, watch, a_slice):
    server.create(a_slice("a"))
    version = server.resource_version
    running = watch(f"{SLICES}?resourceVersion={version}")
    server.expire_watches()
    for stream in (running, watch(f"{SLICES}?resourceVersion={version}")):
        assert [status["code"] for _, status in stream.rest()] == [410]
    server.create(a_slice("b"))
    fresh = watch(f"{SLICES}?resourceVersion={int(server.resource_version) - 1}")
    assert names([fresh.next()]) == [("ADDED", "b")]


def test_a_watch_ends_after_its_timeout_with_a_bookmark(server, watch, a_slice):
    server.create(a_slice("a"))
    events = watch(f"{SLICES}?timeoutSeconds=1&allowWatchBookmarks=true").rest()
    assert names(events) == [("ADDED", "a"), ("BOOKMARK", None)]
    assert events[1][1]["metadata"]["resourceVersion"] == server.resource_version


def test_without_leave_no_bookmark_is_sent(watch):
    assert watch(f"{SLICES}?timeoutSeconds=1").rest() == []


def test_a_streamed_list_ends_with_its_own_bookmark(server, watch, a_slice):
    server.create(a_slice("a"))
    query = "sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    stream = watch(f"{SLICES}?{query}")
    assert names([stream.next()]) == [("ADDED", "a")]
    kind, document = stream.next()
    assert kind == "BOOKMARK"
    assert document["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize("query", ["resourceVersion=x", "timeoutSeconds=-1"])
def test_a_watch_that_cannot_be_understood_is_a_bad_request(client, query):
    assert client.get(f"{SLICES}?watch=true&{query}").code == 400


def test_a_streamed_list_must_be_asked_for_in_full(client):
    answer = client.get(f"{SLICES}?watch=true&sendInitialEvents=true")
    assert (answer.code, answer.document["reason"]) == (422, "Invalid")


def test_a_connection_is_good_for_more_after_a_watch(client):
    connection = client.connect()
    for _ in range(2):
        connection.request("GET", f"{SLICES}?watch=1&timeoutSeconds=1")
        assert connection.getresponse().read() == b""
    connection.request("GET", SLICES)
    assert connection.getresponse().status == 200
    connection.close()
