"""Every rule of the kit catches a plugin that breaks it, and no other rule blames that plugin."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest
from drakit import hookimpl
from drakit.testing.conformance import RULES, Subject, Verdict
from drakit.testing.conformance.processes import performance

NAMES = [rule.name for rule in RULES]
IN_PROCESS = [rule for rule in RULES if rule.topic not in ("Across processes", "Over sockets")]
ACROSS_PROCESSES = [rule for rule in RULES if rule.topic == "Across processes"]
OVER_SOCKETS = [rule for rule in RULES if rule.topic == "Over sockets"]


sys.path.append(str(Path(__file__).parent))  # the processes of the kit import them, too
BAD = {}
for module in ("bad_plugins", "bad_company", "roaming_plugin"):
    BAD.update(vars(importlib.import_module(module)))


@pytest.fixture
def subject(tmp_path):
    """A subject of a class in those modules, on a node with six ports."""
    (tmp_path / "dev").mkdir()
    for number in range(6):
        (tmp_path / "dev" / f"port{number}").touch()

    def make(name, **changes):
        return Subject(plugin=BAD[name], root=tmp_path, **changes)

    return make


def broken(subject, rules):
    outcomes = {rule.name: rule.examine(subject) for rule in rules}
    return {name: outcome for name, outcome in outcomes.items() if outcome.verdict is Verdict.BROKEN}


@pytest.mark.parametrize(("name", "rules"), [("Good", [*IN_PROCESS, *ACROSS_PROCESSES]), ("Marking", RULES[:-1])])
def test_a_good_plugin_keeps_every_rule(subject, name, rules):
    good = subject(name)
    outcomes = {rule.name: rule.examine(good) for rule in rules}
    assert {rule: outcome for rule, outcome in outcomes.items() if outcome.verdict is Verdict.BROKEN} == {}
    untried = {rule for rule, outcome in outcomes.items() if outcome.verdict is Verdict.NOT_TRIED}
    assert {rule for rule in untried if "configuration" not in rule} <= {
        "device_classes_are_valid",
        "side_effects_are_declared",
    }


@pytest.mark.parametrize("name", [rule.name for rule in IN_PROCESS])
def test_what_breaks_a_rule_is_caught_by_it_alone(subject, name):
    (rule,) = [rule for rule in RULES if rule.name == name]
    found = broken(subject(name), IN_PROCESS)
    assert set(found) == {name}
    text = rule.text(found[name])
    assert rule.law in text
    assert found[name].found in text
    assert found[name].remedy in text


@pytest.mark.parametrize("name", [rule.name for rule in ACROSS_PROCESSES if rule.name != "hooks_answer_in_time"])
def test_what_breaks_a_rule_across_processes_is_caught_by_it_alone(subject, name):
    assert set(broken(subject(name), [*IN_PROCESS, *ACROSS_PROCESSES])) == {name}


def test_a_hook_that_hangs_is_caught_by_its_rule_alone_with_the_line_it_hangs_at(subject):
    found = broken(subject("hooks_answer_in_time", hook_seconds=1.0), [*IN_PROCESS, *ACROSS_PROCESSES])
    assert set(found) == {"hooks_answer_in_time"}
    assert "at health" in found["hooks_answer_in_time"].found
    assert "bad_company.py" in found["hooks_answer_in_time"].found


def test_an_agent_that_does_not_come_up_breaks_the_rounds_with_its_log(subject):
    found = broken(subject("a_full_round_over_v1"), RULES)
    assert set(found) == {rule.name for rule in OVER_SOCKETS}
    assert "not in an agent" in found["a_full_round_over_v1"].found


def test_a_repeat_that_changes_more_is_not_idempotent(subject):
    assert set(broken(subject("prepare_changes_more_each_time"), IN_PROCESS)) == {"prepare_is_idempotent"}


def test_what_is_left_of_claims_on_the_node_is_not_undone(subject):
    found = broken(subject("what_is_counted_never_falls"), IN_PROCESS)
    assert set(found) == {"unprepare_undoes_what_prepare_did", "unprepare_takes_an_interrupted_prepare"}
    assert "dev/claims below the root" in found["unprepare_undoes_what_prepare_did"].found


def test_prepare_that_relies_on_discover_is_told_so(subject):
    found = broken(subject("reads_what_discover_has_found"), IN_PROCESS)
    assert set(found) == {"prepare_answers_every_device"}
    assert "asked to discover before" in found["prepare_answers_every_device"].found


@pytest.mark.parametrize("name", ["directories_are_not_sorted", "groups_are_ranked_by_hash"])
def test_what_follows_the_order_of_directories_and_sets_is_not_the_same_in_every_process(subject, name):
    assert set(broken(subject(name), [*IN_PROCESS, *ACROSS_PROCESSES])) == {"discovery_is_the_same_in_every_process"}


def test_a_plugin_without_devices_is_told_that_its_root_has_no_hardware(subject):
    found = broken(subject("hardware_is_found"), RULES)
    assert set(found) == {"hardware_is_found"}
    assert "no hardware" in found["hardware_is_found"].found
    assert "--dra-root" in found["hardware_is_found"].remedy


def test_an_extension_is_tried_as_far_as_it_can_be(subject, tmp_path):
    class Racks:
        def __init__(self, context):
            self.context = context

        @hookimpl
        def attributes(self, ref, device):
            return {"example.com/rack": "r7"}

    extension = Subject(plugin=Racks, root=tmp_path)
    verdicts = {rule.name: rule.examine(extension).verdict for rule in RULES}
    assert Verdict.BROKEN not in verdicts.values()
    assert verdicts["attributes_are_legal"] is Verdict.HOLDS
    assert verdicts["prepare_is_idempotent"] is Verdict.NOT_TRIED


def test_whatever_reaches_outside_the_root_is_told_and_nothing_else(subject, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    for name in ("named", "secret"):
        (outside / name).write_text("text")
    options = {"named": str(outside / "named"), "outside": f"{outside}/"}
    evidence = performance(subject("Roaming", options=options)).watched()
    assert evidence.steps["describe"].error is None
    assert list(evidence.trespasses) == [
        f"writes to {outside}/made",
        f"changes (os.rename) {outside}/made",
        f"changes (os.rename) {outside}/moved",
        "opens /etc/passwd",
        "lists /etc",
        f"connects to {outside}/absent.sock",
        "starts the program '/bin/true'",
    ]


def test_what_the_plugin_raised_is_shown_with_its_traceback(subject):
    outcome = broken(subject("it_can_be_constructed"), IN_PROCESS)["it_can_be_constructed"]
    assert "RuntimeError: no library" in outcome.trace
    assert "bad_plugins.py" in outcome.trace


def test_a_traceback_begins_where_the_plugin_does(subject):
    outcome = broken(subject("use_is_told_of_every_device"), IN_PROCESS)["use_is_told_of_every_device"]
    assert outcome.trace.splitlines()[1].lstrip().startswith(f'File "{Path(__file__).with_name("bad_plugins.py")}"')
    assert "the contract of in_use" in outcome.remedy


def test_a_message_of_any_length_is_cut(subject):
    bad = subject("prepare_fails_at_length")
    outcomes = [rule.examine(bad) for rule in IN_PROCESS]
    told = [f"{outcome.found}{outcome.trace}" for outcome in outcomes if outcome.verdict is not Verdict.HOLDS]
    assert any("characters more)" in text for text in told)
    assert max(map(len, told)) < 10_000


def test_every_rule_has_a_law_a_reason_and_a_plugin_that_breaks_it():
    for rule in RULES:
        assert rule.law.endswith("."), rule.name
        assert rule.reason.endswith("."), rule.name
    assert {name for name in NAMES if name not in BAD} == {"a_full_round_over_v1beta1"}
