from __future__ import annotations

import threading
from typing import Any

import pytest
from attrs import evolve
from drakit.kubelet import HealthBoard
from drakit.kubelet.proto import health_v1_pb2, health_v1alpha1_pb2
from drakit.model import DeviceRef, Health, HealthStatus
from drakit.testing.kubelet.connection import Connection

DEVICE = DeviceRef("gpu.example.com", "node-1", "gpu-0")
OTHER = DeviceRef("gpu.example.com", "node-1", "gpu-1")
HEALTHY = Health(DEVICE, HealthStatus.HEALTHY)
BROKEN = Health(DEVICE, HealthStatus.UNHEALTHY, "fell off the bus")
NEVER = 3600.0
OFTEN = 0.02
KUBELETS = pytest.mark.parametrize("profile", ["1.36", "1.37"])


def _wait_for_messages(kubelet: Any, count: int) -> None:
    kubelet.wait_until(lambda: kubelet.health_messages(DEVICE.driver) >= count, f"{count} health messages")


def _wait_for_health(kubelet: Any, health: Health) -> None:
    kubelet.wait_until(lambda: kubelet.health(health.device) == health, f"{health}")


@KUBELETS
def test_a_new_watcher_gets_the_whole_report_and_changes_at_once(node: Any, profile: str) -> None:
    board = HealthBoard(heartbeat_seconds=NEVER)
    node.loop.call(board.update, [HEALTHY, Health(OTHER, HealthStatus.UNKNOWN)])
    node.serve(health=board)
    kubelet = node.kubelet(profile=profile)
    _wait_for_health(kubelet, HEALTHY)
    node.loop.call(board.update, [BROKEN])
    _wait_for_health(kubelet, BROKEN)
    assert kubelet.health_messages(DEVICE.driver) == 2
    assert kubelet.problems == []


@KUBELETS
def test_an_unchanged_report_is_resent_with_every_heartbeat(node: Any, profile: str) -> None:
    board = HealthBoard(heartbeat_seconds=OFTEN)
    node.loop.call(board.update, [HEALTHY])
    node.serve(health=board)
    _wait_for_messages(node.kubelet(profile=profile), 5)


def test_an_equal_report_is_no_change(node: Any) -> None:
    board = HealthBoard(heartbeat_seconds=NEVER)
    node.loop.call(board.update, [HEALTHY])
    node.serve(health=board)
    kubelet = node.kubelet()
    _wait_for_messages(kubelet, 1)
    node.loop.call(board.update, [HEALTHY])
    node.loop.call(board.update, [BROKEN])
    _wait_for_health(kubelet, BROKEN)
    assert kubelet.health_messages(DEVICE.driver) == 2


@pytest.mark.reliability(
    fault="A backend hangs and says nothing of its devices' health",
    injected="the board's backend counts as stuck; the kubelet's clock is put forward",
    promise="the stream falls silent, the health ages to Unknown, and is back when the backend is",
)
def test_a_stuck_backend_is_silent_so_that_its_health_ages_to_unknown(node: Any) -> None:
    alive, asked, now = True, 0, 0.0

    def is_alive() -> bool:
        nonlocal asked
        asked += not alive
        return alive

    board = HealthBoard(is_alive, heartbeat_seconds=OFTEN)
    node.loop.call(board.update, [HEALTHY])
    node.serve(health=board)
    kubelet = node.kubelet(clock=lambda: now)
    _wait_for_health(kubelet, HEALTHY)
    alive = False
    kubelet.wait_until(lambda: asked >= 2, "a heartbeat that is not sent")
    silent = kubelet.health_messages(DEVICE.driver)
    kubelet.wait_until(lambda: asked >= 10, "more of them")
    assert kubelet.health_messages(DEVICE.driver) == silent
    now += board.timeout_seconds + 1
    assert kubelet.health(DEVICE).status is HealthStatus.UNKNOWN
    alive = True
    _wait_for_health(kubelet, HEALTHY)


@pytest.mark.reliability(
    fault="A backend is slow to say how its devices are",
    injected="a heartbeat is passed over, then the same report comes again",
    promise="it is sent at once: the health of a slow backend does not age to Unknown",
)
def test_a_backend_that_is_slow_and_not_stuck_is_heard_as_soon_as_it_answers(node: Any) -> None:
    alive, asked = True, threading.Event()

    def is_alive() -> bool:
        if not alive:
            asked.set()
        return alive

    board = HealthBoard(is_alive, heartbeat_seconds=1.0)
    node.loop.call(board.update, [HEALTHY])
    node.serve(health=board)
    kubelet = node.kubelet()
    _wait_for_messages(kubelet, 1)
    alive = False
    assert asked.wait(10)
    board.heartbeat_seconds = NEVER
    alive = True
    sent = kubelet.health_messages(DEVICE.driver)
    kubelet.wait_until(
        lambda: node.loop.call(board.update, [HEALTHY]) or kubelet.health_messages(DEVICE.driver) > sent,
        "the same report to be sent again",
    )


