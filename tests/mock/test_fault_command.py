"""`drakit mock fault`: what may be injected where, and what bad input is told."""

from __future__ import annotations

import json
import threading

import pytest
import yaml
from click.testing import CliRunner
from drakit.errors import ConfigError
from drakit.testing import lay_out
from drakit_mock.command import mock
from drakit_mock.faults import Fault as MockFault
from drakit_mock.faults import FaultKind, faults_file, inject, read_faults, state_directory
from hypothesis import given
from hypothesis import strategies as st


@pytest.fixture
def fault(tmp_path, monkeypatch):
    """Run the command on an empty root; gives exit code and everything it said."""
    monkeypatch.delenv("DRAKIT_CONFIG", raising=False)
    monkeypatch.delenv("DRAKIT_ROOT", raising=False)
    (tmp_path / "root").mkdir()

    def run(*arguments, root=tmp_path / "root"):
        done = CliRunner().invoke(mock, ["fault", "--root", str(root), *map(str, arguments)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    return run


@pytest.fixture
def config(tmp_path):
    """The configuration of two mock drivers and the root they run on; the second keeps its state elsewhere."""
    inline = {"devices": [{"name": "card-{index}", "count": 2}]}
    other = {"devices": [{"name": "card-1"}, {"name": "nic-0"}]}
    path = tmp_path / "agent.yaml"
    path.write_text(
        yaml.safe_dump(
            {
                "apiVersion": "drakit/v1alpha1",
                "kind": "AgentConfiguration",
                "root": str(tmp_path / "root"),
                "backends": [
                    {"plugin": "mock", "driver": "one.example.com", "options": {"inline": inline}},
                    {
                        "plugin": "mock",
                        "driver": "two.example.com",
                        "options": {"inline": other, "state": str(tmp_path / "two")},
                    },
                ],
            }
        )
    )
    return path


def injected(directory):
    return [(one.device, one.kind) for one in read_faults(faults_file(directory))]


def test_what_is_injected_is_listed_and_kept_below_the_root(fault, tmp_path):
    assert fault("list") == (0, "nothing is injected\n")
    assert fault("gpu-0", "unhealthy", "--message", "fan stopped", "--taint", "NoExecute")[0] == 0
    assert fault("gpu-1", "slow", "--seconds", "2", "--hook", "discover")[0] == 0
    assert fault("list") == (
        0,
        "gpu-0: unhealthy message=fan stopped taint=NoExecute\ngpu-1: slow hook=discover seconds=2.0\n",
    )
    assert injected(tmp_path / "root/var/lib/drakit-mock") == [("gpu-0", "unhealthy"), ("gpu-1", "slow")]


def test_a_fault_takes_the_place_of_an_earlier_one_of_its_kind(fault):
    fault("gpu-0", "unhealthy", "--message", "first")
    fault("gpu-0", "slow", "--seconds", 1)
    fault("gpu-0", "unhealthy", "--message", "second")
    assert fault("list")[1].splitlines() == [
        "gpu-0: slow hook=prepare seconds=1.0",
        "gpu-0: unhealthy message=second",
    ]


@pytest.mark.parametrize("word", ["heal", "return"])
def test_healing_ends_everything_that_was_injected_into_a_device(fault, word):
    fault("gpu-0", "vanish")
    fault("gpu-0", "hang")
    fault("gpu-1", "vanish")
    assert fault("gpu-0", word) == (0, "gpu-0: vanish: ended\ngpu-0: hang hook=prepare: ended\n")
    assert fault("gpu-0", word) == (0, "gpu-0 has no fault that was injected\n")
    assert fault("list") == (0, "gpu-1: vanish\n")


def test_clear_ends_everything(fault):
    for device in ("gpu-0", "gpu-1"):
        fault(device, "fail-prepare")
    assert fault("clear")[1].count("ended") == 2
    assert fault("list") == (0, "nothing is injected\n")


def test_with_a_configuration_faults_go_where_each_driver_looks_for_them(fault, config, tmp_path):
    assert fault("--config", config, "card-1", "vanish")[0] == 0
    assert fault("--config", config, "nic-0", "vanish")[0] == 0
    assert fault("--config", config, "--driver", "one.example.com", "card-0", "unhealthy")[0] == 0
    assert injected(tmp_path / "two") == [("card-1", "vanish"), ("nic-0", "vanish")]
    assert injected(state_directory(tmp_path / "root")) == [("card-1", "vanish"), ("card-0", "unhealthy")]
    assert fault("--config", config, "clear")[1].count("ended") == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gpu-0", "unhealty"], "did you mean 'unhealthy'?"),
        (["lisst"], "did you mean 'list'?"),
        (["gpu-0", "vanish", "now"], "is not DEVICE KIND"),
        (["gpu-0", "unhealthy", "--taint", "NoExcute"], "did you mean 'NoExecute'?"),
        (["gpu-0", "hang", "--hook", "prepar"], "did you mean 'prepare'?"),
        (["gpu-0", "slow"], "slow needs seconds"),
        (["gpu-0", "slow", "--seconds", "0"], "seconds must be from"),
        (["gpu-0", "slow", "--seconds", "nan"], "seconds must be from"),
        (["gpu-0", "slow", "--seconds", "soon"], "not a valid float"),
        (["gpu-0", "vanish", "--message", "x"], "vanish takes no message"),
        (["gpu-0", "heal", "--message", "x"], "heal takes no message"),
        (["list", "--message", "x"], "list takes no message"),
        (["clear", "gpu-0"], "to mend one device: DEVICE heal"),
        (["gpu-0", "unhealthy", "--message", "two\nlines"], "one line"),
        (["GPU_0", "vanish"], "DNS label"),
        (["gpu-0", "vanish", "--driver", "Not A Driver"], "driver"),
        (["0000:10:1b.0", "vanish"], "was not laid out by drakit"),
        (["renumber"], "drakit mock layout"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_refused_with_what_may_be_meant(fault, tmp_path, arguments, said):
    code, output = fault(*arguments)
    assert (code, "Traceback" in output) == (2, False)
    assert said in output
    assert not (tmp_path / "root/var").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["card-3", "vanish"], "did you mean 'card-1'?"),
        (["card-3", "heal"], "did you mean 'card-1'?"),
        (["--driver", "ona.example.com", "card-0", "vanish"], "did you mean 'one.example.com'?"),
        (["--driver", "two.example.com", "card-0", "vanish"], "there is no device 'card-0'"),
    ],
)
def test_with_a_configuration_every_name_is_checked(fault, config, tmp_path, arguments, said):
    code, output = fault("--config", config, *arguments)
    assert (code, said in output) == (2, True), output
    assert not (tmp_path / "two").exists()


