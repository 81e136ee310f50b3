"""What an agent tells: its log as JSON, with what each line is about as fields, and Events for what is to be done."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

TALKATIVE = """
from drakit import ContainerEdits, Device, Pool, PreparedDevice, hookimpl

class Plugin:
    driver_name = "talk.example.com"

    def __init__(self, context):
        self.context = context

    @hookimpl
    def discover(self):
        return [Pool([Device(name="one"), Device(name="two")])]

    @hookimpl
    def prepare(self, claim):
        self.context.log.warning("taking my time")
        if claim.claim.name == "odd":
            raise RuntimeError("an odd number")
        return [PreparedDevice.of(device, ContainerEdits(env={"A": "1"})) for device in claim.devices]

    @hookimpl
    def unprepare(self, claim, prepared):
        pass
"""
DRIVER = "talk.example.com"


@pytest.fixture
def talkative(node):
    node.root.mkdir()
    node.install("talk", TALKATIVE)
    return node


def lines(node):
    return [json.loads(line) for line in node.log.read_text().splitlines()]


def test_a_line_of_the_log_has_its_claim_driver_plugin_and_hook_as_fields(talkative, kubelet, new_claim):
    good = new_claim("good", {DRIVER: ("x", ["one"])})
    odd = new_claim("odd", {DRIVER: ("x", ["two"])})
    talkative.start("[{plugin: talk}]", logFormat="json")
    kubelet.wait_for(DRIVER)
    answers = kubelet.prepare([good, odd], DRIVER)
    assert answers[odd.uid].error
    assert talkative.end() == 0

    said = [line for line in lines(talkative) if line["message"] == "taking my time"]
    assert [{"driver", "plugin", "hook", "claim", "claimUid"} <= line.keys() for line in said] == [True, True]
    (line,) = [line for line in said if line["claimUid"] == good.uid]
    assert (line["driver"], line["plugin"], line["hook"]) == (DRIVER, "talk", "prepare")
    assert (line["claim"], line["level"], line["source"]) == ("default/good", "warning", "plugins.talk")
    assert datetime.fromisoformat(line["time"]).tzinfo is not None

    (refusal,) = [line for line in lines(talkative) if "cannot prepare" in line["message"]]
    assert (refusal["driver"], refusal["plugin"], refusal["hook"]) == (DRIVER, "talk", "prepare")
    assert (refusal["claim"], refusal["claimUid"]) == ("default/odd", odd.uid)


@pytest.mark.reliability(
    fault="what a driver had recorded of a claim is damaged, or a plugin cannot be loaded",
    injected="a record of the journal is overwritten while no agent runs, and a plugin is enabled that is not there",
    promise="an Event regards the claim, or the Node, and says what to do",
)
def test_damage_and_a_missing_plugin_are_told_by_events(talkative, api, kubelet, new_claim):
    claim = new_claim("good", {DRIVER: ("x", ["one"])})
    talkative.start("[{plugin: talk}]")
    kubelet.wait_for(DRIVER)
    assert not kubelet.prepare([claim], DRIVER)[claim.uid].error
    assert talkative.end() == 0
    journal = talkative.plugins / DRIVER / "drakit.journal"
    journal.write_bytes(b"0" * 8 + journal.read_bytes()[8:])

    talkative.start("[{plugin: talk}, {plugin: absent}]")
    api.wait_for(lambda api: len(api.list("Event")) == 2, 30.0)
    told = {event["reason"]: event for event in api.list("Event")}
    assert told["ClaimQuarantined"]["regarding"]["uid"] == claim.uid
    assert told["ClaimQuarantined"]["metadata"]["namespace"] == "default"
    assert told["DriverNotServed"]["regarding"]["kind"] == "Node"
    assert "absent" in told["DriverNotServed"]["note"]
