"""The image of each architecture, as far as this machine can tell; and that a second build is no other."""

from __future__ import annotations

import json
import re
import shutil
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest
from imagery.cache import default_directory
from imagery.platforms import PLATFORMS, Platform
from realkube.built import BuiltImage, build

pytestmark = pytest.mark.cluster

_LOADER = re.compile("lib64|/ld-linux")
"""Each architecture has places of its own for it."""
ELF_MACHINES = {"amd64": 62, "arm64": 183}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> BuiltImage:
    """The image of all architectures, in an archive."""
    return build(tmp_path_factory.mktemp("image"), *PLATFORMS.values())


def files(archive: tarfile.TarFile, digest: str) -> dict[str, bytes]:
    """The beginning of each file in a layer, and all of what tells of packages."""
    found = {}
    with tarfile.open(fileobj=archive.extractfile(f"blobs/sha256/{digest}")) as layer:
        for entry in layer:
            content = layer.extractfile(entry) if entry.isreg() else None
            found[entry.name] = content.read(64) if content else b""
    return found


def contents(image: BuiltImage, platform: Platform) -> dict[str, bytes]:
    """The files of the image of one architecture."""
    with tarfile.open(image.archive) as archive:

        def read(descriptor: dict[str, Any]) -> Any:
            name = f"blobs/{descriptor['digest'].replace(':', '/')}"
            return json.load(archive.extractfile(name))

        index = read(json.load(archive.extractfile("index.json"))["manifests"][0])
        (manifest,) = [it for it in index["manifests"] if it["platform"]["architecture"] == platform.name]
        layers = [layer["digest"].removeprefix("sha256:") for layer in read(manifest)["layers"]]
        return {name: data for layer in layers for name, data in files(archive, layer).items()}


@pytest.mark.parametrize("platform", PLATFORMS.values(), ids=list(PLATFORMS))
def test_all_machine_code_is_of_the_architecture(image: BuiltImage, platform: Platform):
    found = contents(image, platform)
    assert platform.loader in found
    programs = {name: data for name, data in found.items() if data.startswith(b"\x7fELF")}
    assert len(programs) > 80
    assert "usr/bin/python3.13" in programs
    for name, data in programs.items():
        assert struct.unpack_from("<H", data, 18)[0] == ELF_MACHINES[platform.name], name


def test_the_images_of_both_have_the_same_files_but_for_the_names_of_the_architecture(image: BuiltImage):
    named = []
    for platform in PLATFORMS.values():
        names = contents(image, platform)
        neutral = {name.replace(platform.machine, "MACHINE").replace(platform.name, "ARCH") for name in names}
        named.append({name for name in neutral if not _LOADER.search(name)})
    assert named[0] ^ named[1] == set()


def test_two_builds_of_one_checkout_are_the_same_to_the_byte(image: BuiltImage, tmp_path: Path):
    cache, other = default_directory(), tmp_path / "cache"
    for kept in ("packages", *(path.name for path in cache.glob("wheels-*") if path.is_dir())):
        shutil.copytree(cache / kept, other / kept)  # what was downloaded, and nothing that was made of it
    again = build(tmp_path, *PLATFORMS.values(), cache=other)
    assert again.digest == image.digest
    assert again.archive.read_bytes() == image.archive.read_bytes()
