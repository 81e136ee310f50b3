"""Health says what is seen now: what is counted, what the firmware calls unhealthy, what is gone."""

from __future__ import annotations

import shutil

import pytest
from drakit import DeviceRef, FaultEnd, HealthStatus
from drakit.decoding import structure
from drakit.errors import ConfigError
from drakit_neuron.counters import COMPONENT_MEANINGS, COUNTERS
from drakit_neuron.health import FAULTS
from drakit_neuron.instances import INSTANCE_TYPES
from drakit_neuron.kmsg import ERRORS
from drakit_neuron.options import NeuronOptions

HEALTH_STATUS = "stats/hardware/health_status"


def reports_of(plugin):
    return {report.device.name: report for report in plugin.health()}


def standing(report):
    """The faults that the core would take for faults, were nothing ever cleared; by name."""
    return {fault.name: fault for fault in report.faults if fault.count is None or fault.count >= fault.threshold}


@pytest.mark.parametrize("node_type", ["trn1.32xlarge", "inf2.48xlarge", "trn2.3xlarge"])
def test_devices_without_errors_are_healthy_and_have_no_faults(watched, node_type):
    reports = watched(node_type).health()
    assert [report.device for report in reports] == [
        DeviceRef("neuron.aws.com", "node-1", f"neuron-device-{number}")
        for number in range(INSTANCE_TYPES[node_type].devices)
    ]
    assert {report.status for report in reports} == {HealthStatus.HEALTHY}
    assert not any(standing(report) for report in reports)


@pytest.mark.reliability(
    fault="The memory of a Neuron device loses data",
    injected="its counter of uncorrected ECC errors goes up in a faked sysfs",
    promise="The device has a fault until a reload of the module, a reboot or an operator ends it; others have none",
)
@pytest.mark.parametrize("counter", ["mem_ecc_uncorrected", "sram_ecc_uncorrected"])
def test_an_uncorrected_error_is_a_fault_of_its_device_alone(node, watched, counter):
    plugin = watched("inf2.24xlarge")
    node.write(3, f"stats/hardware/{counter}", "2\n")
    found = reports_of(plugin)
    fault = standing(found.pop("neuron-device-3"))[counter]
    assert (fault.count, fault.threshold, fault.end) == (2, 1, FaultEnd.CLEARED)
    for word in ("neuron3", counter, " 2 ", "replace the instance"):
        assert word in fault.message
    assert not any(standing(report) for report in found.values())


def test_what_only_the_firmware_counts_is_no_second_fault_where_it_is_a_copy(node, watched):
    plugin = watched("trn2.3xlarge")
    for path in ("stats/hardware", HEALTH_STATUS):
        node.write(0, f"{path}/mem_ecc_uncorrected", "2\n")
    report = reports_of(plugin)["neuron-device-0"]
    assert list(standing(report)) == ["mem_ecc_uncorrected"]
    assert not [name for name in report.counters if name.startswith("health_mem_ecc")]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("hbm_ecc_uncorrectable_err_count", True),
        ("hbm2_ue", True),
        ("hw_error_event_count", True),
        ("hbm_repairable_ue_count", False),
        ("sram_correctable_count", False),
        ("hbm_ecc_err_count", False),
        ("healthcheck_heartbeat_errors", False),
        ("healthcheck_heartbeat", False),
    ],
)
def test_a_file_of_the_firmware_under_a_name_of_its_own_is_judged_by_its_name(node, watched, name, fault):
    plugin = watched("trn2.3xlarge")
    node.write(0, f"{HEALTH_STATUS}/{name}", "1\n")
    report = reports_of(plugin)["neuron-device-0"]
    assert report.counters[f"health_{name}"] == 1
    assert list(standing(report)) == ([f"health_{name}"] if fault else [])


