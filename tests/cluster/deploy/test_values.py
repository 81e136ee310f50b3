"""What the real helm makes of values: those that contradict each other are refused, and the message says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from attrs import evolve
from drakit.assembly import assemble
from drakit.classes import device_classes
from drakit.decoding import load_yaml
from drakit.loading import load_installed
from drakit.plan.cel import compile_selector
from drakit.settings import parse_settings
from drakit.vitals.web import PATIENCE_SECONDS
from realkube.helm import CHART, Document, Helm, HelmFailed

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

COMBINATIONS = sorted((CHART / "ci").glob("*-values.yaml"))
NEURON: Mapping[str, Any] = {"plugin": "neuron"}
FOREIGN: Mapping[str, Any] = {"plugin": "acme", "driver": "acme.example.com"}
ACME: Mapping[str, Any] = {"name": "acme", "plugins": ["acme"], "image": f"wheels@sha256:{'0' * 64}"}


def backends(*enabled: Mapping[str, Any], **others: Any) -> dict[str, Any]:
    """Values that enable these."""
    return {"config": {"backends": [dict(one) for one in enabled]}, **others}


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


def agent(documents: list[Document]) -> Document:
    """The agent's container."""
    (daemons,) = of_kind(documents, "DaemonSet")
    (container,) = daemons["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("values", COMBINATIONS, ids=lambda path: path.stem)
def test_the_chart_has_nothing_to_complain_of(helm: Helm, values):
    assert "0 chart(s) failed" in helm.run("lint", "--strict", "--namespace=drakit", f"--values={values}", str(CHART))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (backends(NEURON, NEURON), "driver neuron.aws.com is served by plugin neuron already"),
        (backends(NEURON, {"plugin": "mock", "driver": "neuron.aws.com"}), "neuron.aws.com is served by plugin neuron"),
        (backends({"plugin": "neurom"}), "plugin neurom is in neither the image nor extraPlugins"),
        (backends({"plugin": "acme"}, extraPlugins=[ACME]), "does not know the driver of plugin acme"),
        (backends(), "nothing would be served"),
        ({"config": {"extensions": [{"plugin": "efa"}]}}, "plugin efa serves driver dra.net; list it under"),
        ({"config": {"extensions": [{"plugin": "racks"}]}}, "racks is in neither extraPlugins nor image.plugins"),
        (backends({"plugin": "efa", "nodeLabels": True}), "plugin efa names no labels for its Node"),
        (
            backends({**FOREIGN, "nodeLabels": True}, extraPlugins=[ACME]),
            "list them in admission.nodeLabels.additional",
        ),
        (
            backends({**NEURON, "nodeLabels": True}, rbac={"create": False}),
            "which the chart gives with rbac.create only",
        ),
        ({"admission": {"nodeLabels": {"additional": ["node.kubernetes.io/x"]}}}, "belongs to Kubernetes"),
        ({"serviceAccount": {"create": False}}, "would go to the namespace's default account"),
        (backends({"plugin": "mock", "deviceClass": "x.example.com"}), "plugin mock ships 2 DeviceClasses"),
        (
            backends(NEURON, {"plugin": "neuron", "driver": "second.example.com"}),
            "DeviceClass neuron.aws.com is one thing for driver neuron.aws.com and another for driver second",
        ),
        (
            {"deviceClasses": {"extendedResourceNames": {"no.example.com": "a.b/c"}}},
            "there is no DeviceClass no.example",
        ),
        (
            {
                "deviceClasses": {
                    "extendedResourceNames": {"neuron.aws.com": "a.b/c", "efa.networking.k8s.aws": "a.b/c"}
                }
            },
            "a.b/c is the resource of both efa.networking.k8s.aws and neuron.aws.com",
        ),
        (
            {"deviceClasses": {"additional": [{"name": "neuron.aws.com", "driver": "neuron.aws.com"}]}},
            "there is a DeviceClass neuron.aws.com already, of driver neuron.aws.com",
        ),
        ({"deviceClasses": {"additional": [{"name": "a.b"}]}}, "a.b selects every device of the cluster"),
        ({"deviceClasses": {"additional": [{"name": "a.b", "capacity": {"memory": 1}}]}}, "give its driver"),
        ({"serviceMonitor": {"enabled": True}, "config": {"metricsPort": 0}}, "the agent serves no metrics"),
        (
            {"prometheusRule": {"enabled": True}, "config": {"metricsPort": 0}},
            "prometheusRule.enabled: the agent serves",
        ),
        (
            backends({"plugin": "efa", "options": {"imds": {"enabled": True, "endpoint": "http://metadata.local"}}}),
            "imds.endpoint http://metadata.local names no address",
        ),
        ({"extraPlugins": [ACME, ACME]}, "there are two of the name acme"),
        ({"extraPlugins": [{**ACME, "image": "wheels:latest"}]}, "may have other wheels tomorrow"),
        (
            {"extraPlugins": [{"name": "acme", "plugins": ["acme"], "volume": {"emptyDir": {}}}]},
            "takes wheels from a volume, where anybody may have put them",
        ),
    ],
    ids=lambda given: None if isinstance(given, dict) else given[:40],
)
def test_values_that_contradict_each_other_are_refused(helm: Helm, values, said):
    with pytest.raises(HelmFailed, match=re.escape(said)):
        helm.template(values)


