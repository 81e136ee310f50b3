"""Liveness and readiness of the real agent, asked for over HTTP as a kubelet asks, and the ports of both."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading

import pytest
from drakit.testing import CallFailed

from tests.e2e.watched import BESIDE, DRIVER, POOL, WATCHED, modules


@pytest.mark.reliability(
    fault="Somebody asks how the agent is while a hook hangs",
    injected="a plugin of a real agent that does not return until it is told to",
    promise="it is live, since a restart would not help, and unready, with what has run for how long",
)
def test_a_stuck_driver_is_unready_with_the_reason_and_the_agent_lives(watched, kubelet, new_claim):
    watched.start(hookBoundSeconds=0.2)
    watched.until_ready()
    claim = new_claim("hangs", {DRIVER: ("x", ["one"])})
    with contextlib.suppress(CallFailed):
        assert "has been running" in kubelet.prepare([claim], DRIVER)[claim.uid].error
    watched.until_unready(rf"{DRIVER}: not ready: .*prepare of .*hangs.* has been running for \d+ s")
    assert f"{BESIDE}: ready\n" in watched.get("/readyz")[1]
    assert watched.get("/livez") == (200, "ok\n")
    assert watched.value("drakit_plugin_stuck", name=DRIVER, thread="driver") == 1
    assert watched.value("drakit_plugin_stuck", name=BESIDE, thread="driver") == 0
    assert watched.value("drakit_ready", name=DRIVER) == 0
    (watched.node.directory / "gate").touch()
    watched.until_ready()


def test_an_agent_that_is_told_to_stop_says_so_while_it_drains(watched, kubelet, new_claim):
    watched.start(drainSeconds=30)
    watched.until_ready()
    claim = new_claim("hangs", {DRIVER: ("x", ["one"])})
    with contextlib.suppress(CallFailed), kubelet_call(kubelet, claim):
        modules = watched.node.directory / "modules"
        watched._until(modules.exists, "the hook to run")
        watched.node.agent.send_signal(signal.SIGTERM)
        watched.until_unready("agent: not ready: it is stopping")
        assert watched.get("/livez")[0] == 200
        (watched.node.directory / "gate").touch()
    assert watched.node.agent.wait(30) == 0


@contextlib.contextmanager
def kubelet_call(kubelet, claim):
    """While a call to prepare a claim is under way."""

    def call() -> None:
        with contextlib.suppress(CallFailed):
            kubelet.prepare([claim], DRIVER)

    calling = threading.Thread(target=call)
    calling.start()
    try:
        yield
    finally:
        calling.join(30)


def test_a_plugin_that_cannot_be_loaded_makes_the_agent_unready(watched, kubelet):
    watched.node.install("broken", "raise ImportError('no such library')")
    watched.start("[{plugin: watched}, {plugin: broken, driver: broken.example.com}]")
    watched.until_unready(rf"^{DRIVER}: ready\nbroken.example.com: not ready: .*no such library")
    assert watched.value("drakit_plugin_loaded", name="broken.example.com") == 0
    assert watched.value("drakit_plugin_loaded", name=DRIVER) == 1


def test_a_foreign_driver_of_the_name_makes_its_driver_unready_until_it_is_gone(watched, kubelet):
    directory = watched.node.plugins / DRIVER
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(directory / "dra.sock"))
        foreign.listen()
        watched.start()
        watched.until_unready(rf"{DRIVER}: not ready: another driver named {DRIVER} serves .*\n{BESIDE}: ready")
        assert watched.value("drakit_driver_registered", driver=DRIVER) == 0
        assert watched.value("drakit_driver_registered", driver=BESIDE) == 1
    watched.until_ready()
    assert watched.value("drakit_driver_registered", driver=DRIVER) == 1


def test_a_driver_that_the_kubelet_does_not_know_is_unready(watched):
    watched.start()
    watched.until_unready(f"{DRIVER}: not ready: the kubelet has not registered it yet")
    assert watched.get("/livez")[0] == 200


@pytest.mark.reliability(
    fault="The API server is away when the agent starts, and goes away again later",
    injected="the in-memory API server refuses connections before the start of a real agent, and once it is ready",
    promise="unready, with the reason, until slices are published once; after that an outage changes nothing",
)
def test_an_outage_makes_an_agent_unready_only_before_it_has_published(watched, kubelet, api):
    api.pause()
    watched.start()
    watched.until_unready(f"{DRIVER}: not ready: .*cannot be (published|reached)")
    assert watched.get("/livez")[0] == 200
    assert watched.value("drakit_api_outage_seconds") > 0
    api.resume()
    watched.until_ready()
    assert watched.value("drakit_slices_current", driver=DRIVER) == 1
    assert watched.value("drakit_slice_writes_total", driver=DRIVER, operation="create") == 1
    assert watched.value("drakit_pool_devices", driver=DRIVER, pool=POOL) == 2
    api.pause()
    watched._until(lambda: watched.value("drakit_api_outage_seconds") > 0, "the outage to be noticed")
    assert watched.get("/readyz")[0] == 200


@pytest.mark.reliability(
    fault="The agent may not read its own Node, which would say whether a device plugin offers the same hardware",
    injected="the in-memory API server answers each GET of the Node with 403, under a real agent",
    promise="nothing is published, readiness says what is waited for, and the log what to allow",
)
def test_a_driver_that_waits_for_the_node_says_so(watched, kubelet, api):
    line = "    driver_name ="
    source = WATCHED.replace(line, f'    device_plugin_resources = ("example.com/gpu",)\n{line}')
    assert source != WATCHED
    watched.node.install("careful", source)
    api.fail(next=1000, status=403, method="GET", path_contains="/nodes/")
    watched.start("[{plugin: careful}]")
    watched.until_unready(f"{DRIVER}: not ready: .*once the Node has been read")
    log = watched.node.log.read_text
    watched._until(lambda: "the Node cannot be read" in log(), "the log to say why")
    assert "allow the driver's service account to get nodes" in log()
    api.recover()
    watched.until_ready()


def test_a_port_in_use_ends_the_agent_with_code_2(watched):
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        watched.start(metricsPort=port)
        assert watched.node.agent.wait(30) == 2
    assert f"metricsPort (METRICS_PORT): port {port} cannot be served" in watched.node.log.read_text()
    assert "Traceback" not in watched.node.log.read_text()


def test_each_port_tells_its_own_and_without_ports_nothing_is_imported(watched, kubelet, new_claim):
    watched.start(healthcheckPort=0)
    assert watched.get("/readyz")[0] == 404
    assert watched.get("/metrics")[0] == 200
    watched.node.end()
    watched.start(metricsPort=0)
    assert watched.get("/metrics")[0] == 404
    watched.until_ready()
    claim = new_claim("one", {DRIVER: ("x", ["one"])})
    kubelet.prepare([claim], DRIVER)
    assert modules(watched) & {"http.server", "prometheus_client"} == {"http.server"}
    watched.node.end()
    watched.start(healthcheckPort=0, metricsPort=-1)
    kubelet.wait_until_gone(DRIVER)
    kubelet.wait_for(DRIVER)
    other = new_claim("two", {DRIVER: ("x", ["two"])})
    kubelet.prepare([other], DRIVER)
    assert modules(watched) & {"http.server", "socketserver", "prometheus_client"} == set()


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_both_families_of_addresses_are_served(watched, kubelet):
    watched.start()
    assert watched.get("/livez", "::1") == watched.get("/livez", "127.0.0.1") == (200, "ok\n")


def test_whoever_asks_and_never_ends_does_not_hold_up_the_exit(watched, kubelet):
    watched.start(drainSeconds=0.5)
    watched.until_ready()
    gone = threading.Event()

    def ask_for_ever(connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while not gone.wait(0.05):  # so that no time-out for reads ends it
                connection.sendall(b"x")

    with socket.create_connection(("127.0.0.1", watched.port)) as connection:
        connection.sendall(b"GET /")
        asking = threading.Thread(target=ask_for_ever, args=(connection,))
        asking.start()
        try:
            assert watched.get("/livez")[0] == 200
            assert watched.node.end(signal.SIGTERM) == 0
        finally:
            gone.set()
            asking.join()
