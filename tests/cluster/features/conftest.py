"""A cluster of each minor release with every feature on, and one node of mock devices that have them all."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube import artifacts
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.kubernetes import Kubernetes, minors
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace

GPU = "gpu.example.com"
PARTITION = "part.example.com"
SHARED = "nic.example.com"
DRIVERS = (GPU, PARTITION, SHARED)
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
        cluster.deploy()
        for document in yaml.safe_load_all((HERE / "classes.yaml").read_text()):
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
            ],
            healthSeconds=0.5,
        )
        until(
            "the slices of every driver",
            lambda: {it["spec"]["driver"] for it in cluster.api.list("ResourceSlice")} >= set(DRIVERS),
            seen=node.running.processes["drakit"].tail,
        )
        yield cluster


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
