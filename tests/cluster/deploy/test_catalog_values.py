"""Values of the catalog that contradict one another are refused by the real helm, with what to do about it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube.helm import CHART, Helm, HelmFailed

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

Values = dict[str, Any]
TEAM = ["team-a"]


def offer(**more: Any) -> Values:
    return {"nodeType": "trn2.48xlarge", "namespaces": TEAM} | more


def rendered(helm: Helm, catalog: Values, **values: Any) -> dict[tuple[str, str], Values]:
    documents = helm.template({"catalog": catalog} | values)
    return {(one["kind"], one["metadata"]["name"]): one for one in documents}


def templates(helm: Helm, catalog: Values, **values: Any) -> set[str]:
    return {name for kind, name in rendered(helm, catalog, **values) if kind == "ResourceClaimTemplate"}


@pytest.mark.parametrize(
    ("catalog", "message"),
    [
        ({"offers": [offer(nodeType="trn2.48xlrge")]}, "no template is for trn2.48xlrge; did you mean trn2.48xlarge?"),
        ({"offers": [offer(nodeType="m5.large")]}, "no template is for m5.large; there are g4dn.12xlarge, "),
        (
            {"offers": [offer(templates=["disagregated-inference-large"])]},
            (
                "there is no template disagregated-inference-large for trn2.48xlarge; did you mean "
                "disaggregated-inference-large or disaggregated-inference-medium or disaggregated-inference-small?"
            ),
        ),
        (
            {"offers": [offer(), offer(templates=["zz*"])]},
            "catalog.offers[1]: there is no template zz* for trn2.48xlarge",
        ),
        (
            {"offers": [offer(templates=["ultraserver-2"])]},
            "catalog.offers[0]: template ultraserver-2 is not for trn2.48xlarge, but for trn2u.48xlarge",
        ),
        (
            {"offers": [offer(templates=["shared-efa"])]},
            (
                'template shared-efa cannot be had: it takes the options {"sharing":{"shares":4}} of plugin efa, which '
                "config.backends does not have"
            ),
        ),
        (
            {"offers": [offer(nodeType="p5.48xlarge", templates=["aligned-efa-nvidia"])]},
            (
                "no plugin in config.backends has the DeviceClass gpu.nvidia.com; if another driver brings it, name it "
                "in catalog.otherDeviceClasses"
            ),
        ),
        ({"offers": [offer(namespaces=[])]}, "catalog.offers[0]: namespaces is empty, so nobody would find a template"),
        (
            {"offers": [offer(), offer(nodeType="trn1.32xlarge", templates=["xs"])]},
            (
                "catalog.offers[1]: namespace team-a has a template xs of catalog.offers[0] already; give one of the "
                "two a suffix"
            ),
        ),
        (
            {"offers": [offer(suffix="-" + "a" * 50)]},
            "is longer than 63 characters; take a shorter suffix",
        ),
        (
            {"offers": [offer()], "rendered": {"own.large": {}}},
            (
                "catalog.rendered has no templates for trn2.48xlarge, but for own.large; run `drakit template values` "
                "with --node trn2.48xlarge too"
            ),
        ),
        (
            {"offers": [offer()], "quotas": [{"namespaces": TEAM, "devices": {"neuron.aws.co": 1}}]},
            (
                "catalog.quotas[0]: no plugin in config.backends has the DeviceClass neuron.aws.co; there are "
                "neuron.aws.com, efa.networking.k8s.aws"
            ),
        ),
        (
            {"offers": [offer()], "quotas": [{"namespaces": ["team-b"], "claims": 1}]},
            "catalog.quotas[0]: no template is offered in namespace team-b, but in team-a",
        ),
        (
            {"offers": [offer()], "quotas": [{"namespaces": TEAM}]},
            "catalog.quotas[0]: bounds neither devices nor claims",
        ),
        (
            {"offers": [offer()], "quotas": [{"namespaces": TEAM, "claims": 1}] * 2},
            "catalog.quotas[1]: namespace team-a has a quota already; put the two together",
        ),
        (
            {"offers": [offer()], "roles": {"practitioners": [{"namespaces": TEAM}]}},
            "catalog.roles.practitioners[0]: names neither users nor groups",
        ),
        (
            {"offers": [offer()], "roles": {"practitioners": [{"namespaces": [], "users": ["one"]}]}},
            "catalog.roles.practitioners[0]: namespaces is empty; name some of team-a",
        ),
        (
            {"offers": [offer()], "roles": {"create": False, "platform": {"groups": ["platform"]}}},
            "catalog.roles: somebody is to have the roles, but create is false",
        ),
        ({"policy": {"enabled": True}}, "catalog.policy.enabled is set, but catalog.offers is empty"),
        ({"createNamespaces": True}, "catalog.createNamespaces is set, but catalog.offers is empty"),
        (
            {"offers": [offer()], "policy": {"enabled": True, "actions": ["Deny", "Warn"]}},
            "catalog.policy.actions: what is denied needs no warning; keep one of Deny and Warn",
        ),
        (
            {"offers": [offer()], "namespaceLabels": {"team": "a"}},
            "catalog.namespaceLabels is set, but only namespaces that are made here can be labelled",
        ),
        (
            {
                "offers": [offer()],
                "createNamespaces": True,
                "namespaceLabels": {"resource.kubernetes.io/admin-access": "true"},
            },
            "catalog.namespaceLabels: resource.kubernetes.io/admin-access would let practitioners reach devices",
        ),
        ({"offers": [{"nodeType": "trn2.48xlarge"}]}, "missing property 'namespaces'"),
        ({"offers": [offer(suffix="trn2")]}, "suffix': 'trn2' does not match pattern"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_do(helm: Helm, catalog: Values, message: str):
    with pytest.raises(HelmFailed, match=re.escape(message)):
        helm.template({"catalog": catalog})


def test_without_offers_nothing_of_the_catalog_is_made(helm: Helm):
    made = {
        kind for kind, name in rendered(helm, {}) if "catalog" in name or "platform" in name or "practition" in name
    }
    assert made == set()
    assert templates(helm, {}) == set()


def test_all_that_fit_are_those_whose_options_and_classes_are_there(helm: Helm):
    catalog = {"offers": [offer(nodeType="p5.48xlarge")]}
    alone = templates(helm, catalog)
    assert alone == {"single-efa", "all-efas"}
    assert templates(helm, catalog | {"otherDeviceClasses": ["gpu.nvidia.com"]}) == alone | {
        *("aligned-efa-nvidia", "gpu-efa-s", "gpu-efa-m", "gpu-efa-l")
    }
    sharing = {"backends": [{"plugin": "efa", "options": {"sharing": {"shares": 4}}}]}
    assert templates(helm, catalog, config=sharing) == alone | {"shared-efa"}
    other = {"backends": [{"plugin": "efa", "options": {"sharing": {"shares": 2}}}]}
    assert templates(helm, catalog, config=other) == alone


def test_a_pattern_stands_for_names_and_a_dot_for_itself(helm: Helm):
    assert templates(helm, {"offers": [offer(templates=["?-efa", "x*1"])]}) == {
        *("s-efa", "m-efa", "l-efa"),
        *("xs-lnc1", "xl-lnc1"),
    }
    with pytest.raises(HelmFailed, match=re.escape("there is no template .-efa")):
        helm.template({"catalog": {"offers": [offer(templates=[".-efa"])]}})


def test_a_suffix_follows_the_name_and_goes_before_what_the_claim_is_for(helm: Helm):
    found = rendered(helm, {"offers": [offer(templates=["disaggregated-inference-small"], suffix="-trn2")]})
    one = found["ResourceClaimTemplate", "disaggregated-inference-small-trn2-prefill"]
    assert one["metadata"]["labels"]["drakit/template"] == "disaggregated-inference-small"
    assert one["spec"]["metadata"]["labels"] == {"drakit/template": "disaggregated-inference-small"}


def test_large_numbers_stay_whole_numbers(helm: Helm):
    devices = {
        "requests": [{"name": "it", "exactly": {"deviceClassName": "neuron.aws.com", "count": 1}}],
        "config": [{"opaque": {"driver": "neuron.aws.com", "parameters": {"bytes": 80_000_000_000}}}],
    }
    own = {"large": {"big": {"title": "Big", "claims": {"big": devices}}}}
    found = rendered(helm, {"rendered": own, "offers": [offer(nodeType="large")], "policy": {"enabled": True}})
    assert found["ResourceClaimTemplate", "big"]["spec"]["spec"]["devices"] == devices
    variables = found["ValidatingAdmissionPolicy", "drakit-catalog"]["spec"]["variables"]
    assert "dyn(80000000000)" in variables[-1]["expression"]


def test_roles_go_to_nobody_and_into_no_other_role_unless_told(helm: Helm):
    before = {name for kind, name in rendered(helm, {}) if kind.endswith("Binding")}
    found = rendered(helm, {"offers": [offer()]})
    assert {name for kind, name in found if kind.endswith("Binding")} == before

    def aggregated(found: dict[tuple[str, str], Values]) -> dict[str, list[str]]:
        roles = {name: one["metadata"]["labels"] for (kind, name), one in found.items() if kind == "ClusterRole"}
        labels = {name: [label for label in of if "aggregate" in label] for name, of in roles.items()}
        return {name: of for name, of in labels.items() if of}

    assert aggregated(found) == {}
    told = rendered(helm, {"offers": [offer()], "roles": {"aggregate": True}})
    assert aggregated(told) == {"drakit-device-reader": ["rbac.authorization.k8s.io/aggregate-to-view"]}


def test_a_trial_of_the_policy_denies_nothing(helm: Helm):
    policy = {"enabled": True, "actions": ["Warn", "Audit"]}
    found = rendered(helm, {"offers": [offer()], "policy": policy})
    actions = [
        one["spec"]["validationActions"]
        for (kind, name), one in found.items()
        if kind == "ValidatingAdmissionPolicyBinding" and "catalog" in name
    ]
    assert actions == [["Warn", "Audit"]] * 2


def test_the_example_renders_and_has_what_it_says(helm: Helm):
    path = CHART / "ci/catalog-values.yaml"
    found = {(one["kind"], one["metadata"]["name"]): one for one in helm.template(path)}
    offers = yaml.safe_load(path.read_text())["catalog"]["offers"]
    assert ("ResourceClaimTemplate", f"l-efa{offers[1]['suffix']}") in found
    hard = found["ResourceQuota", "drakit-devices"]["spec"]["hard"]
    assert hard["neuron.aws.com.deviceclass.resource.k8s.io/devices"] == "16"
    assert helm.run("lint", str(CHART), "--values", str(path), "--namespace", "drakit")


PAGE = (Path(__file__).parents[3] / "docs/templates.md").read_text()
EXAMPLES = [block for block in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL) if block.startswith("catalog:")]


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_values_of_the_page_are_taken(helm: Helm, example: str):
    values = yaml.safe_load(example)
    assert templates(helm, values["catalog"])


def test_the_page_has_the_name_of_everything_that_is_made(helm: Helm):
    catalog = yaml.safe_load(EXAMPLES[-1])["catalog"]
    made = rendered(helm, catalog).keys() - rendered(helm, {}).keys()
    kinds = ("ClusterRole", "ResourceQuota", "ValidatingAdmissionPolicy")
    named = {(kind, name) for kind, name in re.findall(r"^\| (\w+) `([\w-]+)`", PAGE, re.MULTILINE)}
    assert {one for one in made if one[0] in kinds} - named == {("ValidatingAdmissionPolicy", "drakit-catalog-pods")}
    assert named <= made
