"""The container image, built as `make image` builds it: what is in it, and what it says of itself."""

from __future__ import annotations

import functools
import hashlib
import json
import re
import subprocess
import tarfile
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from imagery.base import python
from imagery.image import LAYERS, Description
from imagery.platforms import native
from imagery.wheels import COMMAND, SITE
from packaging.utils import canonicalize_name
from realkube.built import build

from tests.packaging.conftest import ROOT
from tests.packaging.test_projects import MEMBERS, pinned, project

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

CONTAINERFILE = ROOT / "deploy/container/Containerfile"
VALIDATOR = "cyclonedx-python-lib[json-validation]==11.12.0"
_VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
print(JsonStrictValidator(SchemaVersion.V1_6).validate_str(sys.stdin.read()))
"""


class Image:
    """A layout directory, read."""

    def __init__(self, layout: Path) -> None:
        self.layout = layout
        self.index = json.loads((layout / "index.json").read_text())
        self.images = self.read(self.index["manifests"][0])
        self.manifest = self.read(self.images["manifests"][0])
        self.config = self.read(self.manifest["config"])

    def blob(self, descriptor: dict[str, Any]) -> Path:
        algorithm, digest = descriptor["digest"].split(":")
        return self.layout / "blobs" / algorithm / digest

    def read(self, descriptor: dict[str, Any]) -> Any:
        return json.loads(self.blob(descriptor).read_text())

    @functools.cached_property
    def entries(self) -> dict[str, tarfile.TarInfo]:
        """Every file of every layer, by path."""
        found = {}
        for layer in self.manifest["layers"]:
            with tarfile.open(self.blob(layer)) as archive:
                found |= {entry.name: entry for entry in archive}
        return found

    def bill(self) -> Any:
        """The bill of materials, found as a registry finds it: by what it refers to."""
        (referrer,) = [it for it in self.index["manifests"] if it.get("artifactType")]
        attached = self.read(referrer)
        assert attached["subject"]["digest"] == self.images["manifests"][0]["digest"]
        return self.read(attached["layers"][0])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with an archive of the image, and with its bill of materials."""
    target = tmp_path_factory.mktemp("image")
    build(target)
    return target