def test_the_default_namespace_is_refused_unless_it_is_meant(helm: Helm):
    with pytest.raises(HelmFailed, match="belongs in a namespace of its own"):
        helm.template(namespace="default")
    assert helm.template({"allowDefaultNamespace": True}, namespace="default")


def test_a_cluster_that_has_no_claims_is_refused(helm: Helm):
    with pytest.raises(HelmFailed, match=r">=1\.34\.0-0"):
        helm.template(None, "--kube-version=1.33.9")
    assert helm.template(None, "--kube-version=1.34.0-eks-1")


@pytest.mark.parametrize(
    "values",
    [
        {"imge": {}},
        {"image": {"tga": "x"}},
        {"config": {"healthSecond": 5}},
        {"config": {"healthSeconds": "5"}},
        {"config": {"root": "/"}},
        {"config": {"logLevel": "verbose"}},
        {"config": {"logFormat": "xml"}},
        {"config": {"healthSeconds": 0}},
        {"config": {"hookBoundSeconds": 45}},
        {"config": {"metricsPort": 65536}},
        backends({"plugin": "neuron", "driver": "it's"}),
        backends({"plugin": "neuron", "deviceClass": "A"}),
        {"serviceAccount": {"name": "it's"}},
        backends({"plugin": "neuron", "drivr": "a.b"}),
        backends({"plugin": "neuron", "options": {"coreSharin": True}}),
        backends({"plugin": "neuron", "options": {"health": {"kmsg": 1}}}),
        backends({"plugin": "neuron", "options": {"ultraServerDevices": "all"}}),
        backends({"plugin": "efa", "options": {"sharing": {"share": 2}}}),
        backends({"plugin": "efa", "options": {"addresses": "0000:10:1b.0"}}),
        backends({"plugin": "mock", "options": {"inline": {"devices": [{"nme": "x"}]}}}),
        backends({"plugin": "mock", "options": {"inline": {"devices": [{"count": 4}]}}}),
        {"image": {"repository": "drakit:0.1"}},
        {"kubelet": {"rootDirectory": "/var/lib/kubelet # ours"}},
        {"cdi": {"directory": "/var/run/cdi/"}},
        {"mock": {"directory": "/var/lib/mock, --x"}},
        {"admission": {"nodeLabels": {"additional": ["example.com/rack\\"]}}},
        {"deviceClasses": {"extendedResourceNames": {"neuron.aws.com": "example.com/it's"}}},
        {"catalog": {"rendered": {"x.large": {"a\nb": {"title": "x", "claims": {"a": {"requests": []}}}}}}},
        {"extraPlugins": [{"name": "acme", "plugins": ["acme"]}]},
        {"extraPlugins": [{**ACME, "volume": {"emptyDir": {}}, "requirements": "x"}]},
    ],
    ids=str,
)
def test_a_value_that_nobody_reads_or_of_another_type_is_refused(helm: Helm, values):
    with pytest.raises(HelmFailed, match="values don't meet the specifications of the schema"):
        helm.template(values)


@pytest.mark.parametrize("values", COMBINATIONS, ids=lambda path: path.stem)
def test_names_that_look_like_numbers_are_names(helm: Helm, values):
    renamed = {**yaml.safe_load(values.read_text()), "fullnameOverride": "12", "nameOverride": "78"}
    for document in helm.template(renamed, release="34", namespace="56"):
        names = [document["metadata"][key] for key in ("name", "namespace") if key in document["metadata"]]
        assert all(isinstance(it, str) for it in [*names, *document["metadata"]["labels"].values()])


