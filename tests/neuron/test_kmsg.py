"""The kernel's log, as a process reads it, and the hardware errors it tells of."""

from __future__ import annotations

import os

import pytest
from drakit import FaultEnd, PluginContext, Severity
from drakit_neuron.kmsg import HardwareErrors, KernelLog, Record, parse_error, parse_record, read_records
from drakit_neuron.options import HealthOptions, NeuronOptions
from drakit_neuron.sysfs import Unreadable
from hypothesis import given
from hypothesis import strategies as st

STARTED = "Neuron Driver Started with Version:2.28.0.0-abc at: 2026-nov-24 01:02:03.000004"


def line(sequence: int, text: str) -> str:
    return f"3,{sequence},123456789,-;{text}\n"


def error(kind: str = "SRAM_UNCORRECTABLE_ERROR", **fields: object) -> str:
    values = {"instance-id": "i-0123456789abcdef0", "hostname": "ip-192-0-2-1", "action": "TERMINATE_INSTANCE"}
    words = [f"{name.replace('_', '-')}={value}" for name, value in (values | fields).items()]
    return f"NEURON_HW_ERR={kind} {' '.join(words)}"


@pytest.fixture
def log(node):
    """Add lines to the log of a faked node; numbered from 1."""
    path = node.root / "dev/kmsg"

    def add(*texts: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        known = path.read_text().count("\n") if path.exists() else 0
        with path.open("a") as file:
            file.writelines(line(known + number, text) for number, text in enumerate(texts, 1))

    return add


@pytest.fixture
def standing(node):
    """What the plugin on a node of 6 devices says of the log: the faults of each device that has one, by name."""
    node.lay_out("inf2.24xlarge")
    plugin = node.plugin()
    plugin.discover()

    def look():
        reports = {report.device.name: report for report in plugin.health()}
        return {
            name: {fault.name: fault for fault in report.faults if fault.name.startswith("kmsg_") and fault.count}
            for name, report in reports.items()
            if any(fault.name.startswith("kmsg_") and fault.count for fault in report.faults)
        }

    yield look
    plugin.close()


def test_the_log_of_this_kernel_can_be_read_where_it_may_be_opened():
    context = PluginContext(driver="neuron.aws.com", node="node-1", pool="node-1")
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    except OSError as refused:
        pytest.skip(f"/dev/kmsg may not be opened here: {refused}")
    records = read_records(context)
    sequences = [record.sequence for record in records]
    assert sequences == sorted(set(sequences))
    assert all("\n" not in record.text for record in records)


def test_a_log_that_may_not_be_read_says_which_file_and_why(node):
    with pytest.raises(Unreadable, match=r"/dev/kmsg \(No such file or directory\)"):
        read_records(node.context())


def test_reading_goes_on_where_it_ended_also_within_a_line(node, log):
    log("one", "two")
    with KernelLog(node.context()) as kernel_log:
        assert kernel_log.read() == [Record(1, "one"), Record(2, "two")]
        assert kernel_log.read() == []
        with (node.root / "dev/kmsg").open("a") as file:
            file.write("6,3,99,-;th")
        assert kernel_log.read() == []
        with (node.root / "dev/kmsg").open("a") as file:
            file.write("ree\n SUBSYSTEM=pci\n DEVICE=+pci:0000:cc:00.0\n")
        assert kernel_log.read() == [Record(3, "three")]


@given(st.binary())
def test_nothing_that_a_log_could_hold_is_more_than_no_record(raw):
    record = parse_record(raw)
    if record is not None:
        parse_error(record)


@given(st.integers(0, 2**63), st.text(st.characters(codec="utf-8", exclude_characters="\n")))
def test_a_record_is_its_number_and_all_of_its_text(sequence, text):
    assert parse_record(f"6,{sequence},5140900,c,caller=T1;{text}".encode()) == Record(sequence, text)


@pytest.mark.reliability(
    fault="The Neuron runtime meets a hardware error",
    injected="a line NEURON_HW_ERR in a faked kernel log, as the runtime has it written",
    promise="The device it names has a fault until a reload of the module, a reboot or an operator ends it",
)
@pytest.mark.parametrize(
    "kind", ["SRAM_UNCORRECTABLE_ERROR", "NC_UNCORRECTABLE_ERROR", "HBM_UNCORRECTABLE_ERROR", "DMA_ERROR"]
)
def test_a_hardware_error_in_the_log_is_a_fault_of_the_device_it_names(log, standing, kind):
    log(STARTED, "usb 1-1: new device", error(kind, nd_id=5, nc_id=0))
    ((device, faults),) = standing().items()
    ((name, fault),) = faults.items()
    assert (device, name, fault.end) == ("neuron-device-5", f"kmsg_{kind.lower()}", FaultEnd.CLEARED)
    for word in ("neuron5", f"NEURON_HW_ERR={kind}", "TERMINATE_INSTANCE", "replace the instance"):
        assert word in fault.message


def test_a_line_that_comes_later_is_found_in_the_next_round(log, standing):
    log(STARTED)
    assert standing() == {}
    log(error(nd_id=2))
    assert list(standing()) == ["neuron-device-2"]


def test_another_line_of_a_kind_counts_higher_than_the_last_and_the_same_one_does_not(log, standing):
    def count() -> int:
        (faults,) = standing().values()
        (fault,) = faults.values()
        return fault.count

    log(error(nd_id=2))
    first = count()
    assert count() == first
    log("something else", error(nd_id=2))
    assert count() > first


def test_the_serial_number_says_which_device_it_is_before_its_number_does(node, log, standing):
    serial = (node.device_dir(4) / "info/serial_number").read_text().strip()
    log(error(nd_id=0, serial_num=serial.upper()))
    assert list(standing()) == ["neuron-device-4"]


@pytest.mark.parametrize("serial", ["0000000000000000", "ffffffffffffffff", "?"])
def test_a_serial_number_of_no_device_leaves_it_to_the_number(log, standing, serial):
    log(error(nd_id=3, serial_num=serial))
    assert list(standing()) == ["neuron-device-3"]


@pytest.mark.parametrize("fields", [{}, {"nd_id": 99}, {"nd_id": "x"}, {"nd_id": "-1"}])
def test_a_line_that_names_no_device_of_the_node_is_held_against_all_of_them(log, standing, fields):
    log(error(**fields))
    found = standing()
    assert len(found) == 6
    assert all("names no device" in fault.message for faults in found.values() for fault in faults.values())


@pytest.mark.parametrize(
    "text",
    [
        error("HANG_ON_COLLECTIVES", nd_id=1),
        error("SRAM_UNCORRECTABLE_ERRORS", nd_id=1),
        "XNEURON_HW_ERR=DMA_ERROR nd-id=1",
        "neuron: nothing to see",
    ],
)
def test_other_lines_are_nobodys_fault(log, standing, text):
    log(text)
    assert standing() == {}


def test_lines_from_before_the_module_or_the_device_was_started_do_not_count(log, standing):
    log(error(nd_id=1), error("DMA_ERROR", nd_id=2), STARTED, error(nd_id=3), error(nd_id=4))
    assert list(standing()) == ["neuron-device-3", "neuron-device-4"]
    log("neuron:npe_get_id: ** BDF: cc:00.0 => nd[3] (routing id: 0)")
    assert list(standing()) == ["neuron-device-4"]


def test_what_the_log_said_stands_while_it_cannot_be_read(node, log):
    log(error(nd_id=3))
    errors = HardwareErrors(node.context())
    assert len(errors.read()) == 1
    errors.close()
    (node.root / "dev/kmsg").unlink()
    assert len(errors.read()) == 1
    assert "cannot read /dev/kmsg" in errors.problem
    log("nothing new")
    errors.read()
    assert errors.problem == ""
    errors.close()


def test_where_the_log_may_not_be_read_the_check_says_what_is_lost_unless_it_was_turned_off(node):
    def found(**options):
        plugin = node.lay_out("trn2.3xlarge").plugin(**options)
        plugin.discover()
        return [finding for finding in plugin.check() if finding.what == "/dev/kmsg"]

    (finding,) = found()
    assert finding.severity is Severity.OK
    assert "cannot read /dev/kmsg" in finding.found
    assert "CAP_SYSLOG" in finding.found
    assert node.warnings() == []
    assert found(options=NeuronOptions(health=HealthOptions(kmsg=False))) == []
