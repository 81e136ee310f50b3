"""Faults of faked hardware: what real plugins make of a tree from which something is taken, and that it comes back."""

from __future__ import annotations

import json
import os
import stat

import pytest
from click.testing import CliRunner
from drakit import AllocatedDevice, ClaimAllocation, ClaimRef, DeviceRef, PluginContext
from drakit.errors import ConfigError
from drakit.host import PluginHost
from drakit.loading import inspect
from drakit.testing import lay_out
from drakit_efa.plugin import EfaPlugin
from drakit_mock.command import mock
from drakit_mock.rehearsal import Rehearsal
from drakit_neuron.plugin import NeuronPlugin

REAL = {"neuron.aws.com": ("neuron", NeuronPlugin), "dra.net": ("efa", EfaPlugin)}
ADAPTER = "pci-0000-c9-00-0"
NODE_DEVICE = "neuron-node"
"""Stands for all hardware of a node of an UltraServer; it is no PCI function."""


@pytest.fixture
def trn2(tmp_path, monkeypatch):
    """A faked trn2.48xlarge."""
    monkeypatch.delenv("DRAKIT_CONFIG", raising=False)
    return lay_out("trn2.48xlarge", tmp_path / "node").root


def hosted(root):
    host = PluginHost()
    for driver, (name, plugin) in REAL.items():
        context = PluginContext(driver=driver, node="n", pool="n", root=root)
        host.add(driver, inspect(name, plugin), context)
    return host


def devices(host, driver):
    return [device.name for pool in host.discover(driver) for device in pool.devices]


def tree(root):
    """Everything below a directory that can be seen of it, times apart."""
    found = {}
    for parent, directories, files in os.walk(root):
        for name in (*directories, *files):
            path = os.path.join(parent, name)
            status = os.lstat(path)
            content = os.readlink(path) if stat.S_ISLNK(status.st_mode) else None
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            found[os.path.relpath(path, root)] = (status.st_mode, status.st_rdev, status.st_ino, content)
    return found


def node_of(host, name):
    """The device node a container gets with an adapter."""
    allocated = AllocatedDevice("r", DeviceRef("dra.net", "n", name))
    claim = ClaimAllocation(ClaimRef("uid-1", "default", "claim"), [allocated])
    ((node,),) = [prepared.edits.device_nodes for prepared in host.prepare("dra.net", claim)]
    return node.path


@pytest.mark.parametrize(
    ("name", "driver", "device"),
    [
        ("neuron-device-3", "neuron.aws.com", "neuron-device-3"),
        (ADAPTER, "dra.net", ADAPTER),
        ("0000:c9:00.0", "dra.net", ADAPTER),
    ],
)
def test_hardware_vanishes_for_its_plugin_and_comes_back_as_it_was(trn2, name, driver, device):
    host, before = hosted(trn2), tree(trn2)
    all_devices = {driver: devices(host, driver) for driver in REAL}
    assert Rehearsal(root=trn2).do(name, "vanish") == [f"{name}: vanish"]
    assert devices(host, driver) == [other for other in all_devices[driver] if other != device]
    (other,) = set(REAL) - {driver}
    assert devices(host, other) == all_devices[other]
    gone = before.keys() - tree(trn2).keys()
    assert {path.split("/")[0] for path in gone} == {"dev", "sys"}
    Rehearsal(root=trn2).do(name, "return")
    assert tree(trn2) == before
    assert devices(host, driver) == all_devices[driver]


@pytest.mark.parametrize("node_type", ["trn1.32xlarge", "inf2.48xlarge", "trn2u.48xlarge", "p5.48xlarge"])
def test_all_hardware_that_is_published_can_be_named_so(tmp_path, monkeypatch, node_type):
    monkeypatch.delenv("DRAKIT_CONFIG", raising=False)
    root = lay_out(node_type, tmp_path / "node").root
    host = hosted(root)
    published = {name for driver in REAL for name in devices(host, driver)}
    assert published
    for name in published:
        if name != NODE_DEVICE:
            Rehearsal(root=root).do(name, "vanish")
    assert {name for driver in REAL for name in devices(host, driver)} <= {NODE_DEVICE}


def test_nothing_left_in_the_tree_leads_to_what_has_vanished(trn2):
    Rehearsal(root=trn2).do(ADAPTER, "vanish")
    Rehearsal(root=trn2).do("neuron-device-0", "vanish")
    links = [path for path in (trn2 / "sys").rglob("*") if path.is_symlink()]
    assert links
    assert [str(link) for link in links if not link.exists()] == []


def test_to_vanish_twice_is_to_vanish_once(trn2):
    before = tree(trn2)
    for _ in range(2):
        Rehearsal(root=trn2).do(ADAPTER, "vanish")
    for _ in range(2):
        Rehearsal(root=trn2).do(ADAPTER, "return")
    assert tree(trn2) == before


@pytest.mark.parametrize("then", [["vanish", "return"], ["return"]])
@pytest.mark.parametrize("moved", [1, 3])
def test_what_was_interrupted_half_way_can_be_finished_or_undone(trn2, moved, then):
    before = tree(trn2)
    Rehearsal(root=trn2).do(ADAPTER, "vanish")
    place = trn2 / ".drakit-aside/vanish/0000:c9:00.0"
    for path in json.loads((place / "paths.json").read_bytes())[-moved:]:
        os.rename(place / "tree" / path, trn2 / path)
    for word in then:
        Rehearsal(root=trn2).do(ADAPTER, word)
        assert (ADAPTER in devices(hosted(trn2), "dra.net")) == (word == "return")
    assert tree(trn2) == before