@pytest.fixture(scope="module")
def image(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    target = tmp_path_factory.mktemp("layout")
    with tarfile.open(built / "drakit-image.tar") as archive:
        archive.extractall(target, filter="data")
    return Image(target)


@pytest.fixture(scope="module")
def root(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's file system."""
    target = tmp_path_factory.mktemp("root")
    for layer in image.manifest["layers"]:
        with tarfile.open(image.blob(layer)) as archive:
            archive.extractall(target, filter="tar")
    return target


def test_every_digest_is_that_of_its_blob(image: Image):
    layers = image.manifest["layers"]
    for descriptor in [*image.index["manifests"], *image.images["manifests"], image.manifest["config"], *layers]:
        data = image.blob(descriptor).read_bytes()
        assert f"sha256:{hashlib.sha256(data).hexdigest()}" == descriptor["digest"]
        assert len(data) == descriptor["size"]
    assert len(layers) == len(image.config["rootfs"]["diff_ids"]) == len(image.config["history"]) == len(LAYERS)


def test_the_program_starts_with_every_plugin_and_needs_nothing_of_this_machine(root: Path):
    command, env = python(root, native())
    env = {"PYTHONHOME": env["PYTHONHOME"], "PYTHONPATH": str(root / SITE)}
    for arguments, expected in ((["--version"], "drakit "), (["plugins"], "drakit-neuron")):
        done = subprocess.run(
            [*command, str(root / COMMAND), *arguments], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
    names = "bz2, ctypes, decimal, hashlib, lzma, multiprocessing, sqlite3, ssl, uuid, zlib, zoneinfo"
    subprocess.run([*command, "-c", f"import {names}"], env=env, check=True)


def test_programs_are_python_and_drakit_and_no_other(image: Image):
    entries = image.entries
    runnable = {name for name, entry in entries.items() if re.match(r"(usr/)?(local/)?s?bin/", name)}
    assert runnable == {"usr/bin/drakit", "usr/bin/python3", "usr/bin/python3.13"}
    assert not [name for name in entries if PurePosixPath(name).name in ("sh", "bash", "dash", "busybox", "apt", "pip")]


def test_files_belong_to_root_and_only_root_may_write_them(image: Image):
    for name, entry in image.entries.items():
        assert (entry.uid, entry.gid, entry.mtime) == (0, 0, 315532800), name
        assert not entry.mode & 0o6000, name
        assert entry.issym() or not entry.mode & 0o022 or name == "tmp", name


def test_links_lead_somewhere(root: Path):
    def leads(path: Path) -> bool:
        target = path.readlink()
        return (root / target.relative_to("/") if target.is_absolute() else path.parent / target).exists()

    assert not [path for path in root.rglob("*") if path.is_symlink() and not leads(path)]


def test_nothing_says_where_it_was_built(root: Path):
    marks = [str(ROOT).encode(), b"/tmp/drakit-"]
    found = [
        path for path in (root / SITE).rglob("*") if path.is_file() and any(mark in path.read_bytes() for mark in marks)
    ]
    assert not found


def test_every_module_is_compiled(root: Path):
    modules = list((root / SITE).glob("drakit*/**/*.py"))
    assert len(modules) > 300
    for path in modules:
        compiled = path.parent / "__pycache__" / f"{path.stem}.cpython-313.pyc"
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == 1, f"{compiled} is compared with its source"


def test_distributions_are_the_members_and_what_they_need_as_it_is_locked(root: Path):
    pins = pinned()
    found = {canonicalize_name(it.name): it.version for it in metadata.distributions(path=[str(root / SITE)])}
    ours = {project(member)["project"]["name"]: project(member)["project"]["version"] for member in MEMBERS}
    assert ours.items() <= found.items()
    for name in found.keys() - ours.keys():
        assert found[name] in pins[name].specifier, name
    assert not found.keys() & {"pytest", "mypy", "ruff", "hatchling", "uv", "pip", "setuptools", "grpcio-tools"}
    assert {"grpcio", "kubernetes", "attrs"} <= found.keys()


def test_the_bill_lists_every_package_and_every_distribution(image: Image, root: Path):
    listed = {(it["purl"].partition("/")[0], it["name"]): it for it in image.bill()["components"]}
    packages = {path.name for path in (root / "var/lib/dpkg/status.d").iterdir()}
    assert {name for kind, name in listed if kind == "pkg:deb"} == packages
    distributions = {it.name: it.version for it in metadata.distributions(path=[str(root / SITE)])}
    assert {name: it["version"] for (kind, name), it in listed.items() if kind == "pkg:pypi"} == distributions
    for component in listed.values():
        assert re.fullmatch("[0-9a-f]{64}", component["hashes"][0]["content"]), component["name"]


def test_the_bill_is_valid(built: Path, tmp_path: Path):
    (bill,) = built.glob("*.cdx.json")
    command = [ROOT / ".venv/bin/uv", "run", "--isolated", "--no-project", "--quiet", "--with", VALIDATOR]
    with bill.open() as given:
        done = subprocess.run(
            [*command, "python", "-c", _VALIDATE],
            stdin=given,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout) == (0, "None\n"), done.stderr + done.stdout


def test_the_image_runs_as_nobody_unless_told_otherwise(image: Image):
    config = image.config["config"]
    assert config["User"] == "65532:65532"
    assert config["Entrypoint"] == ["/usr/bin/drakit"]
    assert "Cmd" not in config


def test_the_containerfile_says_the_same_of_containers():
    text = CONTAINERFILE.read_text().replace("\\\n", " ")
    final = text.rpartition("\nFROM scratch\n")[2]
    said = dict(line.split(maxsplit=1) for line in final.splitlines() if line and not line.startswith("COPY"))
    version = project("core")["project"]["version"]
    config = Description(repository="", tag="", version=version, revision="$REVISION").config["config"]
    assert said["USER"] == config["User"]
    assert said["WORKDIR"] == config["WorkingDir"]
    assert said["STOPSIGNAL"] == config["StopSignal"]
    assert json.loads(said["ENTRYPOINT"]) == config["Entrypoint"]
    assert said["ENV"].split() == config["Env"]
    assert f"ARG VERSION={version}\n" in final
    labels = dict(re.findall(r'(\S+)="([^"]*)"', said["LABEL"].replace("$VERSION", version)))
    assert labels == config["Labels"]
    assert re.findall(r"COPY --from=build /image/(\S+)/ /", final) == list(LAYERS)
