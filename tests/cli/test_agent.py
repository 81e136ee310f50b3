"""`drakit agent`: how it starts, what it logs, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from drakit.testing import FakeKubelet

BOUND_SECONDS = 30
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) \S+: .+")


@pytest.fixture
def place(short_path):
    for name in ("registry", "plugins"):
        (short_path / name).mkdir()
    return short_path


@pytest.fixture
def start(place, api, trn2):
    """Start the installed program: `(*arguments)`, everything else by flag or environment."""
    started = []

    def run(*arguments):
        flags = {
            "--node-name": "node-7",
            "--root": trn2,
            "--cdi-root": place / "cdi",
            "--kubelet-registrar-directory-path": place / "registry",
            "--kubelet-plugins-directory-path": place / "plugins",
        }
        command = [Path(sys.executable).with_name("drakit"), "agent", *(str(x) for pair in flags.items() for x in pair)]
        # What flags give must win over this.
        environment = os.environ | {"DRAKIT_API_SERVER": api.url, "NODE_NAME": "wrong", "CDI_ROOT": "/nowhere"}
        process = subprocess.Popen(
            [*command, *map(str, arguments)], env=environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop_and_ends_clean(start, place, two_drivers, number):
    agent = start("--config", two_drivers)
    with FakeKubelet(place / "registry") as kubelet:
        kubelet.wait_for("neuron.aws.com", BOUND_SECONDS)
        kubelet.wait_for("dra.net", BOUND_SECONDS)
        agent.send_signal(number)
        out, err = agent.communicate(timeout=BOUND_SECONDS)
    assert agent.returncode == 0
    assert out == ""
    assert not list((place / "registry").iterdir())
    for line in err.splitlines():
        assert LINE.fullmatch(line), line


def test_a_backend_that_cannot_be_had_is_logged_and_the_other_is_served(start, place, write_config):
    agent = start("--config", write_config({"plugin": "nueron"}, {"plugin": "efa"}))
    with FakeKubelet(place / "registry") as kubelet:
        kubelet.wait_for("dra.net", BOUND_SECONDS)
        agent.terminate()
        _, err = agent.communicate(timeout=BOUND_SECONDS)
    assert agent.returncode == 0
    assert "plugin 'nueron': not installed" in err


def test_without_any_backend_it_does_not_run(start, write_config):
    agent = start("--config", write_config())
    _, err = agent.communicate(timeout=BOUND_SECONDS)
    assert agent.returncode == 2
    assert err.splitlines()[-1].startswith("Error: there is no driver to serve")
    assert "Traceback" not in err


def test_a_missing_plugins_directory_is_said_at_once(start, place, two_drivers):
    (place / "plugins").rmdir()
    agent = start("--config", two_drivers)
    _, err = agent.communicate(timeout=BOUND_SECONDS)
    assert agent.returncode == 2
    assert "KUBELET_PLUGINS_DIRECTORY_PATH" in err


def test_without_a_node_name_it_does_not_run(drakit, two_drivers, write_config):
    outcome = drakit("agent", "--config", write_config({"plugin": "efa"}))
    assert outcome.code == 2
    assert "set NODE_NAME" in outcome.err
