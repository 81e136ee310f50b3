"""Templates as documents for `kubectl apply`, and as values of the Helm chart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drakit.documents import API_VERSION, Document
from drakit.plan.catalog.expanding import Template, Variant

LABEL = "drakit/template"
"""On ResourceClaimTemplates and the claims made from them: the name of the template in the catalog."""

INSTANCE_TYPE = "node.kubernetes.io/instance-type"
"""The label of Kubernetes' own that says the type of a Node."""


def claim_templates(template: Template, variant: Variant, namespace: str | None = None) -> list[Document]:
    """One ResourceClaimTemplate for each claim."""
    labels = {LABEL: template.name}
    return [
        {
            "apiVersion": API_VERSION,
            "kind": "ResourceClaimTemplate",
            "metadata": _metadata(claim.name, namespace, labels=labels),
            "spec": {"metadata": {"labels": dict(labels)}, "spec": {"devices": dict(claim.devices)}},
        }
        for claim in variant.claims
    ]


def example_pods(variant: Variant, namespace: str | None = None) -> list[Document]:
    """For each claim a pod that uses its ResourceClaimTemplate, on a node of the type."""
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": _metadata(f"uses-{claim.name}".replace(".", "-"), namespace),
            "spec": {
                "restartPolicy": "Never",
                "nodeSelector": {INSTANCE_TYPE: variant.node_type},
                "containers": [
                    {
                        "name": "worker",
                        "image": "registry.example.com/worker:latest",
                        "resources": {"claims": [{"name": "devices"}]},
                    }
                ],
                "resourceClaims": [{"name": "devices", "resourceClaimTemplateName": claim.name}],
            },
        }
        for claim in variant.claims
    ]


def chart_values(templates: Iterable[Template], node_type: str) -> Document:
    """Every template that is for a type of node, as the Helm chart has them: by name, and its claims by name."""
    return {
        template.name: _chart_template(template, template.variants[node_type])
        for template in templates
        if node_type in template.variants
    }


def _chart_template(template: Template, variant: Variant) -> Document:
    needed = {plugin: dict(options) for plugin, options in template.plugin_options.items()}
    return {
        "title": template.title,
        **({"pluginOptions": needed} if needed else {}),
        "claims": {claim.name: dict(claim.devices) for claim in variant.claims},
    }


def _metadata(name: str, namespace: str | None, **more: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": name, **({"namespace": namespace} if namespace else {}), **more}
