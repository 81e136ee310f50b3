"""What cannot be read of a device's health is named, and the device is judged by the rest."""

from __future__ import annotations

import pytest
from drakit import HealthStatus, Severity
from drakit_neuron.options import HealthOptions, NeuronOptions

HEALTH_STATUS = "stats/hardware/health_status"


def reports_of(plugin):
    return {report.device.name: report for report in plugin.health()}


@pytest.mark.parametrize("content", ["garbage\n", "-1\n", "\n", "\xb2\n"])
def test_without_readable_counters_health_is_unknown_and_the_check_says_so(node, content):
    options = NeuronOptions(health=HealthOptions(kmsg=False))
    plugin = node.lay_out("trn1.2xlarge").plugin(options=options)
    plugin.discover()
    for file in (*node.device_dir(0).rglob("stats/hardware/*"), *node.device_dir(0).rglob("total")):
        file.write_text(content)
    (report,) = plugin.health()
    assert report.status is HealthStatus.UNKNOWN
    assert (report.counters, report.faults) == ({}, ())
    (finding,) = [finding for finding in plugin.check() if finding.what.startswith("health")]
    assert (finding.severity, finding.found) == (Severity.WARNING, report.message)
    assert "update the Neuron driver" in finding.found


@pytest.mark.parametrize("name", ["Weird Name_", "x" * 60, "_err", "Hw_Error_Event"])
def test_a_file_whose_name_no_fault_can_have_costs_no_device_its_health(node, watched, name):
    plugin = watched("trn2.3xlarge")
    node.write(0, f"{HEALTH_STATUS}/{name}", "1\n")
    node.write(0, f"{HEALTH_STATUS}/unhealthy_components", "odd-, odd_\n")
    assert reports_of(plugin)["neuron-device-0"].status is HealthStatus.HEALTHY


@pytest.mark.reliability(
    fault="Some of a device's error counters cannot be read",
    injected="one holds garbage, or is gone, while the others are read; the list of ill components too",
    promise="The log and check name device, file and remedy; the device is judged by the rest",
)
@pytest.mark.parametrize(
    ("file", "text", "lost"),
    [
        ("stats/hardware/mem_ecc_uncorrected", "garbage", "mem_ecc_uncorrected of neuron0 is not noticed"),
        ("stats/hardware/mem_ecc_corrected", "", "mem_ecc_corrected of neuron0 is not noticed"),
        ("stats/hardware/sram_ecc_uncorrected", None, "errors of the memory on the chip that lost data are not"),
        ("neuron_core0/stats/status/hw_error/total", "-1", "hw_error of neuron0 is not noticed"),
    ],
)
def test_a_counter_that_cannot_be_read_is_named_once_and_hides_no_other(node, watched, file, text, lost):
    plugin = watched_again(watched, node, file, text)
    for _ in range(3):
        report = reports_of(plugin)["neuron-device-0"]
    (warning,) = node.warnings()
    for part in (f"/sys/class/neuron_device/neuron0/{file}", lost, "load the kernel module anew"):
        assert part in warning
    assert report.status is HealthStatus.HEALTHY
    assert "hw_nc_ue_error" in report.counters


def watched_again(watched, node, file, text):
    """A plugin on a laid out node, one file of whose device is as given, or gone."""
    plugin = watched("trn2.3xlarge")
    for copy in ("mem_ecc_uncorrected", "mem_ecc_repairable_uncorrected"):
        (node.device_dir(0) / HEALTH_STATUS / copy).unlink()
    if text is None:
        (node.device_dir(0) / file).unlink()
    else:
        node.write(0, file, f"{text}\n")
    return plugin


def test_a_list_of_ill_components_that_cannot_be_read_is_named(node, watched):
    plugin = watched("trn2.3xlarge")
    file = node.device_dir(0) / HEALTH_STATUS / "unhealthy_components"
    file.unlink()
    file.symlink_to("loop-of-itself")
    file.with_name("loop-of-itself").symlink_to(file.name)
    for _ in range(2):
        reports_of(plugin)
    (warning,) = node.warnings()
    assert f"/sys/class/neuron_device/neuron0/{HEALTH_STATUS}/unhealthy_components cannot be read" in warning
    assert str(node.root) not in warning


def test_a_file_of_the_firmware_that_is_no_count_is_nothing_to_tell(node, watched):
    plugin = watched("trn2.3xlarge")
    node.write(0, f"{HEALTH_STATUS}/last_error_text", "all is well\n")
    for _ in range(2):
        reports_of(plugin)
    assert node.warnings() == []


def test_a_core_whose_count_cannot_be_read_does_not_let_the_sum_fall(node, watched):
    plugin = watched("trn2.3xlarge")
    for core in (2, 7):
        node.write(0, f"neuron_core{core}/stats/status/hw_error/total", "3\n")
    assert reports_of(plugin)["neuron-device-0"].counters["hw_error"] == 6
    node.write(0, "neuron_core2/stats/status/hw_error/total", "garbage\n")
    assert "hw_error" not in reports_of(plugin)["neuron-device-0"].counters


def test_inferentia1_is_not_expected_to_count_errors_of_memory(node, watched):
    plugin = watched("inf1.6xlarge")
    for _ in range(3):
        plugin.health()
    assert node.warnings() == []


def test_files_that_a_starting_device_has_not_made_yet_are_found_in_the_next_round(node, watched):
    plugin = watched("trn2.3xlarge")
    late = node.device_dir(0) / "stats/hardware/sram_ecc_uncorrected"
    late.unlink()
    assert "sram_ecc_uncorrected" not in reports_of(plugin)["neuron-device-0"].counters
    late.write_text("0\n")
    assert "sram_ecc_uncorrected" in reports_of(plugin)["neuron-device-0"].counters
