"""Health says what is seen now: adapters that are gone, ports that are down, what the driver counts."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
from drakit import DeviceRef, FaultEnd, HealthStatus, PluginContext, Severity
from drakit.decoding import structure
from drakit.errors import ConfigError
from drakit_efa.counters import COUNTERS, DEVICE_COUNTERS, PORT_COUNTERS, read_bytes
from drakit_efa.health import FAULTS, HealthReporter
from drakit_efa.plugin import EfaPlugin
from drakit_efa.ports import read_state
from drakit_efa.sysfs import read_adapter

ADDRESS, NAME = "0000:20:1b.0", "pci-0000-20-1b-0"
HEALTH = "efa.drakit/health"
OFF = {"port_down": False, "no_completion": 0}


def reports_of(plugin):
    return {report.device.name: report for report in plugin.health()}


def standing(report):
    """The faults that the core would take for faults, were nothing ever cleared; by name."""
    return {fault.name: fault for fault in report.faults if fault.count is None or fault.count >= fault.threshold}


def test_adapters_without_errors_are_healthy_and_have_no_faults(watched):
    reports = watched().plugin.health()
    assert [report.device for report in reports] == [
        DeviceRef("dra.net", "node-1", f"pci-0000-{bus}-1b-0") for bus in ("10", "20", "90", "a0")
    ]
    assert {report.status for report in reports} == {HealthStatus.HEALTHY}
    assert not any(standing(report) for report in reports)


def test_nothing_is_reported_on_before_something_was_discovered(node):
    assert node.lay_out("p4d.24xlarge").plugin().health() == []


@pytest.mark.reliability(
    fault="The port of an EFA adapter goes down",
    injected="its state in a faked sysfs is another than ACTIVE",
    promise="The adapter has a fault that ends by itself, once the port has been up for a while; the others have none",
)
@pytest.mark.parametrize("state", ["DOWN", "INIT", "ARMED", "ACTIVE_DEFER"])
def test_a_port_that_is_not_active_is_a_fault_of_its_adapter_that_ends_by_itself(watched, state):
    efa = watched()
    efa.state(f"1: {state}\n")
    found = reports_of(efa.plugin)
    (fault,) = standing(found.pop(NAME)).values()
    assert (fault.name, fault.end) == ("port_down", FaultEnd.STEADY)
    for word in (ADDRESS, "rdmap32s27", state, "replace the instance"):
        assert word in fault.message
    assert not any(standing(report) for report in found.values())
    efa.state("4: ACTIVE\n")
    assert standing(efa.report()) == {}


def test_a_port_that_is_down_may_be_left_out_of_account(watched):
    efa = watched(port_down=False)
    efa.state("1: DOWN\n")
    assert standing(efa.report()) == {}
    assert efa.published()[NAME] == "Unhealthy"


@pytest.mark.reliability(
    fault="An EFA adapter does not complete a command of its driver",
    injected="its counter of such commands goes up in a faked sysfs",
    promise="The adapter has a fault until it is bound anew, a reboot or an operator ends it; the others have none",
)
def test_a_command_that_was_never_completed_is_a_fault_that_has_to_be_cleared(watched):
    efa = watched()
    efa.write("hw_counters/no_completion_cmds", "2\n")
    found = reports_of(efa.plugin)
    fault = standing(found.pop(NAME))["no_completion_cmds"]
    assert (fault.count, fault.threshold, fault.end) == (2, 1, FaultEnd.CLEARED)
    for word in (ADDRESS, "no_completion_cmds", " 2 ", "bind it again"):
        assert word in fault.message
    assert not any(standing(report) for report in found.values())


@pytest.mark.parametrize(("name", "counter"), [(name, counter) for name, counter in COUNTERS.items() if counter.limit])
def test_a_threshold_says_how_many_are_a_fault_and_0_that_none_are(watched, name, counter):
    directory = "ports/1/hw_counters" if name in PORT_COUNTERS else "hw_counters"
    for limit, expected in ((0, []), (9, []), (8, [name])):
        efa = watched(**{**OFF, counter.limit: limit})
        efa.write(f"{directory}/{name}", "8\n")
        report = efa.report()
        assert report.counters[name] == 8
        assert list(standing(report)) == expected
        assert {fault.end for fault in report.faults if fault.name == name} <= {counter.end}


def test_what_a_workload_or_a_peer_may_have_caused_is_no_fault_by_default(watched):
    efa = watched()
    for directory, names in (("ports/1/hw_counters", PORT_COUNTERS), ("hw_counters", DEVICE_COUNTERS)):
        for name in names.keys() - {"no_completion_cmds"}:
            efa.write(f"{directory}/{name}", "1000\n")
    assert standing(efa.report()) == {}


def test_everything_that_the_driver_counts_is_reported_and_nothing_else(watched):
    efa = watched()
    efa.write("ports/1/hw_counters/tx_bytes", f"{2**63}\n")
    report = efa.report()
    assert set(report.counters) == set(COUNTERS)  # and not the file `lifespan`, which is beside them
    assert report.counters["tx_bytes"] == 2**63


def test_a_counter_of_a_later_release_is_reported_and_is_no_fault(watched):
    efa = watched()
    efa.write("ports/1/hw_counters/warp_events", "3\n")
    report = efa.report()
    assert report.counters["warp_events"] == 3
    assert standing(report) == {}


def test_a_driver_that_has_all_counters_at_the_port_is_understood(watched):
    efa = watched()
    shutil.move(efa.verbs() / "hw_counters/no_completion_cmds", efa.verbs() / "ports/1/hw_counters")
    shutil.rmtree(efa.verbs() / "hw_counters")
    efa.write("ports/1/hw_counters/no_completion_cmds", "1\n")
    assert set(standing(efa.report())) == {"no_completion_cmds"}


@pytest.mark.parametrize("content", ["garbage\n", "-1\n", "\n", "\xb2\n"])
def test_a_counter_that_is_no_number_is_not_reported_and_costs_no_other(watched, content):
    efa = watched()
    efa.write("ports/1/hw_counters/rx_drops", content)
    report = efa.report()
    assert report.status is HealthStatus.HEALTHY
    assert set(COUNTERS) - set(report.counters) == {"rx_drops"}


@pytest.mark.parametrize(
    ("break_it", "said"),
    [
        (lambda efa: efa.state("garbage\n"), "ports/1/state cannot be read"),
        (lambda efa: (efa.verbs() / "ports/1/state").unlink(), "ports/1/state cannot be read"),
        (lambda efa: [shutil.rmtree(path) for path in list(efa.verbs().rglob("hw_counters"))], "no counter below"),
    ],
)
def test_what_cannot_be_read_makes_health_unknown_and_the_check_says_so(watched, break_it, said):
    efa = watched()
    break_it(efa)
    report = efa.report()
    assert (report.status, standing(report)) == (HealthStatus.UNKNOWN, {})
    assert said in report.message
    (finding,) = [one for one in efa.plugin.check() if one.what == f"health of {NAME}"]
    assert (finding.severity, finding.found) == (Severity.WARNING, report.message)


@pytest.mark.reliability(
    fault="An EFA adapter drops off the bus",
    injected="its PCI function goes away under a plugin that has seen it",
    promise="It is reported unhealthy by name over all rescans, until it is back",
)
def test_an_adapter_that_has_gone_stays_unhealthy_over_rescans_until_it_is_back(watched, node):
    efa = watched()
    node.function(ADDRESS).unlink()
    efa.plugin.discover()
    report = efa.report()
    assert (report.status, report.epoch) == (HealthStatus.UNHEALTHY, "")
    assert {name: fault.end for name, fault in standing(report).items()} == {"vanished": FaultEnd.GONE}
    assert f"EFA adapter {ADDRESS} (rdmap32s27) has gone" in report.message
    node.lay_out("p4d.24xlarge")
    assert efa.report().status is HealthStatus.HEALTHY


@pytest.mark.parametrize(("driver", "said"), [(None, "no driver"), ("vfio-pci", "vfio-pci")])
def test_an_adapter_that_lost_its_driver_is_a_fault(watched, node, driver, said):
    efa = watched()
    link = node.function(ADDRESS) / "driver"
    link.unlink()
    if driver:
        link.symlink_to(f"../../../bus/pci/drivers/{driver}")
    report = efa.report()
    assert {name: fault.end for name, fault in standing(report).items()} == {"driver_unbound": FaultEnd.GONE}
    assert f"is bound to {said}, and no longer to efa" in report.message
    assert f"echo {ADDRESS} > /sys/bus/pci/drivers/efa/bind" in report.message


@pytest.mark.parametrize(
    ("lost", "said"),
    [("infiniband", "has lost its RDMA device"), ("infiniband_verbs", "check that the ib_uverbs module is loaded")],
)
def test_an_adapter_that_no_container_could_use_is_a_fault(watched, node, lost, said):
    efa = watched()
    shutil.rmtree(node.function(ADDRESS) / lost)
    report = efa.report()
    assert list(standing(report)) == ["verbs_lost"]
    assert said in report.message


def test_a_function_that_becomes_a_circle_of_links_costs_itself_only(watched, node):
    efa = watched()
    function = node.function(ADDRESS)
    function.unlink()
    function.symlink_to(function.name)
    found = reports_of(efa.plugin)
    assert list(standing(found.pop(NAME))) == ["vanished"]
    assert {report.status for report in found.values()} == {HealthStatus.HEALTHY}


def test_an_rdma_device_that_was_renamed_is_the_same_adapter(watched, node):
    efa = watched()
    names = node.root / "sys/class/infiniband"
    (names / "rdmap32s27").unlink()
    renamed = efa.verbs().rename(efa.verbs().with_name("efa_1"))
    (names / "efa_1").symlink_to(os.path.relpath(renamed, names))
    (node.root / "sys/class/infiniband_verbs/uverbs1/ibdev").write_text("efa_1\n")
    efa.state("1: DOWN\n")
    assert list(standing(efa.report())) == ["port_down"]


@pytest.mark.parametrize("anew", ["adapter", "module"])
def test_an_epoch_lasts_as_long_as_the_rdma_device_and_the_module_do(watched, node, anew):
    efa = watched()
    before = {name: report.epoch for name, report in reports_of(efa.plugin).items()}
    assert before == {name: report.epoch for name, report in reports_of(efa.plugin).items()}
    old = efa.verbs() if anew == "adapter" else node.root / "sys/module/efa"
    shutil.move(old, node.root / "old")  # what is kept keeps its inode
    node.lay_out("p4d.24xlarge")
    after = {name: report.epoch for name, report in reports_of(efa.plugin).items()}
    changed = {name for name in before if before[name] != after[name]}
    assert changed == ({NAME} if anew == "adapter" else set(before))


def test_counters_that_a_starting_adapter_has_not_made_yet_are_found_in_the_next_round(watched):
    efa = watched()
    late = efa.verbs() / "hw_counters"
    shutil.move(late, late.with_name("late"))
    assert not set(DEVICE_COUNTERS) & set(efa.report().counters)
    shutil.move(late.with_name("late"), late)
    assert set(DEVICE_COUNTERS) <= set(efa.report().counters)


class Silent:
    """Reads as the kernel does of an adapter that does not answer: with this error, from every file of the port."""

    def __init__(self, number):
        self.number, self.asked = number, []

    def __call__(self, path):
        if "/ports/1/hw_counters/" in path and "rdmap32s27" in os.path.realpath(path):
            self.asked.append(path)
            raise OSError(self.number, os.strerror(self.number))
        return read_bytes(path)


@pytest.fixture
def reporter(node):
    """Make a reporter on a laid out p4d whose files are read by what is given."""

    def build(read):
        root = node.lay_out("p4d.24xlarge").root
        context = PluginContext(driver="dra.net", node="node-1", pool="node-1", root=root)
        made = HealthReporter(context, read)
        adapters = [read_adapter(context, f"0000:{bus}:1b.0") for bus in ("10", "20", "90", "a0")]
        made.know({adapter: read_state(context, adapter.verbs) for adapter in adapters})
        return made

    return build


@pytest.mark.reliability(
    fault="An EFA adapter does not answer its driver any more",
    injected="reading the counters of its port fails as the driver has it fail",
    promise="It is asked once a round, has a fault until it answers again, and the other adapters are reported on",
)
@pytest.mark.parametrize("number", [errno.ENODEV, errno.ETIME])
def test_an_adapter_that_leaves_its_driver_without_an_answer_is_a_fault(reporter, number):
    silent = Silent(number)
    found = {report.device.name: report for report in reporter(silent).report()}
    report = found.pop(NAME)
    assert len(silent.asked) == 1
    assert {name: fault.end for name, fault in standing(report).items()} == {"not_answering": FaultEnd.STEADY}
    assert set(report.counters) == set(DEVICE_COUNTERS)
    assert not any(standing(other) for other in found.values())


def test_counters_that_cannot_be_read_for_another_reason_are_no_fault(reporter):
    silent = Silent(errno.EOPNOTSUPP)
    found = {report.device.name: report for report in reporter(silent).report()}
    assert standing(found[NAME]) == {}
    assert len(silent.asked) == len(PORT_COUNTERS)
    assert found[NAME].status is HealthStatus.HEALTHY


def test_every_fault_that_is_known_beforehand_has_a_name_and_a_meaning():
    expected = {"vanished", "driver_unbound", "verbs_lost", "port_down", "not_answering"}
    assert set(FAULTS) == expected | {name for name, counter in COUNTERS.items() if counter.limit}
    assert all(FAULTS.values())


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"noCompletion": -1}, "options.health: noCompletion must be .* or 0 for never, not -1"),
        ({"rxDrops": "9"}, "options.health.rxDrops"),
        ({"rdmaErrors": 1.5}, "options.health.rdmaErrors"),
        ({"portDown": "no"}, "options.health.portDown"),
        ({"portdown": True}, "portdown"),
    ],
)
def test_a_threshold_that_is_none_is_refused_by_its_place(written, said):
    with pytest.raises(ConfigError, match=said):
        structure(EfaPlugin.options, {"health": written}, "options")
