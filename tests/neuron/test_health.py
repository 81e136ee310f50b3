"""Health says what is seen now: what is counted, what the firmware calls unhealthy, what is gone."""

from __future__ import annotations

import shutil

import pytest
from drakit import DeviceRef, FaultEnd, HealthStatus, Severity
from drakit.decoding import structure
from drakit.errors import ConfigError
from drakit.faults.book import FaultBook
from drakit.faults.clearing import clear
from drakit.faults.record import FaultFile
from drakit_neuron.counters import COMPONENT_MEANINGS, COUNTERS
from drakit_neuron.health import FAULTS
from drakit_neuron.instances import INSTANCE_TYPES, UltraServerDevices
from drakit_neuron.kmsg import ERRORS
from drakit_neuron.options import HealthOptions, NeuronOptions

HEALTH_STATUS = "stats/hardware/health_status"


def reports_of(plugin):
    return {report.device.name: report for report in plugin.health()}


def standing(report):
    """The faults that the core would take for faults, were nothing ever cleared; by name."""
    return {fault.name: fault for fault in report.faults if fault.count is None or fault.count >= fault.threshold}


def write(node, number, path, text):
    file = node.device_dir(number) / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def watched(node):
    """Make a plugin on a laid out node, with thresholds as given; it is closed when the test ends."""
    plugins = []

    def build(node_type: str, **thresholds):
        options = NeuronOptions(health=HealthOptions(**({"kmsg": False} | thresholds)))
        plugin = node.lay_out(node_type).plugin(options=options)
        plugins.append(plugin)
        plugin.discover()
        return plugin

    yield build
    for plugin in plugins:
        plugin.close()


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
    write(node, 3, f"stats/hardware/{counter}", "2\n")
    found = reports_of(plugin)
    fault = standing(found.pop("neuron-device-3"))[counter]
    assert (fault.count, fault.threshold, fault.end) == (2, 1, FaultEnd.CLEARED)
    for word in ("neuron3", counter, " 2 ", "replace the instance"):
        assert word in fault.message
    assert not any(standing(report) for report in found.values())


def test_what_only_the_firmware_counts_is_no_second_fault_where_it_is_a_copy(node, watched):
    plugin = watched("trn2.3xlarge")
    for path in ("stats/hardware", HEALTH_STATUS):
        write(node, 0, f"{path}/mem_ecc_uncorrected", "2\n")
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
    write(node, 0, f"{HEALTH_STATUS}/{name}", "1\n")
    report = reports_of(plugin)["neuron-device-0"]
    assert report.counters[f"health_{name}"] == 1
    assert list(standing(report)) == ([f"health_{name}"] if fault else [])


@pytest.mark.parametrize("name", ["hw_error", "hw_hbm_ue_error", "hw_nc_ue_error", "hw_dma_abort_error"])
def test_a_hardware_error_of_any_core_is_a_fault_of_the_device(node, watched, name):
    plugin = watched("trn2.3xlarge")
    for core in (2, 7):
        write(node, 0, f"neuron_core{core}/stats/status/{name}/total", "3\n")
        write(node, 0, f"neuron_core{core}/stats/status/{name}/present", "1\n")
    report = reports_of(plugin)["neuron-device-0"]
    assert {one.count for one in standing(report).values()} == {6}
    assert report.counters[name] == 6


@pytest.mark.parametrize("name", ["hw_collectives_error", "timeout"])
def test_what_another_worker_may_have_caused_is_counted_alone(node, watched, name):
    plugin = watched("trn2.3xlarge")
    write(node, 0, f"neuron_core0/stats/status/{name}/total", "3\n")
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
        write(node, 0, f"stats/hardware/{name}", "8\n")
        report = reports_of(plugin)["neuron-device-0"]
        assert report.counters[name] == 8
        assert list(standing(report)) == expected
        assert {fault.end for fault in report.faults if fault.name == name} <= {end}


