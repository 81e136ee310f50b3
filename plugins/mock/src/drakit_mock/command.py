"""`drakit mock`: faked hardware for the real plugins, and faults of it and of mock devices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
from drakit.errors import ConfigError, DRAError, LimitExceeded
from drakit.testing import NodeLayout, lay_out

from drakit_mock.faults import HOOKS
from drakit_mock.live import LiveTree, lay_out_live
from drakit_mock.rehearsal import KINDS, Rehearsal, check_known

_FINDING = 1
_BAD_INPUT = 2


@click.group()
def mock() -> None:
    """Fake hardware, to run real plugins without it, and break it."""


@mock.command()
@click.option("--node", "node_type", required=True, metavar="TYPE", help="Type to fake: p5.48xlarge, or TYPE@VARIANT.")
@click.option("--live", is_flag=True, help="For an agent on a real node: DIR is a link, exchanged as a whole.")
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path))
def layout(node_type: str, directory: Path, *, live: bool) -> None:
    """Write a faked node into DIR: what the installed plugins would find on a machine of this TYPE.

    DIR must be empty or missing, or hold the same type already. Exit code 1: a plugin failed and its hardware is
    missing; 2: the type is unknown, or DIR cannot be used.

    With --live, DIR is the root of an agent whose devices go into containers. It becomes a link to a tree beside it. A
    tree that would be laid out just so stays, with the faults that were injected; any other is replaced in one step, by
    nothing if a plugin fails. Device nodes get numbers that no driver has, which takes CAP_MKNOD, and the boot is the
    machine's.
    """
    with _complaining():
        tree = lay_out_live(node_type, directory) if live else None
        laid = tree.layout if tree else lay_out(node_type, directory)
    click.echo(_live_summary(tree, directory) if tree else _summary(laid))
    for problem in laid.problems:
        click.echo(f"Error: {problem}", err=True)
    if laid.problems:
        raise SystemExit(_FINDING)


@mock.command()
@click.option(
    "--root", type=click.Path(path_type=Path), metavar="DIR", help="The agent's root: / by default, or a faked node."
)
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The agent's configuration; DRAKIT_CONFIG by default. With it, names are checked.",
)
@click.option("--driver", metavar="DRIVER", help="Of several mock drivers with such a device, only this one.")
@click.option("--message", metavar="TEXT", help="unhealthy, faulty, fail-prepare, unfit: why.")
@click.option("--taint", metavar="EFFECT", help="unhealthy: also a taint, NoSchedule, NoExecute or None.")
@click.option("--seconds", type=float, metavar="N", help="slow: how much longer the hook takes.")
@click.option("--hook", metavar="HOOK", help=f"slow, hang: prepare by default; or {', '.join(HOOKS)}.")
@click.option("--name", metavar="NAME", help="faulty, unfit: what the fault is called.")
@click.option("--end", metavar="WHEN", help="faulty: when it is over, gone by default; or steady, cleared.")
@click.option("--count", type=int, metavar="N", help="faulty: how often the device has counted it.")
@click.option("--threshold", type=int, metavar="N", help="faulty, with a count: from how many on it is a fault.")
@click.argument("words", nargs=-1, required=True, metavar="DEVICE KIND | list | clear | renumber | reload")
def fault(root: Path | None, config: Path | None, words: tuple[str, ...], **options: object) -> None:
    """Break a device, or mend it: one of a mock backend, or hardware of a faked node.

    \b
    unhealthy     health says so, with --message and perhaps a --taint
    faulty        health reports a fault of this --name, which outlasts its report as --end says
    reset         it was reset: what it counted and health reported is over
    vanish        it is not there any more
    slow, hang    a --hook takes --seconds longer, or does not return
    fail-prepare  claims for it fail, with --message
    unfit         claims for it are refused for good, by a fault of this --name
    in-use        it says that something has it open
    heal, return  whatever was injected into it ends

    `list` shows what is injected, `clear` ends all of it. `renumber` deals the device numbers of a faked node out anew,
    `reload` loads its kernel modules anew. Mock devices are named as they are published, hardware of a faked node so or
    by its PCI address; that can vanish, be reset, heal, and have the faults that its plugin knows, such as unhealthy. A
    running agent takes faults up when it next asks for health; they outlast restarts. Exit code 2: there is no such
    device or fault, or it cannot be injected here.
    """  # noqa: D301 - \b, as the character that it is, keeps click from filling the lines after it
    with _complaining():
        for line in _act(Rehearsal(config, root), words, options):
            click.echo(line)


def _act(rehearsal: Rehearsal, words: tuple[str, ...], options: Mapping[str, Any]) -> list[str]:
    given = [name for name, value in options.items() if value is not None]
    acts = {
        "list": rehearsal.listed,
        "clear": rehearsal.clear,
        "renumber": rehearsal.renumber,
        "reload": rehearsal.reload,
    }
    if len(words) == 2 and (words[0] not in acts or words[1] in KINDS):
        return rehearsal.do(*words, **options)
    if words[0] in acts and len(words) > 1:
        raise ConfigError(
            f"{words[0]} is for the whole node, and takes no {words[1]!r}; to mend one device: DEVICE heal"
        )
    if len(words) > 2:
        raise ConfigError(f"{' '.join(words)!r} is not DEVICE KIND; kinds are {', '.join(KINDS)}")
    check_known("command (and a device needs a KIND)", words[0], acts)
    if given:
        raise ConfigError(f"{words[0]} takes no {given[0]}")
    return acts[words[0]]() or ["nothing is injected"]


@contextlib.contextmanager
def _complaining() -> Iterator[None]:
    """Turn drakit's errors into a message and an exit code."""
    try:
        yield
    except DRAError as error:
        click.echo(f"Error: {error}", err=True)
        bad = isinstance(error, ConfigError | LimitExceeded)
        raise SystemExit(_BAD_INPUT if bad else _FINDING) from None


def _live_summary(tree: LiveTree, directory: Path) -> str:
    laid = tree.layout
    if laid.problems:
        return f"{directory} stays as it is: {laid.node_type} cannot be laid out"
    lines = [f"{directory}: a faked {laid.node_type}{_history(tree)}"]
    lines += [f"  {plugin}: {len(functions)} PCI functions" for plugin, functions in laid.functions.items()]
    if tree.stand_ins:
        lines.append(
            f"Warning: {tree.stand_ins[0]} and {len(tree.stand_ins) - 1} more are files, for this process may make no "
            "device nodes: it needs CAP_MKNOD, outside a user namespace. Devices are published and allocated, and "
            "containers that get them do not start"
        )
    return "\n".join(lines)


def _history(tree: LiveTree) -> str:
    if tree.kept:
        return ", as it was"
    return f", in the place of a faked {tree.before}; what was injected into that is over" if tree.before else ""


def _summary(laid: NodeLayout) -> str:
    lines = [f"{laid.root}: a faked {laid.node_type}"]
    lines += [f"  {plugin}: {len(functions)} PCI functions" for plugin, functions in laid.functions.items()]
    lines.append(f"To run the agent, or any command that reads a node, on it: --root {laid.root}")
    return "\n".join(lines)
