"""A driver of any make is examined through its sockets, and each rule finds what breaks it."""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path

import pytest
import yaml
from attrs import frozen
from click.testing import CliRunner
from drakit.cli import main
from drakit.testing import Stage
from drakit.testing.blackbox import RULES, ForeignDriver, examine, read_claims
from drakit.testing.conformance import Verdict

SHARE = "0b2f9c1e-8d6a-4f3b-9c58-2f1d7a1f0c11"
ONE, TWO = "6a1f7c8e-0000-4000-8000-000000000001", "6a1f7c8e-0000-4000-8000-000000000002"
DRIVER = "strange.example.com"


def _load():
    spec = importlib.util.spec_from_file_location("strange_driver", Path(__file__).with_name("strange_driver.py"))
    module = sys.modules["strange_driver"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


StrangeDriver = _load().StrangeDriver


def result(device, request="cards", **more):
    return {"request": request, "driver": DRIVER, "pool": "node-1", "device": device, **more}


ALLOCATED = {
    ONE: [result("one"), result("two", "cards-or-more/second")],
    TWO: [result("three", shareID=SHARE)],
}
FOREIGN = {"request": "nic", "driver": "nic.example.com", "pool": "node-1", "device": "nic-0"}


def claim_of(uid, results):
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": f"claim-{uid[-1:]}x", "namespace": "default", "uid": uid},
        "status": {"allocation": {"devices": {"results": [*results, FOREIGN]}}},
    }


RESERVED = claim_of(ONE, ALLOCATED[ONE])
RESERVED["status"]["reservedFor"] = [{"resource": "pods", "name": "worker", "uid": TWO}]


@frozen
class Place:
    """The directories of a node with a strange driver on it."""

    directory: Path

    @property
    def claims(self) -> Path:
        path = self.directory / "claims.yaml"
        items = [claim_of(uid, results) for uid, results in ALLOCATED.items()]
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items}))
        return path

    def examine(self, *faults, claims=True):
        """The outcome of every rule on a driver with these faults."""
        with StrangeDriver(self.directory, ALLOCATED, faults) as driver:
            subject = ForeignDriver(
                name=DRIVER,
                registry=self.directory / "reg",
                cdi=[self.directory / "cdi"],
                claims=read_claims(self.claims, DRIVER) if claims else [],
                seconds=10.0,
                restart=driver.restart,
            )
            outcomes = {rule.name: outcome for rule, outcome in examine(subject)}
            assert driver.prepared == set() or "claims_are_unprepared" in faults
        return outcomes


@pytest.fixture
def place():
    # Short, for sockets are in it.
    with tempfile.TemporaryDirectory(prefix="dk-") as directory:
        for name in ("reg", "cdi"):
            (Path(directory) / name).mkdir()
        yield Place(Path(directory))


def named(outcomes, verdict):
    return {name for name, outcome in outcomes.items() if outcome.verdict is verdict}


def test_a_driver_that_keeps_the_contract_keeps_every_rule(place):
    outcomes = place.examine()
    assert named(outcomes, Verdict.HOLDS) == {rule.name for rule in RULES}, outcomes


@pytest.mark.parametrize("rule", [rule.name for rule in RULES])
def test_what_breaks_a_rule_is_found_by_it_alone(place, rule):
    outcomes = place.examine(rule)
    assert named(outcomes, Verdict.BROKEN) == {rule}, outcomes
    assert outcomes[rule].found
    assert outcomes[rule].remedy


def test_without_claims_the_rules_about_them_are_not_tried(place):
    outcomes = place.examine(claims=False)
    about_claims = {rule.name for rule in RULES if rule.topic == "Claims"}
    assert named(outcomes, Verdict.NOT_TRIED) == about_claims
    assert "--claims" in outcomes["claims_are_prepared"].found


def test_every_rule_has_a_law_and_a_reason():
    for rule in RULES:
        assert rule.law.endswith("."), rule.name
        assert rule.reason.endswith("."), rule.name