def test_repairable_and_corrected_errors_are_not_held_against_a_device_by_default(node, watched):
    plugin = watched("trn2.3xlarge")
    for name in ("mem_ecc_repairable_uncorrected", "mem_ecc_corrected"):
        write(node, 0, f"stats/hardware/{name}", "9\n")
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
    write(node, 0, f"{HEALTH_STATUS}/unhealthy_components", "link_efa\n")
    (fault,) = standing(reports_of(plugin)["neuron-device-0"]).values()
    assert (fault.name, fault.end) == ("unhealthy_link_efa", FaultEnd.STEADY)
    assert "its link to an EFA adapter unhealthy (link_efa)" in fault.message
    write(node, 0, f"{HEALTH_STATUS}/unhealthy_components", "\n")
    assert standing(reports_of(plugin)["neuron-device-0"]) == {}


@pytest.mark.parametrize("component", ["hbm", "sram", "firmware_service_api", "axi_fabric"])
def test_another_component_that_the_firmware_calls_unhealthy_has_to_be_cleared(node, watched, component):
    plugin = watched("trn2.3xlarge")
    write(node, 0, f"{HEALTH_STATUS}/unhealthy_components", f"{component}\n")
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
    write(node, 0, f"{HEALTH_STATUS}/unhealthy_components", text)
    assert list(standing(reports_of(plugin)["neuron-device-0"])) == faults


def test_components_may_be_left_out_of_account(node, watched):
    plugin = watched("trn2.3xlarge", components=False)
    write(node, 0, f"{HEALTH_STATUS}/unhealthy_components", "hbm\n")
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


def test_a_counter_is_found_where_a_release_of_the_module_has_moved_it(node, watched):
    plugin = watched("trn2.3xlarge")
    directory = node.device_dir(0)
    (directory / "health").mkdir()
    (directory / "stats/hardware/mem_ecc_uncorrected").rename(directory / "health/mem_ecc_uncorrected")
    (directory / "health/mem_ecc_uncorrected").write_text("4\n")
    assert reports_of(plugin)["neuron-device-0"].counters["mem_ecc_uncorrected"] == 4


@pytest.mark.parametrize(
    ("published", "names"),
    [
        (UltraServerDevices.NODE, ["neuron-node"]),
        (UltraServerDevices.BOTH, [*(f"neuron-device-{number}" for number in range(16)), "neuron-node"]),
        (UltraServerDevices.DEVICES, [f"neuron-device-{number}" for number in range(16)]),
    ],
)
def test_what_is_published_is_reported_on_and_nothing_else(node, published, names):
    options = NeuronOptions(ultra_server_devices=published, health=HealthOptions(kmsg=False))
    plugin = node.lay_out("trn2u.48xlarge").plugin(options=options)
    assert plugin.health() == []
    plugin.discover()
    for number in (1, 5):
        write(node, number, "stats/hardware/mem_ecc_uncorrected", "2\n")
    node.remove(7)
    found = reports_of(plugin)
    plugin.close()
    assert list(found) == names
    if "neuron-node" in found:
        report = found["neuron-node"]
        faults = standing(report)
        assert report.status is HealthStatus.UNHEALTHY
        assert set(faults) == {"mem_ecc_uncorrected-1", "mem_ecc_uncorrected-5", "vanished-7"}
        for number in (1, 5):
            fault = faults[f"mem_ecc_uncorrected-{number}"]
            assert fault.count == report.counters[fault.name] == 2
            assert f"neuron{number} " in fault.message
        assert "neuron7 has gone" in faults["vanished-7"].message
        assert report.epoch


@pytest.fixture
def whole_node(node):
    """A plugin on a node that is published as one device, with thresholds as given."""
    plugins = []

    def build(**thresholds):
        options = NeuronOptions(health=HealthOptions(kmsg=False, **thresholds))
        plugins.append(node.lay_out("trn2u.48xlarge").plugin(options=options))
        plugins[-1].discover()
        return plugins[-1]

    yield build
    for plugin in plugins:
        plugin.close()


