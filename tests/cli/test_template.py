"""`drakit template`: what can be had, what a name stands for, and documents that a cluster takes."""

from __future__ import annotations

import pytest
import yaml
from drakit.testing import InMemoryApiServer
from drakit.testing.manifests import read_manifest

OWN = """\
apiVersion: drakit/v1alpha1
kind: TemplateCatalog
templates:
- name: xl
  title: Ours
  claims:
  - requests:
    - {name: gpus, deviceClassName: gpu.example.com, count: 3}
  nodes:
  - {types: [generic-gpu-nic], perNode: 2}
"""
PLUGIN = """
from pathlib import Path

class Plugin:
    data = Path(__file__).parent / "data"
"""
GROUP = "drakit.plugins"


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    return path


@pytest.fixture
def plugin(distribution, tmp_path):
    """Makes a plugin installed whose catalog is this text; returns the environment to see it."""

    def make(catalog):
        environment = distribution("serial", PLUGIN, {GROUP: {"serial": "serial:Plugin"}})
        (tmp_path / "site" / "data").mkdir()
        (tmp_path / "site" / "data" / "catalog.yaml").write_text(catalog)
        return environment

    return make


def test_list_names_every_template_with_nodes_it_is_for_and_how_many_more_there_are(drakit):
    outcome = drakit("template", "list")
    assert outcome.code == 0
    (row,) = [line.split() for line in outcome.out.splitlines() if line.startswith(" disaggregated-inference-large ")]
    assert "trn2.48xlarge," in row
    (found,) = [one for one in drakit("template", "list", "-o", "json").json if one["name"] == row[0]]
    assert row[-3:] == ["and", str(len(found["perNode"]) - 3), "more"]


def test_list_for_a_node_has_only_what_fits_there(drakit):
    found = drakit("template", "list", "--node", "trn1.2xlarge", "-o", "json").json
    assert {one["name"]: one["perNode"] for one in found} == {
        "xs": {"trn1.2xlarge": 1},
        "half-device": {"trn1.2xlarge": 2},
    }
    assert {one["origin"] for one in found} == {"plugin 'neuron'"}


def test_list_for_a_node_nothing_is_for_is_a_finding(drakit):
    outcome = drakit("template", "list", "--node", "m5.large")
    assert outcome.code == 1
    assert outcome.out == ""
    assert "no template is for 'm5.large'; there are some for: " in outcome.err
    assert "trn2.48xlarge" in outcome.err


def test_list_for_a_misspelt_node_type_says_which_was_meant(drakit):
    outcome = drakit("template", "list", "--node", "trn2.48xlrage")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err == "Error: no template is for 'trn2.48xlrage'; did you mean 'trn2.48xlarge'?\n"
    assert drakit("template", "list", "--node", "trn2.48xlrage", "-o", "json").json == []


def test_show_tells_what_a_template_asks_for_on_each_node(drakit):
    outcome = drakit("template", "show", "l-efa")
    assert outcome.code == 0
    rows = [line.split("   ") for line in outcome.out.splitlines() if line.startswith(" l-efa ")]
    assert [row[1].strip() for row in rows] == [
        "8 neuron.aws.com, 8 efa.networking.k8s.aws",
        "8 neuron.aws.com, 8 efa.networking.k8s.aws",
        "8 neuron.aws.com, 4 efa.networking.k8s.aws",
    ]
    assert "resource.aws.com/devicegroup8_id (neurons, efas)" in outcome.out
    assert "logicalNeuronCore=2" in outcome.out


def test_show_tells_which_options_a_template_takes(drakit):
    assert "options {sharing: {shares: 4}}" in drakit("template", "show", "shared-efa").out
    shown = drakit("template", "show", "shared-efa", "-o", "yaml").yaml[0]
    assert shown["pluginOptions"] == {"efa": {"sharing": {"shares": 4}}}
    assert shown["nodes"]["p5.48xlarge"]["perNode"] == 128


def test_render_tells_beside_the_documents_which_options_the_agents_must_have(drakit, tmp_path):
    rendered = drakit("template", "render", "shared-efa", "--node", "p5.48xlarge")
    assert rendered.code == 0
    (note,) = rendered.err.splitlines()
    assert "must have options {sharing: {shares: 4}} for plugin 'efa'" in note
    assert "`drakit plan` by --config" in note
    assert drakit("template", "render", "single-efa", "--node", "p5.48xlarge").err == ""
    template, config = tmp_path / "shared.yaml", tmp_path / "agent.yaml"
    template.write_text(rendered.out)
    backend = {"plugin": "efa", "options": yaml.safe_load(note.split("options ")[1].split(" for plugin")[0])}
    config.write_text(
        yaml.safe_dump({"apiVersion": "drakit/v1alpha1", "kind": "AgentConfiguration", "backends": [backend]})
    )
    plan = ("plan", "-f", template, "--node", "p5.48xlarge")
    assert (drakit(*plan).code, drakit(*plan, "--config", config).code) == (1, 0)


