"""Catalogs of claim templates: what a file may hold, what comes of it, and what is said of one that is wrong."""

from __future__ import annotations

import pytest
from drakit.errors import ConfigError
from drakit.plan import claim_from_template, read_claim
from drakit.plan.catalog import claim_templates, example_pods, hints, read_catalog, variant_for

from tests.plan.catalogs import CLAIMS, HEAD, NODES, ONE, PAIRS, REQUEST, SIDES, SIZED


def devices(file, name, node_type):
    (claim,) = variant_for(file.templates[name], node_type).claims
    return claim.devices


def test_one_template_stands_for_each_size(catalog):
    file = catalog(SIZED)
    assert {name: one.title for name, one in file.templates.items()} == {
        "s-gpus": "GPUs: 1",
        "m-gpus": "GPUs: 2",
        "l-gpus": "GPUs: 4",
    }
    assert {node: one.per_node for node, one in file.templates["s-gpus"].variants.items()} == {"big": 8, "small": 2}
    assert list(file.templates["l-gpus"].variants) == ["big"]


def test_values_of_the_size_and_the_node_stand_where_their_names_do(catalog):
    assert devices(catalog(SIZED), "m-gpus", "big") == {
        "requests": [
            {
                "name": "gpus",
                "exactly": {
                    "deviceClassName": "gpu.example.com",
                    "allocationMode": "ExactCount",
                    "count": 2,
                    "selectors": [
                        {"cel": {"expression": 'device.attributes["gpu.example.com"].model == "big-m"'}},
                    ],
                    "tolerations": [{"key": "example.com/beta", "operator": "Exists"}],
                },
            }
        ],
        "constraints": [{"requests": ["gpus"], "matchAttribute": "example.com/island"}],
        "config": [
            {
                "opaque": {
                    "driver": "gpu.example.com",
                    "parameters": {"kind": "Mode", "gpus": 2, "note": "of 2"},
                }
            }
        ],
    }


def test_an_attribute_that_comes_to_nothing_is_no_constraint(catalog):
    assert "constraints" not in devices(catalog(SIZED), "s-gpus", "big")


def test_what_a_node_says_goes_over_the_size_and_its_configuration_is_added(catalog):
    found = devices(catalog(SIZED), "s-gpus", "small")
    assert [one["matchAttribute"] for one in found["constraints"]] == ["example.com/pair"]
    assert [one["opaque"]["parameters"] for one in found["config"]][1:] == [{"power": "low"}]
    assert found["config"][1]["requests"] == ["gpus"]


def test_claims_of_a_node_stand_in_place_of_the_templates(catalog):
    other = "    claims: [{requests: [{name: all, deviceClassName: gpu.example.com, all: true}]}]\n"
    text = ONE.replace(NODES, f"  - types: [big]\n    perNode: 8\n{other}")
    found = devices(catalog(text), "one", "big")
    assert found["requests"] == [
        {"name": "all", "exactly": {"deviceClassName": "gpu.example.com", "allocationMode": "All"}}
    ]


def test_what_is_repeated_holds_together_within_each_copy(catalog):
    found = devices(catalog(PAIRS), "pairs", "big")
    assert [request["name"] for request in found["requests"]] == ["gpu-1", "nic-1", "gpu-2", "nic-2"]
    assert found["constraints"] == [
        {"requests": ["gpu-1", "nic-1"], "matchAttribute": "example.com/root"},
        {"requests": ["gpu-2", "nic-2"], "matchAttribute": "example.com/root"},
    ]
    assert [one.get("requests") for one in found["config"]] == [["nic-1", "nic-2"], None]
    assert found["requests"][1]["exactly"]["capacity"] == {"requests": {"example.com/share": "2"}}


def test_a_template_of_several_claims_has_a_document_and_a_pod_for_each(catalog):
    template = catalog(SIDES).templates["serve"]
    variant = variant_for(template, "big")
    documents = claim_templates(template, variant, "team-a")
    assert [one["metadata"]["name"] for one in documents] == ["serve-front", "serve-back"]
    assert {one["metadata"]["namespace"] for one in documents} == {"team-a"}
    pods = example_pods(variant, "team-a")
    assert [pod["spec"]["resourceClaims"][0]["resourceClaimTemplateName"] for pod in pods] == [
        "serve-front",
        "serve-back",
    ]
    assert all(pod["spec"]["nodeSelector"] == {"node.kubernetes.io/instance-type": "big"} for pod in pods)
    assert "namespace" not in claim_templates(template, variant)[0]["metadata"]


