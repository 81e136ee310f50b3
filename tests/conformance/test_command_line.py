"""The kit as a third party runs it: from the command line with no code, and by subclass."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from drakit.testing.conformance import test_plugin
from drakit.testing.conformance.location import import_class

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BOUND_SECONDS = 120
FEW = "legal or found or idempotent"


@pytest.fixture
def project(tmp_path):
    """A third party's project: its plugin, and a faked node with two serial adapters."""
    (tmp_path / "serial_plugin.py").write_text((EXAMPLES / "serial.py").read_text())
    (tmp_path / "node" / "dev").mkdir(parents=True)
    for number in range(2):
        (tmp_path / "node" / "dev" / f"ttyUSB{number}").touch()
    return tmp_path


# What other distributions bring to pytest takes longer to import than the kit does.
WITHOUT = [
    part for name in ("cacheprovider", "xdist", "looponfail", "hypothesispytest") for part in ("-p", f"no:{name}")
]


def run(project, *arguments, expected=0):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *WITHOUT, "-o", "addopts=", *map(str, arguments)],
        cwd=project,
        capture_output=True,
        text=True,
        timeout=BOUND_SECONDS,
        check=False,
    )
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout + done.stderr


def no_code(project, *arguments, **keywords):
    return run(project, "--pyargs", "drakit.testing.conformance", *arguments, **keywords)


def state(tree):
    return sorted((path, path.lstat().st_mtime_ns) for path in tree.rglob("*"))


def test_it_runs_with_no_code_and_leaves_the_root_as_it_was(project):
    before = state(project / "node")
    told = no_code(project, "--dra-plugin", "serial_plugin:SerialPlugin", "--dra-root", "node", "-v")
    assert state(project / "node") == before
    assert "test_prepare_is_idempotent PASSED" in told
    assert "test_a_full_round_over_v1beta1 PASSED" in told
    assert "failed" not in told


def test_it_runs_by_subclass(project):
    (project / "test_serial.py").write_text(
        "from drakit.testing.conformance import PluginConformance\n"
        "from serial_plugin import SerialPlugin\n\n\n"
        "class TestSerial(PluginConformance):\n"
        "    plugin = SerialPlugin\n\n"
        "    def lay_out(self, root):\n"
        "        (root / 'dev').mkdir()\n"
        "        (root / 'dev' / 'ttyUSB0').touch()\n"
    )
    told = run(project, "-v", "-k", FEW)
    assert "test_serial.py::TestSerial::test_prepare_is_idempotent PASSED" in told
    assert "PluginConformance::" not in told


def test_options_parameters_and_driver_reach_the_plugin(project):
    (project / "options.yaml").write_text("inline:\n  devices: [{name: 'card-{index}', count: 2}]\n")
    (project / "parameters.yaml").write_text("{apiVersion: mock.drakit/v1alpha1, kind: MockConfig, env: {A: b}}\n")
    told = no_code(
        project,
        *("--dra-plugin", "drakit_mock.plugin:MockPlugin", "--dra-options", "options.yaml"),
        *(
            "--dra-driver",
            "card.example.com",
            "--dra-parameters",
            "parameters.yaml",
            "-v",
            "-k",
            "configuration_of or found",
        ),
    )
    assert "test_hardware_is_found PASSED" in told
    assert "test_configuration_of_class_and_claim_combine PASSED" in told


def test_a_broken_rule_is_told_with_what_was_found_and_what_to_do(project):
    text = (project / "serial_plugin.py").read_text().replace("for device in claim.devices]", "for device in []]")
    (project / "serial_plugin.py").write_text(text)
    told = no_code(
        project,
        *("--dra-plugin", "serial_plugin:SerialPlugin", "--dra-root", "node", "-k", "prepare_answers"),
        expected=1,
    )
    assert "the rule:   `prepare` returns exactly one PreparedDevice" in told
    assert "found:      plugin 'serial.example.com': prepare: did not prepare" in told
    assert "what to do: " in told


def test_a_root_without_hardware_fails_and_says_so(project):
    (project / "empty").mkdir()
    told = no_code(project, "--dra-plugin", "serial_plugin:SerialPlugin", "--dra-root", "empty", "-k", FEW, expected=1)
    assert "has no hardware" in told
    assert "1 failed" in told


def test_without_a_plugin_nothing_runs(project):
    told = no_code(project, expected=2)
    assert "give the plugin's class: --dra-plugin" in told
    assert "passed" not in told
    assert "Traceback" not in told


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--dra-options", "no.yaml", "cannot read no.yaml"),
        ("--dra-parameters", "list.yaml", "list.yaml: must hold mappings"),
        ("--dra-root", "absent", "--dra-root absent: is no directory"),
        ("--dra-plugin", "absent_plugin:Plugin", "--dra-plugin absent_plugin:Plugin: No module named"),
    ],
)
def test_options_that_cannot_be_had_are_a_usage_error(project, monkeypatch, option, value, message):
    monkeypatch.chdir(project)
    (project / "list.yaml").write_text("[]\n")
    given = {"dra_plugin": "drakit_mock.plugin:MockPlugin", option.removeprefix("--").replace("-", "_"): value}
    config = SimpleNamespace(getoption=lambda name, default=None: given.get(name, default))
    with pytest.raises(pytest.UsageError, match=re.escape(message)):
        test_plugin.pytest_generate_tests(SimpleNamespace(config=config))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("drakit_mock.plugin", "must be package.module:Class"),
        (":MockPlugin", "must be package.module:Class"),
        ("absent_plugin:Plugin", "No module named 'absent_plugin'"),
        ("drakit_mock.plugin:Absent", "has no attribute 'Absent'"),
        ("drakit_mock.plugin:MockPlugin.discover", "is not a class"),
    ],
)
def test_what_names_no_class_is_refused(text, message):
    with pytest.raises((ImportError, AttributeError, TypeError, ValueError), match=message):
        import_class(text)


def test_the_options_are_all_that_every_pytest_run_gets(project):
    (project / "test_nothing.py").write_text(
        "import sys\n\n\n"
        "def test_nothing():\n"
        "    assert 'drakit.testing.pytest_plugin' in sys.modules\n"
        "    heavy = ('grpc', 'google', 'kubernetes', 'attrs', 'drakit.model', 'drakit.testing.conformance')\n"
        "    assert [name for name in heavy if name in sys.modules] == []\n"
    )
    assert "1 passed" in run(project)
