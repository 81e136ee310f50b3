from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from drakit.errors import ConfigError
from drakit.kubelet import MAX_SOCKET_PATH, KubeletPaths, is_alive
from hypothesis import given
from hypothesis import strategies as st

UID = "0f6a5d7c-9a4e-4d8f-8f0c-0d6a5b1c2e3f"


def test_the_usual_names_are_those_of_the_upstream_helper() -> None:
    paths = KubeletPaths()
    assert str(paths.registration_socket("gpu.example.com")) == (
        "/var/lib/kubelet/plugins_registry/gpu.example.com-reg.sock"
    )
    assert str(paths.dra_socket("gpu.example.com")) == "/var/lib/kubelet/plugins/gpu.example.com/dra.sock"


def test_a_pod_uid_is_in_both_names() -> None:
    paths = KubeletPaths(pod_uid=UID)
    assert paths.registration_socket("gpu.example.com").name == f"gpu.example.com-{UID}-reg.sock"
    assert paths.dra_socket("gpu.example.com").name == f"dra-{UID}.sock"


@pytest.mark.parametrize("uid", ["", UID])
@given(length=st.integers(1, 63), extra=st.integers(0, 35))
def test_every_driver_name_fits_and_tells_drivers_apart(uid: str, length: int, extra: int) -> None:
    root = "/var/lib/kubelet" + "/" * bool(extra) + "x" * extra
    paths = KubeletPaths(registry=f"{root}/plugins_registry", plugins=f"{root}/plugins", pod_uid=uid)
    names = ["a" * length, "b" * length]
    sockets = [make(name) for name in names for make in (paths.registration_socket, paths.dra_socket)]
    assert all(len(os.fsencode(path)) <= MAX_SOCKET_PATH for path in sockets)
    assert len(set(sockets)) == len(sockets)
    assert not any(path.name.startswith(".") for path in sockets)


def test_two_instances_of_one_driver_have_their_own_sockets_however_long_the_name() -> None:
    for driver in ("gpu.example.com", "d" * 63):
        one, other = KubeletPaths(pod_uid="one"), KubeletPaths(pod_uid="other")
        assert one.dra_socket(driver) != other.dra_socket(driver)
        assert one.registration_socket(driver) != other.registration_socket(driver)


def test_a_hashed_name_is_the_same_on_every_start() -> None:
    assert KubeletPaths(pod_uid=UID).dra_socket("d" * 63) == KubeletPaths(pod_uid=UID).dra_socket("d" * 63)


def test_a_directory_that_leaves_no_room_is_refused_by_name() -> None:
    directory = Path("/" + "x" * 100)
    paths = KubeletPaths(registry=directory, plugins=directory)
    with pytest.raises(ConfigError, match=f"registry directory '{directory}' is too long.*107"):
        paths.registration_socket("gpu.example.com")
    with pytest.raises(ConfigError, match="plugins directory"):
        paths.dra_socket("gpu.example.com")


@pytest.mark.parametrize("directory", ["relative", "", "/with%20escape", "/with?query", "/with#fragment"])
def test_a_directory_that_the_kubelet_could_not_dial_is_refused(directory: str) -> None:
    with pytest.raises(ConfigError, match="registry directory must"):
        KubeletPaths(registry=directory)


@pytest.mark.parametrize("uid", ["../up", "a b", "-a", "a" * 64, "a\n"])
def test_a_pod_uid_that_is_none_is_refused(uid: str) -> None:
    with pytest.raises(ConfigError, match="uid"):
        KubeletPaths(pod_uid=uid)


def test_only_a_socket_that_accepts_is_alive(short_path: Path) -> None:
    path = short_path / "some.sock"
    assert not is_alive(path)
    assert not is_alive(path / "below")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        assert not is_alive(path)
        listener.listen()
        assert is_alive(path)
    assert path.exists()
    assert not is_alive(path)


def test_a_socket_whose_queue_is_full_is_alive(short_path: Path) -> None:
    path = short_path / "busy.sock"
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as waiting:
        listener.bind(str(path))
        listener.listen(0)
        waiting.connect(str(path))
        assert is_alive(path)


def test_a_file_that_is_no_socket_is_not_alive(short_path: Path) -> None:
    path = short_path / "file"
    path.write_text("")
    assert not is_alive(path)
