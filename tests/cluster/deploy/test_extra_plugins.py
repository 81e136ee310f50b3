"""Plugins that are not in the image: wheels from an image and from a volume, on a real kubelet."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from realkube import artifacts
from realkube.built import BuiltImage
from realkube.cluster import Cluster
from realkube.daemonset import agent_on, agents, install, prepare, run_in, told, values_for
from realkube.helm import NAMESPACE
from realkube.image import write_images
from realkube.waiting import until

from tests.cli.wheelhouse import Wheelhouse

pytestmark = [pytest.mark.cluster, pytest.mark.node]

WHEELS = "localhost/acme-wheels:test"
DRIVER = "acme.example.com"
SOURCE = """
from drakit import ContainerEdits, Device, Pool, PreparedDevice, hookimpl


class Acme:
    driver_name = "acme.example.com"

    def __init__(self, context):
        pass

    @hookimpl
    def discover(self):
        return [Pool([Device(name="one")])]

    @hookimpl
    def prepare(self, claim):
        return [PreparedDevice.of(device, ContainerEdits(env={"ACME": "1"})) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        pass
"""


class Acme:
    """A cluster whose administrator wants the plugin `acme` served."""

    def __init__(self, cluster: Cluster, image: BuiltImage, wheel: Path, pin: str) -> None:
        self.cluster = cluster
        self.wheel = wheel
        self.pin = pin
        self._image = image

    def install(self, *, wait: bool = True, **source: Any) -> None:
        """Install the chart with the plugin from that source."""
        extra = {"name": "acme", "plugins": ["acme"], "requirements": self.pin, **source}
        config = {"backends": [{"plugin": "acme", "driver": DRIVER}], "drainSeconds": 2}
        install(self.cluster, values_for(self._image, config=config, extraPlugins=[extra]), wait=wait)

    def devices(self) -> list[str]:
        """What is published of it."""
        slices = self.cluster.api.list("ResourceSlice", fieldSelector=f"spec.driver={DRIVER}")
        return [device["name"] for it in slices for device in it["spec"].get("devices", ())]


@pytest.fixture(scope="module")
def acme(
    components, drakit_image: BuiltImage, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Acme]:
    """A node that has the image of wheels."""
    house = Wheelhouse(tmp_path_factory.mktemp("house"))
    pin = house.add("acme", offers="acme = acme:Acme", source=SOURCE)
    (wheel,) = house.wheels.iterdir()
    with Cluster(*components) as cluster, artifacts.kept_on_failure(cluster, request.session):
        (node,) = cluster.nodes
        node.lay_out("generic-gpu-nic")
        cluster.start_nodes()
        prepare(node, drakit_image)
        archive = house.wheels.parent / "wheels.tar"
        busybox = cluster.debian.root / "usr/bin/busybox"
        write_images(busybox, archive, [WHEELS], {f"wheels/{wheel.name}": wheel.read_bytes()})
        node.load(archive)
        cluster.make_namespace()
        yield Acme(cluster, drakit_image, wheel, pin)


def test_a_plugin_in_an_image_of_wheels_is_served(acme: Acme):
    acme.install(image=WHEELS)
    until("its device", lambda: acme.devices() == ["one"], seen=lambda: told(acme.cluster))
    shown = run_in(acme.cluster, agent_on(acme.cluster, acme.cluster.nodes[0]), "drakit", "plugins")
    assert shown.code == 0, shown.errors
    assert "acme" in shown.output


def test_a_plugin_in_a_volume_of_wheels_is_served(acme: Acme):
    data = base64.b64encode(acme.wheel.read_bytes()).decode()
    metadata = {"name": "wheelhouse", "namespace": NAMESPACE}
    acme.cluster.api.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "binaryData": {acme.wheel.name: data}}
    )
    acme.install(volume={"configMap": {"name": "wheelhouse"}})
    until("its device", lambda: acme.devices() == ["one"], seen=lambda: told(acme.cluster))


def test_a_wheel_with_another_hash_starts_no_agent_and_costs_none_that_runs(acme: Acme):
    acme.install(image=WHEELS)
    (before,) = [pod["metadata"]["uid"] for pod in agents(acme.cluster)]
    acme.install(image=WHEELS, requirements=f"acme==1.0 --hash=sha256:{'0' * 64}", wait=False)

    def refused() -> bool:
        new = [pod["metadata"]["name"] for pod in agents(acme.cluster) if pod["metadata"]["uid"] != before]
        logs = [acme.cluster.api.log(name, NAMESPACE, "install-acme") for name in new]
        return any("has none of the hashes that are required" in log for log in logs)

    until("the installation to be refused", refused, seen=lambda: told(acme.cluster))
    assert before in [pod["metadata"]["uid"] for pod in agents(acme.cluster)]
    assert acme.devices() == ["one"]