def test_claims_made_from_a_template_say_which_it_was(catalog):
    template = catalog(ONE).templates["one"]
    (document,) = claim_templates(template, variant_for(template, "huge"))
    claim = claim_from_template(document, "c", "default", "uid")
    assert claim["metadata"]["labels"] == {"drakit/template": "one"}
    assert read_claim(claim).requests[0].exactly.count == 1


WRONG = {
    "no YAML": ("templates: [\n", ":4:1: "),
    "a duplicate key": ("templates: []\ntemplates: []\n", ":4:1: not YAML: duplicate key 'templates'"),
    "an unknown key": ("template: []\n", ":3: unknown key 'template'; known keys are guardrails, templates"),
    "an unknown key inside": (
        ONE.replace("deviceClassName: gpu.example.com", "class: x, deviceClassName: y"),
        ":9: templates[0].claims[0].requests[0]: unknown key 'class'",
    ),
    "a missing key": (ONE.replace("  title: One GPU\n", ""), ":5: templates[0].title: missing key 'title'"),
    "no list": (ONE.replace("[big, huge]", "big"), ":11: templates[0].nodes[0].types: must be a list, not 'big'"),
    "no nodes": (ONE.replace(NODES, "    []"), ":5: templates[0]: nodes: "),
    "no types": (ONE.replace("[big, huge]", "[]"), ":11: templates[0].nodes[0]: types: there must be one at least"),
    "no number": (ONE.replace("perNode: 8", "perNode: 0"), ":11: templates[0].nodes[0]: perNode must be a number"),
    "a number that is true": (ONE.replace("perNode: 8", "perNode: true"), "perNode must be a number"),
    "one type twice": (ONE.replace("huge", "big"), ":5: templates[0]: nodes[0].types: 'big' is there twice"),
    "no claims": (
        ONE.replace(CLAIMS, "claims: []"),
        ":5: templates[0]: claims: there must be one",
    ),
    "no requests": (
        ONE.replace(REQUEST, "      []"),
        ":8: templates[0].claims[0]: requests: there",
    ),
    "all and a count": (
        ONE.replace("{name: gpu,", "{name: gpu, all: true, count: 2,"),
        ":9: templates[0].claims[0].requests[0]: has all and count",
    ),
    "a count that is no number": (
        ONE.replace("{name: gpu,", "{name: gpu, count: many,"),
        ":5: templates[0]: one on big: spec.devices.requests[0].exactly.count: must be an integer, not 'many'",
    ),
    "a count of nothing": (ONE.replace("{name: gpu,", "{name: gpu, count: 0,"), "must be at least 1, not 0"),
    "too many devices": (
        ONE.replace("{name: gpu,", "{name: gpu, count: 33,"),
        "one on big: asks for 33 devices; one claim can have at most 32",
    ),
    "a selector that is no CEL": (
        ONE.replace("{name: gpu,", "{name: gpu, selectors: ['device.driver ='],"),
        ":5: templates[0]: one on big: request 'gpu', selectors[0]: 'device.driver =' does not compile: ",
    ),
    "a document that contains itself": (ONE.replace("templates:", "templates: &all\n- *all"), "contains itself, by an"),
    "more than is read": ("# " + "x" * 2**21 + "\n", "of YAML at most 2 MiB are read: split it, or write it as JSON"),
    "a value nobody set": (
        ONE.replace("{name: gpu,", '{name: gpu, count: "{gpus}",'),
        "one on big: there is no value 'gpus'; there are: nodeType",
    ),
    "a value with a name that is given": (
        ONE.replace("title: One GPU", "title: x\n  values: {size: 1}"),
        "'size' is given",
    ),
    "a value that is a list": (
        ONE.replace("title: One GPU", "title: x\n  values: {a: []}"),
        "values.a: must be a text",
    ),
    "a name that is none": (ONE.replace("name: one", "name: One"), ":5: templates[0]: name must be a lower-case DNS"),
    "a name of 64 letters": (ONE.replace("name: one", f"name: {'a' * 64}"), "of at most 63 characters"),
    "two of one name": (
        ONE + ONE.replace("templates:\n", ""),
        ":13: templates[1]: name: there is another template 'one'",
    ),
    "sizes that are not in the name": (
        SIZED.replace('"{size}-gpus"', "gpus"),
        ":5: templates[0]: name: 'gpus' must have {size} in it",
    ),
    "a size nobody knows": (
        SIZED.replace("perNode: {s: 2}", "perNode: {s: 2, z: 1}"),
        "nodes[1]: there is no size",
    ),
    "a size for no node": (
        SIZED.replace("l: 2}", "l: 2}").replace("m: 4, ", ""),
        "m-gpus: no perNode has the size 'm'",
    ),
    "one number for all sizes": (
        SIZED.replace("perNode: {s: 2}", "perNode: 2"),
        "must be a number for each size",
    ),
    "claims of one name": (SIDES.replace("back", "front"), "where there are several, each must have a name of its own"),
    "a claim without a name": (SIDES.replace("name: front, ", ""), "each must have a name of its own"),
    "a request nobody has": (
        SIZED.replace("{requests: [gpus], match", "{requests: [nics], match"),
        "claims[0]: there is no request 'nics'; there are: gpus",
    ),
    "an attribute without a domain": (PAIRS.replace("example.com/root", "root"), "must have a domain"),
    "no number of copies": (
        PAIRS.replace("repeat: 2", "repeat: 0"),
        "repeat must come to a number from 1 to 32, not 0",
    ),
    "too many copies": (
        PAIRS.replace("repeat: 2", f"repeat: {10**30}"),
        "repeat must come to a number from 1 to 32, not",
    ),
    "an amount that is none": (PAIRS.replace("share: 2", "share: two"), "Quantity"),
    "guardrails that are none": ("guardrails: {maxDevices: 0}\n", ":3: guardrails.maxDevices: must be a number from 1"),
    "a guardrail that is no CEL": (
        "guardrails:\n  selectors:\n    gpu: ['x =']\n",
        ":5: guardrails.selectors.gpu: 'x =' does not compile",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_catalog_is_refused_with_file_line_and_place(catalog, tmp_path, name):
    text, message = WRONG[name]
    with pytest.raises(ConfigError) as caught:
        catalog(text)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'catalog.yaml'}:")


def test_everything_that_is_wrong_is_said_at_once(catalog):
    with pytest.raises(ConfigError) as caught:
        catalog(ONE.replace("perNode: 8", "perNode: 8, node: 1").replace("title: One GPU", "titel: One GPU"))
    assert ":6: templates[0]: unknown key 'titel'" in str(caught.value)
    assert ":11: templates[0].nodes[0]: unknown key 'node'" in str(caught.value)


@pytest.mark.parametrize("text", ["kind: TemplateCatalog\n", "[]\n", "", HEAD + "---\n" + HEAD])
def test_a_file_that_is_no_catalog_is_refused(tmp_path, text):
    path = tmp_path / "catalog.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"catalog\.yaml"):
        read_catalog(path)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    path = tmp_path / "none.yaml"
    with pytest.raises(ConfigError) as caught:
        read_catalog(path)
    assert str(caught.value) == f"cannot read {path}: No such file or directory"


def test_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "catalog.yaml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not text in UTF-8"):
        read_catalog(path)


