"""`drakit template check`: a catalog is held to what the planner makes of the devices that the backends publish."""

from __future__ import annotations

import pytest
import yaml

TRN2 = "trn2.48xlarge"
PLUGIN = """
from pathlib import Path

class Plugin:
    data = Path(__file__).parent / "data"

    def __init__(self, *given, **named):
        pass
"""


@pytest.fixture
def catalog(tmp_path):
    """Writes a catalog of one template; keys of it can be given."""

    def write(
        node_type=TRN2, per_node=4, device_class="neuron.aws.com", group="resource.aws.com/devicegroup4_id", **more
    ):
        claim = {
            "requests": [{"name": "neurons", "deviceClassName": device_class, "count": 4}],
            "constraints": [{"matchAttribute": group}],
        }
        template = {
            "name": "quarter",
            "title": "Four",
            "claims": [claim],
            "nodes": [{"types": [node_type], "perNode": per_node}],
        }
        document = {"apiVersion": "drakit/v1alpha1", "kind": "TemplateCatalog", "templates": [template | more]}
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(document))
        return path

    return write


def checked(drakit, path, *args):
    """The one row of the template, and the outcome."""
    outcome = drakit("template", "check", "--catalog", path, "quarter", "-o", "json", *args)
    (row,) = outcome.json
    return row, outcome


def test_a_template_that_fits_as_its_catalog_says_is_good(drakit, catalog):
    path = catalog()
    row, outcome = checked(drakit, path)
    wanted = {"template": "quarter", "origin": str(path), "nodeType": TRN2, "perNode": 4, "result": "fits"}
    assert (row, outcome.code, outcome.err) == (wanted, 0, "")
    shown = drakit("template", "check", "--catalog", path, "quarter").out
    assert shown == "Checked: 1 template on 1 type of nodes: 1 as the catalog says\n"


@pytest.mark.parametrize(
    ("per_node", "why"),
    [
        (99, "4 fit, not 99"),
        (5, "4 fit, not 5"),
        (3, "more than 3 fit, not 3"),
        (10**9, "4 fit, not 1000000000"),
    ],
)
def test_another_number_than_fits_is_a_finding(drakit, catalog, per_node, why):
    row, outcome = checked(drakit, catalog(per_node=per_node))
    assert (row["result"], row["reason"], outcome.code) == ("wrong", why, 1)


def test_what_does_not_fit_at_all_is_a_finding(drakit, catalog):
    row, outcome = checked(drakit, catalog(group="resource.aws.com/devicegroup1_id"))
    assert (row["reason"], outcome.code) == ("0 fit, not 4", 1)
    table = drakit("template", "check", "--catalog", catalog(per_node=9), "quarter").out
    assert " quarter    trn2.48xlarge   wrong    4 fit, not 9" in table.splitlines()


def test_a_claim_that_the_scheduler_stops_at_is_a_finding_with_its_reason(drakit, catalog):
    selector = 'device.attributes["neuron.aws.com"].nothing == 1'
    request = {"name": "neurons", "deviceClassName": "neuron.aws.com", "selectors": [selector]}
    row, outcome = checked(drakit, catalog(claims=[{"requests": [request]}]))
    assert (row["result"], outcome.code) == ("wrong", 1)
    assert row["reason"].startswith("cannot be planned: ")
    assert "requests[0].exactly: selector 0 fails on device" in row["reason"]


def test_a_backend_that_cannot_be_surveyed_is_told_once(drakit, catalog, tmp_path):
    config = tmp_path / "agent.yaml"
    mock = {"plugin": "mock", "driver": "gpu.example.com", "options": {"profile": "/nowhere.yaml"}}
    document = {"apiVersion": "drakit/v1alpha1", "kind": "AgentConfiguration", "backends": [{"plugin": "neuron"}, mock]}
    config.write_text(yaml.safe_dump(document))
    row, outcome = checked(drakit, catalog(), "--config", config)
    assert (row["result"], outcome.code) == ("fits", 1)
    assert outcome.err.startswith(f"Error: {TRN2}: ")
    assert outcome.err.count("nowhere.yaml") == outcome.err.count("\n") == 1


