"""`drakit template`: claim templates by name, from the catalogs of plugins and of the platform team."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from drakit.cli.catalog_check import check
from drakit.cli.catalog_values import values
from drakit.cli.catalogs import catalog_option, conclude, load_catalog
from drakit.cli.options import Command, output_option
from drakit.cli.output import line, table, to_yaml, write
from drakit.documents import Document
from drakit.errors import LimitExceeded
from drakit.model.names import check_label
from drakit.plan.catalog import Claim, Template, Variant, claim_templates, example_pods, variant_for

_LISTED = 3
"""How many node types of a kind the list names; `show` has them all."""


def node_type_option(*, required: bool) -> Callable[[Command], Command]:
    """`--node`: for which type of node."""
    text = "The type of node it is for." if required else "Only those for this type of node."
    return click.option("--node", "node_type", metavar="TYPE", required=required, help=text)


@click.group()
def template() -> None:
    """Claim templates that a platform team defines once, and that are picked by name.

    See docs/templates.md for how a catalog is written.
    """


template.add_command(check)
template.add_command(values)


@template.command("list")
@node_type_option(required=False)
@catalog_option
@output_option("table")
def list_(node_type: str | None, files: Sequence[Path], output: str) -> None:
    """Show the templates that can be had, and how many of each fit on a node.

    Of very many node types a few are named; `show` names them all.

    Exit code 1: the catalog of a plugin cannot be read, or a part of it is left out; stderr says why.
    """
    catalog, problems = load_catalog(files)
    found = [one for one in catalog.templates.values() if one.variants and node_type in (None, *one.variants)]
    if node_type is not None and not found:
        problems.append(catalog.nothing_for(node_type))
    write(output, [_summary(one, node_type) for one in found], lambda: _list_tables(found, node_type) if found else ())
    conclude(problems)


@template.command()
@click.argument("name")
@catalog_option
@output_option("table")
def show(name: str, files: Sequence[Path], output: str) -> None:
    """Show what a template asks for, on each type of node it is for."""
    catalog, problems = load_catalog(files)
    found = catalog.get(name)
    write(output, _details(found), lambda: _show_tables(found))
    conclude(problems)


def _checked(_ctx: click.Context, _option: click.Parameter, namespace: str | None) -> str | None:
    try:
        if namespace is not None:
            check_label("a namespace", namespace)
    except LimitExceeded as error:
        raise click.BadParameter(str(error)) from None
    return namespace


@template.command()
@click.argument("name")
@node_type_option(required=True)
@click.option(
    "--namespace",
    metavar="NS",
    callback=_checked,
    help="Where the documents are to be; where they are applied, by default.",
)
@click.option(
    "--as",
    "alias",
    metavar="NAME",
    help="What it is called in the cluster: for one template on several types of nodes.",
)
@click.option("--pod", is_flag=True, help="With an example of a pod for each claim.")
@catalog_option
@output_option("yaml")
def render(
    name: str,
    node_type: str,
    namespace: str | None,
    alias: str | None,
    *,
    pod: bool,
    files: Sequence[Path],
    output: str,
) -> None:
    """Write the ResourceClaimTemplates of a template, for `kubectl apply -f -`.

    There is one for each claim of the template. It is named as the template is, and by what the claim is for where
    there are several.
    """
    catalog, problems = load_catalog(files)
    found = catalog.get(name)
    variant = variant_for(found, node_type)
    if alias is not None:
        variant = _renamed(found, variant, alias)
    documents = claim_templates(found, variant, namespace)
    if pod:
        documents += example_pods(variant, namespace)
    if output == "yaml":
        click.echo("---\n".join(map(to_yaml, documents)), nl=False)
    else:
        listed = {"apiVersion": "v1", "kind": "List", "items": documents}
        write(output, listed, lambda: _render_tables(documents, variant))
    for plugin, options in found.plugin_options.items():
        click.echo(f"Note: {_needed(plugin, options)}", err=True)
    conclude(problems)


def _needed(plugin: str, options: Mapping[str, Any]) -> str:
    return (
        f"the configuration of the nodes' agents must have options {_in_line(options)} for plugin {plugin!r}, or no "
        "device can be claimed so; give it to `drakit plan` by --config"
    )


def _renamed(found: Template, variant: Variant, alias: str) -> Variant:
    try:
        return variant.renamed(found.name, alias)
    except LimitExceeded as error:
        raise click.BadParameter(str(error), param_hint="'--as'") from None


def _summary(one: Template, node_type: str | None = None) -> dict[str, Any]:
    per_node = {name: variant.per_node for name, variant in one.variants.items() if node_type in (None, name)}
    return {"name": one.name, "title": one.title, "origin": one.origin, "perNode": per_node}


def _details(one: Template) -> dict[str, Any]:
    details = {
        **_summary(one),
        "description": one.description,
        "pluginOptions": {plugin: dict(options) for plugin, options in one.plugin_options.items()},
        "withheld": dict(one.withheld),
        "nodes": {
            node_type: {
                "perNode": variant.per_node,
                "claims": [{"name": claim.name, "devices": claim.devices} for claim in variant.claims],
            }
            for node_type, variant in one.variants.items()
        },
    }
    return {key: value for key, value in details.items() if value or key == "nodes"}


def _list_tables(found: Sequence[Template], node_type: str | None) -> Iterator[Any]:
    if node_type is not None:
        rows = [(one.name, one.variants[node_type].per_node, one.title) for one in found]
        yield table(("TEMPLATE", "PER NODE", "WHAT IT IS"), rows)
        return
    yield table(
        ("TEMPLATE", "WHAT IT IS", "NODES, AND HOW MANY FIT"),
        [(one.name, one.title, "; ".join(_by_number(one.variants.values(), most=_LISTED))) for one in found],
    )


def _by_number(variants: Iterable[Variant], most: int = sys.maxsize) -> Iterator[str]:
    """`16 on large.example, huge.example`, for each number; of very many types a few."""
    numbers: dict[int, list[str]] = {}
    for variant in variants:
        numbers.setdefault(variant.per_node, []).append(variant.node_type)
    for number, types in numbers.items():
        more = f" and {len(types) - most} more" if len(types) > most else ""
        yield f"{number} on {', '.join(types[:most])}{more}"


def _show_tables(one: Template) -> Iterator[Any]:
    yield line(f"{one.name}:", one.title)
    if one.description:
        yield line("", one.description)
    yield line("From:", one.origin)
    for plugin, options in one.plugin_options.items():
        yield line(f"Takes of plugin {plugin!r}:", f"options {_in_line(options)}")
    yield table(
        ("CLAIM", "ASKS FOR", "ALIKE IN", "CONFIGURED", "NODES, AND HOW MANY FIT"),
        [(*asked, "; ".join(_by_number(variants))) for asked, variants in _alike(one).items()],
    )
    for node_type, why in one.withheld.items():
        yield line(f"Not on {node_type}:", why)


def _in_line(data: Mapping[str, Any]) -> str:
    """Plain data in one line, as YAML takes it."""
    text: str = yaml.safe_dump(data, default_flow_style=True, sort_keys=False, width=sys.maxsize)
    return text.strip()


def _alike(one: Template) -> dict[tuple[str, str, str, str], list[Variant]]:
    """What each claim asks for, with the variants that have it in these words."""
    rows: dict[tuple[str, str, str, str], list[Variant]] = {}
    for variant in one.variants.values():
        for claim in variant.claims:
            rows.setdefault((claim.name, *_words(claim)), []).append(variant)
    return rows


def _words(claim: Claim) -> tuple[str, str, str]:
    """What a claim asks for, the attributes that devices share, and what is configured, for people."""
    asked = [f"{_number(request)} {request['exactly']['deviceClassName']}" for request in claim.devices["requests"]]
    alike = [
        f"{one['matchAttribute']} ({', '.join(one['requests'])})" for one in claim.devices.get("constraints") or ()
    ]
    configured = [_configured(one["opaque"]["parameters"]) for one in claim.devices.get("config") or ()]
    return ", ".join(asked), ", ".join(alike), ", ".join(configured)


def _number(request: Mapping[str, Any]) -> str:
    count = request["exactly"].get("count")
    amounts = (request["exactly"].get("capacity") or {}).get("requests") or {}
    shared = "".join(f" ({name}: {amount})" for name, amount in amounts.items())
    return ("all" if count is None else str(count)) + shared


def _configured(parameters: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in parameters.items() if key not in ("apiVersion", "kind"))


def _render_tables(documents: Sequence[Document], variant: Variant) -> Iterator[Any]:
    words = {claim.name: _words(claim) for claim in variant.claims}
    rows = [
        (one["kind"], one["metadata"]["name"], one["metadata"].get("namespace", "-"), *_of(one, words))
        for one in documents
    ]
    yield table(("KIND", "NAME", "NAMESPACE", "ASKS FOR", "ALIKE IN", "CONFIGURED"), rows)


def _of(document: Document, words: Mapping[str, tuple[str, str, str]]) -> tuple[str, str, str]:
    if document["kind"] == "Pod":
        (claim,) = document["spec"]["resourceClaims"]
        return (f"what {claim['resourceClaimTemplateName']} does", "", "")
    return words[document["metadata"]["name"]]
