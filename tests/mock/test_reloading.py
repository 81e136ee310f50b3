"""Kernel modules of a faked node, loaded anew."""

from __future__ import annotations

import os

import pytest
from click.testing import CliRunner
from drakit import PluginContext
from drakit.errors import ConfigError
from drakit.host import PluginHost
from drakit.loading import inspect
from drakit.testing import lay_out
from drakit_efa.plugin import EfaPlugin
from drakit_mock.command import mock
from drakit_mock.rehearsal import Rehearsal
from drakit_neuron.plugin import NeuronPlugin

DEVICE = "sys/devices/virtual/neuron_device/neuron3"


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.delenv("DRAKIT_CONFIG", raising=False)
    return lay_out("trn1.32xlarge@driver-2.28", tmp_path / "node").root


def names(root):
    """Everything there is, with what files hold; the boot id among it."""
    return {
        path.relative_to(root): path.read_bytes() if path.is_file() else path.is_symlink() for path in root.rglob("*")
    }


def test_every_counter_begins_again_and_every_directory_of_the_module_is_another(root):
    before = names(root)
    inodes = {name: (root / name).stat().st_ino for name in ("sys/module/neuron", DEVICE)}
    for _ in range(2):
        Rehearsal(root=root).do("neuron-device-3", "ecc")
    assert (root / DEVICE / "stats/hardware/mem_ecc_uncorrected").read_text() == "2\n"
    assert Rehearsal(root=root).reload() == ["efa was loaded anew", "neuron was loaded anew"]
    assert names(root) == before
    assert Rehearsal(root=root).listed() == []
    assert {name: (root / name).stat().st_ino for name in inodes}.items().isdisjoint(inodes.items())


@pytest.mark.parametrize(("name", "plugin"), [("neuron", NeuronPlugin), ("efa", EfaPlugin)])
def test_the_plugin_sees_that_every_device_begins_anew(root, name, plugin):
    host, driver = PluginHost(), plugin.driver_name
    context = PluginContext(driver=driver, node="n", pool="n", root=root, options=plugin.options())
    host.add(driver, inspect(name, plugin), context)
    host.discover(driver)
    before = {report.device: report.epoch for report in host.health(driver)}
    Rehearsal(root=root).reload()
    after = {report.device: report.epoch for report in host.health(driver)}
    assert before.keys() == after.keys()
    assert before
    assert not before.items() & after.items()
    assert host.close() == []


def test_device_nodes_have_the_numbers_that_the_module_says_also_after_renumbering(root):
    Rehearsal(root=root).renumber()
    Rehearsal(root=root).reload()
    status = (root / "dev/neuron3").stat()
    number = (root / DEVICE / "dev").read_text().strip()
    assert status.st_rdev == 0 or f"{status.st_rdev >> 8}:{status.st_rdev & 0xFF}" == number


@pytest.mark.parametrize("taken", [[DEVICE], [os.path.dirname(DEVICE), "sys/module/neuron"]])
def test_a_reload_that_was_interrupted_can_be_repeated(root, taken):
    before = names(root)
    for path in taken:
        unloaded = root / ".drakit-aside/unloaded" / path
        unloaded.parent.mkdir(parents=True, exist_ok=True)
        (root / path).rename(unloaded)
    Rehearsal(root=root).reload()
    assert names(root) == before


def test_nothing_is_loaded_anew_while_something_has_vanished(root):
    Rehearsal(root=root).do("neuron-device-3", "vanish")
    before = names(root)
    with pytest.raises(ConfigError, match="has vanished; bring it back"):
        Rehearsal(root=root).reload()
    assert names(root) == before


def test_the_command_says_what_was_loaded_anew(root):
    done = CliRunner().invoke(mock, ["fault", "--root", str(root), "reload"])
    assert (done.exit_code, done.output) == (0, "efa was loaded anew\nneuron was loaded anew\n")


def test_a_directory_that_is_no_faked_node_has_no_modules(tmp_path, monkeypatch):
    monkeypatch.delenv("DRAKIT_CONFIG", raising=False)
    with pytest.raises(ConfigError, match="give its --root"):
        Rehearsal(root=tmp_path).reload()
