"""Health follows what is published: devices, the node as one device, or both."""

from __future__ import annotations

import pytest
from drakit import HealthStatus
from drakit.faults.book import FaultBook
from drakit.faults.clearing import clear
from drakit.faults.record import FaultFile
from drakit_neuron.instances import UltraServerDevices
from drakit_neuron.options import HealthOptions, NeuronOptions


def reports_of(plugin):
    return {report.device.name: report for report in plugin.health()}


def standing(report):
    """The faults that the core would take for faults, were nothing ever cleared; by name."""
    return {fault.name: fault for fault in report.faults if fault.count is None or fault.count >= fault.threshold}


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
        node.write(number, "stats/hardware/mem_ecc_uncorrected", "2\n")
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
        node.write(number, "stats/hardware/mem_ecc_corrected", "2\n")
    (report,) = plugin.health()
    assert standing(report) == {}
    node.write(9, "stats/hardware/mem_ecc_corrected", "3\n")
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

    node.write(1, "stats/hardware/mem_ecc_uncorrected", "2\n")
    node.write(5, "stats/hardware/mem_ecc_uncorrected", "3\n")
    assert names() == ["mem_ecc_uncorrected-1", "mem_ecc_uncorrected-5"]
    clear(file, ["neuron-node"])
    assert names() == []
    node.remove(5)
    assert names() == ["vanished-5"]
    node.lay_out("trn2u.48xlarge")
    node.write(1, "stats/hardware/mem_ecc_uncorrected", "2\n")
    assert names() == []
    node.write(5, "stats/hardware/mem_ecc_uncorrected", "1\n")
    assert names() == ["mem_ecc_uncorrected-5"]
