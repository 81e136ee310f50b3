"""What the chart renders to with faked hardware."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube.helm import Helm, HelmFailed

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

KIND = Path(__file__).parents[3] / "deploy/kind"
PLACE = "/var/lib/drakit/mock"
TRAINIUM = {"type": "trn2.48xlarge", "nodeSelector": {"rack": "a"}}
ULTRA = {"type": "trn2u.48xlarge@node-1", "nodeSelector": {"rack": "b"}, "drivers": ["dra.net"]}


def rendered(helm: Helm, *nodes: dict[str, Any], **values: Any) -> list[dict[str, Any]]:
    return helm.template({"mock": {"enabled": True, "nodes": list(nodes)}, **values})


def of_kind(documents: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [document for document in documents if document["kind"] == kind]


def pod(daemon_set: dict[str, Any]) -> dict[str, Any]:
    return daemon_set["spec"]["template"]["spec"]


def configuration(documents: list[dict[str, Any]], daemon_set: dict[str, Any]) -> dict[str, Any]:
    volume = next(it for it in pod(daemon_set)["volumes"] if it["name"] == "config")
    name = volume["configMap"]["name"]
    (found,) = (it for it in of_kind(documents, "ConfigMap") if it["metadata"]["name"] == name)
    return yaml.safe_load(found["data"]["config.yaml"])


def test_without_it_there_is_one_daemon_set_and_nothing_of_the_mock(helm: Helm):
    documents = helm.template()
    (daemon_set,) = of_kind(documents, "DaemonSet")
    assert daemon_set["metadata"]["name"] == "drakit"
    assert "initContainers" not in pod(daemon_set)
    assert "mock" not in yaml.safe_dump(pod(daemon_set))
    assert configuration(documents, daemon_set)["root"] == "/host"


def test_each_type_has_agents_of_its_own_on_nodes_of_its_own(helm: Helm):
    documents = rendered(helm, TRAINIUM, ULTRA, agent={"nodeSelector": {"pool": "mocked"}})
    first, second = of_kind(documents, "DaemonSet")
    assert [it["metadata"]["name"] for it in (first, second)] == [
        "drakit-trn2-48xlarge",
        "drakit-trn2u-48xlarge-node-1",
    ]
    assert pod(first)["nodeSelector"] == {"rack": "a", "pool": "mocked"}
    assert pod(second)["nodeSelector"] == {"rack": "b", "pool": "mocked"}
    selectors = [it["spec"]["selector"]["matchLabels"] for it in (first, second)]
    for daemon_set, selector in zip((first, second), selectors, strict=True):
        assert selector.items() <= daemon_set["spec"]["template"]["metadata"]["labels"].items()
    assert not selectors[0].items() <= second["spec"]["template"]["metadata"]["labels"].items()


def test_a_type_has_the_backends_of_its_drivers_and_permissions_are_for_all(helm: Helm):
    documents = rendered(helm, TRAINIUM, ULTRA)
    first, second = of_kind(documents, "DaemonSet")
    served = [[it["plugin"] for it in configuration(documents, one)["backends"]] for one in (first, second)]
    assert served == [["neuron", "efa"], ["efa"]]
    (role,) = of_kind(documents, "ClusterRole")
    named = next(rule for rule in role["rules"] if "resourceNames" in rule)
    assert set(named["resourceNames"]) == {"neuron.aws.com", "dra.net"}


def test_the_agent_reads_a_tree_that_the_runtime_sees_at_the_same_path_and_nothing_of_the_host(helm: Helm):
    documents = rendered(helm, TRAINIUM)
    (daemon_set,) = of_kind(documents, "DaemonSet")
    config = configuration(documents, daemon_set)
    assert config["root"] == config["hostRoot"] == f"{PLACE}/node"
    paths = {it["name"]: it["hostPath"]["path"] for it in pod(daemon_set)["volumes"] if "hostPath" in it}
    assert paths.pop("mock") == PLACE
    assert not [path for path in paths.values() if not path.startswith(("/var/lib/kubelet/", "/var/run/cdi"))]
    for container in (*pod(daemon_set)["containers"], *pod(daemon_set)["initContainers"]):
        (mount,) = (it for it in container["volumeMounts"] if it["name"] == "mock")
        assert mount == {"name": "mock", "mountPath": PLACE}


def test_only_the_init_container_may_make_device_nodes_and_it_may_do_nothing_else(helm: Helm):
    (daemon_set,) = of_kind(rendered(helm, TRAINIUM), "DaemonSet")
    (init,) = pod(daemon_set)["initContainers"]
    assert init["args"] == ["mock", "layout", "--live", "--node=trn2.48xlarge", f"{PLACE}/node"]
    assert init["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["MKNOD"]}
    assert init["securityContext"]["readOnlyRootFilesystem"] is True
    assert init["securityContext"]["allowPrivilegeEscalation"] is False
    assert [it["name"] for it in init["volumeMounts"]] == ["mock"]
    (agent,) = pod(daemon_set)["containers"]
    assert agent["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_plugins_that_are_not_in_the_image_are_there_when_the_node_is_laid_out(helm: Helm):
    wheels = {"name": "wheels", "plugins": ["acme"], "image": "registry.example.com/wheels@sha256:" + "0" * 64}
    config = {"backends": [{"plugin": "acme", "driver": "acme.example.com"}]}
    (daemon_set,) = of_kind(rendered(helm, TRAINIUM, extraPlugins=[wheels], config=config), "DaemonSet")
    *_, install, mock = pod(daemon_set)["initContainers"]
    assert (install["name"], mock["name"]) == ("install-wheels", "mock")
    (path,) = (it["mountPath"] for it in mock["volumeMounts"] if it["name"] == "extra-plugins")
    (target,) = (it.removeprefix("--target=") for it in install["args"] if it.startswith("--target="))
    assert mock["env"] == [{"name": "PYTHONPATH", "value": target}]
    assert target.startswith(path)


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([], "no node would have agents"),
        ([TRAINIUM, {"type": "p5.48xlarge"}], "p5.48xlarge is for all nodes, and there are other types"),
        ([TRAINIUM, {**ULTRA, "nodeSelector": {"rack": "a"}}], "trn2.48xlarge is for the same nodes as another type"),
        ([TRAINIUM, {**TRAINIUM, "nodeSelector": {"rack": "b"}}], "trn2.48xlarge is listed twice"),
        ([{**TRAINIUM, "drivers": ["gpu.example.com"]}], "lists driver gpu.example.com, which no backend serves"),
        ([{"node": "trn2.48xlarge"}], "node"),
        ([{"type": "trn2 48xlarge"}], "does not match pattern"),
    ],
)
def test_values_that_contradict_each_other_are_refused_with_what_to_do(helm: Helm, nodes, said):
    with pytest.raises(HelmFailed, match=said):
        rendered(helm, *nodes)


def test_the_values_for_kind_are_values_and_select_the_workers_of_its_cluster(helm: Helm):
    documents = helm.template(KIND / "values.yaml")
    workers = [it["labels"] for it in yaml.safe_load((KIND / "cluster.yaml").read_text())["nodes"] if "labels" in it]
    assert [pod(it)["nodeSelector"] for it in of_kind(documents, "DaemonSet")] == workers
    classes = {it["metadata"]["name"] for it in of_kind(documents, "DeviceClass")}
    assert {"neuron.aws.com", "efa.networking.k8s.aws", "gpu.nvidia.com", "gpu.example.com"} <= classes
