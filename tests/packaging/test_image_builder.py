"""What the image's builder makes of its inputs: the same of the same, and a clear word where it cannot."""

from __future__ import annotations

import functools
import http.server
import os
import threading
import zipfile
from pathlib import Path

import pytest
from attrs import evolve
from imagery.commands import BuildError
from imagery.debian import ARCHIVE_VARIABLE, PACKAGES, Gone, archives, fetch, pinned, read_lock
from imagery.image import Description
from imagery.layers import read_layer, unpack_layer, write_layer
from imagery.platforms import PLATFORMS
from imagery.wheels import Wheel, lay_wheels
from realkube.built import LOCK

PLAIN = (["python3"], dict(os.environ))
"""Any Python can compress."""


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An archive that has no package at all."""
    served = tmp_path / "served"
    served.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(served))
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(ARCHIVE_VARIABLE, f"http://127.0.0.1:{server.server_port}/debian")
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield
        server.shutdown()


def lay(root: Path, *, mode: int, time: int) -> Path:
    """Some files."""
    (root / "usr/bin").mkdir(parents=True)
    (root / "tmp").mkdir()
    program = root / "usr/bin/program"
    program.write_text("#!/usr/bin/python3\n")
    program.chmod(mode)
    (root / "usr/bin/link").symlink_to("program")
    os.utime(program, (time, time))
    return root


def test_the_same_files_make_the_same_layer_whenever_and_by_whom_they_were_written(tmp_path: Path):
    layers = []
    for number, (mode, time) in enumerate([(0o700, 1), (0o775, 1_700_000_000)]):
        target = tmp_path / f"{number}.tar.gz"
        write_layer(lay(tmp_path / str(number), mode=mode, time=time), target, *PLAIN)
        layers.append(read_layer(target))
    assert layers[0].digest == layers[1].digest
    assert layers[0].diff == layers[1].diff
    unpack_layer(layers[0], tmp_path / "unpacked")
    assert (tmp_path / "unpacked/usr/bin/link").readlink() == Path("program")
    assert (tmp_path / "unpacked/usr/bin/program").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "unpacked/tmp").stat().st_mode & 0o7777 == 0o1777


def test_other_files_make_another_layer(tmp_path: Path):
    layers = []
    for name in ("one", "other"):
        root = lay(tmp_path / name, mode=0o755, time=1)
        (root / "usr/file").write_text(name)
        write_layer(root, tmp_path / f"{name}.tar.gz", *PLAIN)
        layers.append(read_layer(tmp_path / f"{name}.tar.gz"))
    assert layers[0].digest != layers[1].digest


def test_both_architectures_have_the_same_packages_in_the_same_versions():
    versions = [{it.name: it.version for it in pinned(LOCK, name)} for name in PLATFORMS]
    assert versions[0] == versions[1]
    assert set(versions[0]) == set(PACKAGES)


def test_the_lock_names_no_host():
    assert not [it for it in read_lock(LOCK) if not it.path.startswith(("debian/pool/", "debian-security/pool/"))]


def test_a_line_that_pins_nothing_is_refused_and_named(tmp_path: Path):
    lock = tmp_path / "debian.lock"
    lock.write_text("# packages\namd64 libc6\n")
    with pytest.raises(BuildError, match=r"debian\.lock:2: not a pinned package; `make image-lock`"):
        read_lock(lock)


def test_a_lock_that_lacks_a_package_is_refused(tmp_path: Path):
    lock = tmp_path / "debian.lock"
    lock.write_text("".join(f"{it.line}\n" for it in read_lock(LOCK) if it.name != "libc6"))
    with pytest.raises(BuildError, match=r"does not pin the packages of the image for amd64; run `make image-lock`"):
        pinned(lock, "amd64")


def test_a_version_that_the_archive_no_longer_has_is_said_to_be_gone_with_what_to_do(tmp_path: Path, nothing: None):
    package = evolve(pinned(LOCK, "amd64")[0], path="debian/pool/main/g/gone/gone_1_amd64.deb")
    with pytest.raises(Gone, match=r"no longer has what debian\.lock pins.*gone_1_amd64.*`make image-lock`"):
        fetch([package], tmp_path)


@pytest.mark.parametrize(
    ("archive", "security"),
    [
        ("http://mirror.example/debian/", "http://mirror.example/debian-security"),
        ("http://snapshot.example/debian/20260101T000000Z", "http://snapshot.example/debian-security/20260101T000000Z"),
    ],
)
def test_security_updates_are_beside_the_archive_that_is_named(
    archive: str, security: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(ARCHIVE_VARIABLE, archive)
    assert archives() == {"debian": archive.rstrip("/"), "debian-security": security}


def test_a_wheel_with_files_for_elsewhere_is_refused(tmp_path: Path):
    path = tmp_path / "acme-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("acme-1.data/scripts/acme", "#!/bin/sh\n")
        archive.writestr("acme-1.dist-info/METADATA", "Name: acme\nVersion: 1\n")
    with pytest.raises(BuildError, match=r"files for elsewhere than beside its modules: acme-1.data/scripts/acme"):
        lay_wheels(tmp_path / "root", [Wheel.read(path)])


@pytest.mark.parametrize(
    ("repository", "name"),
    [
        ("drakit", "docker.io/library/drakit:1"),
        ("team/drakit", "docker.io/team/drakit:1"),
        ("registry.example/drakit", "registry.example/drakit:1"),
        ("localhost/drakit", "localhost/drakit:1"),
        ("registry:5000/drakit", "registry:5000/drakit:1"),
    ],
)
def test_engines_know_the_image_by_its_whole_name(repository: str, name: str):
    names = Description(repository=repository, tag="1", version="1").names
    assert names == {"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": name}


def test_a_time_is_said_only_where_one_is_given():
    described = Description(repository="drakit", tag="1", version="1")
    assert "created" not in described.config
    assert evolve(described, time=86400).config["created"] == "1970-01-02T00:00:00Z"
