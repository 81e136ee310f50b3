"""The page on claim templates: its catalogs are read, its commands say what it shows, and it leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest
import yaml
from click.testing import CliRunner
from drakit.cli import main
from drakit.cli.template import load_catalog
from drakit.decoding import camel, decode_config, read_document
from drakit.model import ConfigSource, OpaqueConfig
from drakit.plan.catalog import API_VERSION, KIND, model, read_catalog
from drakit_mock.plugin import MockConfig

TEXT = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()
(CATALOG,) = [block for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL) if block.startswith("apiVersion")]
COMMANDS = re.findall(r"```console\n\$ drakit (.*?)\n(.*?)```", TEXT, re.DOTALL)
TABLES = {
    "key": (model.TemplateEntry, model.ClaimEntry, model.NodesEntry, model.Guardrails),
    "key of a request": (model.RequestEntry,),
}
WRONG = """\
apiVersion: drakit/v1alpha1
kind: TemplateCatalog
templates:
- name: one
  title: One GPU
  claims:
  - requests:
    - name: gpu
      class: gpu.example.com
      deviceClassName: gpu.example.com
  nodes:
  - {types: [generic-gpu-nic], perNode: 8}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The directory that the commands of the page are given in."""
    (tmp_path / "gpus.yaml").write_text(CATALOG)
    (tmp_path / "wrong.yaml").write_text(WRONG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("arguments", "shown"), COMMANDS, ids=[arguments for arguments, _ in COMMANDS])
def test_every_command_says_what_the_page_shows(place, arguments, shown):
    result = CliRunner().invoke(main, arguments.split())
    assert result.output == shown


def test_the_catalog_of_the_page_is_one_and_its_configuration_too(place):
    file = read_catalog(place / "gpus.yaml")
    assert list(file.templates) == ["s-gpus", "m-gpus", "l-gpus"]
    (claim,) = file.templates["l-gpus"].variants["generic-gpu-nic"].claims
    (config,) = claim.devices["config"]
    decoded = decode_config(OpaqueConfig(ConfigSource.CLAIM, config["opaque"]["parameters"]), (MockConfig,))
    assert decoded.env == {"GPU_COUNT": "there are 4"}


def test_every_key_of_a_catalog_has_its_row(place):
    def rows(heading):
        tables = [part for part in TEXT.split("\n\n") if part.startswith(f"| {heading} |")]
        return {
            name
            for table in tables
            for line in table.splitlines()[2:]
            for name in re.findall(r"`(\w+)`", line.split("|")[1])
        }

    for heading, kinds in TABLES.items():
        assert rows(heading) == {camel(field.name) for kind in kinds for field in attrs.fields(kind)}
    whole = read_document(place / "gpus.yaml", model.CatalogDocument, API_VERSION, KIND)
    assert {camel(field.name) for field in attrs.fields(type(whole))} <= set(yaml.safe_load(CATALOG))


def test_every_template_that_ships_has_its_row_and_no_other():
    (table,) = [part for part in TEXT.split("\n\n") if part.startswith("| template |")]
    named = [name for line in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", line.split("|")[1])]
    assert sorted(named) == sorted(load_catalog([])[0].templates)
