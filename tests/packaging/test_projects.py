"""What the projects say of themselves, and what is pinned."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
MEMBERS = ("core", "plugins/neuron", "plugins/efa", "plugins/mock")
PLUGINS = ("neuron", "efa", "mock")
MAX_LINES = 400


def project(member: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / member / "pyproject.toml").read_text())


def pinned() -> dict[str, Requirement]:
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    requirements = [Requirement(line.partition(" --hash")[0]) for line in lines]
    return {canonicalize_name(requirement.name): requirement for requirement in requirements}


def asked_for() -> list[Requirement]:
    found = [text for member in MEMBERS for text in project(member)["project"]["dependencies"]]
    found += [text for member in MEMBERS for text in project(member)["build-system"]["requires"]]
    return [Requirement(text) for text in found + project(".")["dependency-groups"]["dev"]]


def test_all_members_have_one_version():
    versions = {member: project(member)["project"]["version"] for member in (".", *MEMBERS)}
    assert len(set(versions.values())) == 1, versions


def test_plugins_ask_for_the_core_of_their_version():
    version = project("core")["project"]["version"]
    for name in PLUGINS:
        needs = [Requirement(text) for text in project(f"plugins/{name}")["project"]["dependencies"]]
        assert [need.name for need in needs if need.name == "drakit" and version in need.specifier] == ["drakit"]


def test_a_checkout_without_extras_is_the_core_alone():
    metadata = project(".")["project"]
    assert [text.partition(" @ ")[0] for text in metadata["dependencies"]] == ["drakit"]
    for name in PLUGINS:
        assert [text.partition(" @ ")[0] for text in metadata["optional-dependencies"][name]] == [f"drakit-{name}"]


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_has_one_name_in_all_places(name):
    metadata = project(f"plugins/{name}")["project"]
    assert metadata["name"] == f"drakit-{name}"
    assert list(metadata["entry-points"]["drakit.plugins"]) == [name]
    assert (ROOT / f"plugins/{name}/src/drakit_{name}/__init__.py").is_file()


@pytest.mark.parametrize("member", [".", *MEMBERS])
def test_the_licence_is_said_and_included(member):
    metadata = project(member)["project"]
    assert (metadata["license"], metadata["license-files"]) == ("Apache-2.0", ["LICENSE"])
    assert (ROOT / member / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("member", [".", *MEMBERS])
def test_every_member_wants_the_same_python(member):
    assert project(member)["project"]["requires-python"] == ">=3.11"


def test_the_lock_pins_everything_the_projects_ask_for():
    pins = pinned()
    for requirement in asked_for():
        if requirement.name.startswith("drakit"):
            continue
        pin = pins.get(canonicalize_name(requirement.name))
        assert pin is not None, f"{requirement} is not in requirements.lock; run `make lock`"
        version = str(pin.specifier).removeprefix("==")
        assert version in requirement.specifier, f"{requirement}, but {version} is pinned; run `make lock`"


def test_every_pin_is_exact_and_has_a_hash():
    text = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[a-z0-9-]+==[0-9a-z.+]+( ; [^/@]+?)?( +--hash=sha256:[0-9a-f]{64})+ *", line), line


def test_the_lock_names_no_member_no_path_and_no_host():
    text = (ROOT / "requirements.lock").read_text()
    assert not [name for name in pinned() if name.startswith("drakit")]
    assert not re.findall(r"drakit|[/@]|://|--(?:extra-)?index|--find-links|^-e", text, re.MULTILINE)


def test_no_other_lock_is_committed():
    assert "uv.lock" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_core_names_no_vendor():
    vendor = re.compile(r"(?<![a-z])(neuron|efa|aws|amazon|trainium|inferentia|nvidia)(?![a-z])", re.IGNORECASE)
    named = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in sorted((ROOT / "core/src").rglob("*"))
        if path.suffix in (".py", ".pyi", ".yaml", ".json")
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if vendor.search(line)
    ]
    assert named == []


def test_every_file_can_be_read_in_one_sitting():
    sources = [
        path for room in ("core", "plugins", "docs", "tests", "benchmarks") for path in (ROOT / room).rglob("*.py")
    ]
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in sources
        if not path.name.endswith("_pb2.py")
    }
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}