def command(*arguments):
    result = CliRunner().invoke(main, ["conformance", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_command_reports_each_rule_with_its_evidence(place):
    options = ["--driver", DRIVER, "--registry", place.directory / "reg", "--cdi", place.directory / "cdi"]
    options += ["--claims", place.claims]
    with StrangeDriver(place.directory, ALLOCATED, ["cdi_ids_resolve"]):
        told = command(*options)
        plain = command(*options, "-o", "json")
    assert told.exit_code == plain.exit_code == 1
    assert "cdi_ids_resolve: Every CDI id is in a CDI file when Prepare has answered." in told.stdout
    assert "1 rule broken" in told.stdout
    report = {rule["rule"]: rule for rule in json.loads(plain.stdout)["rules"]}
    assert report["cdi_ids_resolve"]["verdict"] == "broken"
    assert "no file in" in report["cdi_ids_resolve"]["found"]
    assert report["a_restart_changes_no_answer"]["verdict"] == "not tried"
    assert report["claims_are_prepared"]["verdict"] == "holds"
    assert report["claims_are_prepared"]["found"] == "claims: 2, devices: 3"
    assert str(place.directory / "reg") in report["registration_answers"]["found"]


def test_our_own_agent_keeps_every_rule_of_the_command(tmp_path):
    inline = {"devices": [{"name": "card-{index}", "count": 2}]}
    with Stage(
        "generic-gpu-nic", [{"plugin": "mock", "driver": "card.example.com", "options": {"inline": inline}}]
    ) as stage:
        results = [result(f"card-{index}") | {"driver": "card.example.com"} for index in range(2)]
        requests = [{"name": "cards", "exactly": {"deviceClassName": "any"}}]
        document = claim_of("", results) | {"spec": {"devices": {"requests": requests}}}
        document["metadata"].pop("uid")
        document["status"]["allocation"]["devices"]["results"].remove(FOREIGN)
        claims = tmp_path / "claim.yaml"
        claims.write_text(yaml.safe_dump(stage.server.create(document)))
        told = command(
            *("--driver", "card.example.com", "--registry", stage.registry, "--cdi", stage.cdi),
            *("--claims", claims, "-o", "json", "--restart-command", "true"),
        )
        assert stage.cdi_files() == []
    rules = json.loads(told.stdout)["rules"]
    assert told.exit_code == 0, rules
    assert {rule["rule"] for rule in rules if rule["verdict"] == "not tried"} == {"share_ids_are_returned"}


def test_a_restart_that_fails_is_not_held_against_the_driver(place):
    options = ["--driver", DRIVER, "--registry", place.directory / "reg", "--cdi", place.directory / "cdi"]
    with StrangeDriver(place.directory, ALLOCATED, []) as driver:
        told = command(*options, "--claims", place.claims, "-o", "json", "--restart-command", "false")
        impossible = command(*options, "--claims", place.claims, "--restart-command", "/no/such/program")
        assert driver.prepared == set()
    (rule,) = [rule for rule in json.loads(told.stdout)["rules"] if rule["rule"] == "a_restart_changes_no_answer"]
    assert rule["verdict"] == "not tried"
    assert "code 1" in rule["found"]
    assert told.exit_code == 0
    assert impossible.exit_code == 2
    assert "/no/such/program" in impossible.stderr


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read"),
        ("kind: Pod\n", "must hold ResourceClaims"),
        (yaml.safe_dump(claim_of(ONE, []) | {"status": {}}), "has no allocation"),
        (yaml.safe_dump(claim_of("", ALLOCATED[TWO])), "has no uid"),
        (yaml.safe_dump(claim_of(ONE, [])), "has devices of driver"),
        (yaml.safe_dump(claim_of(ONE, [{"driver": DRIVER}])), "request"),
        (yaml.safe_dump(RESERVED), "is reserved for pods worker"),
    ],
)
def test_claims_that_cannot_be_prepared_are_bad_input(place, content, message):
    path = place.directory / "wrong.yaml"
    if content is not None:
        path.write_text(content)
    told = command("--driver", DRIVER, "--registry", place.directory / "reg", "--claims", path)
    assert told.exit_code == 2
    assert message in told.stderr


@pytest.mark.parametrize("option", ["--registry", "--cdi"])
def test_a_directory_that_is_none_is_bad_input(place, option):
    directories = {"--registry": place.directory / "reg", option: place.directory / "absent"}
    told = command("--driver", DRIVER, *(part for pair in directories.items() for part in pair))
    assert told.exit_code == 2
    assert option in told.stderr


def test_a_driver_that_is_not_there_breaks_its_first_rule_and_no_other(place):
    told = command("--driver", DRIVER, "--registry", place.directory / "reg", "-o", "json")
    assert told.exit_code == 1
    verdicts = {rule["rule"]: rule["verdict"] for rule in json.loads(told.stdout)["rules"]}
    assert {name for name, verdict in verdicts.items() if verdict == "broken"} == {"registration_answers"}
    assert "holds" not in verdicts.values()


def test_a_cdi_file_that_does_not_come_back_is_put_back(place):
    outcomes = place.examine("a_lost_cdi_file_comes_back", "claims_are_unprepared")
    assert outcomes["a_lost_cdi_file_comes_back"].verdict is Verdict.BROKEN
    assert sorted(path.name for path in (place.directory / "cdi").iterdir()) == [
        f"{ONE}.json",
        f"{TWO}.json",
        "common.json",
    ]


def test_a_cdi_file_that_other_claims_may_use_is_left_where_it_is(place):
    shared = place.directory / "cdi" / "common.json"
    seen = []

    class Watching(StrangeDriver):
        def _prepare(self, *arguments):
            seen.append(shared.exists())
            return super()._prepare(*arguments)

    with Watching(place.directory, ALLOCATED, ()) as driver:
        subject = ForeignDriver(
            name=DRIVER,
            registry=place.directory / "reg",
            cdi=[place.directory / "cdi"],
            claims=read_claims(place.claims, DRIVER),
            seconds=10.0,
            restart=driver.restart,
        )
        assert {outcome.verdict for _, outcome in examine(subject)} == {Verdict.HOLDS}
    first = seen.index(True)
    assert all(seen[first:])
