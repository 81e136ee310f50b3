"""A release of the chart on a cluster, put there by the real helm."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

from realkube.cluster import Cluster
from realkube.helm import CHART, Helm


@frozen
class Release:
    """What helm knows by this name in a namespace of its own, which is made with it."""

    helm: Helm
    cluster: Cluster
    name: str

    def put(self, values: Mapping[str, Any]) -> str:
        """Install the chart, or upgrade what is there to these values; returns what helm says. Raises HelmFailed."""
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "values.yaml"
            path.write_text(yaml.safe_dump(dict(values)))
            return self._run("upgrade", "--install", self.name, str(CHART), "--create-namespace", "--values", str(path))

    def remove(self) -> None:
        """Uninstall it."""
        self._run("uninstall", self.name)

    def _run(self, *arguments: str) -> str:
        """Run a command of helm on the cluster's network, as its administrator."""
        machine = self.cluster.control_plane.machine
        with tempfile.NamedTemporaryFile("w", suffix=".kubeconfig") as file:
            file.write(self.cluster.control_plane.kubeconfig("admin"))
            file.flush()
            return self.helm.run(
                *arguments,
                "--namespace",
                self.name,
                environment={"KUBECONFIG": file.name},
                within=["nsenter", f"--net={machine.network}"],
            )
