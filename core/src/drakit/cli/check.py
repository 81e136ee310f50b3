"""`drakit check`: whether this configuration can run on this node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from drakit.cli import FINDING, findings
from drakit.cli.offline import offline_settings, survey_node
from drakit.cli.options import config_option, node_option, output_option, overrides, root_option
from drakit.cli.output import counted, line, table, write
from drakit.model import Finding, Severity


@click.command()
@config_option
@root_option
@node_option
@click.option("--kubeconfig", metavar="FILE", help="How to reach the API server; KUBECONFIG by default.")
@output_option("table")
def check(config: Path | None, root: Path | None, node_name: str | None, kubeconfig: str | None, output: str) -> None:
    """Say whether this configuration and this node are fit to run, and if not, what to do.

    Nothing is changed. Exit code 1: there is a finding, be it an error (the agent, or a driver, would not run) or a
    warning.
    """
    settings, problems = offline_settings(config, overrides(root=root, node_name=node_name, kubeconfig=kubeconfig))
    api_server, document = findings.of_api_server(settings)
    labels = (document.get("metadata") or {}).get("labels") or {}
    node = survey_node(settings, problems, check=True, node_labels=labels)
    found = [
        *findings.of_settings(settings),
        *findings.of_root(settings),
        *findings.of_plugins(node),
        *findings.of_directories(settings),
        *findings.of_sockets(settings, findings.drivers_of(node)),
        api_server,
        *findings.of_node(document, node),
    ]
    write(output, [attrs.asdict(one) | {"severity": str(one.severity)} for one in found], lambda: _tables(found))
    if any(finding.severity is not Severity.OK for finding in found):
        raise SystemExit(FINDING)


def _tables(found: Sequence[Finding]) -> Iterable[Any]:
    yield table(("", "WHAT", "FOUND"), [(finding.severity, finding.what, finding.found) for finding in found])
    errors = sum(finding.severity is Severity.ERROR for finding in found)
    warnings = sum(finding.severity is Severity.WARNING for finding in found)
    yield line(
        "Fit to run." if not errors else "Not fit to run:",
        f"{counted(errors, 'error')}, {counted(warnings, 'warning')}",
    )
