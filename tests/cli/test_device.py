"""`drakit device`: what is remembered of devices is shown and cleared, with nothing but the drivers' directory."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from drakit.context import read_boot_id
from drakit.faults.record import FaultFile, Memory, RememberedFault
from drakit.model import DeviceRef

GPU, NIC = "gpu.example.com", "nic.example.com"
ECC = RememberedFault(message="3 uncorrectable errors", since="2026-01-02T03:04:05Z")
LINK = RememberedFault(message="link down", end="steady", since="2026-01-02T03:04:06Z")


@pytest.fixture
def plugins(tmp_path) -> Path:
    """The kubelet's plugins directory of a node with two drivers, of which one remembers faults."""
    directory = tmp_path / "plugins"
    (directory / NIC).mkdir(parents=True)
    (directory / GPU).mkdir()
    return directory


@pytest.fixture
def remember(plugins):
    """Have a driver remember: `(boot=<this one>, **device=Memory)`."""

    def write(boot=None, driver=GPU, **memories) -> FaultFile:
        file = FaultFile(plugins / driver / "faults.json", driver, read_boot_id(Path("/")) if boot is None else boot)
        named = {DeviceRef(driver, "node-1", name.replace("_", "-")): memory for name, memory in memories.items()}
        with file.locked():
            file.write(named)
        return file

    return write


@pytest.fixture
def device(drakit, plugins):
    """Run `drakit device` with the directory, as an operator in the agent's pod does."""
    return lambda *arguments: drakit("device", *arguments, KUBELET_PLUGINS_DIRECTORY_PATH=str(plugins))


def test_where_nothing_is_wrong_there_is_nothing_to_show(device):
    outcome = device("list")
    assert (outcome.code, outcome.out.strip(), outcome.err) == (0, "No faults are remembered.", "")
    assert device("list", "-o", "json").json == []


def test_faults_are_shown_with_what_ends_them_and_are_a_finding(device, remember):
    remember(gpu_0=Memory(faults={"ecc": ECC, "link": LINK}, baselines={"ecc": 2}), gpu_1=Memory(baselines={"ecc": 9}))
    outcome = device("list")
    assert (outcome.code, outcome.err) == (1, "")
    for words in ("gpu-0", "ecc", "3 uncorrectable errors", "link down", "steady", "2026-01-02T03:04:05Z", "gpu-1"):
        assert words in outcome.out
    assert "1 device with faults." in outcome.out
    first, second = device("list", "-o", "json").json
    assert (first["driver"], first["pool"], first["device"]) == (GPU, "node-1", "gpu-0")
    assert [(fault["name"], fault["end"]) for fault in first["faults"]] == [("ecc", "cleared"), ("link", "steady")]
    assert (first["baselines"], second["faults"], second["baselines"]) == ({"ecc": 2}, [], {"ecc": 9})


def test_one_driver_may_be_asked_for(device, remember):
    remember(gpu_0=Memory(faults={"ecc": ECC}))
    remember(driver=NIC, nic_0=Memory(faults={"link": LINK}))
    found = device("list", "--driver", NIC, "-o", "json").json
    assert [one["device"] for one in found] == ["nic-0"]
    assert len(device("list", "-o", "json").json) == 2


def test_faults_of_an_earlier_boot_are_over(device, remember):
    remember(boot="another boot", gpu_0=Memory(faults={"ecc": ECC}))
    assert device("list").code == 0


def test_what_is_cleared_is_said_and_its_counts_begin_anew(device, remember):
    file = remember(gpu_0=Memory(faults={"ecc": ECC, "link": LINK}), gpu_1=Memory(faults={"ecc": ECC}))
    outcome = device("clear", GPU, "gpu-0")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        f"cleared ecc of {GPU}/node-1/gpu-0",
        f"cleared link of {GPU}/node-1/gpu-0",
    ]
    memories = file.read()
    assert memories[DeviceRef(GPU, "node-1", "gpu-0")] == Memory(baselines={"ecc": None, "link": None})
    assert memories[DeviceRef(GPU, "node-1", "gpu-1")].faults == {"ecc": ECC}


