"""From a file of sysfs to a taint and back: a real agent over faked EFA adapters."""

from __future__ import annotations

import socket
import urllib.request

import pytest
from drakit import DeviceRef, HealthStatus
from drakit.testing import lay_out

DRIVER, KEY = "dra.net", "dra.net/unhealthy"
DEVICE = DeviceRef(DRIVER, "node-1", "pci-0000-20-1b-0")
TAINTED = "[{plugin: efa, taints: {}}]"
STATE = "sys/class/infiniband/rdmap32s27/ports/1/state"


@pytest.fixture
def p4d(node):
    """A node that looks like a p4d.24xlarge, with four adapters."""
    lay_out("p4d.24xlarge", node.root)
    return node


@pytest.fixture
def published(api):
    """Wait until the device, and no other, is published with this health and these taints."""

    def wait(health, *taints):
        api.wait_for(lambda server: _published(server) == {DEVICE.name: (health, list(taints))})

    return wait


def _published(server):
    """What is published of the device, and of others only where they are not as they should be."""
    found = {}
    for one in server.list("ResourceSlice"):
        for device in one["spec"].get("devices", ()):
            taints = [(taint["key"], taint["value"], taint["effect"]) for taint in device.get("taints", ())]
            told = (device["attributes"]["efa.drakit/health"]["string"], taints)
            if device["name"] == DEVICE.name or told != ("Healthy", []):
                found[device["name"]] = told
    return found


@pytest.mark.reliability(
    fault="The port of an EFA adapter goes down, and comes up again",
    injected="its state in a faked sysfs changes under a real agent that has taints configured",
    promise="It is published tainted and unhealthy, alone, pods hear of it, and all that ends after it stayed up",
)
def test_a_port_that_goes_down_taints_until_it_has_stayed_up(p4d, kubelet, published, until):
    p4d.start(TAINTED, healthSeconds=0.05, faultSteadySeconds=0.2, discoverySeconds=3600)
    kubelet.wait_for(DRIVER)
    published("Healthy")
    (p4d.root / STATE).write_text("1: DOWN\n")
    published("Unhealthy", (KEY, "port_down", "NoSchedule"))
    until(lambda: "its port is DOWN" in kubelet.health(DEVICE).message, "the health of the device")
    (p4d.root / STATE).write_text("4: ACTIVE\n")
    published("Healthy")
    until(lambda: kubelet.health(DEVICE).status is HealthStatus.HEALTHY, "the health of the device")


def test_a_port_that_flaps_is_published_as_it_is_and_its_taint_stays(p4d, kubelet, published):
    p4d.start(TAINTED, healthSeconds=0.05, faultSteadySeconds=3600, discoverySeconds=3600)
    kubelet.wait_for(DRIVER)
    for state, health in (("1: DOWN\n", "Unhealthy"), ("4: ACTIVE\n", "Healthy"), ("2: INIT\n", "Unhealthy")):
        (p4d.root / STATE).write_text(state)
        published(health, (KEY, "port_down", "NoSchedule"))


def test_what_the_adapters_count_is_in_the_metrics(p4d, kubelet, until):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (p4d.root / STATE).with_name("hw_counters").joinpath("rx_drops").write_text("7\n")
    p4d.start("[{plugin: efa}]", healthSeconds=0.05, metricsPort=port)
    kubelet.wait_for(DRIVER)
    device = f'device="{DEVICE.name}",driver="{DRIVER}",pool="node-1"'
    until(lambda: f'drakit_device_counter_total{{counter="rx_drops",{device}}} 7.0' in _scrape(port), "the counter")
    assert f'drakit_device_counter_total{{counter="keep_alive_rcvd",{device}}} 0.0' in _scrape(port)


def _scrape(port):
    """The metrics, or nothing before they are served."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            return answer.read().decode()
    except OSError:
        return ""