def test_the_health_of_thousands_of_devices_fits_what_a_kubelet_takes(node: Any) -> None:
    refs = [DeviceRef(DEVICE.driver, "node-1", f"gpu-{number}") for number in range(5000)]
    board = HealthBoard(heartbeat_seconds=NEVER)
    node.loop.call(board.update, [Health(ref, HealthStatus.UNHEALTHY, "x" * 1024) for ref in refs])
    node.serve(health=board)
    kubelet = node.kubelet()
    kubelet.wait_until(lambda: kubelet.health(refs[-1]).status is HealthStatus.UNHEALTHY, "the last device")
    assert all(kubelet.health(ref).status is HealthStatus.UNHEALTHY for ref in refs)
    assert kubelet.health_messages(DEVICE.driver) == 5
    assert kubelet.problems == []


def test_an_empty_report_is_a_message_too(node: Any) -> None:
    board = HealthBoard(heartbeat_seconds=NEVER)
    node.loop.call(board.update, [])
    node.serve(health=board)
    _wait_for_messages(node.kubelet(), 1)


def test_the_kubelet_may_rely_on_a_report_for_three_heartbeats(node: Any) -> None:
    assert HealthBoard().timeout_seconds == 30
    assert HealthBoard(heartbeat_seconds=0.5).timeout_seconds == 2


@pytest.mark.parametrize(
    ("service", "messages"),
    [("v1.DRAResourceHealth", health_v1_pb2), ("v1alpha1.DRAResourceHealth", health_v1alpha1_pb2)],
)
def test_a_message_says_all_the_protocol_has(node: Any, service: str, messages: Any) -> None:
    board = HealthBoard(heartbeat_seconds=NEVER)
    node.loop.call(board.update, [evolve(BROKEN, message="é" * 1024)])
    server = node.serve(health=board)
    with Connection(server.endpoint) as connection:
        stream = connection.watch_health(service)
        (device,) = next(stream).devices
        stream.cancel()
    assert (device.device.pool_name, device.device.device_name) == ("node-1", "gpu-0")
    assert device.health == messages.UNHEALTHY
    assert device.last_updated_time == board.updated > 0
    assert device.health_check_timeout_seconds == 3 * 3600
    assert device.message == "é" * 512


def test_nothing_is_sent_before_the_first_report(node: Any) -> None:
    board = HealthBoard(heartbeat_seconds=OFTEN)
    node.serve(health=board)
    kubelet = node.kubelet()
    kubelet.wait_for(DEVICE.driver)
    node.loop.call(board.update, [HEALTHY])
    _wait_for_health(kubelet, HEALTHY)


def test_an_older_kubelet_finds_an_open_stream_where_there_is_no_health(node: Any) -> None:
    server = node.serve()
    kubelet = node.kubelet(profile="1.36")
    kubelet.wait_for(DEVICE.driver)
    with Connection(server.endpoint) as connection:
        stream = connection.watch_health("v1alpha1.DRAResourceHealth")
        stream.initial_metadata()  # returns once the stream is open
        assert stream.is_active()
        stream.cancel()
    assert kubelet.problems == []
    assert kubelet.health_messages(DEVICE.driver) == 0


def test_a_kubelet_with_the_gate_off_watches_nothing(node: Any) -> None:
    board = HealthBoard(lambda: pytest.fail("asked for health"))
    node.loop.call(board.update, [HEALTHY])
    node.serve(health=board)
    kubelet = node.kubelet(profile="1.35")
    kubelet.wait_for(DEVICE.driver)
    kubelet.prepare([], DEVICE.driver)
    assert kubelet.health_messages(DEVICE.driver) == 0


@pytest.mark.reliability(
    fault="A stop while the kubelet watches health",
    injected="a server with an open stream is stopped",
    promise="streams end at once and hold up nothing",
)
def test_a_server_stops_at_once_though_health_is_watched(node: Any) -> None:
    board = HealthBoard(heartbeat_seconds=NEVER)
    node.loop.call(board.update, [HEALTHY])
    server = node.serve(health=board)
    kubelet = node.kubelet(profile="1.36")
    _wait_for_messages(kubelet, 1)
    node.loop.run(server.stop(NEVER))  # bounded by the harness, far below the grace
    kubelet.wait_until_gone(DEVICE.driver)


def test_each_of_several_watchers_is_served_and_a_lost_one_is_forgotten(node: Any) -> None:
    board = HealthBoard(heartbeat_seconds=NEVER)
    node.loop.call(board.update, [HEALTHY])
    server = node.serve(health=board)
    with Connection(server.endpoint) as lost:
        stream = lost.watch_health("v1.DRAResourceHealth")
        next(stream)
        stream.cancel()
    first, second = node.kubelet(), node.kubelet(profile="1.36")
    _wait_for_messages(first, 1)
    _wait_for_messages(second, 1)
    node.loop.call(board.update, [BROKEN])
    _wait_for_health(first, BROKEN)
    _wait_for_health(second, BROKEN)


def test_prepare_is_served_while_many_watch(node: Any) -> None:
    board = HealthBoard(heartbeat_seconds=NEVER)
    node.loop.call(board.update, [HEALTHY])
    node.serve(health=board)
    kubelets = [node.kubelet() for _ in range(8)]
    for kubelet in kubelets:
        _wait_for_messages(kubelet, 1)
    assert kubelets[0].prepare([node.claim("one")], DEVICE.driver)["one"].devices