def test_the_name_of_the_service_is_one_for_any_release(helm: Helm):
    for release in ("a" * 53, "a.b.c", "1" * 53):
        documents = helm.template({"serviceMonitor": {"enabled": True}}, release=release)
        (service,) = of_kind(documents, "Service")
        assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", service["metadata"]["name"])


@pytest.mark.parametrize("values", COMBINATIONS, ids=lambda path: path.stem)
def test_the_agent_takes_its_configuration(helm: Helm, values):
    (config,) = of_kind(helm.template(values), "ConfigMap")
    settings = parse_settings(config["data"]["config.yaml"], "config.yaml")
    mocked = "mock" in yaml.safe_load(values.read_text())
    tree = "/var/lib/drakit/mock/node"
    assert (str(settings.root), str(settings.host_root)) == ((tree, tree) if mocked else ("/host", "/"))
    assemble(evolve(settings, root=CHART))  # the options too


def test_numbers_reach_the_agent_as_they_were_written(helm: Helm):
    (config,) = of_kind(helm.template(CHART / "ci" / "renamed-values.yaml"), "ConfigMap")
    settings = parse_settings(config["data"]["config.yaml"], "config.yaml")
    assert settings.backends[0].options["health"]["correctedEcc"] == 1_000_000
    assert settings.drain_seconds == 12.5


@pytest.mark.parametrize("values", COMBINATIONS, ids=lambda path: path.stem)
def test_classes_are_those_that_drakit_classes_has(helm: Helm, values):
    documents = helm.template(values)
    given = yaml.safe_load(values.read_text())
    rendered = {it["metadata"]["name"]: it["spec"] for it in of_kind(documents, "DeviceClass")}
    for name in given.get("deviceClasses", {}).get("extendedResourceNames", {}):
        assert rendered[name].pop("extendedResourceName")
    for one in given.get("deviceClasses", {}).get("additional", []):
        del rendered[one["name"]]
    (config,) = of_kind(documents, "ConfigMap")
    settings = parse_settings(config["data"]["config.yaml"], "config.yaml")
    expected = {it["metadata"]["name"]: it["spec"] for it in device_classes(settings, load_installed().loaded)}
    assert rendered == (expected if given.get("deviceClasses", {}).get("create", True) else {})


def test_a_class_by_capability_topology_and_version_selects_by_each_and_asks_first(helm: Helm):
    (large,) = [
        it
        for it in of_kind(helm.template(CHART / "ci" / "classes-values.yaml"), "DeviceClass")
        if it["metadata"]["name"] == "large.neuron.example.com"
    ]
    assert large["spec"]["extendedResourceName"] == "example.com/large-neuron"
    expressions = [it["cel"]["expression"] for it in large["spec"]["selectors"]]
    for expression in expressions:
        compile_selector(expression)
    assert expressions == [
        'device.driver == "neuron.aws.com"',
        (
            '"instanceType" in device.attributes["neuron.aws.com"]'
            ' && device.attributes["neuron.aws.com"]["instanceType"] == "trn2.48xlarge"'
        ),
        (
            '"numaNode" in device.attributes["resource.kubernetes.io"]'
            ' && device.attributes["resource.kubernetes.io"]["numaNode"] == 0'
        ),
        (
            '"driverVersion" in device.attributes["neuron.drakit"]'
            ' && device.attributes["neuron.drakit"]["driverVersion"].compareTo(semver("2.19.0")) >= 0'
        ),
        (
            '"driverVersion" in device.attributes["neuron.drakit"]'
            ' && device.attributes["neuron.drakit"]["driverVersion"].compareTo(semver("3.0.0")) < 0'
        ),
        (
            '"memory" in device.capacity["neuron.aws.com"]'
            ' && device.capacity["neuron.aws.com"]["memory"].compareTo(quantity("96Gi")) >= 0'
        ),
    ]


@pytest.mark.parametrize("values", COMBINATIONS, ids=lambda path: path.stem)
def test_permissions_name_the_drivers_that_are_served_and_no_other(helm: Helm, values):
    documents = helm.template(values)
    (config,) = of_kind(documents, "ConfigMap")
    settings = parse_settings(config["data"]["config.yaml"], "config.yaml")
    loaded = load_installed().loaded
    drivers = [one.driver or loaded[one.plugin].declarations.driver_name for one in settings.backends]
    named = [it.get("resourceNames") for role in of_kind(documents, "ClusterRole") for it in role["rules"]]
    assert [names for names in named if names] in ([drivers], [])
    for policy in of_kind(documents, "ValidatingAdmissionPolicy"):
        for variable in policy["spec"]["variables"]:
            if variable["name"] == "ownDrivers":
                assert yaml.safe_load(variable["expression"]) == drivers


