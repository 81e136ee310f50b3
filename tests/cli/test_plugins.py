"""`drakit plugins`: what is installed, what is enabled, and what became of it."""

from __future__ import annotations

from importlib import metadata

import pytest

CANNOT_BE_CONSTRUCTED = """
from drakit import hookimpl

class Plugin:
    driver_name = "moody.example.com"
    def __init__(self, context): raise OSError("no such bus")
    @hookimpl
    def discover(self): return []
    @hookimpl
    def prepare(self, claim): return []
    @hookimpl
    def unprepare(self, claim, prepared): pass
"""


def by_name(outcome):
    return {entry["name"]: entry for entry in outcome.json}


def test_without_a_configuration_all_installed_plugins_are_loaded(drakit):
    outcome = drakit("plugins", "-o", "json")
    assert outcome.code == 0
    neuron = by_name(outcome)["neuron"]
    assert neuron["state"] == "loaded"
    assert neuron["driver"] == "neuron.aws.com"
    assert neuron["distribution"] == "drakit-neuron"
    assert neuron["version"] == metadata.version("drakit-neuron")
    assert {"discover", "prepare", "unprepare", "devicegroups"} <= set(neuron["hooks"])


def test_what_is_not_enabled_is_only_listed(drakit, write_config):
    config = write_config({"plugin": "mock", "driver": "gpu.example.com"})
    outcome = drakit("plugins", "--config", config, "-o", "json")
    assert outcome.code == 0
    assert by_name(outcome)["mock"]["driver"] == "gpu.example.com"
    assert by_name(outcome)["neuron"] | {"state": "installed", "hooks": []} == by_name(outcome)["neuron"]


def test_a_plugin_under_two_drivers_is_there_twice(drakit, write_config):
    config = write_config({"plugin": "mock", "driver": "a.example.com"}, {"plugin": "mock", "driver": "b.example.com"})
    rows = [entry for entry in drakit("plugins", "--config", config, "-o", "json").json if entry["name"] == "mock"]
    assert [(row["driver"], row["state"]) for row in rows] == [("a.example.com", "loaded"), ("b.example.com", "loaded")]


def test_an_enabled_plugin_that_is_not_installed_is_missing(drakit, write_config):
    outcome = drakit("plugins", "--config", write_config({"plugin": "nueron"}), "-o", "json")
    assert outcome.code == 1
    missing = by_name(outcome)["nueron"]
    assert missing["state"] == "missing"
    assert "install the distribution that provides it" in missing["why"]
    assert "neuron" in missing["why"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_module", "No module named 'no_such_module'"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("Plugin = 1", "must name a class"),
        (CANNOT_BE_CONSTRUCTED, "no such bus"),
    ],
)
@pytest.mark.parametrize("configured", [True, False])
def test_a_plugin_that_fails_says_why_and_the_others_are_loaded(
    installed_drakit, distribution, write_config, source, why, configured
):
    env = distribution("failing", source, {"drakit.plugins": {"failing": "failing:Plugin"}})
    config = ["--config", write_config({"plugin": "failing"}, {"plugin": "neuron"})] if configured else []
    outcome = installed_drakit("plugins", *config, "-o", "json", **env)
    assert outcome.code == 1
    assert by_name(outcome)["failing"]["state"] == "failed"
    assert why in by_name(outcome)["failing"]["why"]
    assert by_name(outcome)["failing"]["distribution"] == "failing"
    assert by_name(outcome)["neuron"]["state"] == "loaded"
    assert "Traceback" not in outcome.err


def test_one_name_from_two_distributions_is_a_duplicate(installed_drakit, distribution, write_config):
    distribution("first", "class Plugin: pass", {"drakit.plugins": {"twin": "first:Plugin"}})
    env = distribution("second", "class Plugin: pass", {"drakit.plugins": {"twin": "second:Plugin"}})
    config = write_config({"plugin": "twin"}, {"plugin": "efa"})
    outcome = installed_drakit("plugins", "--config", config, "-o", "json", **env)
    assert outcome.code == 1
    assert by_name(outcome)["twin"]["state"] == "duplicate"
    assert "first, second" in by_name(outcome)["twin"]["why"]


def test_a_plugin_that_needs_options_does_not_keep_the_others_from_being_shown(installed_drakit, distribution):
    source = """
    from attrs import frozen
    from drakit import hookimpl

    @frozen
    class Options:
        url: str

    class Plugin:
        options = Options
        def __init__(self, context): pass
        @hookimpl
        def close(self): pass
    """
    env = distribution("choosy", source, {"drakit.plugins": {"choosy": "choosy:Plugin"}})
    outcome = installed_drakit("plugins", "-o", "json", **env)
    assert outcome.code == 1
    assert "missing key 'url'" in by_name(outcome)["choosy"]["why"]
    assert "--config" in by_name(outcome)["choosy"]["why"]
    assert by_name(outcome)["neuron"]["state"] == "loaded"
