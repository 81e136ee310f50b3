"""The copy of the slices, against servers that answer what no sound one would."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging

import pytest
from drakit.errors import PublishError
from drakit.kube import observed as observed_module
from drakit.kube.client import ApiError, ApiUnreachable, KubeClient
from drakit.kube.credentials import Credentials
from drakit.kube.observed import ObservedSlices
from drakit.kube.pace import Timing

LOG = logging.getLogger("drakit.test")


def a_slice(name: str, version: str, uid: str = "u-1", **spec) -> dict:
    return {"metadata": {"name": name, "uid": uid, "resourceVersion": version}, "spec": spec}


def a_list(version: str, *items) -> dict:
    return {"kind": "ResourceSliceList", "metadata": {"resourceVersion": version}, "items": list(items)}


def observing(serve, lists, events, enough):
    """Give the lists one after the other, with `events[i]` in the watch after list i; wait until `enough(observed)`."""
    given = iter(range(len(lists)))

    async def handler(peer):
        while True:
            line, _, _ = await peer.request()
            if "watch=true" not in line:
                handler.at = next(given, len(lists) - 1)
                await peer.answer(lists[handler.at])
                continue
            await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for kind, document in events[handler.at]:
                data = json.dumps({"type": kind, "object": document}).encode() + b"\n"
                await peer.send(b"%x\r\n%s\r\n" % (len(data), data))
            if handler.at == len(lists) - 1:
                await peer.gone()
            await peer.send(b"0\r\n\r\n")

    async def test(client, _server):
        changed = asyncio.Event()
        timing = Timing(first_backoff=0.01, most_backoff=0.05)
        observed = ObservedSlices(client, "spec.nodeName=n", changed.set, timing=timing, log=LOG)
        task = asyncio.create_task(observed.run())
        try:
            while not enough(observed):
                await changed.wait()
                changed.clear()
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    serve(handler, test)


def versions(observed) -> dict:
    return {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in observed.slices}


def test_a_server_that_was_set_back_to_an_older_state_is_believed(serve):
    lists = [a_list("100", a_slice("a", "100"), a_slice("b", "90")), a_list("5", a_slice("a", "5"))]
    events = [[], [("MODIFIED", a_slice("a", "6"))]]
    observing(serve, lists, events, lambda observed: versions(observed) == {"a": "6"})


def test_the_echo_of_an_older_state_is_not_taken_for_news(serve):
    events = [[("MODIFIED", a_slice("a", "9")), ("ADDED", a_slice("a", "10")), ("ADDED", a_slice("b", "11", "u-2"))]]
    observing(
        serve, [a_list("10", a_slice("a", "10"))], events, lambda observed: versions(observed) == {"a": "10", "b": "11"}
    )


def test_the_end_of_an_object_is_not_the_end_of_another_that_has_its_name(serve):
    events = [
        [
            ("DELETED", a_slice("a", "11", "u-0")),
            ("BOOKMARK", {"metadata": {"resourceVersion": "12"}}),
            ("ADDED", a_slice("b", "13", "u-2")),
        ]
    ]
    observing(
        serve, [a_list("10", a_slice("a", "10"))], events, lambda observed: versions(observed) == {"a": "10", "b": "13"}
    )


def test_an_object_that_came_back_under_its_name_is_taken_whatever_its_version_says(serve):
    events = [[("ADDED", a_slice("a", "2", "u-9"))]]
    observing(serve, [a_list("10", a_slice("a", "10"))], events, lambda observed: versions(observed) == {"a": "2"})


def test_lists_and_events_that_make_no_sense_are_outlived(serve):
    lists = [{"items": [{}]}, {"metadata": {}}, a_list("10"), a_list("20", a_slice("a", "20"))]
    events = [[], [], [("ADDED", {})], []]
    observing(serve, lists, events, lambda observed: versions(observed) == {"a": "20"})


def test_a_list_that_makes_no_sense_is_not_taken_for_an_empty_one(serve):
    seen = []

    def enough(observed) -> bool:
        seen.append(versions(observed))
        return versions(observed) == {"a": "20"}

    lists = [a_list("10", a_slice("a", "10")), {}, {"metadata": {}}, a_list("20", a_slice("a", "20"))]
    observing(serve, lists, [[], [], [], []], enough)
    assert seen[-2:] == [{"a": "10"}, {"a": "20"}]


def test_a_list_does_not_undo_what_was_learnt_while_it_was_on_its_way(serve):
    asked, answer = asyncio.Event(), asyncio.Event()
    lists = iter([None, answer])
    before = a_list("10", a_slice("a", "10", "u-a"), a_slice("c", "10", "u-c"))
    events = [("DELETED", a_slice("a", "11", "u-a")), ("ADDED", a_slice("b", "12", "u-b"))]

    async def handler(peer):
        while True:
            line, _, _ = await peer.request()
            if "watch=true" not in line:
                if (wait := next(lists)) is not None:
                    asked.set()
                    await wait.wait()
                await peer.answer(before)
                continue
            await peer.send(b"HTTP/1.1 200 OK\r\n\r\n")
            await asked.wait()
            for kind, document in events:
                await peer.send(json.dumps({"type": kind, "object": document}).encode() + b"\n")
            await peer.gone()

    async def test(client, _server):
        changed = asyncio.Event()
        observed = ObservedSlices(client, "spec.nodeName=n", changed.set, timing=Timing(), log=LOG)
        task = asyncio.create_task(observed.run())
        try:
            await changed.wait()
            second = asyncio.create_task(observed.refresh())
            while versions(observed) != {"b": "12", "c": "10"}:
                changed.clear()
                await changed.wait()
            observed.stored(a_slice("d", "13", "u-d"))
            answer.set()
            await second
            assert versions(observed) == {"b": "12", "c": "10", "d": "13"}
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    serve(handler, test)


def test_the_answer_to_a_write_does_not_undo_an_event_that_overtook_it():
    async def test():
        client = KubeClient(Credentials(server="http://127.0.0.1:1"))
        observed = ObservedSlices(client, "spec.nodeName=n", lambda: None, timing=Timing(), log=LOG)
        observed.stored(a_slice("a", "12", "u-a"))
        observed.stored(a_slice("a", "11", "u-a"))
        observed.removed(a_slice("b", "14", "u-b"))
        observed.stored(a_slice("b", "13", "u-b"))
        assert versions(observed) == {"a": "12"}
        observed.stored(a_slice("b", "15", "u-b2"))
        assert versions(observed) == {"a": "12", "b": "15"}

    asyncio.run(test())


class Scripted:
    """A client whose watches end as they are told: by an error, by themselves (None), or never (...)."""

    server = "http://example.com"

    def __init__(self, *ends) -> None:
        self.ends = iter((*ends, ...))
        self.eras: list[int] = []
        self.over = asyncio.Event()

    async def list(self, *_args, **_options):
        return a_list("1")

    async def watch(self, *_args, **_options):
        self.eras.append(self.observed.era)
        end = next(self.ends)
        if end is ...:
            self.over.set()
            await asyncio.Event().wait()
        if end is not None:
            raise end
        return
        yield

    async def follow(self, refused: float) -> list[int]:
        """The era in which each watch began."""
        timing = Timing(first_backoff=0.001, most_backoff=0.001, refused=refused)
        self.observed = ObservedSlices(self, "spec.nodeName=n", lambda: None, timing=timing, log=LOG)
        task = asyncio.create_task(self.observed.run())
        async with asyncio.timeout(20):
            await self.over.wait()
        task.cancel()
        return self.eras


CUT = ApiUnreachable("GET /", "the connection was lost")
BUSY = ApiError("GET /", 503, "ServiceUnavailable", "not yet")


@pytest.mark.parametrize("end", [CUT, BUSY, PublishError("not served")])
def test_a_server_that_was_away_may_keep_more_now_and_so_may_one_that_follows_it_in_a_rolling_restart(monkeypatch, end):
    monkeypatch.setattr(observed_module, "_EARLY_SECONDS", float("inf"))  # every watch ends in time
    assert asyncio.run(Scripted(end, None, None, None).follow(refused=0)) == [0, 1, 2, 2, 2]


def test_a_watch_that_ends_before_its_time_was_ended_by_a_server_that_shuts_down():
    assert asyncio.run(Scripted(None).follow(refused=300)) == [0, 1]


def test_connections_that_are_cut_again_and_again_are_one_era():
    assert asyncio.run(Scripted(*[CUT, BUSY] * 3).follow(refused=300)) == [0, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("status", [401, 403, 410, 429])
def test_a_server_that_only_refuses_is_the_same_as_before(status):
    refusal = ApiError("GET /", status, "Refused", "no")
    assert asyncio.run(Scripted(refusal, refusal).follow(refused=0)) == [0, 0, 0]
