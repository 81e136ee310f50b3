"""The log: one line per event, as text or JSON, with what it is about as fields."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import threading

import pytest
from drakit.cli.logs import JsonLine, OneLine, log_to_stderr
from drakit.errors import HookFailed, PluginStuck
from drakit.model import ClaimRef
from drakit.subject import about, current
from hypothesis import given
from hypothesis import strategies as st

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error) \S+: .+")
CLAIM = ClaimRef("1111-2222", "team", "training")


def record(logger="drakit.agent", message="no %s", args=("news",), exc_info=None, **extra):
    made = logging.LogRecord(logger, logging.WARNING, __file__, 1, message, args, exc_info)
    made.__dict__.update(extra)
    return made


def as_json(made):
    return json.loads(JsonLine().format(made))


@pytest.mark.parametrize(
    ("logger", "source"),
    [
        ("drakit.drivers.dra.net", "driver=dra.net"),
        ("drakit.slices.dra.net", "driver=dra.net"),
        ("drakit.plugins.efa", "plugin=efa"),
        ("drakit.agent", "agent"),
        ("asyncio", "asyncio"),
    ],
)
def test_a_line_of_the_log_names_its_source(logger, source):
    line = OneLine().format(record(logger))
    assert LINE.fullmatch(line)
    assert line.endswith(f" warning {source}: no news")


def test_a_json_line_has_no_more_than_is_known():
    assert as_json(record()).keys() == {"time", "level", "source", "message"}
    assert as_json(record("drakit.plugins.efa"))["plugin"] == "efa"
    assert as_json(record("drakit.drivers.dra.net"))["driver"] == "dra.net"


def test_what_is_worked_on_is_in_every_line_meanwhile():
    with about(claim=CLAIM), about(driver="dra.net", plugin="efa", hook="prepare"):
        line, document = OneLine().format(record()), as_json(record())
    assert line.endswith(
        " agent: no news driver=dra.net plugin=efa hook=prepare claim=team/training claimUid=1111-2222"
    )
    fields = {name: document[name] for name in ("driver", "plugin", "hook", "claim", "claimUid")}
    assert fields == {
        "driver": "dra.net",
        "plugin": "efa",
        "hook": "prepare",
        "claim": "team/training",
        "claimUid": "1111-2222",
    }
    assert "claim" not in as_json(record())


def test_a_text_line_does_not_repeat_its_source():
    with about(plugin="efa", hook="discover"):
        assert OneLine().format(record("drakit.plugins.efa")).endswith(" plugin=efa: no news hook=discover")


def test_a_claim_of_which_only_the_uid_is_known_is_named_by_it():
    with about(claim=ClaimRef("1111-2222", "", "")):
        document = as_json(record())
    assert document["claimUid"] == "1111-2222"
    assert "claim" not in document


def test_a_claim_of_which_only_the_name_is_known_is_named_by_it():
    with about(claim=ClaimRef("", "team", "training")):
        document = as_json(record())
    assert document["claim"] == "team/training"
    assert "claimUid" not in document


def test_what_stands_for_all_claims_is_none():
    with about(claim=ClaimRef("", "", "every prepared claim")):
        assert not {"claim", "claimUid"} & as_json(record()).keys()


def test_the_claim_that_a_message_names_is_a_field():
    other = ClaimRef("3333", "team", "other")
    with about(claim=other):
        assert as_json(record(message="claim %s is gone", args=(CLAIM,)))["claimUid"] == "1111-2222"
    assert "claim" not in as_json(record(message="%s waits for %s", args=(CLAIM, other)))


@pytest.mark.parametrize("by", ["argument", "traceback"])
def test_an_error_that_is_logged_gives_its_plugin_and_hook(by):
    error = HookFailed("efa", "discover", ValueError("no"))
    given = {"args": (error,), "message": "%s"} if by == "argument" else {"exc_info": (type(error), error, None)}
    document = as_json(record(**given))
    assert (document["plugin"], document["hook"]) == ("efa", "discover")


def test_an_error_charged_to_a_driver_by_name_makes_it_no_plugin():
    document = as_json(record("drakit.drivers.dra.net", "%s", (PluginStuck("dra.net", "hangs"),)))
    assert "plugin" not in document


def test_what_the_call_says_wins():
    extra = {"driver": "dra.net", "plugin": "efa"}
    document = as_json(record(message="%s", args=(HookFailed("dra.net", "discover", ValueError("no")),), **extra))
    assert (document["driver"], document["plugin"], document["hook"]) == ("dra.net", "efa", "discover")


def test_a_traceback_stays_in_its_line():
    try:
        int("first\nsecond")
    except ValueError:
        made = record("drakit", "it\nbroke", (), sys.exc_info())
    line = OneLine().format(made)
    assert "\n" not in line
    assert "it\\nbroke\\nTraceback" in line
    text = JsonLine().format(made)
    assert "\n" not in text
    assert json.loads(text)["traceback"].startswith("Traceback")


@given(st.text())
def test_every_message_is_one_line_whatever_it_holds(message):
    for formatter in (OneLine(), JsonLine()):
        assert len(formatter.format(record(message="%s", args=(message,))).split("\n")) == 1
    assert as_json(record(message="%s", args=(message,)))["message"] == message


def test_threads_and_tasks_have_subjects_of_their_own():
    seen = {}

    def elsewhere():
        seen["thread"] = current().claim

    async def other():
        with about(claim=ClaimRef("other", "team", "other")):
            await asyncio.sleep(0)

    async def main():
        with about(claim=CLAIM):
            thread = threading.Thread(target=elsewhere)
            thread.start()
            thread.join()
            await asyncio.gather(other(), other())
            seen["task"] = current().claim
            seen["within"] = await asyncio.create_task(asyncio.sleep(0, current().claim))
        seen["after"] = current().claim

    asyncio.run(main())
    assert seen == {"thread": None, "task": CLAIM, "within": CLAIM, "after": None}


def test_a_subject_ends_with_what_it_was_for_however_that_ends():
    with pytest.raises(StopIteration), about(hook="discover"):
        raise StopIteration
    assert current().hook == ""


@pytest.mark.parametrize(("log_format", "kind"), [("text", OneLine), ("json", JsonLine)])
def test_the_format_is_as_it_was_asked_for(log_format, kind):
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = []
    try:
        log_to_stderr("info", log_format)
        assert [type(handler.formatter) for handler in root.handlers] == [kind]
        assert root.level == logging.INFO
    finally:
        root.handlers[:] = before
        root.setLevel(level)


def test_a_format_that_is_none_is_refused(drakit, two_drivers):
    outcome = drakit("agent", "--config", two_drivers, "--log-format", "xml")
    assert outcome.code == 2
    assert "logFormat must be one of text, json" in outcome.err
