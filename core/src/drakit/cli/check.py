"""`drakit check`: whether this configuration can run on this node."""

from __future__ import annotations

from pathlib import Path

import click

from drakit.cli import findings, verdict
from drakit.cli.offline import offline_settings, survey_node
from drakit.cli.options import config_option, node_option, output_option, overrides, root_option
from drakit.cli.output import write


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
    write(output, verdict.plain(found), lambda: verdict.tables(found, "Fit to run.", "Not fit to run:"))
    verdict.conclude(found)
