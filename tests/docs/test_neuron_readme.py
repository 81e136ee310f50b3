"""The README of drakit-neuron leaves out no option, counter, template or label, and its examples are taken."""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest
import yaml
from drakit.decoding import camel, structure
from drakit.plan import read_claim
from drakit.settings import BackendSettings
from drakit_neuron import links, preparing, ultraserver
from drakit_neuron.configuration import NeuronConfig
from drakit_neuron.counters import COUNTERS
from drakit_neuron.devices import CORES
from drakit_neuron.health import FAULTS
from drakit_neuron.instances import ARCHITECTURES, INSTANCE_TYPES, InstanceEntry
from drakit_neuron.options import HealthOptions, NeuronOptions
from drakit_neuron.plugin import NeuronPlugin
from drakit_neuron.topology import slots

README = Path(__file__).parents[2] / "plugins" / "neuron" / "README.md"
TEXT = README.read_text()
BLOCKS = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)]


def block(key):
    (found,) = [block[key] for block in BLOCKS if key in block]
    return found


def rows(heading):
    """The cells of the table with this first heading, without backquotes, row by row."""
    (table,) = [part for part in TEXT.split("\n\n") if part.startswith(f"| {heading} |")]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def told(value):
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_the_groups_of_the_examples_are_those_of_the_first_devices_of_a_trn2():
    first = {slot.attribute: slot.value for slot in slots(INSTANCE_TYPES["trn2.48xlarge"].adapters) if slot.rank == 0}
    cells = [row for heading in ("attribute", "attribute or capacity") for row in rows(heading)]
    shown = {row[0].split(", ")[0]: row[-1] for row in cells if "devicegroup" in row[0]}
    assert len(shown) == 3
    assert shown == {name: first[name] for name in shown}


def test_every_option_has_its_row_with_its_default():
    defaults = {camel(field.name): "" for field in attrs.fields(NeuronOptions) if field.name != "health"}
    defaults |= {f"health.{camel(field.name)}": told(field.default) for field in attrs.fields(HealthOptions)}
    shown = {name: default for name, default, _ in rows("option")}
    assert sorted(shown) == sorted(defaults)
    assert {name: shown[name] for name, default in defaults.items() if default} == {
        name: default for name, default in defaults.items() if default
    }


def test_every_counter_has_its_row_with_what_it_means_and_its_limit():
    expected = [
        [name, counter.meaning, f"health.{camel(counter.limit)}" if counter.limit else "never"]
        for name, counter in COUNTERS.items()
    ]
    assert rows("counter") == expected


def test_every_fault_that_is_no_counter_is_named():
    names = {name for row in rows("fault") for name in row[0].split(", ")}
    assert set(FAULTS) - set(COUNTERS) | {links.FAULT, preparing.MISSING, ultraserver.FAULT} <= names


def test_every_template_is_named():
    names = [path.stem for path in (NeuronPlugin.data / "templates").glob("*.yaml")]
    assert len(names) > 15
    assert [name for name in names if f"`{name}`" not in TEXT] == []


def test_every_label_that_is_written_is_of_the_kind_that_is_named():
    assert NeuronPlugin.node_label_keys
    (pattern,) = set(re.findall(r"`(neuron\.amazonaws\.com/ultraserver-)\*`", TEXT))
    assert [key for key in NeuronPlugin.node_label_keys if not key.startswith(pattern)] == []


def test_the_configuration_of_the_example_is_one():
    (entry,) = block("config")
    parameters = dict(entry["opaque"]["parameters"])
    assert (parameters.pop("apiVersion"), parameters.pop("kind")) == (NeuronConfig.api_version, NeuronConfig.kind)
    assert structure(NeuronConfig, parameters, "README") == NeuronConfig(1)


def test_the_options_of_the_example_are_some():
    (backend,) = block("backends")
    decoded = structure(BackendSettings, backend, "README")
    assert decoded.node_labels
    assert structure(NeuronOptions, backend["options"], "README").core_sharing


def test_the_instance_type_of_the_example_is_taken():
    (entry,) = block("instances").values()
    assert structure(InstanceEntry, entry, "README").devices == 16


def test_every_field_and_architecture_of_an_instance_type_is_named():
    section = TEXT.split("An instance type of your own")[1].split("\n## ")[0]
    words = [*(camel(field.name) for field in attrs.fields(InstanceEntry)), *ARCHITECTURES]
    assert [word for word in words if not re.search(rf"`{word}`|\b{word}:", section)] == []


def test_the_request_for_cores_is_one():
    claim = {"metadata": {"name": "cores"}, "spec": {"devices": {"requests": block("requests")}}}
    (request,) = read_claim(claim).requests
    assert list(request.exactly.capacity.requests) == [CORES]


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#]+)\)", TEXT))
def test_every_link_leads_somewhere(link):
    assert "://" in link or (README.parent / link).exists()


def test_every_section_that_is_pointed_at_is_there():
    titles = re.findall(r"^## (.*)", TEXT, re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
