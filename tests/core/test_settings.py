"""The agent's settings: strict, and a variable wins over the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import frozen
from drakit.errors import ConfigError
from drakit.settings import (
    API_VERSION,
    KIND,
    VARIABLES,
    BackendSettings,
    Settings,
    TaintSettings,
    decode_options,
    parse_settings,
    read_settings,
)

HEADER = "apiVersion: drakit/v1alpha1\nkind: AgentConfiguration\n"


def parse(text: str, **environment: str) -> Settings:
    return parse_settings(HEADER + text, "cfg.yaml", environment)


def refusal(text: str, header: str = HEADER, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_settings(header + text, "cfg.yaml", environment)
    return str(caught.value)


def test_a_whole_configuration_is_read():
    settings = parse(
        """
backends:
- plugin: neuron
- plugin: efa
  driver: dra.net
  options: {prefix: efa, nested: {a: [1]}}
extensions:
- plugin: racks
nodeName: node-1
root: /host
cdiRoot: /etc/cdi
hookBoundSeconds: 30
"""
    )
    assert settings.backends == (
        BackendSettings(plugin="neuron"),
        BackendSettings(plugin="efa", driver="dra.net", options={"prefix": "efa", "nested": {"a": [1]}}),
    )
    assert [extension.plugin for extension in settings.extensions] == ["racks"]
    assert (settings.root, settings.cdi_root) == (Path("/host"), Path("/etc/cdi"))
    assert settings.hook_bound_seconds == 30.0
    assert settings.kubelet_plugins_directory_path == Path("/var/lib/kubelet/plugins")


def test_without_a_file_there_are_defaults_and_the_environment():
    assert read_settings(None, {}) == Settings()
    assert read_settings(None, {"NODE_NAME": "node-1"}).node_name == "node-1"


def test_the_file_may_be_named_by_the_environment(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(HEADER + "nodeName: from-file\n")
    assert read_settings(None, {"DRAKIT_CONFIG": str(path)}).node_name == "from-file"


def test_a_variable_wins_over_the_file_and_a_flag_over_both(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text(HEADER + "nodeName: from-file\ncdiRoot: /file\n")
    environment = {"NODE_NAME": "from-variable"}
    assert read_settings(path, environment).node_name == "from-variable"
    settings = read_settings(path, environment, {"node_name": "from-flag"})
    assert (settings.node_name, settings.cdi_root) == ("from-flag", Path("/file"))


def test_an_empty_variable_is_none():
    assert parse("nodeName: from-file", NODE_NAME="").node_name == "from-file"


TEXTS = {"log_format": "json", "healthcheck_port": "8081", "metrics_port": "8080", "list_attributes": "True"}


@pytest.mark.parametrize("name", VARIABLES)
def test_every_scalar_has_its_variable(name):
    text = TEXTS.get(name) or ("7.5" if isinstance(getattr(Settings(), name), float) else "debug")
    assert str(getattr(read_settings(None, {VARIABLES[name]: text}), name)) == text


def test_no_scalar_is_without_a_variable():
    assert {a.name for a in attrs.fields(Settings)} - set(VARIABLES) == {"backends", "extensions"}


@pytest.mark.parametrize(
    ("variable", "text", "said"),
    [
        ("METRICS_PORT", "x", "METRICS_PORT must be an integer, not 'x'"),
        ("METRICS_PORT", "70000", "metricsPort must be a TCP port"),
        ("DRAKIT_LIST_ATTRIBUTES", "yes", "DRAKIT_LIST_ATTRIBUTES must be true or false, not 'yes'"),
        ("DRAKIT_LOG_FORMAT", "xml", "logFormat must be one of text, json"),
    ],
)
def test_a_variable_of_the_wrong_kind_is_named(variable, text, said):
    assert said in refusal("", **{variable: text})


@pytest.mark.parametrize(("text", "value"), [("true", True), ("True", True), ("false", False)])
def test_a_switch_is_true_or_false(text, value):
    assert read_settings(None, {"DRAKIT_LIST_ATTRIBUTES": text}).list_attributes is value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodename: x", "cfg.yaml: unknown key 'nodename'; known keys are apiServer, backends, "),
        ("node_name: x", "cfg.yaml: unknown key 'node_name'"),
        ("nodeName: 7", "cfg.yaml: nodeName: must be a string, not 7"),
        ("nodeName: x\nnodeName: y", "cfg.yaml:4:1: duplicate key 'nodeName'"),
        ("backends: neuron", "cfg.yaml: backends: must be a list, not 'neuron'"),
        ("backends: {plugin: neuron}", "cfg.yaml: backends: must be a list"),
        ("backends: [neuron]", "cfg.yaml: backends[0]: must be a mapping, not 'neuron'"),
        ("backends: [{driver: dra.net}]", "cfg.yaml: backends[0].plugin: missing key 'plugin'"),
        (
            "backends: [{plugin: efa, option: {}}]",
            "backends[0]: unknown key 'option'; known keys are deviceClass, deviceMetadata, driver, nodeLabels,",
        ),
        ("backends: [{plugin: efa, options: }]", "cfg.yaml: backends[0].options: must be a mapping, not None"),
        ("backends: [{plugin: efa, driver: DRA.net}]", "driver must be a lower-case DNS subdomain"),
        ("extensions: [{plugin: racks, driver: dra.net}]", "cfg.yaml: extensions[0]: unknown key 'driver'"),
        ("hookBoundSeconds: '30'", "cfg.yaml: hookBoundSeconds: must be a number, not '30'"),
        ("hookBoundSeconds: 0", "hookBoundSeconds must be over 0"),
        ("drainSeconds: .nan", "drainSeconds must be over 0; got nan"),
        ("healthSeconds: .inf", "healthSeconds must be over 0; got inf"),
        ("root: [/]", "cfg.yaml: root: must be a path"),
        ("faultSteadySeconds: 0", "faultSteadySeconds must be over 0"),
        ("backends: [{plugin: efa, taints: true}]", "cfg.yaml: backends[0].taints: must be a mapping, not True"),
        ("backends: [{plugin: efa, taints: {effect: None}}]", "effect must be NoSchedule or NoExecute; got 'None'"),
        (
            "backends: [{plugin: efa, taints: {effect: Evict}}]",
            "taints.effect: must be one of None, NoSchedule, NoExecute, not 'Evict'",
        ),
        ("backends: [{plugin: efa, taints: {key: a/b/c}}]", "key "),
        ("nodeName: [", "cfg.yaml:4:1: "),
    ],
)
def test_what_is_wrong_in_the_file_is_named_with_its_place(text, said):
    assert said in refusal(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: AgentConfiguration", "cfg.yaml: apiVersion must be 'drakit/v1alpha1'"),
        ("apiVersion: drakit/v1alpha1\nkind: Agent", "cfg.yaml: kind must be 'AgentConfiguration'"),
        ("apiVersion: drakit/v2\nkind: AgentConfiguration", "cfg.yaml: apiVersion must be"),
        ("- a", "cfg.yaml: must be a mapping"),
        ("just text", "cfg.yaml: must be a mapping"),
        (f"{HEADER}---\n{HEADER}", "cfg.yaml: has 2 YAML documents; give one"),
    ],
)
def test_a_file_of_another_kind_is_refused(text, said):
    assert said in refusal("", header=text)


def test_a_variable_that_is_no_number_is_named():
    assert refusal("", DRAKIT_DRAIN_SECONDS="soon") == (
        "environment variable DRAKIT_DRAIN_SECONDS must be a number, not 'soon'"
    )
    assert "drainSeconds must be over 0" in refusal("", DRAKIT_DRAIN_SECONDS="nan")


def test_a_driver_configured_twice_is_refused():
    text = "backends: [{plugin: a, driver: x.io}, {plugin: b, driver: x.io}]"
    assert refusal(text) == "cfg.yaml: driver 'x.io' is configured 2 times; a driver is served once"


def test_a_plugin_enabled_twice_needs_two_drivers():
    assert "plugin 'a' is enabled 2 times with its default driver; give each its `driver`" in refusal(
        "backends: [{plugin: a}, {plugin: a}]"
    )
    assert len(parse("backends: [{plugin: a}, {plugin: a, driver: x.io}]").backends) == 2


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read the configuration \S*none\.yaml: No such file or directory$"):
        read_settings(tmp_path / "none.yaml", {})


def test_a_missing_node_name_is_asked_for_with_its_variable():
    with pytest.raises(ConfigError, match="set NODE_NAME, in a pod from the downward API"):
        Settings().require_node_name()
    assert Settings(node_name="n").require_node_name() == "n"


@frozen
class Options:
    prefix: str = "x"


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        (Options, {"prefx": "y"}, "options of plugin 'a': unknown key 'prefx'; known keys are prefix"),
        (Options, {"prefix": 1}, "options of plugin 'a'.prefix: must be a string, not 1"),
        (None, {"prefix": "y"}, "options of plugin 'a': takes no options; remove 'prefix'"),
    ],
)
def test_options_a_plugin_does_not_take_are_refused(kind, options: dict[str, Any], said):
    with pytest.raises(ConfigError) as caught:
        decode_options(kind, options, "options of plugin 'a'")
    assert str(caught.value) == said


def test_options_are_decoded_into_the_plugins_class():
    assert decode_options(Options, {"prefix": "y"}, "") == Options("y")
    assert decode_options(Options, {}, "") == Options()
    assert decode_options(None, {}, "") is None


@pytest.mark.parametrize(
    ("given", "taints"),
    [
        ("", None),
        (", taints: {}", TaintSettings(key="", effect="NoSchedule")),
        (", taints: {key: own/key, effect: NoExecute}", TaintSettings(key="own/key", effect="NoExecute")),
    ],
)
def test_faults_make_taints_where_the_operator_says_so(given, taints):
    text = f"apiVersion: {API_VERSION}\nkind: {KIND}\nbackends: [{{plugin: efa{given}}}]"
    assert parse_settings(text, "cfg.yaml").backends[0].taints == taints
