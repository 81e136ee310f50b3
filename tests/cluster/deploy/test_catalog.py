"""Claim templates reach practitioners by the chart, on a real control plane and put there by the real helm."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from realkube import artifacts
from realkube.api import Api, Document, Refused
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.helm import Helm, HelmFailed
from realkube.kubernetes import Kubernetes
from realkube.waiting import until

from tests.cluster.deploy.practice import (
    LARGE,
    add_node,
    allocated,
    binding,
    claim,
    exactly,
    pod,
    put,
    refusal,
    template,
    told,
)

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

TEAM, SMALL, OPEN, ELSEWHERE = "team-a", "team-b", "team-c", "elsewhere"
OLDER = "resource.k8s.io/v1beta1"
NODES = {"trn2-1": "trn2.48xlarge", "trn2-2": "trn2.48xlarge", "trn1-1": "trn1.32xlarge"}
GROUP = "resource.aws.com/devicegroup8_id"
OFFER = {"nodeType": "trn2.48xlarge", "templates": [f"{LARGE[:-5]}*", "xs"], "namespaces": [TEAM]}
VALUES: dict[str, Any] = {
    "catalog": {
        "offers": [
            OFFER,
            {"nodeType": "trn2.48xlarge", "templates": ["s-efa", "xs"], "namespaces": [SMALL]},
            {"nodeType": "trn1.32xlarge", "templates": ["s-efa"], "namespaces": [SMALL], "suffix": "-trn1"},
        ],
        "createNamespaces": True,
        "roles": {
            "platform": {"groups": ["platform"]},
            "practitioners": [
                {"namespaces": [TEAM], "groups": ["science"]},
                {"namespaces": [SMALL], "users": ["intern"]},
            ],
        },
        "quotas": [{"namespaces": [SMALL], "devices": {"neuron.aws.com": 3}, "claims": 5}],
        "policy": {"enabled": True},
    }
}
BY_HAND = exactly(1)
LIKE_NO_TEMPLATE = f"it is like no template of the catalog of namespace {TEAM}; have pods name one"


@pytest.fixture(scope="module")
def practice(components: tuple[Kubernetes, Debian], helm: Helm, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster with the release, whose practitioners may have pods, and whose nodes run nothing."""
    with Cluster(*components, nodes=0, apis=[OLDER]) as cluster, artifacts.kept_on_failure(cluster, request.session):
        api = cluster.api
        for name, node_type in NODES.items():
            add_node(api, name, node_type)
        api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": ELSEWHERE}})
        put(cluster, "drakit", VALUES)
        for namespace, subject in ((TEAM, ("Group", "science")), (SMALL, ("User", "intern"))):
            api.create(binding("edit", namespace, *subject))
        until("the policy to hold", lambda: refusal(api.impersonating("scientist", "science"), claim(BY_HAND), TEAM))
        yield cluster


@pytest.fixture(scope="module")
def admin(practice: Cluster) -> Api:
    """The administrator."""
    return practice.api


@pytest.fixture(scope="module")
def scientist(admin: Api) -> Api:
    """A practitioner of the first team."""
    return admin.impersonating("scientist", "science")


@pytest.fixture(scope="module")
def intern(admin: Api) -> Api:
    """A practitioner of the second."""
    return admin.impersonating("intern")


@pytest.fixture(scope="module")
def platform(admin: Api) -> Api:
    """Somebody of the platform team."""
    return admin.impersonating("keeper", "platform")


def devices_of(api: Api, name: str, namespace: str = TEAM) -> Document:
    found: Document = api.get("ResourceClaimTemplate", name, namespace)["spec"]["spec"]["devices"]
    return found


def test_pods_that_name_a_template_get_its_devices(scientist: Api, admin: Api):
    for side in ("prefill", "decode"):
        scientist.create(pod(side, f"{LARGE}-{side}"), TEAM)
    groups = {}
    for side in ("prefill", "decode"):
        node, (found,) = allocated(admin, TEAM, side)
        assert found["metadata"]["labels"] == {"drakit/template": LARGE}
        results = found["status"]["allocation"]["devices"]["results"]
        assert [one["request"] for one in results] == ["neurons"] * 8 + ["efas"] * 8
        attributes = published(admin, node)
        values = {attributes[one["driver"], one["device"]][GROUP]["string"] for one in results}
        assert len(values) == 1, "all of one group of eight"
        groups[side] = (node, *values)
    assert groups["prefill"] != groups["decode"]


def published(api: Api, node: str) -> dict[tuple[str, str], Document]:
    found = api.list("ResourceSlice", fieldSelector=f"spec.nodeName={node}")
    return {(it["spec"]["driver"], one["name"]): one["attributes"] for it in found for one in it["spec"]["devices"]}


