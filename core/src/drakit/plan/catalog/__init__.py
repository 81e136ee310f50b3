"""Claim templates that platform teams define once, and practitioners pick by name.

    shipped = [read_catalog(path, origin="plugin 'x'")]     a file: its templates, one for each size
    catalog, problems = combine(shipped, own)               whose templates win, and the guardrails of all
    template = catalog.get("xl")
    variant = variant_for(template, "a-node-type")          what it is on that node
    claim_templates(template, variant, "team-a")            ResourceClaimTemplates to apply
    example_pods(variant, "team-a")
    chart_values(templates, "a-node-type")          what the Helm chart makes them from
    misfit(node, template, variant)                         whether so many fit as it says
    hints(file, node_types, classes)                        names that are probably misspelt

`model` is the file format, `expanding` goes from entry, size and node to claims, `places` finds lines.
"""

from drakit.plan.catalog.checking import MAX_COPIES, EmptyNode, misfit
from drakit.plan.catalog.expanding import Claim, Template, Variant
from drakit.plan.catalog.hints import hints, unknown_class, unknown_type
from drakit.plan.catalog.model import API_VERSION, KIND
from drakit.plan.catalog.reading import FILE_NAME, Catalog, CatalogFile, combine, read_catalog, variant_for
from drakit.plan.catalog.rendering import LABEL, chart_values, claim_templates, example_pods

__all__ = [
    "API_VERSION",
    "FILE_NAME",
    "KIND",
    "LABEL",
    "MAX_COPIES",
    "Catalog",
    "CatalogFile",
    "Claim",
    "EmptyNode",
    "Template",
    "Variant",
    "chart_values",
    "claim_templates",
    "combine",
    "example_pods",
    "hints",
    "misfit",
    "read_catalog",
    "unknown_class",
    "unknown_type",
    "variant_for",
]
