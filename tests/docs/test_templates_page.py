"""The page on claim templates: its catalogs are read, its commands say what it shows, and it leaves nothing out."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest
import yaml
from click.testing import CliRunner
from drakit.cli import main
from drakit.cli.catalogs import load_catalog
from drakit.decoding import camel, decode_config, read_document
from drakit.model import ConfigSource, OpaqueConfig
from drakit.plan.catalog import API_VERSION, KIND, MAX_COPIES, model, read_catalog
from drakit.plan.workload.reading import MAX_YAML_BYTES
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


AGENT = """\
apiVersion: drakit/v1alpha1
kind: AgentConfiguration
backends:
- plugin: mock
  driver: gpu.example.com
  options: {profile: generic-gpu}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The directory that the commands of the page are given in."""
    (tmp_path / "gpus.yaml").write_text(CATALOG)
    (tmp_path / "wrong.yaml").write_text(WRONG)
    (tmp_path / "promises.yaml").write_text(CATALOG.replace("s: 8", "s: 99"))
    (tmp_path / "misspelt.yaml").write_text(CATALOG.replace("types: [generic-gpu-nic]", "types: [generic-gpu-nci]"))
    (tmp_path / "agent.yaml").write_text(AGENT)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("arguments", "shown"), COMMANDS, ids=[arguments for arguments, _ in COMMANDS])
def test_every_command_says_what_the_page_shows(place, arguments, shown):
    result = CliRunner().invoke(main, arguments.split())
    assert result.output == shown


def test_what_is_misspelt_is_told_as_the_page_says(place):
    result = CliRunner().invoke(main, ["template", "show", "s-gpus", "--catalog", "misspelt.yaml"])
    assert result.exit_code == 0
    assert f"```\n{result.stderr}```" in TEXT


def test_the_limits_are_those_of_the_code():
    assert f"At most {MAX_YAML_BYTES >> 20} MiB of YAML" in TEXT
    assert f"at most {MAX_COPIES} are tried" in " ".join(TEXT.split())


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
