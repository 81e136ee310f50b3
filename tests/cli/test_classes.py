"""`drakit classes`: what an administrator applies, and that claims by it are allocated."""

from __future__ import annotations

import pytest
import yaml
from drakit.testing import InMemoryApiServer, Stage
from drakit.testing.manifests import read_manifest

HEAD = "apiVersion: drakit/v1alpha1\nkind: AgentConfiguration\n"


def names(outcome):
    return [document["metadata"]["name"] for document in outcome.yaml]


def test_without_a_configuration_the_classes_of_all_installed_plugins_are_shown(drakit):
    outcome = drakit("classes")
    assert outcome.code == 0
    assert outcome.err == ""
    assert {"efa.networking.k8s.aws", "neuron.aws.com", "gpu.example.com"} <= set(names(outcome))
    with InMemoryApiServer() as server:
        for document in outcome.yaml:
            server.create(document)


def test_with_a_configuration_those_of_its_backends_are_shown_as_it_has_them(drakit, write_config):
    config = write_config(
        {"plugin": "efa", "deviceClass": "efa.example.com"}, {"plugin": "neuron", "driver": "neuron.example.com"}
    )
    outcome = drakit("classes", "--config", config)
    assert outcome.code == 0
    assert names(outcome) == ["efa.example.com", "neuron.aws.com"]
    assert 'device.driver == "neuron.example.com"' in outcome.out


def test_an_environment_variable_names_the_configuration(drakit, write_config):
    config = write_config({"plugin": "efa"})
    assert names(drakit("classes", DRAKIT_CONFIG=str(config))) == ["efa.networking.k8s.aws"]


def test_a_plugin_that_cannot_be_had_is_a_finding_and_the_others_are_shown(drakit, write_config):
    config = write_config({"plugin": "efa"}, {"plugin": "absent"})
    outcome = drakit("classes", "--config", config)
    assert outcome.code == 1
    assert names(outcome) == ["efa.networking.k8s.aws"]
    assert "Error: absent: " in outcome.err
    assert "not installed" in outcome.err


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ("{plugin: efa, deviceClass: Not_A_Name}", "deviceClass must be a lower-case DNS subdomain"),
        ("{plugin: efa, deviceClass: ''}", "deviceClass must be a lower-case DNS subdomain"),
        ("{plugin: efa, deviceClass: 5}", "deviceClass: must be a string"),
        ("{plugin: efa, deviceClas: a}", "unknown key 'deviceClas'"),
        ("{plugin: mock, deviceClass: a}", "ships 2 (gpu.example.com, nic.example.com); remove it"),
    ],
)
def test_a_name_that_cannot_be_is_bad_input(drakit, tmp_path, backend, said):
    path = tmp_path / "config.yaml"
    path.write_text(f"{HEAD}backends:\n- {backend}\n")
    outcome = drakit("classes", "--config", path)
    assert outcome.code == 2
    assert outcome.out == ""
    assert said in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "backend",
    [
        {"plugin": "efa", "deviceClass": "ours.example.com"},
        {"plugin": "efa", "deviceClass": "ours.example.com", "driver": "efa.example.com"},
        {"plugin": "neuron", "deviceClass": "ours.example.com"},
        {"plugin": "neuron", "deviceClass": "ours.example.com", "driver": "neuron.example.com"},
    ],
)
def test_a_claim_by_a_renamed_class_is_allocated_and_prepared(drakit, write_config, tmp_path, backend):
    (shown,) = drakit("classes", "--config", write_config(backend)).yaml
    exactly = {"deviceClassName": "ours.example.com", "count": 2}
    claim = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": "two"},
        "spec": {"devices": {"requests": [{"name": "some", "exactly": exactly}]}},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "worker"},
        "spec": {"containers": [{"name": "worker"}], "resourceClaims": [{"name": "c", "resourceClaimName": "two"}]},
    }
    (tmp_path / "pod.yaml").write_text(yaml.safe_dump_all([claim, pod]))
    with Stage("trn1.32xlarge", [backend]) as stage:
        (served,) = stage.server.list("DeviceClass")
        assert served["metadata"]["name"] == "ours.example.com"
        assert served["spec"] == shown["spec"], "what the stage has is what the command shows"
        plane = stage.control_plane
        (pod,) = plane.submit(read_manifest(tmp_path / "pod.yaml"))
        (claim,) = plane.schedule(pod, plane.make_claims(pod))
        results = claim["status"]["allocation"]["devices"]["results"]
        assert [one["driver"] for one in results] == stage.drivers * 2
        assert [answer.error for answer in stage.prepare(claim).values()] == [""]
        assert set(stage.unprepare(claim).values()) == {""}