def test_render_gives_one_document_for_each_claim(drakit):
    arguments = ("disaggregated-inference-large", "--node", "trn2.48xlarge", "--namespace", "team-a")
    documents = drakit("template", "render", *arguments).yaml
    assert [(one["kind"], one["metadata"]["name"]) for one in documents] == [
        ("ResourceClaimTemplate", "disaggregated-inference-large-prefill"),
        ("ResourceClaimTemplate", "disaggregated-inference-large-decode"),
    ]
    assert {one["metadata"]["namespace"] for one in documents} == {"team-a"}
    for document in documents:
        devices = document["spec"]["spec"]["devices"]
        assert [request["exactly"]["count"] for request in devices["requests"]] == [8, 8]
        assert devices["constraints"][0]["matchAttribute"] == "resource.aws.com/devicegroup8_id"


def test_render_under_another_name_keeps_the_templates_own_as_label(drakit):
    arguments = ("disaggregated-inference-small", "--node", "trn1.32xlarge", "--as", "serving-trn1", "--pod")
    documents = drakit("template", "render", *arguments).yaml
    names = ["serving-trn1-prefill", "serving-trn1-decode"]
    assert [one["metadata"]["name"] for one in documents[:2]] == names
    assert {one["metadata"]["labels"]["drakit/template"] for one in documents[:2]} == {"disaggregated-inference-small"}
    assert [one["spec"]["resourceClaims"][0]["resourceClaimTemplateName"] for one in documents[2:]] == names


@pytest.mark.parametrize("name", ["", "Serving", "a" * 60])
def test_another_name_that_is_none_is_bad_input(drakit, name):
    arguments = ("disaggregated-inference-small", "--node", "trn1.32xlarge", "--as", name)
    outcome = drakit("template", "render", *arguments)
    assert outcome.code == 2
    assert "must be a lower-case DNS subdomain of at most 63 characters" in outcome.err


def test_render_in_other_forms_says_the_same(drakit):
    arguments = ("template", "render", "pipeline-parallel-128k", "--node", "trn2.48xlarge", "--pod")
    documents = drakit(*arguments).yaml
    listed = drakit(*arguments, "-o", "json").json
    assert listed == {"apiVersion": "v1", "kind": "List", "items": documents}
    table = drakit(*arguments, "-o", "table").out
    assert "16 neuron.aws.com, 16 efa.networking.k8s.aws" in table
    assert "what pipeline-parallel-128k does" in table


@pytest.mark.parametrize(("name", "node_type"), [("m-efa", "trn1.32xlarge"), ("gpu-efa-l", "p5.48xlarge")])
def test_what_is_rendered_with_a_pod_is_a_manifest_that_an_api_server_takes(drakit, tmp_path, name, node_type):
    path = tmp_path / "rendered.yaml"
    path.write_text(drakit("template", "render", name, "--node", node_type, "--pod").out)
    manifest = read_manifest(path)
    with InMemoryApiServer() as server:
        for item in manifest.items:
            server.create(item.document)


def test_the_demo_takes_what_is_rendered_up_to_the_container(drakit, tmp_path):
    path = tmp_path / "rendered.yaml"
    rendered = drakit("template", "render", "disaggregated-inference-medium", "--node", "trn2.48xlarge", "--pod")
    path.write_text(rendered.out)
    outcome = drakit("demo", "--node", "trn2.48xlarge", "--file", path)
    assert outcome.code == 0, outcome.out
    assert "NEURON_LOGICAL_NC_CONFIG=2" in outcome.out
    for number in range(8):
        assert f"/dev/neuron{number} " in outcome.out.replace("\n", " ")


def test_an_unknown_name_is_bad_input_with_names_that_are_near(drakit):
    outcome = drakit("template", "render", "disagregated-inference-larg", "--node", "trn2.48xlarge")
    assert outcome.code == 2
    assert outcome.out == ""
    assert "did you mean 'disaggregated-inference-large'" in outcome.err


def test_a_node_without_a_variant_is_bad_input_with_those_that_have_one(drakit):
    outcome = drakit("template", "render", "xl-lnc1", "--node", "trn1.32xlarge")
    assert outcome.code == 2
    assert "has no variant for 'trn1.32xlarge'; it has: trn2.48xlarge, trn2e.48xlarge" in outcome.err


@pytest.mark.parametrize("namespace", ["Team A", "-", "a" * 64])
def test_a_namespace_that_is_none_is_bad_input(drakit, namespace):
    outcome = drakit("template", "render", "xs", "--node", "trn2.48xlarge", "--namespace", namespace)
    assert outcome.code == 2
    assert "must be a DNS label" in outcome.err


