"""The example of a job over two nodes says what LeaderWorkerSet and the driver need to hear, and the same thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from drakit.decoding import read_yaml
from drakit.plan import claim_from_template, read_claim
from drakit_neuron.plugin import NeuronPlugin

SHOWN = Path(__file__).parents[2] / "docs" / "examples" / "ultraserver-job.yaml"


@pytest.fixture(scope="module")
def template():
    return read_yaml(SHOWN)[0]


@pytest.fixture(scope="module")
def job():
    return read_yaml(SHOWN)[1]


def test_the_claim_is_that_of_the_published_template(template):
    (published, _pod) = read_yaml(NeuronPlugin.data / "templates" / "us-2-node-config.yaml")
    assert template == published
    assert read_claim(claim_from_template(template, "neurons", "default", "")).requests


def test_every_pod_of_a_group_has_the_claim_and_a_failed_one_takes_its_group_along(template, job):
    group = job["spec"]["leaderWorkerTemplate"]
    assert "leaderTemplate" not in group  # so that the leader is made from the one template as well
    assert group["restartPolicy"] == "RecreateGroupOnPodRestart"
    pod = group["workerTemplate"]["spec"]
    assert [claim["resourceClaimTemplateName"] for claim in pod["resourceClaims"]] == [template["metadata"]["name"]]
    assert pod["containers"][0]["resources"]["claims"] == [{"name": pod["resourceClaims"][0]["name"]}]


def test_size_mode_and_label_are_of_one_number_of_nodes_and_the_label_is_one_the_plugin_writes(template, job):
    (config,) = template["spec"]["spec"]["devices"]["config"]
    nodes = config["opaque"]["parameters"]["ultraserverMode"]
    assert job["spec"]["leaderWorkerTemplate"]["size"] == nodes
    label = job["metadata"]["annotations"]["leaderworkerset.sigs.k8s.io/exclusive-topology"]
    assert label.endswith(f"-{nodes}")
    assert label in NeuronPlugin.node_label_keys
