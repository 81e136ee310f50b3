"""The chart on a real control plane: installed, changed, taken back and removed by the real helm."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from realkube.api import Refused
from realkube.cluster import Cluster
from realkube.helm import CHART, NAMESPACE, Helm, HelmFailed
from realkube.waiting import until

from tests.cluster.deploy.conftest import Releases

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

COMBINATIONS = sorted((CHART / "ci").glob("*-values.yaml"))
NEURON = {"plugin": "neuron"}


def identity(document: dict[str, Any]) -> tuple[str, str, str]:
    metadata = document["metadata"]
    return document["kind"], metadata["name"], metadata.get("namespace", NAMESPACE)


@pytest.mark.parametrize("values", COMBINATIONS, ids=lambda path: path.stem)
def test_the_api_server_takes_every_field_of_every_combination(helm: Helm, installable: Cluster, values):
    installable.make_namespace()
    documents = helm.template(values, f"--kube-version={installable.kubernetes.release}")
    for document in documents:
        # What is in a namespace is taken only where that is there.
        applied = installable.api.apply(document, dry_run=document["kind"] != "Namespace")
        assert applied["kind"] == document["kind"]
    names = [identity(document) for document in documents]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("values", COMBINATIONS, ids=lambda path: path.stem)
def test_every_combination_is_installed_and_nothing_of_it_stays(releases: Releases, values):
    assert "kubectl get resourceslices" in releases.install(values)
    api = releases.cluster.api
    installed = releases.manifest()
    for document in installed:
        found = api.get(*identity(document))
        assert found["metadata"]["labels"]["app.kubernetes.io/instance"] == "drakit"
    releases.uninstall("drakit", "--wait")
    left = [it for it in installed if api.find(*identity(it)) and it["kind"] != "Namespace"]
    assert left == []
    assert api.find("Namespace", NAMESPACE) is not None, "the namespace is not the release's"


def test_an_upgrade_changes_what_values_say_and_a_rollback_takes_it_back(releases: Releases):
    api = releases.cluster.api
    releases.install({"config": {"backends": [NEURON]}})

    def seen() -> tuple[object, ...]:
        settings = yaml.safe_load(api.get("ConfigMap", "drakit", NAMESPACE)["data"]["config.yaml"])
        daemons = api.get("DaemonSet", "drakit", NAMESPACE)
        role = api.get("ClusterRole", "drakit")
        return (
            [it["plugin"] for it in settings["backends"]],
            daemons["spec"]["template"]["metadata"]["annotations"]["checksum/config"],
            [it["resourceNames"] for it in role["rules"] if "resourceNames" in it],
            sorted(it["metadata"]["name"] for it in api.list("DeviceClass")),
        )

    first = seen()
    assert first[0] == ["neuron"]
    releases.upgrade({"config": {"backends": [NEURON, {"plugin": "efa", "driver": "efa.example.com"}]}})
    second = seen()
    assert second[2:] == ([["neuron.aws.com", "efa.example.com"]], ["efa.networking.k8s.aws", "neuron.aws.com"])
    assert second[1] != first[1], "the pods are replaced"
    releases.rollback(1)
    assert seen() == first


def test_an_upgrade_without_a_change_replaces_no_pod(releases: Releases):
    releases.install()
    api = releases.cluster.api
    before = api.get("DaemonSet", "drakit", NAMESPACE)["metadata"]["generation"]
    releases.upgrade()
    assert api.get("DaemonSet", "drakit", NAMESPACE)["metadata"]["generation"] == before


def test_a_refused_upgrade_changes_nothing(releases: Releases):
    releases.install()
    before = releases.manifest()
    with pytest.raises(HelmFailed, match="is served by plugin neuron already"):
        releases.upgrade({"config": {"backends": [NEURON, NEURON]}})
    assert releases.manifest() == before


def test_a_second_release_of_the_same_name_is_refused_and_one_of_another_is_not(releases: Releases):
    releases.install()
    elsewhere = ("--namespace", "elsewhere")
    with pytest.raises(HelmFailed, match="already, of release drakit/drakit: give this release a fullnameOverride"):
        releases.install({"fullnameOverride": "drakit"}, *elsewhere, name="second")
    other = {
        "config": {"backends": [{"plugin": "neuron", "driver": "neuron.example.com", "deviceClass": "second.example"}]}
    }
    releases.install(other, *elsewhere, name="second")
    assert releases.cluster.api.get("ClusterRole", "second-drakit")


def test_a_device_class_of_somebody_else_is_left_alone(releases: Releases):
    api = releases.cluster.api
    theirs = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "neuron.aws.com"}}
    api.create({**theirs, "spec": {"selectors": [{"cel": {"expression": 'device.driver == "neuron.aws.com"'}}]}})
    try:
        with pytest.raises(
            HelmFailed, match=r"there is a DeviceClass neuron\.aws\.com already, of no release of Helm's"
        ):
            releases.install()
        releases.install({"deviceClasses": {"create": False}})
    finally:
        api.delete("DeviceClass", "neuron.aws.com")


@pytest.mark.parametrize("values", COMBINATIONS, ids=lambda path: path.stem)
def test_the_server_finds_nothing_wrong_in_the_expressions_of_policies(releases: Releases, values):
    releases.install(values)
    api = releases.cluster.api
    for document in releases.manifest():
        if document["kind"] == "ValidatingAdmissionPolicy":
            name = document["metadata"]["name"]

            def looked_at(name: str = name) -> dict[str, object]:
                found = api.get("ValidatingAdmissionPolicy", name)
                return found["status"] if found.get("status", {}).get("observedGeneration") else {}

            status = until("the policy to be looked at", looked_at)
            assert not status.get("typeChecking", {}).get("expressionWarnings")


def test_a_namespace_that_admits_no_such_pods_is_refused_with_the_remedy(releases: Releases):
    api = releases.cluster.api
    label = "pod-security.kubernetes.io/enforce"
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "strict", "labels": {label: "baseline"}}})
    with pytest.raises(HelmFailed, match=f"kubectl label --overwrite namespace strict {label}=privileged"):
        releases.install(None, "--namespace", "strict")


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_the_pods_need_a_privileged_namespace_for_their_mounts_and_for_nothing_else(
    helm: Helm, installable: Cluster, level
):
    api = installable.api
    label = "pod-security.kubernetes.io/enforce"
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": level, "labels": {label: level}}})
    until("the service account", lambda: api.find("ServiceAccount", "default", level))
    (daemons,) = [it for it in helm.template() if it["kind"] == "DaemonSet"]
    spec = daemons["spec"]["template"]["spec"] | {"serviceAccountName": "default", "priorityClassName": ""}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent"}, "spec": spec}
    with pytest.raises(Refused) as refused:
        api.create(pod, level, dry_run=True)
    named = refused.value.message.partition(f'"{level}:latest": ')[2]
    mounts = ["hostPath volumes"] if level == "baseline" else ["restricted volume types", "runAsNonRoot", "runAsUser=0"]
    assert [word for word in mounts if word not in named] == []
    assert len(named.split("), ")) == len(mounts), named
