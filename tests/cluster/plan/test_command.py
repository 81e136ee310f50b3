"""`drakit plan --cluster` on pods that the real scheduler leaves pending."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from realkube.cluster import Cluster

from tests.cluster.plan.inventories import NAMESPACE, barrier
from tests.cluster.plan.scheduled import UNSCHEDULABLE, schedule

pytestmark = pytest.mark.cluster


def plan(cluster: Cluster, directory: Path, *arguments: str) -> Any:
    """What `drakit plan` says of pods that do not fit, from within the network of the cluster."""
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(cluster.control_plane.kubeconfig("admin"))
    drakit = [str(Path(sys.executable).with_name("drakit")), "plan", "--cluster", "--kubeconfig", str(kubeconfig)]
    inside = ["nsenter", f"--net={cluster.control_plane.machine.network}"]
    done = subprocess.run(
        [*inside, *drakit, "-n", NAMESPACE, *arguments], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_a_pod_that_stays_pending_is_explained(scheduling: Cluster, tmp_path: Path):
    hopeless = barrier("hopeless", wanted=2)
    answer = schedule(scheduling.api, [hopeless])[hopeless.name]
    assert answer.verdict == UNSCHEDULABLE
    assert "cannot allocate all claims" in answer.said, "which is all that the scheduler says"
    pod = f"pod/{hopeless.pod['metadata']['name']}"
    said = plan(scheduling, tmp_path, pod)
    assert "claim planned/c0-hopeless does not fit on n1-hopeless" in said
    assert "-1 in use: 1 by claim planned/holder-hopeless" in said
    assert "request 'some': ask for 1 instead of 2" in said
    (told,) = json.loads(plan(scheduling, tmp_path, pod, "-o", "json"))["pods"]
    assert (told["outcome"], told["node"]) == ("unsatisfied", None)
