"""The README of drakit-efa leaves out no field of configuration and no way to share, and its examples are taken."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest
import yaml
from drakit import ConfigSource, OpaqueConfig
from drakit.decoding import camel, decode_config, structure
from drakit.plan import read_claim
from drakit_efa.configuration import EfaConfig
from drakit_efa.options import EfaOptions, SharingOptions
from drakit_efa.plugin import EfaPlugin
from drakit_efa.sharing import SHARES

README = Path(__file__).parents[2] / "plugins" / "efa" / "README.md"
TEXT = README.read_text()
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]


def block(key):
    (found,) = [block[key] for block in BLOCKS if key in block]
    return found


def rows(heading):
    (table,) = [part for part in TEXT.split("\n\n") if part.startswith(f"| {heading} |")]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def test_every_field_of_the_configuration_has_its_row_with_the_variables_it_becomes():
    values = {"device_list_variable": "NAME", "additional_gids": (1,)}
    for (name, becomes), field in zip(rows("field"), attrs.fields(EfaConfig), strict=True):
        assert name.partition(":")[0] == camel(field.name)
        config = EfaConfig(**{field.name: values.get(field.name, True)})
        assert all(variable == "NAME" or variable in becomes for variable in config.environment(["rdmap16s27"]))


def test_the_configuration_of_the_example_is_one():
    (entry,) = block("config")
    config = OpaqueConfig(ConfigSource.CLAIM, entry["opaque"]["parameters"])
    assert decode_config(config, EfaPlugin.config_types) == EfaConfig(
        provider=True, fork_safe=True, device_list_variable="FI_EFA_IFACE"
    )
    assert entry["opaque"]["driver"] == EfaPlugin.driver_name


def test_every_way_to_share_is_an_option_with_its_row():
    names = [row[0] for row in rows("option")]
    assert {f"sharing.{camel(field.name)}" for field in attrs.fields(SharingOptions)} <= set(names)


def test_the_sharing_of_the_example_is_some():
    (backend,) = block("backends")
    assert structure(EfaOptions, backend["options"], "README").sharing == SharingOptions(shares=4)


def test_the_request_for_a_share_is_one():
    claim = {"metadata": {"name": "share"}, "spec": {"devices": {"requests": block("requests")}}}
    (request,) = read_claim(claim).requests
    assert list(request.exactly.capacity.requests) == [SHARES]


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_every_link_leads_somewhere(link):
    assert "://" in link or (README.parent / link).exists()
