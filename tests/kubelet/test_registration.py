from __future__ import annotations

import ctypes
import errno
import logging
import os
import socket
import stat
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from drakit.errors import ConfigError
from drakit.kubelet import HealthBoard, KubeletPaths, KubeletServer, is_alive
from drakit.testing import PROFILES, CallFailed

BOTH = ("v1.DRAPlugin", "v1beta1.DRAPlugin")


def test_a_kubelet_finds_the_driver_and_tells_it_so(node: Any) -> None:
    heard: list[tuple[bool, str]] = []
    server = node.serve(on_registered=lambda *news: heard.append(news))
    registration = node.kubelet().wait_for(node.driver)
    assert (registration.driver, registration.endpoint) == (node.driver, server.endpoint)
    assert registration.versions == BOTH
    assert registration.service == "v1.DRAPlugin"
    assert heard == [(True, "")]
    assert server.registered.is_set()


def test_health_is_advertised_by_drivers_that_report_it_and_by_no_other(node: Any) -> None:
    node.serve(health=HealthBoard())
    assert node.kubelet().wait_for(node.driver).versions == (
        *BOTH,
        "v1.DRAResourceHealth",
        "v1alpha1.DRAResourceHealth",
    )


def test_an_older_kubelet_takes_v1beta1(node: Any) -> None:
    node.serve()
    kubelet = node.kubelet(profile=evolve(PROFILES["1.34"], dra_services=("v1beta1.DRAPlugin",)))
    assert kubelet.wait_for(node.driver).service == "v1beta1.DRAPlugin"


def test_a_kubelet_without_a_common_version_refuses(node: Any) -> None:
    heard: list[tuple[bool, str]] = []
    node.serve(on_registered=lambda *news: heard.append(news))
    kubelet = node.kubelet(profile=evolve(PROFILES["1.37"], dra_services=("v2.DRAPlugin",)))
    kubelet.wait_until(lambda: bool(heard), "the refusal")
    assert not any(registered for registered, _reason in heard)
    assert "v2.DRAPlugin" in heard[0][1]


def test_a_refusal_is_told_logged_and_tried_again_by_newer_kubelets(node: Any, caplog: Any) -> None:
    heard: list[tuple[bool, str]] = []
    refused = threading.Event()

    def listen(ok: bool, reason: str) -> None:
        heard.append((ok, reason))
        refused.set()

    server = node.server(on_registered=listen)
    kubelet = node.kubelet()
    kubelet.refuse(node.driver, "not on this node")
    with caplog.at_level(logging.ERROR):
        node.loop.run(server.start())
        assert refused.wait(10)
    assert heard[0] == (False, "RegisterPlugin error: not on this node")
    assert "not on this node" in caplog.text
    assert not server.registered.is_set()
    kubelet.accept(node.driver)
    kubelet.wait_for(node.driver)
    assert server.registered.is_set()


@pytest.mark.parametrize("profile", ["1.34", "1.35"])
@pytest.mark.reliability(
    fault="A kubelet before 1.36 refuses the registration once, or loses sight of the socket",
    injected="FakeKubelet of 1.34 and 1.35, which try a socket once, refuses and then accepts",
    promise="the registration socket is made anew, ever later, until the kubelet has registered the driver",
)
def test_an_older_kubelet_that_has_refused_is_asked_again_with_a_new_socket(node: Any, profile: str) -> None:
    refused = threading.Event()
    server = node.server(
        on_registered=lambda ok, _reason: ok or refused.set(), check_seconds=0.02, patience_seconds=0.1
    )
    kubelet = node.kubelet(profile=profile)
    kubelet.refuse(node.driver, "not on this node")
    node.loop.run(server.start())
    assert refused.wait(10)
    kubelet.accept(node.driver)
    kubelet.wait_for(node.driver)


@pytest.mark.reliability(
    fault="The kubelet restarts",
    injected="a FakeKubelet that forgets everything and looks into its directory again",
    promise="the driver is registered again with the sockets it has, and looks at its slices",
)
def test_a_restarted_kubelet_registers_again_and_the_driver_hears_of_it(node: Any) -> None:
    heard: list[tuple[bool, str]] = []
    server = node.serve(on_registered=lambda *news: heard.append(news))
    kubelet = node.kubelet()
    first = kubelet.wait_for(node.driver)
    kubelet.restart()
    assert kubelet.wait_for(node.driver) == first
    assert heard == [(True, "")] * 2
    assert server.registered.is_set()


def test_what_follows_a_registration_may_fail_without_failing_it(node: Any, caplog: Any) -> None:
    def fail(_ok: bool, _reason: str) -> None:
        raise KeyError("slices")

    node.serve(on_registered=fail)
    node.kubelet().wait_for(node.driver)
    assert "KeyError: 'slices'" in caplog.text


