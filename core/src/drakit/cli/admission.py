"""`drakit admission`: the policy by which a cluster refuses opaque configuration that the drivers would refuse."""

from __future__ import annotations

from pathlib import Path

import click

from drakit.admission import config_policy
from drakit.cli import FINDING
from drakit.cli.offline import offline_settings
from drakit.cli.options import config_option
from drakit.cli.output import write_stream
from drakit.loading import load


@click.command()
@config_option
def admission(config: Path | None) -> None:
    """Show the admission policy for opaque parameters of the enabled backends, for `kubectl apply -f -`.

    With it the API server refuses claims, templates of claims and device classes whose parameters a driver would refuse
    when a pod starts. What only the driver can check is named on stderr.

    Exit code 1: a plugin cannot be had, and the policy lacks its driver; 2: the configuration is wrong.
    """
    settings, problems = offline_settings(config, {})
    names = dict.fromkeys(backend.plugin for backend in settings.backends)
    report = load(names)
    problems += [(name, str(error)) for name in names if (error := report.problem(name))]
    found = config_policy(settings, report.loaded)
    problems += found.problems.items()
    write_stream(found.documents)
    for note in found.left:
        click.echo(f"Left to the driver: {note}", err=True)
    for of, problem in problems:
        click.echo(f"Error: {of}: {problem}", err=True)
    if problems:
        raise SystemExit(FINDING)
