"""Events: what is said is written once, repeats are counted, and nothing else ever depends on it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from datetime import UTC, datetime, timedelta

import pytest
from drakit.kube.client import KubeClient
from drakit.kube.credentials import Credentials
from drakit.kube.events import MAX_WAITING, EventRecorder, EventTiming, Reason
from drakit.model import ClaimRef
from drakit.testing import InMemoryApiServer

CLAIM = ClaimRef("11111111-2222-3333-4444-555555555555", "team", "training")
QUICK = EventTiming(between=0.001, repeats=0.05, first_backoff=0.001, most_backoff=0.01)
SLOW = EventTiming(between=0.001, repeats=3600, lifetime=7200)


class Clock:
    def __init__(self):
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def api():
    with InMemoryApiServer() as server:
        yield server


@pytest.fixture
def record(api, clock):
    """`record(test, timing)`: run `test(recorder)` beside a recorder that writes."""

    def run(test, timing=QUICK):
        async def main():
            client = KubeClient(Credentials(server=api.url), timeout_seconds=5)
            recorder = EventRecorder(client, "node-1", timing=timing, now=clock)
            writing = asyncio.create_task(recorder.run())
            try:
                async with asyncio.timeout(30):
                    await test(recorder)
            finally:
                writing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await writing
                await client.close()

        asyncio.run(main())

    return run


async def until(api, predicate):
    return await asyncio.to_thread(api.wait_for, predicate, 20.0)


def events(api):
    return api.list("Event")


@pytest.mark.reliability(
    fault="something is wrong that the kubelet does not tell of",
    injected="a warning about a claim is given to the agent's recorder of Events",
    promise="an Event regards the claim, in its namespace, and says what to do",
)
def test_an_event_regards_the_claim_in_its_namespace(api, record):
    async def test(recorder):
        recorder.warn(CLAIM, Reason.CLAIM_QUARANTINED, "delete the pod and its claim")
        await until(api, events)

    record(test)
    (event,) = events(api)
    assert event["metadata"]["namespace"] == "team"
    assert event["regarding"] == {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "namespace": "team",
        "name": "training",
        "uid": CLAIM.uid,
    }
    assert (event["reason"], event["action"], event["type"]) == ("ClaimQuarantined", "RecoverClaim", "Warning")
    assert (event["reportingController"], event["reportingInstance"]) == ("drakit", "node-1")
    assert event["note"] == "delete the pod and its claim"
    assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert "series" not in event


def test_an_agent_that_is_started_again_writes_no_second_event_of_one_matter(api, record, clock):
    async def test(recorder):
        recorder.warn(None, Reason.DRIVER_NOT_SERVED, "it is not installed")
        recorder.warn(None, Reason.DRIVER_NOT_SERVED, f"started at {clock()}")
        await until(api, lambda _: any(str(clock()) in event["note"] for event in events(api)))

    for _ in range(3):
        record(test)
        clock.time += timedelta(minutes=1)
    assert [event["note"] for event in events(api)].count("it is not installed") == 1


@pytest.mark.parametrize("claim", [None, ClaimRef("some-uid", "", "")])
def test_what_is_about_no_claim_that_can_be_named_regards_the_node(api, record, claim):
    async def test(recorder):
        recorder.warn(claim, Reason.DRIVER_STUCK, "it hangs")
        await until(api, events)

    record(test)
    (event,) = events(api)
    assert (event["regarding"]["kind"], event["regarding"]["name"]) == ("Node", "node-1")
    assert event["metadata"]["namespace"] == "default"


def test_the_same_said_again_is_counted_at_a_bounded_pace(api, record, clock):
    async def test(recorder):
        for _ in range(3):
            recorder.warn(CLAIM, Reason.DRIVER_STUCK, "it hangs")
        await until(api, events)
        clock.time += timedelta(minutes=10)
        for _ in range(10):
            recorder.warn(CLAIM, Reason.DRIVER_STUCK, "it hangs")
        await until(api, lambda api: events(api)[0]["series"]["count"] == 13)

    record(test)
    (event,) = events(api)
    assert event["eventTime"] == "2026-01-01T00:00:00.000000Z"
    assert event["series"]["lastObservedTime"] == "2026-01-01T00:10:00.000000Z"
    assert len(api.requests) <= 3


def test_repeats_wait_for_their_time(api, record):
    async def test(recorder):
        recorder.warn(None, Reason.DRIVER_STUCK, "it hangs")
        await until(api, events)
        recorder.warn(None, Reason.DRIVER_STUCK, "it hangs")
        recorder.warn(None, Reason.DRIVER_STUCK, "another hangs")
        await until(api, lambda api: len(events(api)) == 2)

    record(test, SLOW)
    assert all("series" not in event for event in events(api))


def test_an_event_the_server_has_forgotten_begins_anew(api, record, clock):
    async def test(recorder):
        recorder.warn(None, Reason.DRIVER_STUCK, "it hangs")
        await until(api, events)
        (event,) = events(api)
        api.delete("Event", event["metadata"]["name"], event["metadata"]["namespace"])
        clock.time += timedelta(hours=3)
        recorder.warn(None, Reason.DRIVER_STUCK, "it hangs")
        await until(api, events)

    record(test)
    (event,) = events(api)
    assert event["eventTime"] == "2026-01-01T03:00:00.000000Z"
    assert "series" not in event


@pytest.mark.reliability(
    fault="the API server is away when there is something to tell",
    injected="its answers are 503 and its connections are cut while an Event is written",
    promise="the Event is written once it is back, once, with the time at which it was so",
)
def test_an_event_survives_an_outage_and_is_there_once(api, record):
    async def test(recorder):
        api.fail(3, status=503)
        recorder.warn(CLAIM, Reason.DRIVER_STUCK, "it hangs")
        await until(api, lambda api: len(api.requests) >= 2)
        await asyncio.to_thread(api.pause)
        recorder.warn(CLAIM, Reason.DRIVER_STUCK, "another hangs")
        await asyncio.to_thread(api.resume)
        await until(api, lambda api: len(events(api)) == 2)

    record(test)
    assert {event["note"] for event in events(api)} == {"it hangs", "another hangs"}


@pytest.mark.parametrize("status", [403, 404, 422])
def test_what_the_server_refuses_is_given_up_and_the_next_is_written(api, record, status):
    async def test(recorder):
        api.fail(1, status=status)
        recorder.warn(CLAIM, Reason.DRIVER_STUCK, "refused")
        recorder.warn(CLAIM, Reason.DRIVER_STUCK, "taken")
        await until(api, events)

    record(test, SLOW)
    assert [event["note"] for event in events(api)] == ["taken"]
    assert len(api.requests) == 2


def test_a_note_is_cut_to_what_the_server_takes(api, record):
    async def test(recorder):
        recorder.warn(ClaimRef("u", "team", "n" * 253), Reason.DRIVER_STUCK, "ä" * 2000)
        await until(api, events)

    record(test)
    (event,) = events(api)
    assert 1000 < len(event["note"].encode()) <= 1024
    assert event["note"].endswith("ä…")


def test_any_thread_may_warn_and_too_many_warnings_are_dropped(api, record):
    async def test(recorder):
        def say():
            for number in range(10 * MAX_WAITING):
                recorder.warn(None, Reason.DRIVER_STUCK, f"number {number}")

        thread = threading.Thread(target=say)
        thread.start()
        thread.join()  # the loop that would write stands still meanwhile
        await until(api, lambda api: len(events(api)) == MAX_WAITING)
        recorder.warn(None, Reason.DRIVER_STUCK, "the last")
        await until(api, lambda api: any(event["note"] == "the last" for event in events(api)))

    record(test)
    assert len(events(api)) == MAX_WAITING + 1


def test_warning_before_and_after_the_recorder_runs_is_harmless(api):
    async def main():
        client = KubeClient(Credentials(server=api.url))
        recorder = EventRecorder(client, "node-1", timing=QUICK)
        recorder.warn(None, Reason.DRIVER_STUCK, "early")
        writing = asyncio.create_task(recorder.run())
        await until(api, events)
        writing.cancel()
        await client.close()
        return recorder

    asyncio.run(main()).warn(None, Reason.DRIVER_STUCK, "late")
    assert [event["note"] for event in events(api)] == ["early"]


def test_every_reason_has_an_action():
    assert all(reason.action for reason in Reason)
