"""`drakit demo`: the whole path of a claim on this machine, each step shown and checked."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--scenario",
    "name",
    metavar="NAME",
    help="Which scenario of the installed plugins; by default one that suits --file and --node.",
)
@click.option("--node", "node_type", metavar="TYPE", help="The type of node to fake; the scenario's own by default.")
@click.option(
    "-f",
    "--file",
    "manifest",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Another YAML file with a Pod and its ResourceClaims or templates.",
)
@click.option(
    "--all", "everything", is_flag=True, help="Show every scenario of the installed plugins, one after another."
)
@click.option("--keep", type=click.Path(path_type=Path), metavar="DIR", help="Work in DIR, and leave it for a look.")
def demo(name: str | None, node_type: str | None, manifest: Path | None, everything: bool, keep: Path | None) -> None:
    """Show drakit at work: no cluster, no root, no hardware.

    Fakes a node, starts an API server in memory, a kubelet and the agent; publishes, allocates, prepares, releases.
    Exit code 1: something is not as it must be, or the claims cannot be allocated; 2: bad input.
    """
    if everything and (name or node_type or manifest):
        raise click.UsageError("--all shows the scenarios as they are; leave out --scenario, --node and --file")
    # Imported here, so that `drakit --help` does not pay for all of this.
    from drakit.cli.demo.scenarios import choose, load_scenarios
    from drakit.cli.demo.show import show_all, show_one
    from drakit.cli.logs import warnings_to_stderr

    with warnings_to_stderr():
        found = load_scenarios()
        if everything:
            show_all(found, keep)
        else:
            show_one(choose(found, name, node_type, manifest), keep)
