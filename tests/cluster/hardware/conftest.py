"""Two nodes of a cluster, which each test gives the hardware of an instance type and an agent for it."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from realkube import artifacts
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.kubernetes import Kubernetes
from realkube.machine import Process
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace, allocated

NEURON, EFA = "neuron.aws.com", "dra.net"


@pytest.fixture(scope="package")
def bare(components: tuple[Kubernetes, Debian], request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of two nodes without hardware and without agents."""
    with Cluster(*components, nodes=2) as cluster, artifacts.kept_on_failure(cluster, request.session):
        cluster.deploy({"admission": {"config": {"enabled": False}}})  # the drivers themselves are to refuse
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
class EquippedNode:
    """A node with the hardware of a type, and an agent that serves it."""

    cluster: Cluster
    node: Node
    agent: Process

    @property
    def name(self) -> str:
        return self.node.name

    def slices(self) -> list[dict[str, Any]]:
        """What is published of the node."""
        return self.cluster.api.list("ResourceSlice", fieldSelector=f"spec.nodeName={self.name}")

    def taints(self) -> dict[str, tuple[str, str]]:
        """Device -> value and effect of its taint, as published."""
        return {
            device["name"]: (taint["value"], taint["effect"])
            for it in self.slices()
            for device in it["spec"].get("devices") or ()
            for taint in device.get("taints") or ()
        }

    def neuron(self, path: str) -> Path:
        """A file of the Neuron kernel module's."""
        return self.node.hardware / "sys/class/neuron_device" / path

    @property
    def verbs(self) -> dict[str, str]:
        """The path of every EFA adapter's device node, by the name of its device."""
        functions = self.node.hardware / "sys/bus/pci/devices"
        entries = [next(path.iterdir()) for path in functions.glob("*/infiniband_verbs")]
        return {_name(entry.parent.parent.name): f"/dev/infiniband/{entry.name}" for entry in entries}

    def verbs_of(self, claim: dict[str, Any]) -> set[str]:
        """The device nodes that the adapters of an allocated claim are."""
        return {self.verbs[name] for name in allocated(claim, EFA)}

    def number_of(self, path: str) -> tuple[int, int]:
        """Major and minor number of a device node."""
        number = (self.node.hardware / path.lstrip("/")).stat().st_rdev
        return os.major(number), os.minor(number)


def _name(address: str) -> str:
    return f"pci-{address.replace(':', '-').replace('.', '-')}"


Equip = Callable[..., EquippedNode]


@pytest.fixture
def equip(bare: Cluster, workspace: Workspace) -> Iterator[Equip]:
    """Give a node hardware and an agent: `(node_type, backend, number=0, **settings)`.

    Both are taken away after the test, once its pods have ended.
    """
    equipped: list[EquippedNode] = []

    def equip(node_type: str, backend: dict[str, Any], number: int = 0, **settings: Any) -> EquippedNode:
        node = bare.nodes[number]
        node.lay_out(node_type)
        found = EquippedNode(bare, node, node.start_agent([backend], **settings))
        equipped.append(found)
        until(f"the slices of {node.name}", found.slices, seen=found.agent.tail)
        return found

    yield equip
    for document in workspace.pods():
        workspace.delete(document["metadata"]["name"])
    for one in equipped:
        until("the CDI files to be gone", lambda one=one: not one.node.cdi_files(), seen=one.agent.tail)
        one.node.running.processes["drakit"].end()
        for it in one.slices():
            bare.api.delete("ResourceSlice", it["metadata"]["name"])
        shutil.rmtree(one.node.hardware)


@pytest.fixture
def neuron(equip: Equip) -> Equip:
    """Give a node Neuron devices and an agent: `(node_type, backend settings, **as equip)`."""

    def neuron(node_type: str, backend: dict[str, Any] | None = None, **others: Any) -> EquippedNode:
        return equip(node_type, {"plugin": "neuron", **(backend or {})}, healthSeconds=0.5, **others)

    return neuron


@pytest.fixture
def efa(equip: Equip) -> Equip:
    """Give a node EFA adapters and an agent: `(node_type, **options of the backend)`."""
    return lambda node_type, **options: equip(node_type, {"plugin": "efa", "options": options})