def test_a_claim_written_by_hand_is_refused_and_so_is_a_template(scientist: Api):
    assert LIKE_NO_TEMPLATE in refusal(scientist, claim(BY_HAND), TEAM)
    assert LIKE_NO_TEMPLATE in refusal(scientist, template(BY_HAND), TEAM)
    assert "kubectl get resourceclaimtemplates -n team-a" in refusal(scientist, claim(BY_HAND), TEAM)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda devices: devices["requests"][0]["exactly"].update(count=9), id="more devices"),
        pytest.param(lambda devices: devices["requests"][0]["exactly"].update(allocationMode="All", count=0), id="all"),
        pytest.param(lambda devices: devices["requests"][0]["exactly"].pop("selectors"), id="without a selector"),
        pytest.param(lambda devices: devices.pop("constraints"), id="without a constraint"),
        pytest.param(lambda devices: devices.pop("config"), id="without configuration"),
        pytest.param(
            lambda devices: devices["config"][0]["opaque"]["parameters"].update(logicalNeuronCore=1),
            id="configured otherwise",
        ),
        pytest.param(
            lambda devices: devices["requests"][0]["exactly"].update(tolerations=[{"operator": "Exists"}]),
            id="tolerating taints",
        ),
    ],
)
def test_a_claim_that_differs_from_a_template_anywhere_is_refused(scientist: Api, change: Callable[[Document], object]):
    devices = devices_of(scientist, f"{LARGE}-prefill")
    assert refusal(scientist, claim(devices), TEAM) == ""
    change(devices)
    labelled = claim(devices, **{"drakit/template": LARGE})
    assert LIKE_NO_TEMPLATE in refusal(scientist, labelled, TEAM)


def test_a_claim_like_a_template_is_admitted_with_what_the_server_adds(scientist: Api):
    devices = devices_of(scientist, "xs")
    for request in devices["requests"]:
        del request["exactly"]["allocationMode"], request["exactly"]["count"]
    assert refusal(scientist, claim(devices), TEAM) == ""
    assert refusal(scientist, template(devices), TEAM) == ""


def test_a_claim_of_an_older_version_is_held_to_the_same(scientist: Api):
    path = f"/apis/{OLDER}/namespaces/{TEAM}/resourceclaims?dryRun=All"

    def older(count: int) -> Document:
        asked = {**devices_of(scientist, "xs")["requests"][0]["exactly"], "count": count}
        devices = {**devices_of(scientist, "xs"), "requests": [{"name": "neurons", **asked}]}
        return claim(devices) | {"apiVersion": OLDER}

    scientist.call("POST", path, older(1))
    with pytest.raises(Refused, match=LIKE_NO_TEMPLATE):
        scientist.call("POST", path, older(2))


def test_a_template_that_is_offered_in_another_namespace_is_none_here(scientist: Api, intern: Api):
    large = devices_of(scientist, f"{LARGE}-prefill")
    assert f"the catalog of namespace {SMALL}" in refusal(intern, claim(large), SMALL)
    assert refusal(intern, claim(devices_of(intern, "s-efa-trn1", SMALL)), SMALL) == ""


def test_practitioners_get_no_admin_access(scientist: Api):
    devices = devices_of(scientist, "xs")
    devices["requests"][0]["exactly"]["adminAccess"] = True
    assert refusal(scientist, claim(devices), TEAM)
    for namespace in (TEAM, SMALL):
        labels = scientist.impersonating("admin", "system:masters").get("Namespace", namespace)["metadata"]["labels"]
        assert "resource.kubernetes.io/admin-access" not in labels


def test_the_platform_team_may_write_any_claim_template_and_class(platform: Api, scientist: Api):
    assert refusal(platform, claim(BY_HAND), TEAM) == ""
    assert refusal(platform, template(BY_HAND), TEAM) == ""
    selectors = [{"cel": {"expression": "device.driver == 'example.com'"}}]
    own = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "own.example.com"}}
    document = {**own, "spec": {"selectors": selectors}}
    assert refusal(platform, document, "") == ""
    assert "cannot create resource" in refusal(scientist, document, "")
    assert platform.list("ResourceSlice", "")


def test_nobody_makes_themselves_of_the_platform_team(admin: Api):
    admin.create(binding("admin", TEAM, "User", "lead"))
    lead = admin.impersonating("lead")
    until("the lead to have rights", lambda: lead.list("RoleBinding", TEAM))
    assert "is attempting to grant RBAC permissions not currently held" in refusal(
        lead, binding("drakit-platform", TEAM, "User", "lead"), TEAM
    )
    assert LIKE_NO_TEMPLATE in refusal(lead, claim(BY_HAND), TEAM)


def test_a_claim_cannot_be_changed(scientist: Api):
    made = scientist.create(claim(devices_of(scientist, "xs"), "fixed"), TEAM)
    made["metadata"]["labels"] = {"of": "mine"}
    made = scientist.replace(made)
    made["spec"]["devices"]["requests"][0]["exactly"]["count"] = 2
    with pytest.raises(Refused, match="immutable"):
        scientist.replace(made)
    scientist.delete("ResourceClaim", "fixed", TEAM)


