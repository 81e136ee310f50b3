"""`drakit check --cluster`: which nodes are ready to switch, what must be drained, and what could not be read."""

from __future__ import annotations

import pytest
from attrs import evolve
from drakit.cli.switchover.commands import away
from drakit.cli.switchover.declared import API_VERSION, FILE_NAME, KIND, Migration
from drakit.cli.switchover.features import features, has_extended_resources
from drakit.decoding import read_document, read_yaml
from drakit.kube.inspection import RESOURCES, Inspection
from drakit.loading import load_installed

from tests.cli.clusters import (
    AWS_DRIVER,
    DRANET,
    EFA,
    NEURON,
    NEURONS,
    OURS,
    PLUGIN_NODE,
    claim,
    daemons,
    document,
    limited,
    node,
    pod,
    slice_of,
    the_node,
    the_workload,
    with_claim,
)


@pytest.mark.parametrize(
    ("objects", "verdict", "reason"),
    [
        ([PLUGIN_NODE], "ready to switch", "a device plugin offers aws.amazon.com/neuron, aws.amazon.com/neuroncore"),
        ([PLUGIN_NODE, pod("p", "n", limits=limited(neurons=1))], "drain first", "pod default/p has devices"),
        ([node("n"), slice_of("n", NEURON, AWS_DRIVER)], "ready to switch", "AWS's Neuron DRA driver serves it"),
        (
            [node("n"), slice_of("n", NEURON, AWS_DRIVER), claim("c", "n", NEURON), with_claim("p", "n", "c")],
            "ready to switch",
            "pod default/p has devices, and may keep them: it hands devices out by CDI files",
        ),
        ([node("n"), slice_of("n", EFA, DRANET)], "ready to switch", "DRANET serves it, and no claim has any of it"),
        (
            [node("n"), slice_of("n", EFA, DRANET), claim("c", "n", EFA), with_claim("p", "n", "c")],
            "drain first",
            "pod default/p has devices from DRANET: it attaches adapters by NRI",
        ),
        (
            [node("n"), slice_of("n", EFA, DRANET), claim("c", "n", EFA)],
            "drain first",
            "no pod, but claim default/c has devices from DRANET",
        ),
        (
            [node("n"), slice_of("n", NEURON, "strange"), claim("c", "n", NEURON), with_claim("p", "n", "c")],
            "drain first",
            "a driver that is not known here (strange): whether its pods run on under another driver is not known",
        ),
        (
            [node("n"), claim("c", "n", EFA), with_claim("p", "n", "c")],
            "drain first",
            "pod default/p has devices from a driver that is gone",
        ),
        ([node("n", kubelet="v1.33.4"), slice_of("n", EFA, DRANET)], "upgrade first", "Kubernetes 1.34 and later"),
        ([node("n"), slice_of("n", NEURON, OURS), claim("c", "n", NEURON)], "nothing to do", ""),
        ([PLUGIN_NODE, slice_of("n", NEURON, OURS)], "ready to switch", "a device plugin offers"),
        ([node("n", nvidia_com__gpu=8), slice_of("n", "gpu.nvidia.com", "nvidia")], "nothing to do", ""),
        ([node("n", aws_amazon_com__neuron=0)], "nothing to do", ""),
    ],
)
def test_a_node_is_judged_by_what_serves_it_and_who_has_its_devices(check, objects, verdict, reason):
    found = check(*objects)
    one = the_node(found)
    assert one["verdict"] == verdict
    assert reason in "; ".join(one["reasons"])
    assert found.code == (verdict != "nothing to do")


def test_the_worst_of_what_is_on_a_node_decides(check):
    found = check(
        node("n", aws_amazon_com__neuron=16),
        slice_of("n", EFA, DRANET),
        claim("c", "n", EFA),
        with_claim("p", "n", "c"),
    )
    one = the_node(found)
    assert one["verdict"] == "drain first"
    assert [it["verdict"] for it in one["served"]] == ["drain first", "ready to switch"]


def test_pods_that_have_ended_and_pods_elsewhere_are_in_nobodys_way(check):
    over = pod("over", "n", limits=limited(neurons=1))
    over["status"] = {"phase": "Succeeded"}
    found = check(PLUGIN_NODE, over, pod("elsewhere", "m", limits=limited(neurons=1)))
    assert the_node(found)["verdict"] == "ready to switch"