def test_a_root_that_is_not_there_is_refused(fault, tmp_path):
    code, output = fault("list", root=tmp_path / "nowhere")
    assert (code, "is not a directory" in output) == (2, True)


def test_a_slip_of_the_pen_in_the_name_of_faked_hardware_is_not_taken_for_a_mock_device(fault, tmp_path):
    lay_out("trn1.2xlarge", tmp_path / "root")
    code, output = fault("neuron-device-1", "vanish")
    assert (code, "did you mean 'neuron-device-0'?" in output) == (2, True), output


def test_a_file_of_faults_that_is_wrong_is_refused_with_its_place(fault, tmp_path):
    path = faults_file(state_directory(tmp_path / "root"))
    inject(path, MockFault(device="gpu-0", kind=FaultKind.VANISH))
    document = json.loads(path.read_text())
    document["faults"][0]["colour"] = "red"
    path.write_text(json.dumps(document))
    code, output = fault("list")
    assert (code, "faults[0]: unknown key 'colour'" in output) == (2, True), output
    assert "or remove it to end all" in output


@pytest.mark.parametrize("arguments", [["list"], ["clear"], ["nic-0", "vanish"], ["nic-0", "heal"]])
def test_a_place_for_faults_that_cannot_be_looked_at_is_told_in_words(fault, config, tmp_path, arguments):
    config.write_text(config.read_text().replace(str(tmp_path / "two"), str(tmp_path / ("x" * 300))))
    code, output = fault("--config", config, *arguments)
    assert (code, "File name too long" in output) == (2, True), output


def test_help_has_a_line_for_each_fault(fault):
    lines = [line.split()[0] for line in fault("--help")[1].splitlines() if line.startswith("  ")]
    assert {"unhealthy", "vanish", "slow,", "fail-prepare", "in-use", "heal,"} <= set(lines)


@given(st.text(max_size=40), st.floats(0.001, 86_400))
def test_what_is_written_reads_back_the_same(tmp_path_factory, message, seconds):
    path = tmp_path_factory.mktemp("faults") / "faults.json"
    faults = [MockFault(device="a", kind=FaultKind.SLOW, hook="prepare", seconds=seconds)]
    try:
        faults.append(MockFault(device="b", kind=FaultKind.FAIL_PREPARE, message=message))
    except ConfigError:
        assert not message.isprintable()
    for fault in faults:
        inject(path, fault)
    assert list(read_faults(path)) == faults


def test_faults_injected_at_once_are_all_there(tmp_path):
    path = tmp_path / "faults.json"
    names = [f"gpu-{number}" for number in range(16)]
    threads = [
        threading.Thread(target=inject, args=(path, MockFault(device=name, kind=FaultKind.VANISH))) for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {fault.device for fault in read_faults(path)} == set(names)
    assert [entry.name for entry in tmp_path.iterdir()] == ["faults.json"]
