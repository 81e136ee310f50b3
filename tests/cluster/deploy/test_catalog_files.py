"""What catalogs have, published by the chart: every template that ships, at once, and those of a file of one's own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from drakit import Quantity
from realkube import artifacts
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.helm import CHART, Helm
from realkube.kubernetes import Kubernetes
from realkube.waiting import until

from tests.cluster.deploy.practice import binding, claim, exactly, put, refusal, template

pytestmark = [pytest.mark.cluster, pytest.mark.control_plane]

NAMESPACE = "team"
SHIPPED = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((CHART / "files/catalog").glob("*.yaml"))}
VALUES: dict[str, Any] = {
    "config": {
        "backends": [
            {"plugin": "neuron", "options": {"coreSharing": True}},
            {"plugin": "efa", "options": {"sharing": {"shares": 4}}},
        ]
    },
    "catalog": {
        "offers": [
            {"nodeType": node_type, "namespaces": [NAMESPACE], "suffix": f"-t{number}"}
            for number, node_type in enumerate(SHIPPED)
        ],
        "otherDeviceClasses": ["gpu.nvidia.com"],
        "createNamespaces": True,
        "policy": {"enabled": True},
    },
}

CATALOG = """\
apiVersion: drakit/v1alpha1
kind: TemplateCatalog
templates:
- name: "{size}-gpus"
  title: "GPUs: {gpus}"
  sizes: {s: {gpus: 1}, m: {gpus: 2}}
  claims:
  - requests:
    - {name: gpus, deviceClassName: gpu.example.com, count: "{gpus}", capacity: {gpu.example.com/memory: 1024Mi}}
    config:
    - driver: gpu.example.com
      parameters: {apiVersion: mock.drakit/v1alpha1, kind: MockConfig, env: {BYTES: "10000000000"}, limit: 10000000000}
  nodes:
  - {types: [generic-gpu-nic], perNode: {s: 8, m: 4}}
guardrails:
  nodeTypes: [generic-gpu-nic, trn2.48xlarge]
"""


@pytest.fixture(scope="module")
def everything(components: tuple[Kubernetes, Debian], helm: Helm, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A control plane with all of them."""
    with Cluster(*components, nodes=0) as cluster, artifacts.kept_on_failure(cluster, request.session):
        put(cluster, "drakit", VALUES)
        yield cluster


def test_the_server_keeps_every_template_as_it_is_rendered(everything: Cluster):
    stored = {
        one["metadata"]["name"]: one["spec"]["spec"]["devices"]
        for one in everything.api.list("ResourceClaimTemplate", NAMESPACE)
    }
    meant = {
        f"{name}-t{number}{claim_name.removeprefix(name)}": devices
        for number, templates in enumerate(SHIPPED.values())
        for name, one in templates.items()
        for claim_name, devices in one["claims"].items()
    }
    assert stored == meant


def test_the_policy_admits_what_every_template_asks_for_and_nothing_else(everything: Cluster):
    scientist = everything.api.impersonating("scientist")
    everything.api.create(binding("edit", NAMESPACE, "User", "scientist"))
    until("the policy to hold", lambda: "no template" in refusal(scientist, claim(exactly(1)), NAMESPACE))
    refused = {}
    for one in everything.api.list("ResourceClaimTemplate", NAMESPACE):
        if why := refusal(scientist, claim(one["spec"]["spec"]["devices"]), NAMESPACE):
            refused[one["metadata"]["name"]] = why
    assert refused == {}


def own_values(catalog: str, directory: Path) -> dict[str, Any]:
    """What `drakit template values` writes for a catalog, with an offer of all that it has."""
    path = directory / "catalog.yaml"
    path.write_text(catalog)
    drakit = Path(sys.executable).with_name("drakit")
    command = [drakit, "template", "values", "--node", "generic-gpu-nic", "--catalog", path]
    values: dict[str, Any] = yaml.safe_load(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    offers = [{"nodeType": "generic-gpu-nic", "namespaces": ["team-own"]}]
    values["catalog"] |= {"offers": offers, "createNamespaces": True, "otherDeviceClasses": ["gpu.example.com"]}
    values["catalog"]["policy"] = {"enabled": True}
    return values | {"fullnameOverride": "own", "deviceClasses": {"create": False}}


def test_a_catalog_of_ones_own_is_published_and_follows_its_file(everything: Cluster, tmp_path: Path):
    api = everything.api

    def published(catalog: str) -> dict[str, dict[str, Any]]:
        put(everything, "own", own_values(catalog, tmp_path))
        return {one["metadata"]["name"]: one for one in api.list("ResourceClaimTemplate", "team-own")}

    first = published(CATALOG)
    assert first.keys() == {"s-gpus", "m-gpus"}
    (request,) = first["m-gpus"]["spec"]["spec"]["devices"]["requests"]
    assert (request["exactly"]["count"], request["exactly"]["capacity"]["requests"]["gpu.example.com/memory"]) == (
        2,
        "1Gi",
    )
    assert published(CATALOG) == first, "an upgrade that changes nothing leaves everything alone"
    second = published(CATALOG.replace("gpus: 2}", "gpus: 4}"))
    assert second["s-gpus"] == first["s-gpus"]
    assert second["m-gpus"]["spec"]["spec"]["devices"]["requests"][0]["exactly"]["count"] == 4
    assert second["m-gpus"]["metadata"]["annotations"] == first["m-gpus"]["metadata"]["annotations"] | {
        "drakit/title": "GPUs: 4"
    }
    api.create(binding("edit", "team-own", "User", "scientist"))
    scientist = api.impersonating("scientist")
    for name, one in second.items():
        admitted = claim(one["spec"]["spec"]["devices"])
        until(f"{name} to be admitted", lambda admitted=admitted: not refusal(scientist, admitted, "team-own"))  # type: ignore[misc]
    api.delete("ResourceClaimTemplate", "s-gpus", "team-own")
    assert published(CATALOG).keys() == first.keys(), "what somebody deletes comes back"
    third = published(CATALOG.replace("s: {gpus: 1}, ", "").replace("s: 8, ", ""))
    assert third.keys() == {"m-gpus"}
    everything.helm("uninstall", "own", "--namespace", "own")
    assert api.list("ResourceClaimTemplate", "team-own") == []
    assert api.find("Namespace", "team-own"), "what practitioners have there is kept"


QUANTITIES = [
    "1024Mi",
    "1.5Gi",
    "1000",
    "1500k",
    "0.5",
    "1e4",
    "1100n",
    "0.1Ki",
    "1025Ki",
    "3e-3",
    "0Gi",
    "12345678901",
]


def test_the_server_writes_quantities_as_they_are_rendered(everything: Cluster):
    asked = {f"example.com/q{number}": text for number, text in enumerate(QUANTITIES)}
    document = template(exactly(1, capacity={"requests": asked}))
    (request,) = everything.api.create(document, dry_run=True)["spec"]["spec"]["devices"]["requests"]
    assert request["exactly"]["capacity"]["requests"] == {
        name: Quantity(text).canonical for name, text in asked.items()
    }
