"""A cluster of each minor release with every feature on, and one node of mock devices that have them all."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube import artifacts
from realkube.api import Api
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.helm import NAMESPACE
from realkube.kubernetes import Kubernetes, minors
from realkube.node import ACCOUNT, Node
from realkube.waiting import until
from realkube.workspace import Workspace

GPU = "gpu.example.com"
PARTITION = "part.example.com"
SHARED = "nic.example.com"
FEATURES = "features.example.com"
ZONED = "zoned.example.com"
DRIVERS = (GPU, PARTITION, SHARED, FEATURES, ZONED)
UNNAMED = (PARTITION,)
"""Drivers that the agent's permissions do not name: it may not write of their devices in a claim's status."""
PROBES = 8080
"""Where the agent serves probes and metrics."""
LISTS_SINCE = (1, 36)
EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"
EXTENDED = "example.com/mock-gpu"
"""The extended resource that the class of GPUs stands for."""
HERE = Path(__file__).parent


def _releases() -> Iterator[Any]:
    """The newest release is of the tier that every run has, the others of that of all releases."""
    newest, *others = minors()
    yield pytest.param(newest, marks=pytest.mark.node)
    for minor in others:
        yield pytest.param(minor, marks=pytest.mark.versions)


@pytest.fixture(scope="package", params=_releases())
def featured(request: pytest.FixtureRequest, obtain: Callable[[str], tuple[Kubernetes, Debian]]) -> Iterator[Cluster]:
    """The cluster."""
    with Cluster(*obtain(request.param)) as cluster, artifacts.kept_on_failure(cluster, request.session):
        backends = [{"plugin": "mock", "driver": driver} for driver in DRIVERS]
        # The devices of one of them belong to a zone. What RBAC bounds is seen where no policy comes before it.
        policies = {"slices": {"sharedPools": True}, "claims": {"enabled": False}}
        cluster.deploy({"config": {"backends": backends}, "admission": policies}, speechless=UNNAMED)
        for document in [*yaml.safe_load_all((HERE / "classes.yaml").read_text()), *examples("DeviceClass")]:
            cluster.api.apply(document)
        (node,) = cluster.nodes
        node.lay_out("generic-gpu-nic")
        cluster.start_nodes()
        profile = profile_of(node)
        profile.write_text((HERE / "gpu.yaml").read_text())
        node.start_agent(
            [
                {"plugin": "mock", "driver": GPU, "options": {"profile": str(profile)}},
                {"plugin": "mock", "driver": PARTITION, "options": {"profile": "partitionable-gpu"}},
                {"plugin": "mock", "driver": SHARED, "options": {"profile": "shared-nic"}},
                {"plugin": "mock", "driver": FEATURES, "options": {"profile": "features"}, "deviceMetadata": True},
                {"plugin": "mock", "driver": ZONED, "options": {"profile": "zoned"}},
            ],
            healthSeconds=0.5,
            hookBoundSeconds=3,
            listAttributes=cluster.kubernetes.minor >= LISTS_SINCE,
            healthcheckPort=PROBES,
            metricsPort=PROBES,
        )
        until(
            "the slices of every driver",
            lambda: {it["spec"]["driver"] for it in cluster.api.list("ResourceSlice")} >= set(DRIVERS),
            seen=node.running.processes["drakit"].tail,
        )
        yield cluster


def examples(kind: str) -> list[dict[str, Any]]:
    """What docs/examples has of a kind for the profiles `features` and `zoned`."""
    files = [EXAMPLES / "mock-features.yaml", EXAMPLES / "mock-zoned.yaml"]
    found = [document for file in files for document in yaml.safe_load_all(file.read_text())]
    return [document for document in found if document["kind"] == kind]


def profile_of(node: Node) -> Path:
    """The file of the GPUs' profile: to edit it is to break and to heal them."""
    return node.state / "gpu.yaml"


@pytest.fixture
def node(featured: Cluster) -> Node:
    """Its one node."""
    return featured.nodes[0]


@pytest.fixture
def gpus(node: Node) -> Iterator[Callable[..., None]]:
    """Change the GPUs' profile: `(health={...})` and other keys of it. It is as it was after the test."""
    given = yaml.safe_load((HERE / "gpu.yaml").read_text())

    def change(**keys: Any) -> None:
        temporary = profile_of(node).with_suffix(".new")
        temporary.write_text(yaml.safe_dump({**given, **keys}))
        temporary.rename(profile_of(node))

    yield change
    change()


@pytest.fixture
def fault(node: Node) -> Iterator[Callable[..., None]]:
    """Inject a fault: `(device, kind, ...)`, as `drakit mock fault` takes it. None is left after the test."""
    yield node.fault
    node.fault("clear")


@pytest.fixture
def example(workspace: Workspace) -> Callable[[str], dict[str, Any]]:
    """Submit the published template of a feature; returns a pod for it that is not submitted yet."""

    def example(name: str) -> dict[str, Any]:
        workspace.submit(*(it for it in examples("ResourceClaimTemplate") if it["metadata"]["name"] == name))
        (its_pod,) = (it for it in examples("Pod") if it["metadata"]["name"] == name)
        return its_pod

    return example


@pytest.fixture
def agent(featured: Cluster, node: Node) -> Api:
    """The API server as the agent of the node sees it."""
    token = featured.api.token_for(ACCOUNT, NAMESPACE, featured.api.get("Node", node.name))
    return featured.control_plane.api_as(token)


@pytest.fixture
def workspace(featured: Cluster, node: Node) -> Iterator[Workspace]:
    """A namespace for the test, where claims may have admin access; emptied at its end."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    labels = {"resource.kubernetes.io/admin-access": "true"}
    featured.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    until("the service account", lambda: featured.api.find("ServiceAccount", "default", name))
    workspace = Workspace(featured.api, name)
    yield workspace
    workspace.empty()
    until("the CDI files to be gone", lambda: not node.cdi_files())
