"""`drakit template values`: a platform team's own catalog, for the Helm chart to publish."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from drakit.cli.catalogs import catalog_option, conclude, load_catalog
from drakit.cli.output import to_yaml
from drakit.errors import ConfigError
from drakit.plan.catalog import chart_values

_HEAD = "# Made by `drakit template values`. Give it to helm with -f, beside your own values.\n"


@click.command()
@click.option(
    "--node",
    "node_types",
    metavar="TYPE",
    required=True,
    multiple=True,
    help="For this type of node; may be given several times.",
)
@catalog_option
def values(node_types: Sequence[str], files: Sequence[Path]) -> None:
    """Write the values from which the Helm chart publishes the templates of --catalog, and those of the plugins.

    The chart then knows of no other templates than these. Which of them it publishes where is said in `catalog.offers`
    of its values. Without --catalog it has those of the plugins that it ships with by itself.
    """
    catalog, problems = load_catalog(files)
    rendered = {}
    for node_type in dict.fromkeys(node_types):
        rendered[node_type] = chart_values(catalog.templates.values(), node_type)
        if not rendered[node_type]:
            raise ConfigError(catalog.nothing_for(node_type))
    click.echo(_HEAD + to_yaml({"catalog": {"rendered": rendered}}), nl=False)
    conclude(problems)
