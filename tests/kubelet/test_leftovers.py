"""Sockets of agents that were killed: removed where their death is proven, and only there."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from drakit.kubelet import KubeletPaths
from drakit.kubelet.leftovers import lock_path, remove_leftovers, served_beside, sign

DRIVER = "gpu.example.com"


class Agent:
    """The files of one agent: two sockets and a signed lock, as long as it lives."""

    def __init__(self, paths: KubeletPaths, driver: str = DRIVER) -> None:
        self.sockets = [paths.registration_socket(driver), paths.dra_socket(driver)]
        self.sockets[1].parent.mkdir(exist_ok=True)
        self.lock = lock_path(self.sockets[1])
        self._held = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(self._held, fcntl.LOCK_EX)
        sign(self._held, self.sockets[0])
        self._listening = [_listen(path) for path in self.sockets]

    @property
    def files(self) -> list[bool]:
        return [os.path.lexists(path) for path in (*self.sockets, self.lock)]

    def stop_listening(self) -> None:
        for listener in self._listening:
            listener.close()
        self._listening = []

    def die(self) -> None:
        """As by SIGKILL: everything is let go of, and nothing is removed."""
        self.stop_listening()
        if self._held >= 0:
            os.close(self._held)
        self._held = -1


def _listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


@pytest.fixture
def paths(short_path: Path) -> KubeletPaths:
    found = KubeletPaths(registry=short_path / "registry", plugins=short_path / "plugins")
    found.registry.mkdir()
    found.plugins.mkdir()
    return found


@pytest.fixture
def agent(paths: KubeletPaths) -> Iterator[Callable[..., Agent]]:
    """`agent(pod_uid, driver)`: start one."""
    agents: list[Agent] = []

    def start(pod_uid: str = "pod-1", driver: str = DRIVER) -> Agent:
        own = KubeletPaths(registry=paths.registry, plugins=paths.plugins, pod_uid=pod_uid)
        agents.append(Agent(own, driver))
        return agents[-1]

    yield start
    for one in agents:
        one.die()


@pytest.mark.parametrize("pod_uid", ["pod-1", ""])
@pytest.mark.parametrize("driver", [DRIVER, "d" * 63])
def test_the_sockets_of_a_killed_agent_are_removed_and_a_living_ones_stay(
    paths: KubeletPaths, agent: Callable[..., Agent], pod_uid: str, driver: str
) -> None:
    dead, alive = agent(pod_uid, driver), agent("pod-2", driver)
    dead.die()
    assert remove_leftovers(paths) == dead.sockets
    assert dead.files == [False] * 3
    assert alive.files == [True] * 3
    assert remove_leftovers(paths) == []


def test_an_agent_that_holds_its_lock_keeps_sockets_that_do_not_listen_yet(
    paths: KubeletPaths, agent: Callable[..., Agent]
) -> None:
    starting = agent()
    starting.stop_listening()
    assert remove_leftovers(paths) == []
    assert starting.files == [True] * 3


def test_a_socket_that_somebody_serves_stays_whoever_had_it_before(
    paths: KubeletPaths, agent: Callable[..., Agent]
) -> None:
    dead = agent()
    dead.die()
    dead.sockets[0].unlink()
    with _listen(dead.sockets[0]):
        assert remove_leftovers(paths) == []
    assert dead.files == [True] * 3


@pytest.mark.parametrize("content", ["", "/etc/passwd", "{registry}/../other-reg.sock", "{registry}/note", "a\0b"])
def test_a_lock_that_signs_for_no_registration_of_ours_is_left_alone(
    paths: KubeletPaths, agent: Callable[..., Agent], content: str
) -> None:
    dead = agent()
    dead.die()
    (paths.registry.parent / "other-reg.sock").touch()
    (paths.registry / "note").touch()
    dead.lock.write_text(content.format(registry=paths.registry))
    assert remove_leftovers(paths) == []
    assert dead.files == [True] * 3
    assert (paths.registry / "note").exists()
    assert (paths.registry.parent / "other-reg.sock").exists()


def test_a_link_is_not_followed(paths: KubeletPaths, agent: Callable[..., Agent]) -> None:
    dead = agent()
    dead.die()
    link = paths.plugins / DRIVER / "dra-link.sock.lock"
    link.symlink_to(dead.lock.rename(paths.plugins / "elsewhere"))
    assert remove_leftovers(paths) == []
    assert link.is_symlink()


def test_foreign_sockets_without_a_lock_stay(paths: KubeletPaths) -> None:
    foreign = [paths.registry / "csi.example.com-reg.sock", paths.plugins / "csi.sock"]
    for path in foreign:
        _listen(path).close()
    assert remove_leftovers(paths) == []
    assert all(path.exists() for path in foreign)


def test_another_agent_counts_as_long_as_it_lives(agent: Callable[..., Agent]) -> None:
    own, other, elsewhere = agent("pod-1"), agent("pod-2"), agent("pod-3", "nic.example.com")
    assert served_beside(own.sockets[1])
    other.die()
    assert not served_beside(own.sockets[1])
    assert not served_beside(elsewhere.sockets[1])


def test_a_directory_of_the_kubelet_that_is_gone_has_none(paths: KubeletPaths) -> None:
    paths.plugins.rmdir()
    assert remove_leftovers(paths) == []
