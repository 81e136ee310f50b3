"""A configuration that is wrong: one message that names file, key and remedy, exit code 2, no traceback."""

from __future__ import annotations

import pytest

HEAD = "apiVersion: drakit/v1alpha1\nkind: AgentConfiguration\n"
READING = ("inventory", "slices", "plugins", "check")

WRONG = {
    "an unknown key": (HEAD + "backend: []\n", "unknown key 'backend'; known keys are"),
    "an unknown key inside": (HEAD + "backends:\n- plugin: efa\n  drivre: x\n", ": backends[0]: unknown key 'drivre'"),
    "a duplicate key": (HEAD + "nodeName: a\nnodeName: b\n", ":4:1: duplicate key 'nodeName'"),
    "another kind": ("apiVersion: drakit/v1alpha1\nkind: Pod\n", "kind must be 'AgentConfiguration'"),
    "no YAML": (HEAD + "backends: [\n", ":4:1: "),
    "a list": ("[]\n", "must be a mapping"),
    "a duplicate driver": (
        HEAD + "backends:\n- plugin: efa\n  driver: a.example.com\n- plugin: mock\n  driver: a.example.com\n",
        "driver 'a.example.com' is configured 2 times",
    ),
    "a driver that is another's default": (
        HEAD + "backends:\n- plugin: efa\n- plugin: mock\n  driver: dra.net\n",
        "driver 'dra.net' is served by plugin 'efa' and by 'mock'",
    ),
    "one plugin twice": (HEAD + "backends:\n- plugin: efa\n- plugin: efa\n", "give each its `driver`"),
    "an illegal driver name": (HEAD + "backends:\n- plugin: efa\n  driver: NOT/legal\n", "driver"),
    "an unknown option": (HEAD + "backends:\n- plugin: mock\n  options: {profil: x}\n", "unknown key 'profil'"),
    "a backend as extension": (HEAD + "extensions:\n- plugin: efa\n", "list it under backends"),
    "a wrong type": (HEAD + "nodeName: 5\n", ": nodeName: must be a string, not 5"),
    "a bound that is none": (HEAD + "drainSeconds: 0\n", "drainSeconds must be over 0"),
}


@pytest.mark.parametrize("name", WRONG)
@pytest.mark.parametrize("command", READING)
def test_a_wrong_configuration_is_refused_with_its_place(drakit, tmp_path, command, name):
    text, message = WRONG[name]
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    outcome = drakit(command, "--config", path)
    assert outcome.code == 2
    assert outcome.out == ""
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize("name", WRONG)
def test_the_agent_does_not_start_on_a_wrong_configuration(drakit, tmp_path, name):
    text, message = WRONG[name]
    path = tmp_path / "agent.yaml"
    path.write_text(text)
    directories = {"CDI_ROOT": str(tmp_path / "cdi"), "DRAKIT_API_SERVER": "http://127.0.0.1:9"}
    for variable in ("KUBELET_REGISTRAR_DIRECTORY_PATH", "KUBELET_PLUGINS_DIRECTORY_PATH"):
        directories[variable] = str(tmp_path)
    given = {} if name == "a wrong type" else {"NODE_NAME": "node-1"}
    outcome = drakit("agent", "--config", path, **directories, **given)
    assert outcome.code == 2
    assert message in outcome.err


@pytest.mark.parametrize("command", [*READING, "agent"])
def test_a_configuration_that_cannot_be_read_is_refused(drakit, tmp_path, command):
    outcome = drakit(command, "--config", tmp_path / "missing.yaml")
    assert outcome.code == 2
    assert f"cannot read the configuration {tmp_path / 'missing.yaml'}" in outcome.err


@pytest.mark.parametrize("command", READING)
def test_the_configuration_can_come_from_the_environment(drakit, tmp_path, command):
    path = tmp_path / "agent.yaml"
    path.write_text("kind: Nothing\n")
    assert drakit(command, DRAKIT_CONFIG=str(path)).code == 2


@pytest.mark.parametrize("command", READING)
def test_a_root_that_is_no_directory_is_refused(drakit, tmp_path, command):
    outcome = drakit(command, "--root", tmp_path / "nowhere")
    assert outcome.code == 2
    assert "is not a directory" in outcome.err


def test_an_unknown_plugin_is_a_finding_not_an_end(drakit, write_config, trn2):
    config = write_config({"plugin": "nueron"}, {"plugin": "neuron"})
    outcome = drakit("inventory", "--config", config, "--root", trn2, "-o", "json")
    assert outcome.code == 1
    assert [entry["driver"] for entry in outcome.json["drivers"]] == ["neuron.aws.com"]
    (problem,) = outcome.json["problems"]
    assert problem["of"] == "nueron"
    assert "not installed" in problem["problem"]


@pytest.mark.parametrize("level", ["loud", "INFO"])
def test_a_log_level_that_is_none_is_refused(drakit, level):
    outcome = drakit("agent", "--log-level", level, "--node-name", "node-1")
    assert outcome.code == 2
    assert "logLevel must be one of debug, info, warning, error" in outcome.err
