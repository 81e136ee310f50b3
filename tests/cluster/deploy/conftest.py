"""A control plane to install the chart on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from realkube.cluster import Cluster
from realkube.debian import Debian
from realkube.helm import CHART, NAMESPACE, RELEASE
from realkube.kubernetes import Kubernetes

MONITORS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "servicemonitors.monitoring.coreos.com"},
    "spec": {
        "group": "monitoring.coreos.com",
        "scope": "Namespaced",
        "names": {"kind": "ServiceMonitor", "plural": "servicemonitors", "singular": "servicemonitor"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
"""As much of the Prometheus operator's as is needed to take what the chart has for it."""


class Releases:
    """What an administrator does with helm on a cluster."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self.cluster = cluster
        self._directory = directory

    def install(self, values: dict[str, Any] | Path | None = None, *flags: str, name: str = RELEASE) -> str:
        """`helm install`, into a namespace that is made for it."""
        return self._helm("install", name, str(CHART), "--create-namespace", *self._values(values), *flags)

    def upgrade(self, values: dict[str, Any] | Path | None = None, *flags: str) -> str:
        """`helm upgrade` of the release."""
        return self._helm("upgrade", RELEASE, str(CHART), *self._values(values), *flags)

    def rollback(self, revision: int) -> str:
        """`helm rollback` of the release."""
        return self._helm("rollback", RELEASE, str(revision))

    def uninstall(self, name: str = RELEASE, *flags: str) -> str:
        """`helm uninstall`."""
        return self._helm("uninstall", name, *flags)

    def manifest(self) -> list[dict[str, Any]]:
        """What the release consists of now."""
        return [document for document in yaml.safe_load_all(self._helm("get", "manifest", RELEASE)) if document]

    def _helm(self, command: str, *arguments: str) -> str:
        namespace = () if "--namespace" in arguments else ("--namespace", NAMESPACE)
        return self.cluster.helm(command, *arguments, *namespace)

    def _values(self, values: dict[str, Any] | Path | None) -> list[str]:
        if isinstance(values, dict):
            path = self._directory / "values.yaml"
            path.write_text(yaml.safe_dump(values))
            return [f"--values={path}"]
        return [f"--values={values}"] if values else []


@pytest.fixture(scope="module")
def installable(components: tuple[Kubernetes, Debian]) -> Iterator[Cluster]:
    """A control plane without nodes, with the kinds that the chart may have use for."""
    with Cluster(*components, nodes=0) as cluster:
        cluster.api.apply(MONITORS)
        yield cluster


@pytest.fixture
def releases(installable: Cluster, tmp_path: Path) -> Iterator[Releases]:
    """The administrator's helm. Nothing is installed before the test, nor after it."""
    yield Releases(installable, tmp_path)
    for name, namespace in ((RELEASE, NAMESPACE), ("second", "elsewhere")):
        installable.helm("uninstall", name, "--ignore-not-found", "--wait", "--namespace", namespace)
