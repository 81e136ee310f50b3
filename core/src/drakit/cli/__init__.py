"""The command line: `drakit`.

Exit codes: 0 good, 1 a finding, 2 bad input or configuration. Results go to stdout, what is wrong to stderr. A command
is imported when it is asked for, so that `drakit agent` starts with what it needs and nothing else. Plugins add
commands of their own by the entry-point group `drakit.commands`, each naming a click command.
"""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

import click

from drakit.errors import ConfigError, DRAError, describe

GROUP = "drakit.commands"

COMMANDS = {
    "admission": "drakit.cli.admission:admission",
    "agent": "drakit.cli.agent:agent",
    "check": "drakit.cli.check:check",
    "classes": "drakit.cli.classes:classes",
    "conformance": "drakit.cli.conformance:conformance",
    "demo": "drakit.cli.demo:demo",
    "device": "drakit.cli.device:device",
    "inventory": "drakit.cli.inventory:inventory",
    "node-types": "drakit.cli.known:node_types",
    "plan": "drakit.cli.plan:plan",
    "plugins": "drakit.cli.plugins:plugins",
    "slices": "drakit.cli.slices:slices",
    "support": "drakit.cli.support:support",
    "template": "drakit.cli.template:template",
    "topology": "drakit.cli.topology:topology",
    "verify": "drakit.cli.verify:verify",
}

FINDING = 1
BAD_INPUT = 2


class BadInput(click.ClickException):
    """What was given on the command line, or in a file named there, is wrong."""

    exit_code = BAD_INPUT


class _Commands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted({*COMMANDS, *(entry.name for entry in metadata.entry_points(group=GROUP))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name].partition(":")
            command: click.Command = getattr(importlib.import_module(module), attribute)
            return command
        offered = {entry.value: entry for entry in metadata.entry_points(group=GROUP, name=cmd_name)}
        if len(offered) > 1:
            return _broken(cmd_name, f"several distributions offer it: {', '.join(sorted(offered))}; keep one")
        return _load(cmd_name, *offered.values()) if offered else None

    def invoke(self, ctx: click.Context) -> Any:
        """Turn drakit's own errors into a message and an exit code; anything else is a bug, and shows its traceback."""
        try:
            return super().invoke(ctx)
        except ConfigError as error:
            raise BadInput(str(error)) from None
        except DRAError as error:
            raise click.ClickException(str(error)) from None


def _load(name: str, entry: metadata.EntryPoint) -> click.Command:
    try:
        command = entry.load()
    except Exception as error:  # a plugin's command must not take the others with it
        return _broken(name, f"{entry.value} cannot be imported: {describe(error)}")
    if not isinstance(command, click.Command):
        return _broken(name, f"{entry.value} is not a click command")
    return command


def _broken(name: str, why: str) -> click.Command:
    """Stands for a plugin's command that cannot be had, and says so when it is run."""

    def complain() -> None:
        raise click.ClickException(f"command {name!r}: {why}")

    return click.Command(
        name,
        callback=complain,
        short_help="(cannot be loaded)",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="drakit", message="%(prog)s %(version)s")
def main() -> None:
    """Kubernetes DRA drivers as plugins: the node agent, and a look at what it would do.

    Exit codes: 0 good, 1 a finding, 2 bad input or configuration.
    """