def test_a_stopped_server_is_deregistered_and_leaves_no_socket(node: Any) -> None:
    server = node.serve()
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    node.loop.run(server.stop(5))
    kubelet.wait_until_gone(node.driver)
    assert not server.endpoint.exists()
    assert not server.registration_socket.exists()
    with pytest.raises(CallFailed, match="not registered"):
        kubelet.prepare([], node.driver)


@pytest.mark.reliability(
    fault="Somebody removes the registration socket",
    injected="it is unlinked under a running server",
    promise="it is made anew within seconds, and the kubelet registers the driver again",
)
def test_a_removed_registration_socket_is_made_anew(node: Any) -> None:
    server = node.serve(check_seconds=0.02)
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    server.registration_socket.unlink()
    kubelet.wait_until(lambda: len(kubelet.history) == 2, "a second registration")
    assert kubelet.prepare([node.claim("one")], node.driver)["one"].devices


@pytest.mark.reliability(
    fault="The kubelet's directories cannot be looked through for a moment: too many open files, a disk that fails",
    injected="looking for the sockets of dead agents fails with EMFILE",
    promise="it is said and tried again; our own sockets are still made anew, and a stop removes them",
)
def test_sockets_are_kept_and_given_away_though_others_cannot_be_looked_for(
    node: Any, monkeypatch: Any, caplog: Any
) -> None:
    def fail(_paths: Any) -> list[Path]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr("drakit.kubelet.server.remove_leftovers", fail)
    server = node.serve(check_seconds=0.02)
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    server.registration_socket.unlink()
    kubelet.wait_until(lambda: len(kubelet.history) == 2, "a second registration")
    assert "sockets of dead agents cannot be looked for: OSError: [Errno 24] Too many open files" in caplog.text
    node.loop.run(server.stop(0))
    assert not server.endpoint.exists()
    assert not server.registration_socket.exists()


def test_a_stop_gives_the_sockets_away_whatever_their_keeper_died_of(node: Any, monkeypatch: Any) -> None:
    died = threading.Event()

    def die(_server: KubeletServer) -> bool:
        died.set()
        raise RuntimeError("a defect")

    monkeypatch.setattr(KubeletServer, "_is_out_of_patience", die)
    server = node.serve(check_seconds=0.0)
    assert died.wait(20)
    node.loop.run(server.stop(0))
    assert not server.endpoint.exists()
    assert not server.registration_socket.exists()


def test_a_removed_dra_socket_is_made_anew(node: Any) -> None:
    server = node.serve(check_seconds=0.02)
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    server.endpoint.unlink()
    kubelet.wait_until(server.endpoint.exists, "the socket to be made anew")
    kubelet.restart()
    kubelet.wait_for(node.driver)
    assert kubelet.prepare([node.claim("one")], node.driver)["one"].devices


@pytest.mark.reliability(
    fault="The kubelet's registry directory is removed and made again",
    injected="it is renamed under a running server, and made anew",
    promise="the registration socket is made in the new one",
)
def test_a_registry_that_vanishes_for_a_while_is_served_again(node: Any) -> None:
    server = node.serve(check_seconds=0.02)
    kubelet = node.kubelet()
    kubelet.wait_for(node.driver)
    server.registration_socket.unlink(missing_ok=True)
    away = node.paths.registry.with_name("away")
    node.paths.registry.rename(away)
    kubelet.wait_until_gone(node.driver)
    node.paths.registry.mkdir()
    kubelet.wait_for(node.driver)


@pytest.mark.reliability(
    fault="An agent died and left its sockets; its container starts again",
    injected="sockets at both paths that nobody listens on",
    promise="they are replaced by sockets that serve already when the kubelet sees them",
)
def test_sockets_left_by_a_dead_process_are_replaced(node: Any) -> None:
    server = node.server()
    server.endpoint.parent.mkdir()
    for path in (server.endpoint, server.registration_socket):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        assert not is_alive(path)
    node.loop.run(server.start())
    assert is_alive(server.endpoint)
    node.kubelet().wait_for(node.driver)


@pytest.mark.parametrize("name", ["registry", "plugins"])
def test_a_missing_directory_of_the_kubelet_is_named(node: Any, name: str) -> None:
    directory: Path = getattr(node.paths, name)
    directory.rmdir()
    server = node.server()
    with pytest.raises(ConfigError, match=f"{name} directory '{directory}' does not exist"):
        node.loop.run(server.start())


def test_nothing_is_left_bound_when_one_socket_cannot_be_made(node: Any) -> None:
    server = node.server()
    server.registration_socket.mkdir()
    with pytest.raises(ConfigError, match="cannot serve on socket"):
        node.loop.run(server.start())
    assert not server.endpoint.exists()


