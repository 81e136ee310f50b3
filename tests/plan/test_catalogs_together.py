"""Several catalogs as one: whose template counts, whose guardrails hold, and what is said of names."""

from __future__ import annotations

import pytest
from drakit.errors import ConfigError
from drakit.plan.catalog import combine, variant_for

from tests.plan.catalogs import ONE, SIDES, SIZED


def test_a_later_file_wins_over_an_earlier_one_and_over_what_is_shipped(catalog):
    shipped = catalog(ONE, "a.yaml", origin="plugin 'a'")
    own = [catalog(ONE.replace("One GPU", title), f"{title}.yaml") for title in ("mine", "ours")]
    found, problems = combine([shipped], own)
    assert found.get("one").title == "ours"
    assert problems == []


def test_of_two_plugins_with_one_name_the_first_keeps_it_and_the_other_is_named(catalog):
    files = [catalog(ONE.replace("One GPU", f"of {name}"), f"{name}.yaml", origin=f"plugin {name!r}") for name in "ab"]
    found, problems = combine(files, [])
    assert found.get("one").title == "of a"
    assert problems == ["template 'one' of plugin 'b' is left out: plugin 'a' has one"]


def test_a_name_nobody_has_is_refused_with_names_that_are_near(catalog):
    found, _ = combine([catalog(SIZED)], [])
    with pytest.raises(ConfigError, match="there is no template 'm-gpu'; did you mean 'm-gpus'"):
        found.get("m-gpu")
    with pytest.raises(ConfigError, match="did you mean 's-gpus'"):
        found.get("gpus")
    with pytest.raises(ConfigError, match="`drakit template list` has them all"):
        found.get("zzz")


def test_a_node_the_template_is_not_for_is_refused_with_those_it_is_for(catalog):
    with pytest.raises(ConfigError, match="'m-gpus' has no variant for 'small'; it has: big"):
        variant_for(catalog(SIZED).templates["m-gpus"], "small")


def test_guardrails_hold_for_all_templates_of_all_files(catalog):
    rule = '"x" in device.attributes["gpu.example.com"]'
    guard = catalog(
        f"guardrails:\n  nodeTypes: [big]\n  maxDevices: 2\n  selectors:\n    gpu.example.com: ['{rule}']\n", "own.yaml"
    )
    found, _ = combine([catalog(SIZED), catalog(SIDES, "b.yaml")], [guard])
    request = found.get("m-gpus").variants["big"].claims[0].devices["requests"][0]
    assert [one["cel"]["expression"] for one in request["exactly"]["selectors"]][1:] == [rule]
    with pytest.raises(ConfigError, match=r"may not be used on 'small': only big may be used \(guardrails of .*own"):
        variant_for(found.get("s-gpus"), "small")
    with pytest.raises(ConfigError, match="l-gpus asks for 4 devices, and one claim may ask for 2"):
        variant_for(found.get("l-gpus"), "big")
    with pytest.raises(ConfigError, match="serve-front asks for all devices, and one claim may ask for 2"):
        variant_for(found.get("serve"), "big")
    with pytest.raises(ConfigError, match="it has: none within the guardrails, which rule out big"):
        variant_for(found.get("serve"), "other")


def test_guardrails_of_several_files_all_hold(catalog):
    guards = [catalog(f"guardrails: {{nodeTypes: [{node}]}}\n", f"{node}.yaml") for node in ("big", "huge")]
    found, _ = combine([catalog(ONE)], guards)
    assert found.get("one").variants == {}
    assert set(found.get("one").withheld) == {"big", "huge"}
