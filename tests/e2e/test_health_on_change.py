"""A plugin that says that something has changed is asked for health at once, however seldom it is asked otherwise."""

from __future__ import annotations

import os

import pytest
from drakit import DeviceRef, HealthStatus

DRIVER = "alarm.example.com"
PLUGIN = '''
import threading
from drakit import Device, DeviceRef, Health, HealthStatus, Pool, hookimpl

class Plugin:
    """One device, sound until somebody writes into the pipe `/alarm`."""

    driver_name = "alarm.example.com"

    def __init__(self, context):
        self.context = context
        self.status = HealthStatus.HEALTHY
        threading.Thread(target=self.wait, daemon=True).start()

    def wait(self):
        self.context.path("/alarm").read_bytes()
        self.status = HealthStatus.UNHEALTHY
        self.context.changed()

    @hookimpl
    def discover(self):
        return [Pool([Device("only")])]

    @hookimpl
    def prepare(self, claim):
        return []

    @hookimpl
    def unprepare(self, claim, prepared):
        pass

    @hookimpl
    def health(self):
        return [Health(DeviceRef(self.context.driver, self.context.pool, "only"), self.status)]
'''


@pytest.mark.reliability(
    fault="A device breaks between two rounds of health",
    injected="its plugin says that something has changed, where health is asked for once an hour",
    promise="The plugin is asked at once, and the health stream says Unhealthy",
)
def test_a_change_that_a_plugin_tells_reaches_the_health_stream_at_once(node, kubelet, until):
    node.root.mkdir()
    os.mkfifo(node.root / "alarm")
    node.install("alarm", PLUGIN)
    node.start("[{plugin: alarm}]", healthSeconds=3600, discoverySeconds=3600)
    kubelet.wait_for(DRIVER)
    device = DeviceRef(DRIVER, "node-1", "only")
    until(lambda: kubelet.health(device).status is HealthStatus.HEALTHY, "the first report")
    (node.root / "alarm").write_bytes(b"!")
    until(lambda: kubelet.health(device).status is HealthStatus.UNHEALTHY, "health to be asked for again")
