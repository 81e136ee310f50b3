"""From a file of sysfs to the health of a pod: a real agent over a faked Neuron device."""

from __future__ import annotations

import pytest
from drakit import DeviceRef, HealthStatus
from drakit.testing import lay_out

DEVICE = DeviceRef("neuron.aws.com", "node-1", "neuron-device-0")
DIRECTORY = "sys/devices/virtual/neuron_device/neuron0"


class Neuron:
    """One device, its agent, and what the kubelet hears of it."""

    def __init__(self, node, kubelet, until):
        self.node, self._kubelet, self._until = node, kubelet, until
        lay_out("trn2.3xlarge", node.root)

    def start(self) -> None:
        """Start an agent, and wait until it has said something of health."""
        before = self._kubelet.health_messages(DEVICE.driver)
        self.node.start("[{plugin: neuron}]", healthSeconds=0.05)
        self._until(lambda: self._kubelet.health_messages(DEVICE.driver) > before, "a report")

    def write(self, file: str, text: str) -> None:
        (self.node.root / DIRECTORY / "stats/hardware" / file).write_text(text)

    def reload(self) -> None:
        """Load the kernel module anew: the same files, of new objects of the kernel."""
        for path in (self.node.root / DIRECTORY, self.node.root / "sys/module/neuron"):
            path.rename(path.with_name("unloaded"))  # which keeps its inode
        lay_out("trn2.3xlarge", self.node.root)

    def is_told(self, status: HealthStatus, *words: str) -> None:
        def told() -> bool:
            health = self._kubelet.health(DEVICE)
            return health.status is status and all(word in health.message for word in words)

        self._until(told, f"{status} {words}")


@pytest.fixture
def neuron(node, kubelet, until):
    return Neuron(node, kubelet, until)


@pytest.mark.reliability(
    fault="The memory of a Neuron device loses data, and its counter is back at 0 later",
    injected="a faked counter goes up and down under a real agent, which is restarted between",
    promise="Pods are told that the device is unhealthy, and why, until the kernel module is loaded anew",
)
def test_an_uncorrected_error_stays_until_the_module_is_loaded_anew(neuron):
    neuron.start()
    neuron.is_told(HealthStatus.HEALTHY)
    neuron.write("mem_ecc_uncorrected", "2\n")
    neuron.is_told(HealthStatus.UNHEALTHY, "neuron0", "mem_ecc_uncorrected", "since")
    neuron.write("mem_ecc_uncorrected", "0\n")
    assert neuron.node.end() == 0
    neuron.start()
    neuron.is_told(HealthStatus.UNHEALTHY, "since")
    neuron.reload()
    neuron.is_told(HealthStatus.HEALTHY)


def test_hardware_errors_in_the_log_of_the_kernel_are_told(neuron):
    log = neuron.node.root / "dev/kmsg"
    log.parent.mkdir(exist_ok=True)
    log.write_text("3,1,1,-;Neuron Driver Started with Version:2.28.0.0\n")
    neuron.start()
    neuron.is_told(HealthStatus.HEALTHY)
    with log.open("a") as file:
        file.write("3,2,2,-;NEURON_HW_ERR=NC_UNCORRECTABLE_ERROR nd-id=0 nc-id=1 action=TERMINATE_INSTANCE\n")
    neuron.is_told(HealthStatus.UNHEALTHY, "NEURON_HW_ERR=NC_UNCORRECTABLE_ERROR", "replace the instance")
