"""A node of EFA adapters, which each test gives its hardware and its agent."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml
from attrs import frozen
from drakit_efa.plugin import EfaPlugin
from realkube import artifacts
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.kubernetes import Kubernetes
from realkube.machine import Process
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, allocated

DRIVER = "dra.net"


@pytest.fixture(scope="package")
def bare(components: tuple[Kubernetes, Debian], request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of one node without hardware and without an agent."""
    with Cluster(*components) as cluster, artifacts.kept_on_failure(cluster, request.session):
        cluster.deploy()
        for path in (EfaPlugin.data / "deviceclasses").glob("*.yaml"):
            cluster.api.apply(yaml.safe_load(path.read_text()))
        cluster.start_nodes()
        yield cluster


@pytest.fixture
def workspace(bare: Cluster) -> Iterator[Workspace]:
    """A namespace for the test, emptied at its end."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    bare.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    until("the service account", lambda: bare.api.find("ServiceAccount", "default", name))
    workspace = Workspace(bare.api, name)
    yield workspace
    workspace.empty()


@frozen
class EfaNode:
    """A node with the adapters of a type, and an agent that serves them."""

    cluster: Cluster
    node: Node
    agent: Process

    @property
    def verbs(self) -> dict[str, str]:
        """The path of every adapter's device node, by the name of its device."""
        functions = self.node.hardware / "sys/bus/pci/devices"
        entries = [next(path.iterdir()) for path in functions.glob("*/infiniband_verbs")]
        return {_name(entry.parent.parent.name): f"/dev/infiniband/{entry.name}" for entry in entries}

    def verbs_of(self, claim: dict[str, Any]) -> set[str]:
        """The device nodes that the adapters of an allocated claim are."""
        return {self.verbs[name] for name in allocated(claim, DRIVER)}

    def number_of(self, path: str) -> tuple[int, int]:
        """Major and minor number of a device node."""
        number = (self.node.hardware / path.lstrip("/")).stat().st_rdev
        return os.major(number), os.minor(number)


def _name(address: str) -> str:
    return f"pci-{address.replace(':', '-').replace('.', '-')}"


def slices_of(cluster: Cluster) -> list[dict[str, Any]]:
    """The published slices of the driver."""
    return cluster.api.list("ResourceSlice", fieldSelector=f"spec.driver={DRIVER}")


@pytest.fixture
def equip(bare: Cluster, workspace: Workspace) -> Iterator[Callable[..., EfaNode]]:
    """Give the node hardware and an agent: `(node_type, **options of the backend)`.

    Both are taken away after the test, once its pods have ended.
    """
    equipped: list[EfaNode] = []

    def equip(node_type: str, **options: Any) -> EfaNode:
        (node,) = bare.nodes
        node.lay_out(node_type)
        found = EfaNode(bare, node, node.start_agent([{"plugin": "efa", "options": options}]))
        equipped.append(found)
        until("the slices", lambda: slices_of(bare), seen=found.agent.tail)
        return found

    yield equip
    for document in workspace.pods():
        workspace.delete(document["metadata"]["name"])
    for one in equipped:
        until("the CDI files to be gone", lambda one=one: not one.node.cdi_files(), seen=one.agent.tail)
        one.node.running.processes["drakit"].end()
        for it in slices_of(bare):
            bare.api.delete("ResourceSlice", it["metadata"]["name"])
        shutil.rmtree(one.node.hardware)
