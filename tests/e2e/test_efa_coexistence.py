"""The EFA backend beside what else would hand out its adapters: the EFA device plugin, and DRANET."""

from __future__ import annotations

import socket

import pytest
from drakit.testing import lay_out

DRIVER, BESIDE = "dra.net", "neuron.aws.com"
RESOURCE = "vpc.amazonaws.com/efa"
ADAPTER, NEURON = "pci-0000-10-19-0", "neuron-device-0"


@pytest.fixture
def trn1(node):
    """A node with EFA adapters, and Neuron devices of a driver that must be spared."""
    lay_out("trn1.32xlarge", node.root)
    return node


def offer(api, **allocatable: str) -> None:
    """Have the Node offer extended resources."""
    node = api.get("Node", "node-1")
    api.replace({**node, "status": {"allocatable": {"cpu": "8", **allocatable}}})


def published(server) -> set[str]:
    return {document["spec"]["driver"] for document in server.list("ResourceSlice")}


@pytest.mark.reliability(
    fault="The EFA device plugin offers a node's adapters",
    injected="The Node's allocatable has vpc.amazonaws.com/efa, under a real agent that serves adapters",
    promise="New claims for adapters are refused, naming it, and no adapter is published until it is gone",
)
def test_beside_the_efa_device_plugin_adapters_are_refused_and_neuron_devices_are_not(
    trn1, kubelet, api, new_claim, until
):
    before = new_claim("before", {DRIVER: ("efa", [ADAPTER])})
    trn1.start(discoverySeconds=0.1)
    for driver in (DRIVER, BESIDE):
        kubelet.wait_for(driver)
    api.wait_for(lambda server: published(server) == {DRIVER, BESIDE})
    assert not kubelet.prepare([before], DRIVER)[before.uid].error
    kubelet.pods.offer(RESOURCE, "rdmap16s26")  # the kubelet knows first
    offer(api, **{RESOURCE: "8"})
    api.wait_for(lambda server: published(server) == {BESIDE})
    late = new_claim("late", {DRIVER: ("efa", ["pci-0000-10-1a-0"]), BESIDE: ("neuron", [NEURON])})
    said = kubelet.prepare([late], DRIVER)[late.uid].error
    assert f"this node also offers the hardware as {RESOURCE}, by a device plugin" in said
    assert not kubelet.prepare([late], BESIDE)[late.uid].error
    assert not kubelet.prepare([before], DRIVER)[before.uid].error, "what is prepared stays"
    assert kubelet.unprepare([before], DRIVER) == {before.uid: ""}
    kubelet.pods.offer(RESOURCE)
    offer(api)
    api.wait_for(lambda server: published(server) == {DRIVER, BESIDE})
    assert not kubelet.prepare([late], DRIVER)[late.uid].error


@pytest.mark.reliability(
    fault="DRANET, whose driver has the same name, runs on a node whose adapters drakit is to serve",
    injected="Something listens on the socket of the driver dra.net when a real agent starts",
    promise="Nothing is served or published under the name until it is gone; Neuron devices are served all the time",
)
def test_beside_another_dra_net_nothing_is_served_under_the_name_until_it_is_gone(trn1, kubelet, api, until):
    directory = trn1.plugins / DRIVER
    directory.mkdir()
    with socket.socket(socket.AF_UNIX) as dranet:
        dranet.bind(str(directory / "dra.sock"))
        dranet.listen()
        trn1.start()
        kubelet.wait_for(BESIDE)
        until(lambda: f"another driver named {DRIVER} serves" in trn1.log.read_text(), "the refusal to be logged")
        api.wait_for(lambda server: BESIDE in published(server))
        assert not kubelet.registered(DRIVER)
        assert published(api) == {BESIDE}
    until(lambda: kubelet.registered(DRIVER), "the driver to be served once the other is gone")
    api.wait_for(lambda server: published(server) == {DRIVER, BESIDE})