def test_all_devices_may_be_cleared_of_one_fault_and_again_of_nothing(device, remember):
    remember(gpu_0=Memory(faults={"ecc": ECC, "link": LINK}), gpu_1=Memory(faults={"ecc": ECC}))
    assert len(device("clear", GPU, "--all", "--fault", "ecc").out.splitlines()) == 2
    again = device("clear", GPU, "--all", "--fault", "ecc")
    assert (again.code, again.out) == (0, f"driver {GPU} remembers no fault 'ecc'; nothing to clear\n")
    assert [one["faults"][0]["name"] for one in device("list", "-o", "json").json if one["faults"]] == ["link"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("clear", GPU), "give the devices to clear, or --all"),
        (("clear", GPU, "gpu-0", "--all"), "give the devices to clear, or --all"),
        (("clear", GPU, "gpu-9"), "nothing is remembered of a device 'gpu-9'"),
        (("clear", GPU, "gpu-0", "--fault", "sram"), "has no fault 'sram' to be cleared"),
        (("clear", NIC, "nic-0"), "devices of which something is: none"),
        (("clear", "gp.example.com", "gpu-0"), f"no driver 'gp.example.com' has been served from .*: {GPU}"),
        (("clear", "../plugins", "gpu-0"), "no driver '../plugins' has been served"),
        (("list", "--driver", "gp.example.com"), "no driver 'gp.example.com' has been served"),
    ],
)
def test_what_is_not_there_is_bad_input_and_nothing_is_cleared(device, remember, arguments, words):
    file = remember(gpu_0=Memory(faults={"ecc": ECC}))
    outcome = device(*arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert re.search(words, outcome.err)
    assert file.read()[DeviceRef(GPU, "node-1", "gpu-0")].faults == {"ecc": ECC}


def test_a_device_in_two_pools_is_named_with_its_pool(device, plugins):
    file = FaultFile(plugins / GPU / "faults.json", GPU, "")
    with file.locked():
        file.write({DeviceRef(GPU, pool, "gpu-0"): Memory(faults={"ecc": ECC}) for pool in ("a", "b")})
    outcome = device("clear", GPU, "gpu-0")
    assert outcome.code == 2
    assert "give one of a/gpu-0, b/gpu-0" in outcome.err
    assert device("clear", GPU, "b/gpu-0").out == f"cleared ecc of {GPU}/b/gpu-0\n"


def test_the_directory_by_flag_needs_no_configuration_not_even_a_sound_one(drakit, plugins, remember, tmp_path):
    remember(gpu_0=Memory(faults={"ecc": ECC}))
    broken = tmp_path / "broken.yaml"
    broken.write_text("nonsense: [")
    arguments = ("device", "clear", GPU, "--all", "--kubelet-plugins-directory-path", plugins)
    assert drakit(*arguments, DRAKIT_CONFIG=str(broken)).out == f"cleared ecc of {GPU}/node-1/gpu-0\n"
    assert drakit("device", "list", DRAKIT_CONFIG=str(broken)).code == 2


def test_without_the_directory_the_message_says_where_to_run_it(drakit, tmp_path):
    outcome = drakit("device", "list", "--kubelet-plugins-directory-path", tmp_path / "absent")
    assert outcome.code == 2
    assert "run this in the agent's pod" in outcome.err


def test_a_file_that_cannot_be_read_is_a_finding_that_names_it(device, plugins):
    (plugins / GPU / "faults.json").write_text("{")
    for arguments in (("list",), ("clear", GPU, "--all")):
        outcome = device(*arguments)
        assert (outcome.code, outcome.out) == (1, "")
        assert str(plugins / GPU / "faults.json") in outcome.err


def test_a_file_that_cannot_be_written_is_left_as_it_is(device, plugins, remember):
    file = remember(gpu_0=Memory(faults={"ecc": ECC}))
    (plugins / GPU / "faults.json.tmp").mkdir()
    outcome = device("clear", GPU, "--all")
    assert outcome.code == 1
    assert "cannot be written" in outcome.err
    assert "nothing was cleared" in outcome.err
    assert json.loads(file.path.read_text())["devices"][0]["faults"]
