"""`drakit admission`: the policy that an administrator applies, for the drivers of a configuration."""

from __future__ import annotations

import pytest


def drivers(outcome):
    """The drivers that a policy's messages name, in order."""
    policy, binding = outcome.yaml
    assert binding["spec"] == {"policyName": policy["metadata"]["name"], "validationActions": ["Deny"]}
    return [one["message"].split()[-3] for one in policy["spec"]["validations"]]


def test_without_a_configuration_every_installed_backend_is_in_the_policy(drakit):
    outcome = drakit("admission")
    assert (outcome.code, outcome.err) == (0, "")
    assert drivers(outcome) == ["dra.net", "mock.example.com", "neuron.aws.com"]


def test_with_a_configuration_its_backends_are_with_the_drivers_they_serve(drakit, write_config):
    config = write_config({"plugin": "neuron"}, {"plugin": "mock", "driver": "gpu.example.com"})
    outcome = drakit("admission", "--config", config)
    assert (outcome.code, outcome.err) == (0, "")
    assert drivers(outcome) == ["neuron.aws.com", "gpu.example.com"]
    assert 'c.opaque.driver == "gpu.example.com"' in outcome.out
    assert "mock.example.com" not in outcome.out


def test_a_plugin_that_cannot_be_had_is_a_finding_and_the_others_are_in_the_policy(drakit, write_config):
    outcome = drakit("admission", "--config", write_config({"plugin": "efa"}, {"plugin": "absent"}))
    assert outcome.code == 1
    assert drivers(outcome) == ["dra.net"]
    assert "Error: absent: " in outcome.err


def test_without_any_backend_there_is_nothing_to_print(drakit, write_config):
    outcome = drakit("admission", "--config", write_config({"plugin": "absent"}))
    assert (outcome.code, outcome.out) == (1, "")


@pytest.mark.parametrize("content", ["backends: 5", "kind: Other"])
def test_a_wrong_configuration_is_bad_input(drakit, tmp_path, content):
    path = tmp_path / "config.yaml"
    path.write_text(content)
    assert drakit("admission", "--config", path).code == 2