def test_a_limit_is_for_each_device_of_a_node_and_not_for_their_sum(node, whole_node):
    plugin = whole_node(corrected_ecc=3)
    for number in range(16):
        write(node, number, "stats/hardware/mem_ecc_corrected", "2\n")
    (report,) = plugin.health()
    assert standing(report) == {}
    write(node, 9, "stats/hardware/mem_ecc_corrected", "3\n")
    (report,) = plugin.health()
    assert list(standing(report)) == ["mem_ecc_corrected-9"]


@pytest.mark.reliability(
    fault="A device of a node that is published as one goes away, after a fault of another was cleared",
    injected="the files of the one vanish, then come back with counts from 0, under a book of faults",
    promise="What was cleared stays cleared; only what is new is a fault",
)
def test_a_cleared_fault_of_a_node_does_not_come_back_by_another_device(node, whole_node, tmp_path):
    plugin = whole_node()
    file = FaultFile(tmp_path / "faults.json", "neuron.aws.com", "boot-1")
    book = FaultBook(file)
    book.open()

    def names():
        book.judge(plugin.health())
        return [fault.name for fault in book.standing]

    write(node, 1, "stats/hardware/mem_ecc_uncorrected", "2\n")
    write(node, 5, "stats/hardware/mem_ecc_uncorrected", "3\n")
    assert names() == ["mem_ecc_uncorrected-1", "mem_ecc_uncorrected-5"]
    clear(file, ["neuron-node"])
    assert names() == []
    node.remove(5)
    assert names() == ["vanished-5"]
    node.lay_out("trn2u.48xlarge")
    write(node, 1, "stats/hardware/mem_ecc_uncorrected", "2\n")
    assert names() == []
    write(node, 5, "stats/hardware/mem_ecc_uncorrected", "1\n")
    assert names() == ["mem_ecc_uncorrected-5"]


@pytest.mark.parametrize("name", ["Weird Name_", "x" * 60, "_err", "Hw_Error_Event"])
def test_a_file_whose_name_no_fault_can_have_costs_no_device_its_health(node, watched, name):
    plugin = watched("trn2.3xlarge")
    write(node, 0, f"{HEALTH_STATUS}/{name}", "1\n")
    write(node, 0, f"{HEALTH_STATUS}/unhealthy_components", "odd-, odd_\n")
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
        write(node, 0, file, f"{text}\n")
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
    write(node, 0, f"{HEALTH_STATUS}/last_error_text", "all is well\n")
    for _ in range(2):
        reports_of(plugin)
    assert node.warnings() == []


def test_a_core_whose_count_cannot_be_read_does_not_let_the_sum_fall(node, watched):
    plugin = watched("trn2.3xlarge")
    for core in (2, 7):
        write(node, 0, f"neuron_core{core}/stats/status/hw_error/total", "3\n")
    assert reports_of(plugin)["neuron-device-0"].counters["hw_error"] == 6
    write(node, 0, "neuron_core2/stats/status/hw_error/total", "garbage\n")
    assert "hw_error" not in reports_of(plugin)["neuron-device-0"].counters


def test_inferentia1_is_not_expected_to_count_errors_of_memory(node, watched):
    plugin = watched("inf1.6xlarge")
    for _ in range(3):
        plugin.health()
    assert node.warnings() == []


def test_every_fault_that_is_known_beforehand_has_a_name_and_a_meaning():
    expected = {"vanished"} | {name for name, counter in COUNTERS.items() if counter.limit}
    expected |= {f"unhealthy_{component}" for component in COMPONENT_MEANINGS}
    expected |= {f"kmsg_{kind.lower()}" for kind in ERRORS}
    assert set(FAULTS) == expected
    assert all(FAULTS.values())


def test_files_that_a_starting_device_has_not_made_yet_are_found_in_the_next_round(node, watched):
    plugin = watched("trn2.3xlarge")
    late = node.device_dir(0) / "stats/hardware/sram_ecc_uncorrected"
    late.unlink()
    assert "sram_ecc_uncorrected" not in reports_of(plugin)["neuron-device-0"].counters
    late.write_text("0\n")
    assert "sram_ecc_uncorrected" in reports_of(plugin)["neuron-device-0"].counters


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