def test_agents_may_write_the_labels_that_their_plugins_declare_and_no_other(helm: Helm):
    keys = load_installed().loaded["neuron"].declarations.node_label_keys
    for values, expected in (
        (backends({**NEURON, "nodeLabels": True}), keys),
        (backends(NEURON, admission={"nodeLabels": {"always": True}}), keys),
        (
            backends({**NEURON, "nodeLabels": True}, admission={"nodeLabels": {"additional": ["a.b/c"]}}),
            (*keys, "a.b/c"),
        ),
    ):
        documents = helm.template(values)
        (policy,) = [it for it in of_kind(documents, "ValidatingAdmissionPolicy") if "labels" in it["metadata"]["name"]]
        (allowed,) = [it["expression"] for it in policy["spec"]["variables"] if it["name"] == "ownLabels"]
        assert tuple(yaml.safe_load(allowed)) == expected
        (role,) = of_kind(documents, "ClusterRole")
        assert {"apiGroups": [""], "resources": ["nodes"], "verbs": ["patch"]} in role["rules"]
    documents = helm.template()
    assert not [it for it in of_kind(documents, "ValidatingAdmissionPolicy") if "labels" in it["metadata"]["name"]]
    (role,) = of_kind(documents, "ClusterRole")
    assert "patch" not in [verb for rule in role["rules"] if rule["resources"] == ["nodes"] for verb in rule["verbs"]]


def test_the_pods_ask_where_the_agent_answers(helm: Helm):
    documents = helm.template()
    container = agent(documents)
    (config,) = of_kind(documents, "ConfigMap")
    (settings,) = load_yaml(config["data"]["config.yaml"], "config.yaml")
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"health": settings["healthcheckPort"], "metrics": settings["metricsPort"]}
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}
    # Those who hold every thread of the port are gone before the probe gives up.
    assert container["livenessProbe"]["timeoutSeconds"] > PATIENCE_SECONDS


def test_pods_are_replaced_when_the_configuration_changes_and_only_then(helm: Helm):
    def pod_template(values: Mapping[str, Any]) -> Document:
        (daemons,) = of_kind(helm.template(values), "DaemonSet")
        template: Document = daemons["spec"]["template"]
        return template

    assert pod_template({"config": {"healthSeconds": 9}}) != pod_template({})
    assert pod_template({"serviceMonitor": {"enabled": True}}) == pod_template({})
    pinned, other = ({"extraPlugins": [{**ACME, "requirements": f"acme=={number}"}]} for number in (1, 2))
    assert pod_template(pinned) != pod_template(other)
    (daemons,) = of_kind(helm.template(), "DaemonSet")
    assert daemons["spec"]["updateStrategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


@pytest.mark.parametrize("values", COMBINATIONS, ids=lambda path: path.stem)
def test_no_container_has_more_than_it_needs(helm: Helm, values):
    (daemons,) = of_kind(helm.template(values), "DaemonSet")
    pod = daemons["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert context["privileged"] is False
        assert context["capabilities"]["drop"] == ["ALL"]
        assert (context["runAsUser"] == 0) is (container["name"] in ("agent", "mock"))
        assert ("token" in [mount["name"] for mount in container["volumeMounts"]]) is (container["name"] == "agent")


def test_nothing_is_installed_from_an_index(helm: Helm):
    (daemons,) = of_kind(helm.template(CHART / "ci" / "plugins-values.yaml"), "DaemonSet")
    containers = {it["name"]: it for it in daemons["spec"]["template"]["spec"]["initContainers"]}
    assert list(containers) == ["wheels-acme", "install-acme", "install-serial"]
    assert containers["install-acme"]["args"][2:] == [
        "--wheels=/wheelhouse",
        "--all",
        "--target=/opt/drakit-plugins/acme",
    ]
    assert "--requirements=/etc/drakit/requirements-serial.txt" in containers["install-serial"]["args"]
    path = [
        it["value"]
        for it in agent(helm.template(CHART / "ci" / "plugins-values.yaml"))["env"]
        if it["name"] == "PYTHONPATH"
    ]
    assert path == ["/opt/drakit-plugins/acme:/opt/drakit-plugins/serial"]
