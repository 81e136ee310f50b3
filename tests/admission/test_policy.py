"""The policy of a configuration: each backend's driver with the rules of its plugin, and what is wrong with plugins."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from attrs import field, frozen
from drakit import AtMost
from drakit.admission import config_policy
from drakit.loading import Declarations, LoadedPlugin
from drakit.settings import BackendSettings, Settings


@frozen
class Config:
    """With a rule that is no rule to CEL."""

    api_version: ClassVar[str] = "one.example.com/v1"
    kind: ClassVar[str] = "Config"
    it: int = field(default=1, validator=lambda *_: None)


@frozen
class Misnaming:
    """With a check of a field that it does not have."""

    api_version: ClassVar[str] = "two.example.com/v1"
    kind: ClassVar[str] = "Misnaming"
    cross_checks: ClassVar = (AtMost(count=0, fields=("it",), says="is not supported"),)


def plugin(name: str, *kinds: type, driver: str | None = None) -> LoadedPlugin:
    declared = Declarations(driver_name=driver or f"{name}.example.com", config_types=kinds)
    return LoadedPlugin(name, object, declared, ())


def policy_of(*backends: BackendSettings, loaded: list[LoadedPlugin]) -> Any:
    return config_policy(Settings(backends=backends), {one.name: one for one in loaded})


def test_each_backend_is_checked_under_the_driver_that_it_serves():
    one = BackendSettings(plugin="one"), BackendSettings(plugin="one", driver="again.example.com")
    found = policy_of(*one, loaded=[plugin("one", Config)])
    policy, binding = found.documents
    assert binding["spec"]["policyName"] == policy["metadata"]["name"]
    variables = {entry["name"]: entry["expression"] for entry in policy["spec"]["variables"]}
    assert 'c.opaque.driver == "one.example.com"' in variables["problems0"]
    assert 'c.opaque.driver == "again.example.com"' in variables["problems1"]
    assert [entry["expression"] for entry in policy["spec"]["validations"]] == [
        "size(variables.problems0) == 0",
        "size(variables.problems1) == 0",
    ]
    assert found.left == ["Config.it: <lambda>"]


def test_a_plugin_beyond_cel_costs_its_own_drivers_the_check_and_no_other():
    backends = BackendSettings(plugin="one"), BackendSettings(plugin="two")
    found = policy_of(*backends, loaded=[plugin("one", Config), plugin("two", Misnaming)])
    assert [entry["message"] for entry in found.documents[0]["spec"]["validations"]] == [
        "opaque parameters that driver one.example.com would refuse"
    ]
    assert found.problems == {"two": "Misnaming: cross_checks name the field 'it', which it does not have"}


@pytest.mark.parametrize("loaded", [[], [plugin("two", Misnaming)]])
def test_without_a_driver_to_check_for_there_is_no_policy(loaded: list[LoadedPlugin]):
    backends = BackendSettings(plugin="one"), BackendSettings(plugin="two")
    assert policy_of(*backends, loaded=loaded).documents == []


def test_nothing_that_cannot_be_evaluated_keeps_anybody_from_a_claim():
    found = policy_of(BackendSettings(plugin="one"), loaded=[plugin("one", Config)])
    assert found.documents[0]["spec"]["failurePolicy"] == "Ignore"
