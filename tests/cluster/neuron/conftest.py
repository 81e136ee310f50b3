"""Neuron nodes of every kind that tests need: two nodes of a cluster, which each test gives hardware and an agent."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from attrs import frozen
from drakit_neuron.plugin import NeuronPlugin
from realkube import artifacts
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.kubernetes import Kubernetes
from realkube.machine import Process
from realkube.node import Node
from realkube.waiting import until
from realkube.workspace import Workspace

DRIVER = "neuron.aws.com"


@pytest.fixture(scope="package")
def bare(components: tuple[Kubernetes, Debian], request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster of two nodes without hardware and without agents."""
    with Cluster(*components, nodes=2) as cluster, artifacts.kept_on_failure(cluster, request.session):
        cluster.deploy()
        for path in (NeuronPlugin.data / "deviceclasses").glob("*.yaml"):
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
class NeuronNode:
    """A node with the hardware of a type, and an agent that serves it."""

    cluster: Cluster
    node: Node
    agent: Process

    @property
    def name(self) -> str:
        return self.node.name

    def file(self, path: str) -> Path:
        """A file of the kernel module's."""
        return self.node.hardware / "sys/class/neuron_device" / path

    def taints(self) -> dict[str, tuple[str, str]]:
        """Device -> value and effect of its taint, as published."""
        return {
            device["name"]: (taint["value"], taint["effect"])
            for it in slices_of(self.cluster, self.name)
            for device in it["spec"].get("devices") or ()
            for taint in device.get("taints") or ()
        }


def slices_of(cluster: Cluster, node: str) -> list[dict[str, Any]]:
    """The published slices of a node's driver."""
    return cluster.api.list("ResourceSlice", fieldSelector=f"spec.driver={DRIVER},spec.nodeName={node}")


@pytest.fixture
def equip(bare: Cluster, workspace: Workspace) -> Iterator[Any]:
    """Give a node hardware and an agent: `(number, node_type, backend settings, **settings)`.

    Both are taken away after the test, once its pods have ended.
    """
    equipped: list[NeuronNode] = []

    def equip(number: int, node_type: str, backend: dict[str, Any] | None = None, **settings: Any) -> NeuronNode:
        node = bare.nodes[number]
        node.lay_out(node_type)
        agent = node.start_agent([{"plugin": "neuron", **(backend or {})}], healthSeconds=0.5, **settings)
        found = NeuronNode(bare, node, agent)
        equipped.append(found)
        until(f"the slices of {node.name}", lambda: slices_of(bare, node.name), seen=agent.tail)
        return found

    yield equip
    for document in workspace.pods():
        workspace.delete(document["metadata"]["name"])
    for one in equipped:
        until("the CDI files to be gone", lambda one=one: not one.node.cdi_files(), seen=one.agent.tail)
        one.node.running.processes["drakit"].end()
        for it in slices_of(bare, one.name):
            bare.api.delete("ResourceSlice", it["metadata"]["name"])
        shutil.rmtree(one.node.hardware)