def test_outside_the_catalog_nothing_is_refused(admin: Api):
    stranger = admin.impersonating("stranger")
    admin.create(binding("edit", ELSEWHERE, "User", "stranger"))
    assert refusal(stranger, claim(BY_HAND), ELSEWHERE) == ""


def test_a_template_that_is_not_of_the_catalog_gives_no_claims_whoever_wrote_it(platform: Api, scientist: Api):
    platform.create(template(BY_HAND, "unpublished"), TEAM)
    scientist.create(pod("unpublished", "unpublished"), TEAM)
    assert LIKE_NO_TEMPLATE in told(
        platform.impersonating("admin", "system:masters"), TEAM, "unpublished", "no template"
    )


def test_devices_cannot_be_had_as_an_extended_resource(scientist: Api, admin: Api):
    for kind in ("containers", "initContainers"):
        asking = pod("extended")
        limits = {"limits": {"cpu": "1", "deviceclass.resource.kubernetes.io/neuron.aws.com": "1"}}
        asking["spec"][kind] = [{"name": "asks", "image": "none", "resources": limits}]
        asking["spec"].setdefault("containers", [{"name": "main", "image": "none"}])
        message = refusal(scientist, asking, TEAM)
        assert "not as deviceclass.resource.kubernetes.io/neuron.aws.com; name one that `kubectl get" in message
        assert refusal(admin, asking, ELSEWHERE) == ""


def test_a_namespace_gets_no_more_devices_than_its_quota(intern: Api, admin: Api):
    intern.create(pod("first", "s-efa"), SMALL)
    allocated(admin, SMALL, "first")
    intern.create(pod("second", "s-efa-trn1"), SMALL)
    message = told(admin, SMALL, "second", "exceeded quota")
    asked = "requested: neuron.aws.com.deviceclass.resource.k8s.io/devices=2"
    assert f"exceeded quota: drakit-devices, {asked}" in message
    assert "limited: neuron.aws.com.deviceclass.resource.k8s.io/devices=3" in message
    intern.create(pod("third", "xs"), SMALL)
    allocated(admin, SMALL, "third")


@pytest.mark.parametrize(
    ("kind", "namespace"),
    [("ResourceClaimTemplate", TEAM), ("ResourceClaim", TEAM), ("DeviceClass", ""), ("ResourceSlice", "")],
)
def test_practitioners_see_what_they_claim_from_and_no_more(admin: Api, kind: str, namespace: str):
    reader = admin.impersonating("reader", "science")
    assert isinstance(reader.list(kind, namespace), list)
    with pytest.raises(Refused):
        admin.impersonating("stranger").list(kind, namespace)
    if namespace:
        with pytest.raises(Refused):
            reader.list(kind, SMALL)


def test_the_api_server_has_nothing_to_say_of_the_policies(admin: Api):
    policies = [one for one in admin.list("ValidatingAdmissionPolicy") if "catalog" in one["metadata"]["name"]]
    assert {one["metadata"]["name"] for one in policies} == {"drakit-catalog", "drakit-catalog-pods"}
    for policy in policies:
        name = policy["metadata"]["name"]
        status = until(f"{name} to be checked", lambda name=name: type_checked(admin, name))  # type: ignore[misc]
        assert status["typeChecking"] == {}


def type_checked(api: Api, name: str) -> Document | None:
    status: Document = api.get("ValidatingAdmissionPolicy", name).get("status", {})
    return status if "typeChecking" in status else None


def test_a_namespace_that_is_not_there_is_named(practice: Cluster, admin: Api):
    offers = [OFFER | {"namespaces": ["team-x"]}]
    with pytest.raises(HelmFailed, match="there is no namespace team-x in the cluster; create it, or have all of them"):
        put(practice, "drakit", {"catalog": {"offers": offers}})
    assert admin.find("ResourceClaimTemplate", "xs", TEAM), "nothing of the release was changed"


def test_the_scheduler_claims_for_extended_resources_only_where_they_are_let_in(practice: Cluster, admin: Api):
    catalog = {
        "offers": [OFFER | {"namespaces": [OPEN]}],
        "createNamespaces": True,
        "policy": {"enabled": True, "extendedResources": True},
    }
    put(practice, "second", {"fullnameOverride": "second", "deviceClasses": {"create": False}, "catalog": catalog})
    scientist = admin.impersonating("scientist", "science")
    admin.create(binding("edit", OPEN, "Group", "science"))
    until("the policy to hold", lambda: refusal(scientist, claim(BY_HAND), OPEN))
    spec = {"extendedResourceName": "example.com/any", "selectors": [{"cel": {"expression": "true"}}]}
    metadata = {"name": "any.example.com"}
    admin.create({"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": metadata, "spec": spec})
    for namespace in (OPEN, TEAM):
        scientist.create(pod("extended", resources={"limits": {"example.com/any": "1"}}), namespace)
    _, (found,) = allocated(admin, OPEN, "extended")
    assert found["metadata"]["annotations"]["resource.kubernetes.io/extended-resource-claim"] == "true"
    assert LIKE_NO_TEMPLATE in told(admin, TEAM, "extended", "no template")