def test_a_misspelt_node_type_is_a_hint_with_its_line_and_a_finding_of_the_check(drakit, catalog):
    path = catalog(node_type="trn2.48xlrage")
    said = "no installed plugin knows the node type 'trn2.48xlrage'"
    row, outcome = checked(drakit, path)
    assert (row["result"], row["reason"], outcome.code) == ("not checked", said, 1)
    hint = f"Hint: {path}:15: templates[0].nodes[0].types[0]: {said}; did you mean 'trn2.48xlarge'?\n"
    assert outcome.err == hint
    for command in (("list",), ("show", "quarter"), ("render", "quarter", "--node", "trn2.48xlrage")):
        told = drakit("template", *command, "--catalog", path)
        assert (told.code, told.err) == (0, hint)


def test_a_misspelt_device_class_is_a_hint_with_its_line_and_a_finding_of_the_check(drakit, catalog):
    row, outcome = checked(drakit, catalog(device_class="neurn.aws.com"))
    said = "no installed plugin has the device class 'neurn.aws.com'"
    assert (row["result"], row["reason"], outcome.code) == ("not checked", said, 1)
    assert "requests[0].deviceClassName: " in outcome.err
    assert "did you mean 'neuron.aws.com'?" in outcome.err


def test_a_class_that_templates_of_plugins_ask_for_is_no_hint(drakit, catalog):
    assert checked(drakit, catalog(device_class="gpu.nvidia.com", node_type="p5.48xlarge"))[1].err == ""


def test_what_cannot_be_checked_of_a_plugin_is_told_but_no_finding(installed_drakit, distribution, catalog, tmp_path):
    text = catalog(device_class="serial.example.com", name="serial-port").read_text()
    environment = distribution("serial", PLUGIN, {"drakit.plugins": {"serial": "serial:Plugin"}})
    (tmp_path / "site" / "data").mkdir()
    (tmp_path / "site" / "data" / "catalog.yaml").write_text(text)
    outcome = installed_drakit("template", "check", "serial-port", "-o", "json", **environment)
    (row,) = outcome.json
    said = "no installed plugin has the device class 'serial.example.com'"
    assert (row["origin"], row["result"], row["reason"]) == ("plugin 'serial'", "not checked", said)
    assert outcome.code == 0


def test_a_template_is_planned_with_the_options_that_it_takes_of_plugins(drakit):
    outcome = drakit("template", "check", "shared-efa", "--node", "p5.48xlarge", "-o", "json")
    assert ([(one["perNode"], one["result"]) for one in outcome.json], outcome.code) == ([(128, "fits")], 0)


def test_options_that_the_plugin_does_not_know_are_a_finding(drakit, catalog):
    row, outcome = checked(drakit, catalog(pluginOptions={"neuron": {"nothing": 1}}))
    assert (row["result"], outcome.code) == ("wrong", 1)
    assert row["reason"].startswith("with its pluginOptions: ")
    assert "nothing" in row["reason"]


def test_devices_are_those_of_a_configuration_where_there_is_one(drakit, catalog, tmp_path):
    config = tmp_path / "agent.yaml"
    config.write_text("apiVersion: drakit/v1alpha1\nkind: AgentConfiguration\nbackends: [{plugin: efa}]\n")
    row, outcome = checked(drakit, catalog(), "--config", config)
    assert (row["result"], row["reason"], outcome.code) == ("wrong", "0 fit, not 4", 1)


def test_all_templates_of_a_node_type_are_checked(drakit):
    outcome = drakit("template", "check", "--node", "trn1.2xlarge", "-o", "json")
    assert {one["template"]: one["result"] for one in outcome.json} == {"xs": "fits", "half-device": "fits"}
    assert outcome.code == 0


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        (("shard-efa",), 2, "there is no template 'shard-efa'; did you mean 'shared-efa'"),
        (("xs", "--node", "p5.48xlarge"), 2, "template 'xs' has no variant for 'p5.48xlarge'"),
        (("--node", "trn2.48xlrage"), 1, "no template is for 'trn2.48xlrage'; did you mean 'trn2.48xlarge'?"),
        (("--catalog", "/nowhere.yaml"), 2, "cannot read /nowhere.yaml: No such file or directory"),
        (("xs", "--config", "/nowhere.yaml"), 2, "nowhere.yaml"),
    ],
)
def test_what_cannot_be_checked_is_said(drakit, args, code, said):
    outcome = drakit("template", "check", *args)
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err
