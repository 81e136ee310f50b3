"""`drakit conformance`: whether a driver on this node, of whatever make, keeps to what a kubelet needs."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from drakit.cli import FINDING, BadInput
from drakit.cli.options import output_option
from drakit.cli.output import counted, line, table, write
from drakit.testing.blackbox import ForeignDriver, examine, read_claims
from drakit.testing.conformance.rules import NotTried, Outcome, Rule, Verdict

CDI_DIRECTORIES = (Path("/etc/cdi"), Path("/var/run/cdi"))
Results = Sequence[tuple[Rule[ForeignDriver], Outcome]]

_directory = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.option("--driver", required=True, metavar="NAME", help="The DRA driver's name.")
@click.option(
    "--registry",
    type=_directory,
    default=Path("/var/lib/kubelet/plugins_registry"),
    show_default=True,
    metavar="DIR",
    help="Where the kubelet finds drivers.",
)
@click.option(
    "--cdi", type=_directory, multiple=True, metavar="DIR", help="Where runtimes find CDI files, instead of the usual."
)
@click.option(
    "--claims",
    type=click.Path(path_type=Path, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Allocated ResourceClaims, from `kubectl get resourceclaims -o yaml`, that no pod uses: they are prepared and "
    "undone. Without any, the rules about claims are not tried.",
)
@click.option("--restart-command", default="", metavar="COMMAND", help="Restarts the driver, and returns.")
@click.option(
    "--seconds",
    type=click.FloatRange(0, min_open=True),
    default=45.0,
    show_default=True,
    help="How long a call may take; a kubelet waits 45 s.",
)
@output_option("table")
def conformance(
    *,
    driver: str,
    registry: Path,
    cdi: tuple[Path, ...],
    claims: tuple[Path, ...],
    restart_command: str,
    seconds: float,
    output: str,
) -> None:
    """Say which rules of the kubelet's contract a running driver keeps: drakit's own, or any other.

    The driver's sockets are called as by a kubelet. Exit code 1: a rule is broken.
    """
    if not registry.is_dir():
        raise BadInput(f"{registry} is no directory; give the kubelet's plugin registry (--registry)")
    if missing := [directory for directory in cdi if not directory.is_dir()]:
        raise BadInput(f"{missing[0]} is no directory; give where CDI files are (--cdi)")
    subject = ForeignDriver(
        name=driver,
        registry=registry,
        cdi=cdi or [directory for directory in CDI_DIRECTORIES if directory.is_dir()],
        claims=[claim for path in claims for claim in read_claims(path, driver)],
        seconds=seconds,
        restart=partial(_run, restart_command) if restart_command else None,
    )
    if claims and not subject.claims:
        raise BadInput(f"no claim in {', '.join(map(str, claims))} has devices of driver {driver}")
    results = list(examine(subject))
    write(output, _plain(driver, results), lambda: _tables(results))
    if any(outcome.verdict is Verdict.BROKEN for _, outcome in results):
        raise SystemExit(FINDING)


def _run(command: str) -> None:
    """Run the command that restarts the driver."""
    try:
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=False)  # noqa: S603 - the user's
    except (OSError, ValueError) as error:
        raise BadInput(f"the restart command cannot be run: {error}") from None
    if done.returncode != 0:
        raise NotTried(f"the restart command ended with code {done.returncode}: {done.stderr.strip()[-200:]}")


def _plain(driver: str, results: Results) -> dict[str, Any]:
    rules = [
        {
            "rule": rule.name,
            "law": rule.law,
            "verdict": str(outcome.verdict),
            "found": outcome.found,
            "remedy": outcome.remedy,
        }
        for rule, outcome in results
    ]
    return {"driver": driver, "rules": rules}


def _tables(results: Results) -> Iterable[Any]:
    yield table(("", "RULE", "FOUND"), [(outcome.verdict, rule.name, outcome.found) for rule, outcome in results])
    for rule, outcome in results:
        if outcome.verdict is Verdict.BROKEN:
            yield line(f"{rule.name}:", f"{rule.law} {rule.reason} What to do: {outcome.remedy}.")
    broken = sum(outcome.verdict is Verdict.BROKEN for _, outcome in results)
    untried = sum(outcome.verdict is Verdict.NOT_TRIED for _, outcome in results)
    yield line(f"{counted(broken, 'rule')} broken,", f"{len(results) - broken - untried} hold, {untried} not tried")
