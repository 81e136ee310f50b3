"""The main path on every minor release there are modules for: slices, an aligned pod, and its end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from realkube import artifacts
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.kubernetes import Kubernetes, minors
from realkube.waiting import until
from realkube.workspace import Workspace, allocated

pytestmark = [pytest.mark.cluster, pytest.mark.versions]

EXAMPLE = Path(__file__).parents[2] / "docs/examples/aligned-efa-neuron.yaml"


@pytest.fixture(params=minors())
def release(
    request: pytest.FixtureRequest,
    obtain: Callable[[str], tuple[Kubernetes, Debian]],
    equip: Callable[[Cluster], None],
) -> Iterator[Cluster]:
    """A cluster with one node, of each minor release, as it is by default."""
    with Cluster(*obtain(request.param), gates=False) as cluster, artifacts.kept_on_failure(cluster, request.session):
        equip(cluster)
        yield cluster


@pytest.mark.feature("slices, preparation and alignment, with default gates")
def test_an_aligned_pod_runs_and_ends(release: Cluster):
    (node,) = release.nodes
    about = release.api.get("Node", node.name)["status"]["nodeInfo"]
    assert about["kubeletVersion"] == f"v{release.kubernetes.release}"
    workspace = Workspace(release.api, "default")
    workspace.submit(*yaml.safe_load_all(EXAMPLE.read_text()))
    name = "neuron-inference-worker"
    workspace.running(name)
    devices = {it.removeprefix("neuron-device-") for it in allocated(workspace.claim_of(name), "neuron.aws.com")}
    seen = {it.removeprefix("/dev/neuron") for it in workspace.seen(name).devices if it.startswith("/dev/neuron")}
    assert seen == devices == {"0", "1", "2", "3"}
    assert len([it for it in workspace.seen(name).devices if "uverbs" in it]) == 4
    workspace.delete(name)
    until("the CDI files to be gone", lambda: not node.cdi_files())
