"""`drakit support`: everything that helps to find out what is wrong on a node, in one file, without its secrets."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

import click

from drakit.cli import FINDING, BadInput
from drakit.cli.options import config_option, node_option, overrides, root_option
from drakit.cli.output import counted, show, table
from drakit.cli.support.answers import collect_api, collect_commands, collect_ports
from drakit.cli.support.bundle import Bundle
from drakit.cli.support.node import collect_node
from drakit.errors import ConfigError
from drakit.settings import Settings, parse_settings, read_settings

STDOUT = "-"


@click.command()
@config_option
@root_option
@node_option
@click.option("--kubeconfig", metavar="FILE", help="How to reach the API server; KUBECONFIG by default.")
@click.option(
    "-o", "--output", metavar="FILE", default="drakit-support.tar.gz", show_default=True, help="`-` for stdout."
)
def support(config: Path | None, root: Path | None, node_name: str | None, kubeconfig: str | None, output: str) -> None:
    """Collect what helps to find out what is wrong on this node, as a compressed tar archive.

    Nothing on the node is changed, and secrets are left out; look into the bundle before you pass it on, all the same.
    It works beside an agent that runs, and without one. Exit code 1: something that is there could not be collected;
    the bundle says what, and holds the rest.
    """
    _check_output(output)
    given = overrides(root=root, node_name=node_name, kubeconfig=kubeconfig)
    settings, problem = _settings(config, given)
    bundle = Bundle()
    collect_node(bundle, settings, problem)
    collect_commands(bundle, _options(config, given))
    collect_ports(bundle, settings)
    collect_api(bundle, settings)
    archive = bundle.archive({"drakit": metadata.version("drakit"), "node": settings.node_name})
    _write(output, archive)
    _summary(bundle, output, len(archive))
    if bundle.failed:
        raise SystemExit(FINDING)


def _settings(config: Path | None, given: dict[str, str]) -> tuple[Settings, Exception | None]:
    """The settings, or as much of them as can be had, and why that is not all."""
    try:
        return read_settings(config, overrides=given), None
    except ConfigError as error:
        problem = error
    try:
        return parse_settings("", "the environment", os.environ, given), problem
    except ConfigError:
        return parse_settings("", "the command line", {}, given), problem


def _options(config: Path | None, given: dict[str, str]) -> dict[str, Sequence[str]]:
    """What each command is told of what we were told."""
    common = [] if config is None else ["--config", str(config)]
    flags = {name: ["--" + name.replace("_", "-"), value] for name, value in given.items()}
    root, node, kubeconfig = (flags.get(name, []) for name in ("root", "node_name", "kubeconfig"))
    return {
        "plugins": [*common, *root],
        "check": [*common, *root, *node, *kubeconfig],
        "inventory": [*common, *root, *node],
        "slices": [*common, *root, *node],
    }


def _check_output(output: str) -> None:
    """Find out before the work, not after it. Raises BadInput."""
    directory = Path(output).parent
    if output != STDOUT and not (directory.is_dir() and os.access(directory, os.W_OK)):
        raise _unwritable(output, f"{directory} is no directory that can be written")


def _unwritable(output: str, why: str | None) -> BadInput:
    return BadInput(f"the bundle cannot be written to {output}: {why}; give another place with -o, `-o -` for stdout")


def _write(output: str, archive: bytes) -> None:
    """Write the bundle, for its owner's eyes only, and whole or not at all. Raises BadInput where it cannot be."""
    if output == STDOUT:
        sys.stdout.buffer.write(archive)
        return
    path = Path(output)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".drakit-support-") as beside:
            made = Path(beside, "bundle")
            made.touch(mode=0o600)
            made.write_bytes(archive)
            made.replace(path)
    except OSError as error:
        raise _unwritable(output, error.strerror) from None


def _summary(bundle: Bundle, output: str, size: int) -> None:
    if output == STDOUT:
        for part in bundle.parts:
            click.echo(f"{part.state} {part.name}{''.join(f': {why}' for why in part.why)}", err=True)
        return
    rows = [(part.name, part.state, "; ".join(part.why) or counted(len(part.files), "file")) for part in bundle.parts]
    show(table(("PART", "STATE", "WHAT"), rows))
    click.echo(f"Wrote {output} ({size // 1024 + 1} KiB). Look into it before you pass it on.")