def test_the_drivers_directory_is_made_private(node: Any) -> None:
    server = node.serve()
    assert stat.S_IMODE(os.stat(server.endpoint.parent).st_mode) == 0o750


def test_a_driver_with_a_name_too_long_for_a_socket_is_served(node: Any) -> None:
    driver = ".".join(["d" * 31, "e" * 31])
    deep = node.paths.registry.parent / ("x" * 40)
    paths = KubeletPaths(registry=node.paths.registry, plugins=deep, pod_uid="0f6a5d7c-9a4e-4d8f-8f0c-0d6a5b1c2e3f")
    deep.mkdir()
    server = node.serve(driver=driver, paths=paths)
    assert driver not in server.endpoint.name
    kubelet = node.kubelet()
    assert kubelet.wait_for(driver).endpoint == server.endpoint
    assert kubelet.prepare([], driver) == {}


@pytest.mark.reliability(
    fault="Two instances of a driver serve at once",
    injected="two servers with uids of their own, of which the newer ends",
    promise="each has sockets of its own; the kubelet calls the newest that is there",
)
def test_two_instances_serve_side_by_side_and_the_newest_is_called(node: Any) -> None:
    def instance(uid: str) -> Any:
        claims = node.claims()
        paths = evolve(node.paths, pod_uid=uid)
        return claims, node.serve(claims, paths=paths)

    kubelet = node.kubelet()
    old_claims, old = instance("old")
    kubelet.wait_for(node.driver)
    new_claims, new = instance("new")
    kubelet.wait_until(lambda: len(kubelet.registered(node.driver)) == 2, "both instances")
    kubelet.prepare([node.claim("one")], node.driver)
    node.loop.run(new.stop(0))
    kubelet.wait_until(lambda: len(kubelet.registered(node.driver)) == 1, "the newer to go")
    kubelet.prepare([node.claim("two")], node.driver)
    assert [claim.uid for claim in new_claims.prepared] == ["one"]
    assert [claim.uid for claim in old_claims.prepared] == ["two"]
    node.loop.run(old.stop(0))
    kubelet.wait_until_gone(node.driver)


def test_a_socket_that_another_driver_put_in_the_place_of_ours_is_left_alone(node: Any) -> None:
    server = node.serve(check_seconds=3600)
    taken = [server.registration_socket, server.endpoint]
    for path in taken:
        path.unlink()
    other = node.server(driver=node.driver, check_seconds=3600)
    node.loop.run(other.start())
    node.loop.run(server.stop(0))
    assert all(is_alive(path) for path in taken)
    assert not [path for path in node.paths.registry.iterdir() if path not in taken]
    node.kubelet().wait_for(node.driver)
    node.loop.run(other.stop(0))
    assert not any(path.exists() for path in taken)


def test_what_the_kubelet_is_told_of_serves_already(node: Any) -> None:
    """A file that it sees created may not accept yet, and it may ask only once; one that is moved there does."""
    created, moved_here, header = 0x100, 0x80, struct.Struct("iIII")
    libc = ctypes.CDLL(None, use_errno=True)
    inotify = libc.inotify_init1(os.O_NONBLOCK)
    try:
        assert libc.inotify_add_watch(inotify, os.fsencode(node.paths.registry), created | moved_here) > 0
        server = node.serve()
        data, told = os.read(inotify, 65536), {}
        while data:
            _, mask, _, length = header.unpack_from(data)
            told[data[header.size : header.size + length].rstrip(b"\0").decode()] = mask
            data = data[header.size + length :]
    finally:
        os.close(inotify)
    seen = {name: mask for name, mask in told.items() if not name.startswith(".")}
    assert seen == {server.registration_socket.name: moved_here}
    assert list(node.paths.registry.iterdir()) == [server.registration_socket]


def test_a_driver_that_cannot_be_served_is_tried_without_end_and_leaves_nothing_open(node: Any) -> None:
    def attempt() -> None:
        server = node.server()
        with pytest.raises(ConfigError, match="cannot serve on socket"):
            node.loop.run(server.start())

    (node.paths.registry / f"{node.driver}-reg.sock").mkdir()
    attempt()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        attempt()
    assert len(os.listdir("/proc/self/fd")) <= before + 2
    assert not list(node.paths.registry.glob(".*"))
    assert not list((node.paths.plugins / node.driver).iterdir())


def test_stopping_twice_or_before_the_start_does_no_harm(node: Any) -> None:
    server = node.server()
    node.loop.run(server.stop(0))
    served = node.serve()
    node.loop.run(served.stop(0))
    node.loop.run(served.stop(0))
