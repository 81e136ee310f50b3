"""Commands of drakit on a node where its agent serves a kubelet."""

from __future__ import annotations

import json
import tarfile

import pytest
import yaml
from realkube.node import Node
from realkube.workspace import Workspace, claim

pytestmark = pytest.mark.cluster

FEATURES, SHARED, GPU = "features.example.com", "nic.example.com", "gpu.example.com"
DEVICES = {GPU: "gpu-1", SHARED: "nic-1", FEATURES: "link-1"}


@pytest.mark.feature("the rules of `drakit conformance`")
@pytest.mark.parametrize("driver", DEVICES)
def test_a_driver_of_a_running_agent_breaks_no_rule(workspace: Workspace, node: Node, driver: str):
    first, second = ({"name": name, "exactly": {"deviceClassName": "any"}} for name in ("first", "second"))
    workspace.submit(claim("some", {"devices": {"requests": [first, second]}}))
    others = DEVICES[driver].replace("1", "0")
    allocated = workspace.allocate("some", node.name, (driver, DEVICES[driver]), (driver, others))
    node.path("/run/claims.yaml").write_text(yaml.safe_dump(allocated))
    said = node.drakit("conformance", f"--driver={driver}", "--claims=/run/claims.yaml", "-o", "json")
    verdicts = {rule["rule"]: rule["verdict"] for rule in json.loads(said)["rules"]}
    assert "broken" not in verdicts.values()
    untried = {rule for rule, verdict in verdicts.items() if verdict != "holds"}
    assert untried == {"a_restart_changes_no_answer", "share_ids_are_returned"}


@pytest.mark.feature("the bundle of `drakit support`")
def test_a_support_bundle_has_what_the_cluster_knows_of_the_node_and_not_the_agents_token(node: Node):
    said = node.drakit("support", "--output=/run/bundle.tar.gz")
    assert "failed" not in said
    with tarfile.open(node.path("/run/bundle.tar.gz")) as bundle:
        files = {name.partition("/")[2]: bundle.extractfile(name).read().decode() for name in bundle.getnames()}
    assert json.loads(files["api/node.json"])["metadata"]["name"] == node.name
    assert all(driver in files["api/resourceslices.json"] for driver in DEVICES)
    assert all(f"{driver}: ready" in files["agent/readyz.txt"] for driver in DEVICES)
    token = node.path("/run/secrets/kubernetes.io/serviceaccount/token").read_text()
    assert [name for name, text in files.items() if token in text] == []