def test_names_that_nothing_answers_to_are_hints_with_file_line_and_place(catalog, tmp_path):
    guarded = ONE + "guardrails:\n  nodeTypes: [bgi]\n  selectors: {gpu.exmaple.com: []}\n"
    path = tmp_path / "catalog.yaml"
    assert hints(catalog(guarded), {"big"}, {"gpu.exampel.com"}) == [
        (
            f"{path}:9: templates[0].claims[0].requests[0].deviceClassName: no installed plugin has the device class "
            "'gpu.example.com'; did you mean 'gpu.exampel.com'?"
        ),
        f"{path}:11: templates[0].nodes[0].types[1]: no installed plugin knows the node type 'huge'",
        f"{path}:13: guardrails.nodeTypes[0]: no installed plugin knows the node type 'bgi'; did you mean 'big'?",
        (
            f"{path}:14: guardrails.selectors[gpu.exmaple.com]: no installed plugin has the device class "
            "'gpu.exmaple.com'; did you mean 'gpu.exampel.com'?"
        ),
    ]


def test_a_class_that_a_value_makes_is_hinted_at_once_with_its_template(catalog, tmp_path):
    text = SIZED.replace("deviceClassName: gpu", 'deviceClassName: "{vendor}"\n      #').replace(
        "values: {link: example.com/island}", "values: {link: example.com/island, vendor: gup.example.com}"
    )
    assert hints(catalog(text), {"big", "small"}, {"gpu.example.com"}) == [
        (
            f"{tmp_path / 'catalog.yaml'}:5: templates[0]: no installed plugin has the device class 'gup.example.com'; "
            "did you mean 'gpu.example.com'?"
        )
    ]


def test_what_is_known_is_no_hint(catalog):
    assert hints(catalog(ONE), {"big", "huge"}, {"gpu.example.com"}) == []
    assert hints(catalog(SIDES), {"big", "huge"}, {"gpu.example.com"}) == []