def test_what_cannot_come_back_stays_aside_and_is_named(trn2):
    Rehearsal(root=trn2).do(ADAPTER, "vanish")
    lay_out("trn2.48xlarge", trn2)
    with pytest.raises(ConfigError, match="is there again; if the node was laid out anew, remove"):
        Rehearsal(root=trn2).do(ADAPTER, "return")
    assert Rehearsal(root=trn2).listed() == [f"{ADAPTER}: vanish"]


def counted(host, name):
    """What health says that a device has counted, without what is none."""
    (report,) = [one for one in host.health("neuron.aws.com") if one.device.name == name]
    return {counter: count for counter, count in report.counters.items() if "heartbeat" not in counter and count}


def test_a_neuron_device_is_unhealthy_by_its_own_counters_and_heals(trn2):
    host, before = hosted(trn2), tree(trn2)
    host.discover("neuron.aws.com")
    host.health("neuron.aws.com")
    Rehearsal(root=trn2).do("neuron-device-3", "unhealthy")
    assert counted(host, "neuron-device-3") == {"mem_ecc_uncorrected": 1}
    assert counted(host, "neuron-device-4") == {}
    Rehearsal(root=trn2).do("neuron-device-3", "unhealthy")
    Rehearsal(root=trn2).do("neuron-device-3", "vanish")
    Rehearsal(root=trn2).do("neuron-device-3", "heal")
    assert tree(trn2) == before
    assert counted(host, "neuron-device-3") == {}


def test_clear_mends_the_whole_tree(trn2):
    before = tree(trn2)
    rehearsal = Rehearsal(root=trn2)
    rehearsal.do("neuron-device-3", "vanish")
    rehearsal.do("neuron-device-4", "unhealthy")
    rehearsal.do(ADAPTER, "vanish")
    assert len(rehearsal.clear()) == 3
    assert tree(trn2) == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([ADAPTER, "ecc"], "there is no kind of fault 'ecc'"),
        ([ADAPTER, "slow"], "only mock devices can be slow"),
        ([ADAPTER, "fail-prepare"], "only mock devices can be fail-prepare"),
        ([ADAPTER, "vanish", "--message", "x"], "takes no message"),
    ],
)
def test_what_is_not_offered_for_real_plugins_is_refused(trn2, arguments, said):
    before = tree(trn2)
    done = CliRunner().invoke(mock, ["fault", "--root", str(trn2), *arguments])
    assert (done.exit_code, said in done.output) == (2, True), done.output
    assert tree(trn2) == before


def test_adapters_get_other_verbs_nodes_when_they_are_renumbered(trn2):
    host, rehearsal = hosted(trn2), Rehearsal(root=trn2)
    names = devices(host, "dra.net")
    before = {name: node_of(host, name) for name in names}
    assert rehearsal.renumber()
    after = {name: node_of(host, name) for name in names}
    assert sorted(after.values()) == sorted(before.values())
    assert all(after[name] != before[name] for name in names)
    for number in range(len(names)):
        directory = (trn2 / f"sys/class/infiniband_verbs/uverbs{number}").resolve()
        assert (directory / "dev").read_text() == f"231:{192 + number}\n"
        assert (directory / "device").resolve().name in (directory / "device").parent.as_posix()
    for _ in names[1:]:
        rehearsal.renumber()
    assert {name: node_of(host, name) for name in names} == before


def test_a_major_that_the_kernel_assigns_becomes_another_on_device_nodes_too(trn2):
    before = (trn2 / "sys/class/neuron_device/neuron5/dev").read_text()
    Rehearsal(root=trn2).renumber()
    major, minor = (trn2 / "sys/class/neuron_device/neuron5/dev").read_text().split(":")
    assert (f"{major}:{minor}" != before, minor) == (True, "5\n")
    status = (trn2 / "dev/neuron5").stat()
    if stat.S_ISCHR(status.st_mode):  # made where the process may
        assert (os.major(status.st_rdev), os.minor(status.st_rdev)) == (int(major), 5)
    assert len(devices(hosted(trn2), "neuron.aws.com")) == 16


def test_nothing_is_renumbered_while_something_has_vanished(trn2):
    Rehearsal(root=trn2).do(ADAPTER, "vanish")
    before = tree(trn2)
    with pytest.raises(ConfigError, match=r"0000:c9:00\.0 has vanished"):
        Rehearsal(root=trn2).renumber()
    assert tree(trn2) == before


@pytest.mark.parametrize("root", ["/", "other"])
def test_no_other_directory_is_touched_the_machines_own_above_all(tmp_path, root):
    (tmp_path / "other/sys/bus/pci/devices/0000:c9:00.0").mkdir(parents=True)
    before = tree(tmp_path)
    given = root if root == "/" else str(tmp_path / root)
    for arguments in (["0000:c9:00.0", "vanish"], ["renumber"]):
        done = CliRunner().invoke(mock, ["fault", "--root", given, *arguments])
        assert done.exit_code == 2, done.output
    assert tree(tmp_path) == before


def test_a_record_that_was_tampered_with_leads_nowhere(trn2):
    record = trn2 / ".drakit-functions.json"
    record.write_text(record.read_text().replace("sys/devices/virtual/neuron_device/neuron3", "sys/x/../../../etc"))
    with pytest.raises(ConfigError, match="does not say what was laid out in it"):
        Rehearsal(root=trn2)