def test_a_pod_that_has_its_extended_resource_by_a_claim_is_no_pod_of_a_device_plugin(check):
    mapped = pod("p", "n", limits=limited(neurons=2))
    mapping = {"resourceName": NEURONS, "containerName": "c", "requestName": "container-0-request-0"}
    mapped["status"]["extendedResourceClaimStatus"] = {"resourceClaimName": "c", "requestMappings": [mapping]}
    found = check(node("n"), slice_of("n", NEURON, AWS_DRIVER), claim("c", "n", NEURON), mapped)
    assert the_node(found)["served"][0]["pods"] == ["default/p"]
    assert the_node(found)["served"][0]["podsOfDevicePlugins"] == []
    assert the_workload(found)["change"] == "keep as it is"


def test_who_wrote_a_slice_last_has_it(check):
    taken = slice_of("n", NEURON, AWS_DRIVER)
    taken["metadata"]["managedFields"].append(
        {"manager": OURS, "operation": "Update", "time": "2026-02-01T12:00:00Z", "fieldsType": "FieldsV1"}
    )
    assert the_node(check(node("n"), taken))["served"][0]["by"] == "drakit"


def test_without_field_managers_a_driver_is_known_by_what_runs_on_the_node(check):
    bare = slice_of("n", EFA, DRANET)
    del bare["metadata"]["managedFields"]
    found = check(node("n"), bare, pod("driver", "n", image="registry.example.com/eks/dranet:v1.2.0@sha256:00"))
    assert the_node(found)["served"][0]["by"] == "DRANET"


def test_quotas_policies_webhooks_and_whoever_may_write_slices_are_named(check):
    rules = [{"apiGroups": ["resource.k8s.io"], "resources": ["resourceslices"], "verbs": ["create"]}]
    role = document("ClusterRole", "dranet", version="rbac.authorization.k8s.io/v1", rules=rules)
    subjects = [{"kind": "ServiceAccount", "name": "dranet", "namespace": "net"}]
    binding = document(
        "ClusterRoleBinding",
        "dranet",
        version="rbac.authorization.k8s.io/v1",
        roleRef={"kind": "ClusterRole", "name": "dranet"},
        subjects=subjects,
    )
    everything = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]
    check(document("ClusterRole", "admin", version="rbac.authorization.k8s.io/v1", rules=everything))
    check(
        document(
            "ClusterRoleBinding",
            "admin",
            version="rbac.authorization.k8s.io/v1",
            roleRef={"kind": "ClusterRole", "name": "admin"},
            subjects=[{"kind": "User", "name": "root"}],
        )
    )
    matching = {"apiGroups": ["resource.k8s.io"], "resources": ["resourceclaims"]}
    policy = document(
        "ValidatingAdmissionPolicy",
        "claims",
        version="admissionregistration.k8s.io/v1",
        spec={"matchConstraints": {"resourceRules": [matching]}},
    )
    webhook = document(
        "ValidatingWebhookConfiguration",
        "hook",
        version="admissionregistration.k8s.io/v1",
        webhooks=[{"name": "hook.example.com", "rules": [matching], "failurePolicy": "Ignore"}],
    )
    quota = document("ResourceQuota", "team", "default", spec={"hard": {f"requests.{NEURONS}": "16", "cpu": "8"}})
    found = check(role, binding, policy, webhook, quota)
    assert [(one["what"], one["found"]) for one in found.json["facts"]] == [
        ("may write ResourceSlices", "net/dranet; take it from drivers that are gone"),
        ("admission policy claims", "looks at resourceclaims; it has no binding, and so no effect"),
        ("webhook hook.example.com", "looks at resourceclaims; where it does not answer: Ignore"),
        (
            "quota default/team",
            f"requests.{NEURONS}=16 does not count claims: set {NEURON}.deviceclass.resource.k8s.io/devices beside it",
        ),
    ]


