"""Claim templates that platform teams define once, and practitioners pick by name.

    shipped = [read_catalog(path, origin="plugin 'x'")]     a file: its templates, one for each size
    catalog, problems = combine(shipped, own)               whose templates win, and the guardrails of all
    template = catalog.get("xl")
    variant = variant_for(template, "a-node-type")          what it is on that node
    claim_templates(template, variant, "team-a")            ResourceClaimTemplates to apply
    example_pods(variant, "team-a")

`model` is the file format, `expanding` goes from entry, size and node to claims, `places` finds lines.
"""

from drakit.plan.catalog.expanding import Claim, Template, Variant
from drakit.plan.catalog.model import API_VERSION, KIND
from drakit.plan.catalog.reading import FILE_NAME, Catalog, CatalogFile, combine, read_catalog, variant_for
from drakit.plan.catalog.rendering import LABEL, claim_templates, example_pods

__all__ = [
    "API_VERSION",
    "FILE_NAME",
    "KIND",
    "LABEL",
    "Catalog",
    "CatalogFile",
    "Claim",
    "Template",
    "Variant",
    "claim_templates",
    "combine",
    "example_pods",
    "read_catalog",
    "variant_for",
]
