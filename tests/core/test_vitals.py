"""The ports: who may have them, what is answered there, and that nobody who asks holds anything up."""

from __future__ import annotations

import asyncio
import http.client
import socket
import subprocess
import sys
import threading
from http import HTTPStatus

import attrs
import pytest
from drakit.errors import ClaimError, ConfigError
from drakit.inventory import Survey
from drakit.settings import Settings
from drakit.vitals import HookTally, Ports, Rounds, Vitals
from drakit.vitals.readiness import Readiness, lives
from drakit.vitals.web import Page, answer

SECONDS = 20.0


@pytest.fixture
def loop():
    """An event loop that runs in a thread."""
    running = asyncio.new_event_loop()
    thread = threading.Thread(target=running.run_forever)
    thread.start()
    yield running
    if not running.is_closed():
        running.call_soon_threadsafe(running.stop)
        thread.join(SECONDS)
        running.close()


def free_port() -> int:
    with socket.create_server(("", 0)) as taken:
        return taken.getsockname()[1]


def asked(request: bytes, pages) -> tuple[int, str, bytes]:
    """The status, the content type and the body of the answer to one request."""
    ours, theirs = socket.socketpair()
    with ours:
        ours.settimeout(SECONDS)
        ours.sendall(request)
        answer(theirs, pages)
        response = http.client.HTTPResponse(ours)
        response.begin()
        return response.status, response.headers["Content-Type"], response.read()


def test_a_loop_that_answers_lives(loop):
    assert lives(loop, SECONDS)


@pytest.mark.reliability(
    fault="The agent's event loop is blocked",
    injected="a callback that does not return until it is told to",
    promise="liveness fails within its bound, so that the kubelet restarts the agent; it is well again after it",
)
def test_a_loop_that_is_blocked_does_not_live_until_it_goes_on(loop):
    gate = threading.Event()
    loop.call_soon_threadsafe(gate.wait)
    assert not lives(loop, 0.05)
    gate.set()
    assert lives(loop, SECONDS)


def test_a_loop_that_is_closed_does_not_live():
    closed = asyncio.new_event_loop()
    closed.close()
    assert not lives(closed, 0.05)


def test_a_page_is_sent_whole():
    pages = {"/a": lambda: Page("one\ntwö\n", HTTPStatus.SERVICE_UNAVAILABLE)}
    assert asked(b"GET /a?verbose HTTP/1.1\r\nHost: x\r\n\r\n", pages) == (
        503, "text/plain; charset=utf-8", "one\ntwö\n".encode(),
    )  # fmt: skip


def test_a_path_that_is_none_is_answered_with_those_that_are():
    status, _, body = asked(b"GET / HTTP/1.1\r\n\r\n", {"/livez": lambda: Page("ok")})
    assert status == 404
    assert b"/livez" in body


@pytest.mark.parametrize("request_", [b"POST /a HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_request_for_a_page_is_refused(request_):
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(request_)
        answer(theirs, {"/a": lambda: Page("secret")})
        ours.settimeout(SECONDS)
        assert b"secret" not in b"".join(iter(lambda: ours.recv(4096), b""))


def test_a_page_that_cannot_be_made_says_why():
    def broken() -> Page:
        raise ClaimError("half made")

    assert asked(b"GET /a HTTP/1.1\r\n\r\n", {"/a": broken})[::2] == (500, b"half made\n")


def test_whoever_leaves_before_the_answer_harms_nobody():
    ours, theirs = socket.socketpair()
    ours.sendall(b"GET /a HTTP/1.1\r\n\r\n")
    ours.close()
    answer(theirs, {"/a": lambda: Page("x" * 10_000_000)})


@pytest.mark.parametrize("setting", ["healthcheck_port", "metrics_port"])
def test_a_port_in_use_is_an_error_that_names_its_setting(setting):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"{setting.split('_')[0]}Port .*port {port} cannot be served"):
            Ports(Settings(**{setting: port}))


def test_of_two_ports_the_first_is_given_back_if_the_second_cannot_be_had():
    first = free_port()
    with socket.create_server(("", 0)) as taken:
        with pytest.raises(ConfigError):
            Ports(Settings(healthcheck_port=first, metrics_port=taken.getsockname()[1]))
        socket.create_server(("", first)).close()


def test_both_may_have_one_port_and_neither_need_have_any():
    assert not Ports(Settings())
    assert not Ports(Settings(healthcheck_port=-1, metrics_port=-1))
    port = free_port()
    both = Ports(Settings(healthcheck_port=port, metrics_port=port))
    assert both
    both.close()
    both.close()
    socket.create_server(("", port)).close()


def test_a_port_that_was_served_is_free_once_it_is_closed(loop):
    port = free_port()
    ports = Ports(Settings(healthcheck_port=port))
    nobody = dict.fromkeys(attribute.name for attribute in attrs.fields(Vitals))
    ports.serve(Vitals(**{**nobody, "loop": loop}))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    connection.request("GET", "/livez")
    assert connection.getresponse().read() == b"ok\n"
    connection.close()
    ports.close()  # while a thread waits for the next to connect
    socket.create_server(("", port)).close()


def test_starting_an_agent_imports_no_server_and_no_prometheus():
    code = (
        "import sys, drakit.agent; print([name for name in sys.modules if name.split('.')[0] in "
        "('prometheus_client', 'wsgiref', 'socketserver') or name == 'http.server'])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"[]"


def test_readiness_names_everyone_and_the_reason():
    state = Readiness({"a.example.com": "", "b.example.com": "it is stuck"})
    assert not state.ready
    assert str(state) == "a.example.com: ready\nb.example.com: not ready: it is stuck\n"
    assert Readiness({"a.example.com": ""}).ready


def test_hooks_are_counted_by_how_they_end(hosted):
    instance = hosted.host.instances[hosted.add(hosted.backend(layout=lambda **_: ()))]
    tally = HookTally()
    assert [labels[2] for labels, _ in tally.each([instance])] == ["discover", "prepare", "unprepare"]
    tally.began(instance, "prepare")
    tally.ended(instance, "prepare", 0.5, None)
    tally.ended(instance, "prepare", 0.5, ClaimError("no"))
    tally.ended(instance, "prepare", 0.5, SystemExit(3))
    tally.ended(instance, "discover", 0.5, ClaimError("out of place"))
    assert tally.of(instance, "prepare").results == {"returned": 1, "refused": 1, "raised": 1}
    assert tally.of(instance, "prepare").durations.seconds == 1.5
    assert tally.of(instance, "discover").results == {"returned": 0, "raised": 1}


def test_rounds_count_whose_answer_was_not_there():
    rounds = Rounds()
    assert rounds.finished_at == 0
    last = Survey(failures={"a.example.com": ClaimError("x")})
    rounds.add(last, 1.0)
    rounds.add(last, 2.0)
    assert rounds.failures == {"a.example.com": 2}
    assert rounds.durations.seconds == 3.0
    assert rounds.last is last
    assert rounds.finished_at > 0
