"""`drakit agent`: the daemon of one node."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from drakit.cli.logs import log_to_stderr
from drakit.cli.options import config_option, node_option, overrides, root_option
from drakit.settings import VARIABLES, read_settings


def _directory(flag: str, what: str) -> str:
    return f"{what}; {VARIABLES[flag]} in the environment."


@click.command()
@config_option
@node_option
@root_option
@click.option("--cdi-root", metavar="DIR", help=_directory("cdi_root", "Where CDI files go"))
@click.option(
    "--kubelet-registrar-directory-path",
    metavar="DIR",
    help=_directory("kubelet_registrar_directory_path", "Where the kubelet looks for drivers"),
)
@click.option(
    "--kubelet-plugins-directory-path",
    metavar="DIR",
    help=_directory("kubelet_plugins_directory_path", "Where drivers keep sockets and state"),
)
@click.option("--kubeconfig", metavar="FILE", help="Outside of a cluster: how to reach the API server; KUBECONFIG.")
@click.option("--log-level", metavar="LEVEL", help="debug, info, warning or error; DRAKIT_LOG_LEVEL.")
@click.option("--log-format", metavar="FORMAT", help="text or json, one line per event; DRAKIT_LOG_FORMAT.")
def agent(config: Path | None, **flags: str | Path | None) -> None:
    """Run the node agent until it is told to stop (SIGTERM, SIGINT).

    Flags win over the environment, which wins over the configuration file. Exit code 2: it cannot run as configured.
    """
    settings = read_settings(config, overrides=overrides(**flags))
    log_to_stderr(settings.log_level, settings.log_format)
    # Imported here, so that `drakit --help` does not pay for grpc.
    from drakit.agent import Agent

    asyncio.run(Agent(settings).run(handle_signals=True))
