"""The program as a whole: which commands there are, and what starting one costs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata

import pytest

COMMANDS = (
    "agent",
    "check",
    "classes",
    "conformance",
    "demo",
    "device",
    "inventory",
    "mock",
    "node-types",
    "plan",
    "plugins",
    "slices",
    "support",
    "template",
    "topology",
    "verify",
)
IMPORTED_BY_AGENT = """
import json, sys
from drakit.cli import main
try:
    main(["agent", "--config", "/no/such/file"])
except SystemExit:
    pass
import drakit.agent
print(json.dumps(sorted(sys.modules)))
"""


def test_help_lists_every_command_also_those_of_plugins(drakit):
    outcome = drakit("--help")
    assert outcome.code == 0
    for command in COMMANDS:
        assert f"\n  {command} " in outcome.out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(drakit, command):
    outcome = drakit(command, "--help")
    assert outcome.code == 0
    assert outcome.out.startswith("Usage: ")


def test_the_version_is_that_of_the_distribution(drakit):
    assert drakit("--version").out.strip().endswith(metadata.version("drakit"))


@pytest.mark.parametrize(
    "arguments", [("nonsense",), ("inventory", "--nonsense"), ("slices", "-o", "xml"), ("demo", "--all", "--node", "x")]
)
def test_what_click_refuses_is_bad_input(drakit, arguments):
    outcome = drakit(*arguments)
    assert outcome.code == 2
    assert outcome.out == ""
    assert "Error: " in outcome.err


def test_the_agent_imports_neither_tables_nor_test_kit_nor_planner_nor_the_kubernetes_package():
    done = subprocess.run([sys.executable, "-c", IMPORTED_BY_AGENT], capture_output=True, text=True, check=True)
    modules = json.loads(done.stdout)
    assert "drakit.agent" in modules
    for unwanted in ("rich", "kubernetes", "drakit.testing", "drakit.plan", "drakit.cli.demo", "drakit.cli.output"):
        assert not [name for name in modules if name == unwanted or name.startswith(f"{unwanted}.")]


def test_a_command_of_a_plugin_that_cannot_be_imported_costs_no_other(installed_drakit, distribution):
    env = distribution("badcommand", "import no_such_module", {"drakit.commands": {"bad": "badcommand:command"}})
    listed = installed_drakit("--help", **env)
    assert listed.code == 0
    assert "(cannot be loaded)" in listed.out
    outcome = installed_drakit("bad", "--some", "thing", **env)
    assert outcome.code == 1
    assert outcome.err == (
        "Error: command 'bad': badcommand:command cannot be imported: "
        "ModuleNotFoundError: No module named 'no_such_module'\n"
    )


def test_what_is_no_command_is_said_to_be_none(installed_drakit, distribution):
    env = distribution("nocommand", "command = 1", {"drakit.commands": {"bad": "nocommand:command"}})
    assert installed_drakit("bad", **env).err == "Error: command 'bad': nocommand:command is not a click command\n"


def test_two_distributions_with_one_command_are_told_apart_by_the_user(installed_drakit, distribution):
    source = "import click\n@click.command()\ndef command(): pass\n"
    distribution("one", source, {"drakit.commands": {"twice": "one:command"}})
    env = distribution("two", source, {"drakit.commands": {"twice": "two:command"}})
    outcome = installed_drakit("twice", **env)
    assert outcome.code == 1
    assert "one:command, two:command" in outcome.err