def test_a_catalog_of_ones_own_wins_by_name(drakit, own):
    (document,) = drakit("template", "render", "xl", "--node", "generic-gpu-nic", "--catalog", own).yaml
    assert document["spec"]["spec"]["devices"]["requests"][0]["exactly"]["count"] == 3
    listed = drakit("template", "list", "--catalog", own, "-o", "json").json
    assert [(one["title"], one["origin"]) for one in listed if one["name"] == "xl"] == [("Ours", str(own))]
    assert "l" in [one["name"] for one in listed]


def test_guardrails_take_templates_away_and_say_so(drakit, tmp_path):
    path = tmp_path / "guard.yaml"
    path.write_text("apiVersion: drakit/v1alpha1\nkind: TemplateCatalog\nguardrails: {nodeTypes: [trn1.32xlarge]}\n")
    listed = drakit("template", "list", "--catalog", path, "-o", "json").json
    assert {node for one in listed for node in one["perNode"]} == {"trn1.32xlarge"}
    assert "xs-lnc1" not in [one["name"] for one in listed]
    outcome = drakit("template", "render", "xs", "--node", "trn2.48xlarge", "--catalog", path)
    assert outcome.code == 2
    assert f"only trn1.32xlarge may be used (guardrails of {path})" in outcome.err
    assert "Not on trn2.48xlarge:" in drakit("template", "show", "xs", "--catalog", path).out


@pytest.mark.parametrize("command", [("list",), ("show", "xs"), ("render", "xs", "--node", "trn2.48xlarge")])
def test_a_wrong_catalog_is_bad_input_with_file_and_line(drakit, own, command):
    own.write_text(OWN.replace("count: 3", "cuont: 3"))
    outcome = drakit("template", *command, "--catalog", own)
    assert outcome.code == 2
    assert outcome.out == ""
    assert f"{own}:8: templates[0].claims[0].requests[0]: unknown key 'cuont'" in outcome.err
    assert outcome.err.count("\n") == 1


def test_a_wrong_catalog_of_a_plugin_costs_that_plugins_templates_only(installed_drakit, plugin):
    environment = plugin("kind: Nothing\n")
    outcome = installed_drakit("template", "list", "-o", "json", **environment)
    assert outcome.code == 1
    assert "the catalog of plugin 'serial' is left out: " in outcome.err
    assert "disaggregated-inference-large" in [one["name"] for one in outcome.json]


def test_a_plugin_brings_templates_and_leaves_those_of_others_alone(installed_drakit, plugin):
    ours = yaml.safe_load(OWN)
    ours["templates"].append({**ours["templates"][0], "name": "serial-port", "title": "Serial"})
    outcome = installed_drakit("template", "list", "-o", "json", **plugin(yaml.safe_dump(ours)))
    assert outcome.code == 1
    assert "template 'xl' of plugin 'serial' is left out: plugin 'neuron' has one" in outcome.err
    titles = {one["name"]: one["title"] for one in outcome.json}
    assert (titles["serial-port"], titles["xl"]) == ("Serial", "Neuron devices: 16")


def test_values_have_every_template_of_a_type_of_node_for_the_chart(drakit, own):
    outcome = drakit("template", "values", "--node", "generic-gpu-nic", "--node", "trn2.48xlarge", "--catalog", own)
    assert outcome.code == 0
    assert outcome.out.startswith("# Made by `drakit template values`.")
    (values,) = outcome.yaml
    rendered = values["catalog"]["rendered"]
    assert rendered.keys() == {"generic-gpu-nic", "trn2.48xlarge"}
    (request,) = rendered["generic-gpu-nic"]["xl"]["claims"]["xl"]["requests"]
    assert request["exactly"]["count"] == 3
    assert "xl" not in rendered["trn2.48xlarge"], "a template of one's own stands in place of the plugin's"
    rows = drakit("template", "list", "--node", "trn2.48xlarge", "--catalog", own, "-o", "json").json
    assert rendered["trn2.48xlarge"].keys() == {one["name"] for one in rows}
    assert rendered["trn2.48xlarge"]["half-device"]["pluginOptions"] == {"neuron": {"coreSharing": True}}
    documents = drakit("template", "render", "disaggregated-inference-large", "--node", "trn2.48xlarge").yaml
    assert rendered["trn2.48xlarge"]["disaggregated-inference-large"]["claims"] == {
        one["metadata"]["name"]: one["spec"]["spec"]["devices"] for one in documents
    }


def test_values_keep_to_the_guardrails(drakit, own):
    own.write_text(OWN + "guardrails: {maxDevices: 4}\n")
    (values,) = drakit("template", "values", "--node", "trn2.48xlarge", "--catalog", own).yaml
    found = values["catalog"]["rendered"]["trn2.48xlarge"]
    assert "m" in found
    assert "l" not in found


def test_values_for_a_node_nothing_is_for_are_bad_input(drakit, own):
    outcome = drakit("template", "values", "--node", "trn2.48xlrage", "--catalog", own)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err == "Error: no template is for 'trn2.48xlrage'; did you mean 'trn2.48xlarge'?\n"