@pytest.mark.parametrize("name", ["hw_error", "hw_hbm_ue_error", "hw_nc_ue_error", "hw_dma_abort_error"])
def test_a_hardware_error_of_any_core_is_a_fault_of_the_device(node, watched, name):
    plugin = watched("trn2.3xlarge")
    for core in (2, 7):
        node.write(0, f"neuron_core{core}/stats/status/{name}/total", "3\n")
        node.write(0, f"neuron_core{core}/stats/status/{name}/present", "1\n")
    report = reports_of(plugin)["neuron-device-0"]
    assert {one.count for one in standing(report).values()} == {6}
    assert report.counters[name] == 6


@pytest.mark.parametrize("name", ["hw_collectives_error", "timeout"])
def test_what_another_worker_may_have_caused_is_counted_alone(node, watched, name):
    plugin = watched("trn2.3xlarge")
    node.write(0, f"neuron_core0/stats/status/{name}/total", "3\n")
    report = reports_of(plugin)["neuron-device-0"]
    assert (report.counters[name], standing(report)) == (3, {})


@pytest.mark.parametrize(
    ("name", "option", "end"),
    [
        ("mem_ecc_uncorrected", "uncorrected_ecc", FaultEnd.CLEARED),
        ("mem_ecc_repairable_uncorrected", "repairable_ecc", FaultEnd.CLEARED),
        ("mem_ecc_corrected", "corrected_ecc", FaultEnd.STEADY),
        ("sram_ecc_corrected", "corrected_ecc", FaultEnd.STEADY),
    ],
)
def test_a_threshold_says_how_many_are_a_fault_and_0_that_none_are(node, watched, name, option, end):
    for limit, expected in ((0, []), (9, []), (8, [name])):
        plugin = watched("trn2.3xlarge", **{option: limit})
        node.write(0, f"stats/hardware/{name}", "8\n")
        report = reports_of(plugin)["neuron-device-0"]
        assert report.counters[name] == 8
        assert list(standing(report)) == expected
        assert {fault.end for fault in report.faults if fault.name == name} <= {end}


def test_repairable_and_corrected_errors_are_not_held_against_a_device_by_default(node, watched):
    plugin = watched("trn2.3xlarge")
    for name in ("mem_ecc_repairable_uncorrected", "mem_ecc_corrected"):
        node.write(0, f"stats/hardware/{name}", "9\n")
    assert standing(reports_of(plugin)["neuron-device-0"]) == {}


def test_what_can_be_a_fault_is_reported_at_0_too_for_the_core_to_compare(watched):
    (report,) = watched("trn2.3xlarge").health()
    assert {"mem_ecc_uncorrected", "hw_error"} <= {fault.name for fault in report.faults if fault.count == 0}


@pytest.mark.reliability(
    fault="A link of a Neuron device goes down",
    injected="the firmware names the link among its unhealthy components",
    promise="The device has a fault that ends by itself, once the link has been up for a while",
)
def test_a_link_that_the_firmware_calls_unhealthy_is_a_fault_that_ends_by_itself(node, watched):
    plugin = watched("trn2.3xlarge")
    node.write(0, f"{HEALTH_STATUS}/unhealthy_components", "link_efa\n")
    (fault,) = standing(reports_of(plugin)["neuron-device-0"]).values()
    assert (fault.name, fault.end) == ("unhealthy_link_efa", FaultEnd.STEADY)
    assert "its link to an EFA adapter unhealthy (link_efa)" in fault.message
    node.write(0, f"{HEALTH_STATUS}/unhealthy_components", "\n")
    assert standing(reports_of(plugin)["neuron-device-0"]) == {}


@pytest.mark.parametrize("component", ["hbm", "sram", "firmware_service_api", "axi_fabric"])
def test_another_component_that_the_firmware_calls_unhealthy_has_to_be_cleared(node, watched, component):
    plugin = watched("trn2.3xlarge")
    node.write(0, f"{HEALTH_STATUS}/unhealthy_components", f"{component}\n")
    (fault,) = standing(reports_of(plugin)["neuron-device-0"]).values()
    assert (fault.name, fault.end) == (f"unhealthy_{component}", FaultEnd.CLEARED)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("hbm,link_host\n", ["unhealthy_hbm", "unhealthy_link_host"]),
        ("HBM, hbm\n", ["unhealthy_hbm"]),
        ("warp_drive\n", ["unhealthy_warp_drive"]),
        ("none\n", []),
        ("0x0\n", []),
        ("", []),
        ("\xff,;\n", []),
    ],
)
def test_components_are_told_as_the_firmware_names_them(node, watched, text, faults):
    plugin = watched("trn2.3xlarge")
    node.write(0, f"{HEALTH_STATUS}/unhealthy_components", text)
    assert list(standing(reports_of(plugin)["neuron-device-0"])) == faults


