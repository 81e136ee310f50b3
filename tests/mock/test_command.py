from __future__ import annotations

from importlib import metadata

import pytest
from click.testing import CliRunner
from drakit_mock.command import mock


@pytest.fixture
def run():
    runner = CliRunner()
    return lambda *arguments: runner.invoke(mock, [str(argument) for argument in arguments])


def test_layout_says_what_it_wrote_and_how_to_use_it(run, tmp_path):
    result = run("layout", "--node", "generic-gpu-nic", tmp_path / "node")
    assert result.exit_code == 0, result.output
    assert "a faked generic-gpu-nic" in result.output
    assert "mock: 16 PCI functions" in result.output
    assert f"--root {tmp_path}/node" in result.output
    assert (tmp_path / "node/sys/devices/pci0001:10/0001:11:00.0/vendor").exists()


def test_an_unknown_type_is_bad_input(run, tmp_path):
    result = run("layout", "--node", "generic-gpu-nik", tmp_path / "node")
    assert result.exit_code == 2
    assert "did you mean 'generic-gpu-nic'?" in result.stderr
    assert "Traceback" not in result.output


def test_a_directory_that_is_in_use_is_bad_input(run, tmp_path):
    (tmp_path / "notes").write_text("mine")
    result = run("layout", "--node", "generic-gpu-nic", tmp_path)
    assert result.exit_code == 2
    assert "not empty" in result.stderr


@pytest.mark.parametrize("arguments", [["layout"], ["layout", "--node", "x"], ["layout", "--nodes", "x", "d"]])
def test_missing_and_unknown_arguments_are_bad_input(run, arguments):
    assert run(*arguments).exit_code == 2


def test_the_command_and_the_scenario_are_found_by_entry_point():
    (command,) = metadata.entry_points(group="drakit.commands", name="mock")
    assert command.load() is mock
    (scenario,) = metadata.entry_points(group="drakit.scenarios", name="gpu-nic")
    assert scenario.load().name == "gpu-nic"
