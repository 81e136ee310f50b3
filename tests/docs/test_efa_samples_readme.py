"""The README of drakit-efa lists every sample of adapters, and what it says of each is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner
from drakit.cli import main
from drakit.testing.manifests import read_manifest
from drakit_efa.plugin import EfaPlugin

README = Path(__file__).parents[2] / "plugins" / "efa" / "README.md"
ROOT = README.parents[2]
(TABLE,) = [part for part in README.read_text().split("\n\n") if part.startswith("| sample |")]
LISTED = {name: README.parent / link for name, link in re.findall(r"\[([^\]]+)\]\(([^)]+)\)", TABLE)}


def test_every_sample_that_is_shipped_is_listed():
    shipped = {path for directory in ("templates", "examples") for path in (EfaPlugin.data / directory).glob("*.yaml")}
    assert len(shipped) > 6
    assert shipped <= {path.resolve() for path in LISTED.values()}


@pytest.mark.parametrize("name", sorted(LISTED))
def test_a_listed_sample_is_a_claim_of_its_name_and_a_pod_or_more(name):
    manifest = read_manifest(LISTED[name])
    assert LISTED[name].stem == name
    assert [item for kind in ("ResourceClaimTemplate", "ResourceClaim") for item in manifest.of(kind)]
    assert manifest.of("Pod")


def test_the_command_that_is_shown_runs(monkeypatch):
    (command,) = re.findall(r"^`drakit (demo --node [^`]+)`", README.read_text(), re.MULTILINE)
    monkeypatch.chdir(ROOT)
    outcome = CliRunner().invoke(main, command.split())
    assert outcome.exit_code == 0, outcome.output
    assert "2 devices share resource.kubernetes.io/pcieRoot" in outcome.output
