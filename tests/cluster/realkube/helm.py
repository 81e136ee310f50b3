"""The real helm, built from its published Go module, and what the chart renders to with it."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

from realkube.errors import ClusterFailure
from realkube.golang import program

CHART = Path(__file__).parents[3] / "deploy" / "helm" / "drakit"
NAMESPACE = RELEASE = "drakit"
_MODULES = Path(__file__).parents[1] / "harness" / "helm"
_PACKAGE = "helm.sh/helm/v4"
_BOUND_SECONDS = 120
Document = dict[str, Any]


class HelmFailed(ClusterFailure):
    """A command of helm failed; the message is what it said."""


@frozen
class Helm:
    """A helm that knows of no repository, no plugin, and of the cluster that a kubeconfig names."""

    version: str
    binary: Path

    def run(self, *arguments: str, environment: Mapping[str, str] | None = None, within: Sequence[str] = ()) -> str:
        """Run a command; returns what it says. Raises HelmFailed. `within` is put before the command line."""
        command = [*within, str(self.binary), *arguments]
        with tempfile.TemporaryDirectory() as home:
            surroundings = {"PATH": os.environ["PATH"], "HOME": home, **(environment or {})}
            done = subprocess.run(
                command, capture_output=True, text=True, env=surroundings, timeout=_BOUND_SECONDS, check=False
            )
        if done.returncode:
            raise HelmFailed(done.stderr.strip() or done.stdout.strip())
        return done.stdout

    def template(
        self,
        values: Mapping[str, Any] | Path | None = None,
        *arguments: str,
        namespace: str = NAMESPACE,
        release: str = RELEASE,
    ) -> list[Document]:
        """The documents that the chart renders to with these values, or those of a file. Raises HelmFailed."""
        with tempfile.TemporaryDirectory() as directory:
            flags = ["--namespace", namespace, *arguments, *_values(values, Path(directory))]
            rendered = self.run("template", release, str(CHART), *flags)
        return [document for document in yaml.safe_load_all(rendered) if document]


def _values(values: Mapping[str, Any] | Path | None, directory: Path) -> list[str]:
    if values is None:
        return []
    if isinstance(values, Path):
        return ["--values", str(values)]
    path = directory / "values.yaml"
    path.write_text(yaml.safe_dump(dict(values)))
    return ["--values", str(path)]


@functools.cache
def helm() -> Helm:
    """The helm that ../harness/helm names. Raises Lacking."""
    stamp = f"{_PACKAGE}/internal/version.version"
    built = program("helm", _MODULES, _PACKAGE, f"{_PACKAGE}/cmd/helm", stamp=stamp)
    return Helm(built.version, built.path)