def test_components_may_be_left_out_of_account(node, watched):
    plugin = watched("trn2.3xlarge", components=False)
    node.write(0, f"{HEALTH_STATUS}/unhealthy_components", "hbm\n")
    assert standing(reports_of(plugin)["neuron-device-0"]) == {}


@pytest.mark.reliability(
    fault="A Neuron device drops off the bus",
    injected="its directory in sysfs goes away under a plugin that has seen it",
    promise="It is reported unhealthy by name over all rescans, until it is back",
)
def test_a_device_that_has_gone_stays_unhealthy_over_rescans_until_it_is_back(node, watched):
    plugin = watched("inf2.24xlarge")
    node.remove(4)
    plugin.discover()
    report = reports_of(plugin)["neuron-device-4"]
    assert report.status is HealthStatus.UNHEALTHY
    assert standing(report)["vanished"].end is FaultEnd.GONE
    assert "neuron4 has gone" in report.message
    assert report.epoch == ""
    node.lay_out("inf2.24xlarge")
    assert reports_of(plugin)["neuron-device-4"].status is HealthStatus.HEALTHY


def test_an_epoch_lasts_as_long_as_the_device_and_the_module_do(node, watched):
    plugin = watched("inf2.24xlarge")
    before = {name: report.epoch for name, report in reports_of(plugin).items()}
    assert before == {name: report.epoch for name, report in reports_of(plugin).items()}
    shutil.move(node.device_dir(4), node.device_dir(4).with_name("old"))  # what is kept open keeps its inode
    node.lay_out("inf2.24xlarge")
    after = {name: report.epoch for name, report in reports_of(plugin).items()}
    assert {name for name in before if before[name] != after[name]} == {"neuron-device-4"}
    shutil.move(node.root / "sys/module/neuron", node.root / "sys/module/old")
    node.lay_out("inf2.24xlarge")
    last = {name: report.epoch for name, report in reports_of(plugin).items()}
    assert not [name for name in before if last[name] == after[name]]


def test_a_counter_is_found_where_a_release_of_the_module_has_moved_it(node, watched):
    plugin = watched("trn2.3xlarge")
    directory = node.device_dir(0)
    (directory / "health").mkdir()
    (directory / "stats/hardware/mem_ecc_uncorrected").rename(directory / "health/mem_ecc_uncorrected")
    (directory / "health/mem_ecc_uncorrected").write_text("4\n")
    assert reports_of(plugin)["neuron-device-0"].counters["mem_ecc_uncorrected"] == 4


def test_every_fault_that_is_known_beforehand_has_a_name_and_a_meaning():
    expected = {"vanished"} | {name for name, counter in COUNTERS.items() if counter.limit}
    expected |= {f"unhealthy_{component}" for component in COMPONENT_MEANINGS}
    expected |= {f"kmsg_{kind.lower()}" for kind in ERRORS}
    assert set(FAULTS) == expected
    assert all(FAULTS.values())


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"uncorrectedEcc": -1}, "options.health: uncorrectedEcc must be .* or 0 for never, not -1"),
        ({"correctedEcc": "9"}, "options.health.correctedEcc"),
        ({"hardwareErrors": 1.5}, "options.health.hardwareErrors"),
        ({"kmsg": "no"}, "options.health.kmsg"),
        ({"uncorrectedECC": 1}, "uncorrectedECC"),
    ],
)
def test_a_threshold_that_is_none_is_refused_by_its_place(written, said):
    with pytest.raises(ConfigError, match=said):
        structure(NeuronOptions, {"health": written}, "options")
