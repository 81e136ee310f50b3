"""`drakit check`: whether this configuration can run on this node, or what a cluster would have to do for it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from drakit.cli import FINDING, findings, verdict
from drakit.cli.offline import offline_settings, survey_node
from drakit.cli.options import config_option, node_option, one_source, output_option, overrides, root_option
from drakit.cli.output import write
from drakit.cli.switchover.documents import to_document
from drakit.cli.switchover.report import make_report
from drakit.cli.switchover.screens import screens


@click.command()
@config_option
@root_option
@node_option
@click.option("--kubeconfig", metavar="FILE", help="How to reach the API server; KUBECONFIG by default.")
@click.option("--cluster", is_flag=True, help="Look at the cluster of the kubeconfig, and not at this node.")
@output_option("table")
def check(  # noqa: PLR0917 - click's options, by name
    config: Path | None, root: Path | None, node_name: str | None, kubeconfig: str | None, cluster: bool, output: str
) -> None:
    """Say whether this configuration and this node are fit to run, and if not, what to do.

    With --cluster: what of a cluster drakit would serve, what serves it now, which nodes are ready to switch or must
    be drained first, and what each workload that asks a device plugin would become. It reads what it may, and says
    what it may not.

    Nothing is changed. Exit code 1: there is a finding, be it an error (the agent, or a driver, would not run) or a
    warning, or with --cluster something to do; 2: the cluster cannot be read at all.
    """
    if cluster:
        one_source({"--cluster": True, "--root": root, "--node-name": node_name})
        _check_cluster(config, kubeconfig, output)
    else:
        _check_node(config, overrides(root=root, node_name=node_name, kubeconfig=kubeconfig), output)


def _check_cluster(config: Path | None, kubeconfig: str | None, output: str) -> None:
    report = make_report(config, kubeconfig)
    write(output, to_document(report), lambda: screens(report))
    if not report.is_good:
        raise SystemExit(FINDING)


def _check_node(config: Path | None, given: Mapping[str, str], output: str) -> None:
    settings, problems = offline_settings(config, given)
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
