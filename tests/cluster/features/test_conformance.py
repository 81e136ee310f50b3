"""The rules of the kubelet's contract, tried on an agent that a kubelet serves beside."""

from __future__ import annotations

import json
import sys
from pathlib import Path

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
    drakit = str(Path(sys.executable).with_name("drakit"))
    said = node.running.run(drakit, "conformance", f"--driver={driver}", "--claims=/run/claims.yaml", "-o", "json")
    verdicts = {rule["rule"]: rule["verdict"] for rule in json.loads(said)["rules"]}
    assert "broken" not in verdicts.values()
    untried = {rule for rule, verdict in verdicts.items() if verdict != "holds"}
    assert untried == {"a_restart_changes_no_answer", "share_ids_are_returned"}
