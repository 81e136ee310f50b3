"""`drakit node-types`: the types of nodes that the installed plugins know, for `--node`."""

from __future__ import annotations

from collections.abc import Mapping

import click

from drakit.cli import FINDING
from drakit.cli.options import output_option
from drakit.cli.output import table, write
from drakit.loading import load_installed


@click.command(name="node-types")
@click.argument("word", default="")
@output_option("table")
def node_types(word: str, output: str) -> None:
    """List the types of nodes that can be faked, for `--node`, and which plugins know them.

    With WORD, those that have it in their name. TYPE@VARIANT is a machine of that type that is not as it comes.

    Exit code 1: there is none.
    """
    found = {name: plugins for name, plugins in _known().items() if word in name}
    rows = [(name, ", ".join(plugins)) for name, plugins in found.items()]
    documents = [{"type": name, "plugins": list(plugins)} for name, plugins in found.items()]
    write(output, documents, lambda: [table(("TYPE", "PLUGINS"), rows)])
    if not found:
        raise SystemExit(FINDING)


def _known() -> Mapping[str, list[str]]:
    """By type, the plugins that lay out hardware of it."""
    found: dict[str, list[str]] = {}
    for name, plugin in sorted(load_installed().loaded.items()):
        if "layout" in plugin.hooks:
            for node_type in plugin.declarations.node_types:
                found.setdefault(node_type, []).append(name)
    return dict(sorted(found.items()))
