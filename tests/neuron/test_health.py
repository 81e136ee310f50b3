"""Health says what the kernel module counts, and no more."""

from __future__ import annotations

import pytest
from drakit import DeviceRef, HealthStatus


def statuses(plugin):
    return {report.device.name: (report.status, report.message) for report in plugin.health()}


def test_devices_without_errors_are_healthy(node):
    plugin = node.lay_out("trn1.32xlarge").plugin()
    plugin.discover()
    reports = plugin.health()
    assert [report.device for report in reports] == [
        DeviceRef("neuron.aws.com", "node-1", f"neuron-device-{number}") for number in range(16)
    ]
    assert {report.status for report in reports} == {HealthStatus.HEALTHY}


@pytest.mark.parametrize("counter", ["mem_ecc_uncorrected", "sram_ecc_uncorrected"])
def test_an_uncorrected_error_makes_its_device_unhealthy_and_names_the_counter(node, counter):
    plugin = node.lay_out("trn2.48xlarge").plugin()
    plugin.discover()
    (node.device_dir(3) / "stats/hardware" / counter).write_text("2\n")
    found = statuses(plugin)
    status, message = found.pop("neuron-device-3")
    assert status is HealthStatus.UNHEALTHY
    assert f"{counter} 2" in message
    assert {status for status, _ in found.values()} == {HealthStatus.HEALTHY}


def test_a_repairable_error_is_not_held_against_the_device(node):
    plugin = node.lay_out("trn2.3xlarge").plugin()
    plugin.discover()
    (node.device_dir(0) / "stats/hardware/mem_ecc_repairable_uncorrected").write_text("9\n")
    assert statuses(plugin)["neuron-device-0"] == (HealthStatus.HEALTHY, "")


def test_a_device_that_has_gone_stays_unhealthy_over_rescans(node):
    plugin = node.lay_out("trn1.32xlarge").plugin()
    plugin.discover()
    node.remove(9)
    plugin.discover()
    status, message = statuses(plugin)["neuron-device-9"]
    assert status is HealthStatus.UNHEALTHY
    assert "neuron9 has gone" in message


@pytest.mark.parametrize("content", ["garbage\n", "-1\n", "\n"])
def test_without_readable_counters_health_is_unknown(node, content):
    plugin = node.lay_out("trn1.2xlarge").plugin()
    plugin.discover()
    for name in ("mem_ecc_uncorrected", "sram_ecc_uncorrected"):
        (node.device_dir(0) / "stats/hardware" / name).write_text(content)
    assert statuses(plugin)["neuron-device-0"][0] is HealthStatus.UNKNOWN