def test_what_drakit_takes_the_place_of_is_found_by_its_image(check):
    found = check(
        daemons("plugin", "public.ecr.aws/neuron/neuron-device-plugin:2.1"),
        daemons("driver", "public.ecr.aws/neuron/neuron-dra-driver@sha256:00"),
        daemons("other", "example.com/other"),
    )
    assert [(one["what"], one["name"]) for one in found.json["present"]] == [
        ("AWS's Neuron DRA driver", "kube-system/driver"),
        ("device plugin beside neuron.aws.com", "kube-system/plugin"),
    ]
    assert "patch daemonset plugin --type=json" in found.json["present"][1]["keepAway"]


AWAY = {"key": "drakit/node", "operator": "DoesNotExist"}
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
TERMS = f"/spec/template/spec/affinity/nodeAffinity/{REQUIRED}/nodeSelectorTerms"


@pytest.mark.parametrize(
    ("affinity", "paths"),
    [
        ({}, ["/spec/template/spec/affinity"]),
        ({"podAffinity": {}}, ["/spec/template/spec/affinity/nodeAffinity"]),
        ({"nodeAffinity": {"preferred": []}}, [f"/spec/template/spec/affinity/nodeAffinity/{REQUIRED}"]),
        (
            {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a"}]}, {}]}}},
            [f"{TERMS}/0/matchExpressions/-", f"{TERMS}/1/matchExpressions"],
        ),
        ({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": [{"matchExpressions": [AWAY]}]}}}, []),
    ],
)
def test_others_are_kept_away_beside_what_they_say_of_nodes_themselves(affinity, paths):
    assert [one["path"] for one in away(daemons("d", "i", affinity=affinity))] == paths


@pytest.mark.parametrize(
    ("objects", "commands"),
    [
        (
            [PLUGIN_NODE],
            ["kubectl cordon n", "kubectl label node n drakit/node=true", "kubectl uncordon n"],
        ),
        (
            [PLUGIN_NODE, pod("p", "n", limits=limited(neurons=1))],
            [
                "kubectl drain n --ignore-daemonsets --delete-emptydir-data",
                "kubectl label node n drakit/node=true",
                "kubectl uncordon n",
            ],
        ),
        ([node("n"), slice_of("n", NEURON, OURS)], []),
    ],
)
def test_each_node_has_the_commands_of_its_verdict(check, objects, commands):
    assert the_node(check(*objects))["commands"] == commands


def test_a_cluster_where_all_is_done_is_good(check):
    found = check(node("n"), slice_of("n", NEURON, OURS), claim("c", "n", NEURON), with_claim("p", "n", "c"))
    assert (found.code, found.json["nothingToDo"]) == (0, True)
    assert the_workload(found)["change"] == "keep as it is"


@pytest.mark.parametrize("kind", RESOURCES)
def test_what_may_not_be_read_is_told_and_the_rest_goes_on(check, cluster, kind):
    cluster.fail(status=403, path_contains=f"/{RESOURCES[kind].plural}", message="nobody may")
    found = check(PLUGIN_NODE, slice_of("n", EFA, DRANET), pod("p", "n", limits=limited(neurons=1)))
    assert kind in [one["what"] for one in found.json["unread"]]
    assert found.code == 1
    if kind != "Node":
        unknown = ("Pod", "ResourceClaim")
        assert the_node(found)["verdict"] == ("not known" if kind in unknown else "drain first")


def test_without_claims_a_node_of_a_driver_whose_pods_must_leave_is_not_judged(check, cluster):
    cluster.fail(status=403, path_contains="/resourceclaims")
    found = check(node("n"), slice_of("n", EFA, DRANET))
    assert the_node(found)["verdict"] == "not known"
    assert "could not be read" in the_node(found)["reasons"][0]


def test_the_cluster_is_only_read(check, cluster):
    check(PLUGIN_NODE)
    assert {method for method, _ in cluster.requests} == {"GET"}
    assert not [path for _, path in cluster.requests if "secrets" in path or "configmaps" in path]


def test_a_cluster_without_the_api_cannot_be_switched(check, cluster):
    cluster.fail(status=404, path_contains="/apis/resource.k8s.io", next=6)
    found = check(PLUGIN_NODE, args=())
    assert found.code == 1
    assert "Not possible: the cluster does not serve resource.k8s.io, and drakit needs resource.k8s.io/v1" in found.out
    assert found.out.rstrip().endswith("In all: 1 node upgrade first")
    assert "kubectl cordon" not in found.out


def test_a_server_that_is_away_or_does_not_know_us_is_bad_input(check, cluster):
    cluster.fail(status=401, next=99)
    assert (found := check()).code == 2
    assert "renew the credentials of the kubeconfig" in found.err
    cluster.recover()
    cluster.pause()
    assert (found := check()).code == 2
    assert "the cluster cannot be read" in found.err
    assert "cannot be reached" in found.err


def test_without_a_kubeconfig_there_is_no_cluster(drakit):
    found = drakit("check", "--cluster")
    assert (found.code, found.out) == (2, "")
    assert "KUBECONFIG is not set" in found.err


@pytest.mark.parametrize("flag", ["--root", "--node-name"])
def test_a_cluster_is_not_looked_at_together_with_a_node(drakit, tmp_path, flag):
    found = drakit("check", "--cluster", flag, tmp_path)
    assert found.code == 2
    assert "say different things" in found.err


def test_people_are_told_the_verdict_of_nodes_alike_in_one_row(check):
    nodes = [one for index in range(9) for one in (node(f"n{index}"), slice_of(f"n{index}", NEURON, AWS_DRIVER))]
    found = check(*nodes, node("plain"), args=())
    assert "n0, n1, n2, n3 and 5 more" in found.out
    assert found.out.count("kubectl cordon") == 1
    assert "likewise n1, n2, n3, n4 and 4 more" in found.out
    assert "Other nodes: 1, without hardware of drakit's plugins" in found.out
    assert found.out.rstrip().endswith("In all: 9 nodes ready to switch")


def test_the_configuration_says_which_drivers_and_classes_are_meant(check, write_config):
    config = write_config({"plugin": "efa", "driver": "efa.example.com", "deviceClass": "adapters"})
    found = check(
        node("n", vpc_amazonaws_com__efa=4, aws_amazon_com__neuron=16),
        pod("p", "n", limits=limited(adapters=2)),
        args=("--config", str(config), "-o", "json"),
    )
    (served,) = the_node(found)["served"]
    assert served["driver"] == "efa.example.com"
    assert the_node(found)["elsewhere"] == ["aws.amazon.com/neuron: 16 (device plugin)"]
    assert the_workload(found)["becomes"]["devices"] == {"adapters": 2}


NOTHING = Inspection(server="", release="", served=("v1",), schema=None, gates=None, documents={}, unread={})
SCHEMA = {
    "components": {"schemas": {"io.k8s.api.resource.v1.DeviceClassSpec": {"properties": {"extendedResourceName": {}}}}}
}


@pytest.mark.parametrize(
    ("changes", "state", "can"),
    [
        ({}, "not known", None),
        ({"schema": SCHEMA}, "known", None),
        ({"schema": {}}, "absent", False),
        ({"gates": {"DRAExtendedResource": True}}, "on", True),
        ({"gates": {"DRAExtendedResource": False}, "schema": SCHEMA}, "off", False),
        ({"gates": {"Other": True}, "schema": SCHEMA}, "on", True),
    ],
)
def test_a_feature_is_what_the_server_says_of_its_gate_or_its_fields(changes, state, can):
    found = evolve(NOTHING, **changes)
    assert {one.gate: one.state for one in features(found)}["DRAExtendedResource"] == state
    assert has_extended_resources(found) is can


@pytest.mark.parametrize("name", ["efa", "neuron"])
def test_what_a_plugin_gives_way_to_is_what_it_says_would_become_of_it(name):
    declarations = load_installed().loaded[name].declarations
    migration = read_document(declarations.data / FILE_NAME, Migration, API_VERSION, KIND)
    assert {one.resource for one in migration.device_plugins} == set(declarations.device_plugin_resources)
    paths = (declarations.data / "deviceclasses").glob("*.yaml")
    classes = {one["metadata"]["name"] for path in paths for one in read_yaml(path)}
    assert {one.device_class for one in migration.device_plugins} <= classes
    resources = {one.resource for one in migration.device_plugins}
    assert {whole for one in migration.device_plugins for whole in one.part_of} <= resources
