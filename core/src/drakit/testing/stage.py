"""Stage: everything a driver meets, on this machine: a faked node, an API server, a kubelet, and the agent itself."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from drakit.classes import device_classes
from drakit.decoding import read_yaml
from drakit.documents import Document, claim_ref
from drakit.journal import FILE_NAME, Journal
from drakit.model import ClaimRef
from drakit.settings import API_VERSION, KIND, Settings, read_settings
from drakit.testing.agents import AgentThread
from drakit.testing.apiserver import InMemoryApiServer
from drakit.testing.controlplane import ControlPlane
from drakit.testing.kubelet import FakeKubelet, Prepared, Registration
from drakit.testing.nodes import NodeLayout, lay_out

START_SECONDS = 20.0
"""How long the drivers may take to register and to publish."""
_GLANCE_SECONDS = 0.2
_LONGEST_PLACE = 40
"""How long the path of the temporary directory may be, so that sockets fit below it."""
_SHORT_PLACE = "/tmp"  # noqa: S108 - a directory of our own is made in it, with a name nobody can guess


class Stage:
    """One node without a cluster: real sockets, real HTTP, faked hardware.

        with Stage("generic-gpu-nic", [{"plugin": "mock", "driver": "gpu.example.com"}]) as stage:
            stage.slices()

    `backends`, `extensions` and what else is in `settings` are as in the agent's configuration. `classes` are YAML
    files of DeviceClasses that the cluster has beside those of the plugins. A context manager: inside it every driver
    is registered, and its slices are published. All methods block, and may be called from any thread. `directory` is
    kept; without one everything is in a temporary directory, which goes with the stage. Its path must be short, for
    sockets are in it.

    Raises ConfigError for a node type nobody knows and for settings that are wrong, PluginError where a backend cannot
    be had, and TimeoutError where a driver does not come up.
    """

    def __init__(
        self,
        node_type: str,
        backends: Sequence[Mapping[str, Any]],
        *,
        extensions: Sequence[Mapping[str, Any]] = (),
        settings: Mapping[str, Any] | None = None,
        classes: Sequence[Path] = (),
        directory: Path | None = None,
        node: str = "node-1",
    ) -> None:
        self.node_type = node_type
        self.node = node
        self._backends = backends
        self._extensions = extensions
        self._settings = settings or {}
        self._classes = classes
        self._exit = contextlib.ExitStack()
        self.directory = directory.absolute() if directory else self._temporary_directory()
        self.root = self.directory / "root"
        self.cdi = self.directory / "cdi"
        self.registry = self.directory / "registry"
        self.plugins = self.directory / "plugins"
        self.pod_resources = self.directory / "pods.sock"
        self._layout: NodeLayout | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    def close(self) -> None:
        """Stop everything, and remove a temporary directory. Leaving the stage does it; idempotent."""
        self._exit.close()

    def lay_out(self) -> NodeLayout:
        """Write the faked node; done by entering the stage if not before."""
        if self._layout is None:
            self._layout = lay_out(self.node_type, self.root)
        return self._layout

    @property
    def drivers(self) -> list[str]:
        """The drivers that are served, in the order of the configuration."""
        return list(self.agent.agent.drivers)

    def registrations(self) -> list[Registration]:
        """What the kubelet knows of each driver."""
        return [self.kubelet.wait_for(driver) for driver in self.drivers]

    def slices(self) -> dict[str, list[Document]]:
        """The published ResourceSlices by driver, read back from the API server."""
        found: dict[str, list[Document]] = {driver: [] for driver in self.drivers}
        for document in self.server.list("ResourceSlice"):
            found.setdefault(document["spec"]["driver"], []).append(document)
        return found

    def prepare(self, claim: Document) -> dict[str, Prepared]:
        """Have each driver of an allocated claim prepare it, as the kubelet does before a pod starts; by driver."""
        ref = claim_ref(claim)
        return {driver: self.kubelet.prepare([ref], driver)[ref.uid] for driver in drivers_of(claim)}

    def unprepare(self, claim: Document) -> dict[str, str]:
        """Have each driver undo it, as the kubelet does after the last pod; the errors by driver, "" for success."""
        ref = claim_ref(claim)
        return {driver: self.kubelet.unprepare([ref], driver)[ref.uid] for driver in drivers_of(claim)}

    def cdi_files(self) -> list[Path]:
        """Everything that lies in the CDI directory."""
        return sorted(self.cdi.iterdir()) if self.cdi.is_dir() else []

    def journalled(self) -> dict[str, list[ClaimRef]]:
        """The claims that each driver's journal holds, read from the file."""
        found = {}
        for path in sorted(self.plugins.glob(f"*/{FILE_NAME}")):
            journal = Journal(path)
            try:
                with journal.locked():
                    found[path.parent.name] = [entry.claim for entry in journal.entries.values()]
            finally:
                journal.close()
        return found

    def _temporary_directory(self) -> Path:
        usual = tempfile.gettempdir()
        place = usual if len(usual) <= _LONGEST_PLACE or not os.access(_SHORT_PLACE, os.W_OK) else _SHORT_PLACE
        made = tempfile.TemporaryDirectory(prefix="drakit-", dir=place, ignore_cleanup_errors=True)
        return Path(self._exit.enter_context(made))

    def _start(self) -> None:
        self.lay_out()
        for directory in (self.registry, self.plugins, self.cdi):
            directory.mkdir(exist_ok=True)
        self.server = self._exit.enter_context(InMemoryApiServer())
        self.server.create(
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {"name": self.node, "labels": {"kubernetes.io/hostname": self.node}},
            }
        )
        self.control_plane = ControlPlane(self.server, self.node)
        self.kubelet = self._exit.enter_context(FakeKubelet(self.registry, pod_resources=self.pod_resources))
        self.settings = self._write_settings()
        self.start_agent()
        self._exit.callback(self.stop_agent)
        for document in device_classes(self.settings, self.agent.agent.assembly.report.loaded):
            self.server.create(document)
        for path in self._classes:
            for document in read_yaml(path):
                self.server.create(document)

    def start_agent(self) -> None:
        """Start the agent, and wait until every driver is registered and has published."""
        self.agent = AgentThread(self.settings)
        for failure in self.agent.agent.assembly.failures.values():
            raise failure
        self.agent.start()
        try:
            self._await_drivers()
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one that matters
                self.agent.stop()
            raise

    def stop_agent(self) -> None:
        """Stop the agent; what it prepared stays prepared. Idempotent."""
        self.agent.stop()

    def _write_settings(self) -> Settings:
        path = self.directory / "agent.yaml"
        document = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "nodeName": self.node,
            "apiServer": self.server.url,
            "root": str(self.root),
            "cdiRoot": str(self.cdi),
            "kubeletRegistrarDirectoryPath": str(self.registry),
            "kubeletPluginsDirectoryPath": str(self.plugins),
            "kubeletPodResourcesSocket": str(self.pod_resources),
            "backends": [dict(backend) for backend in self._backends],
            "extensions": [dict(extension) for extension in self._extensions],
            **self._settings,
        }
        path.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
        return read_settings(path, environment={})

    def _await_drivers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            self.agent.check()
            try:
                self.kubelet.wait_until(self._all_registered, "every driver to register", _GLANCE_SECONDS)
                break
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
        self.server.wait_for(lambda _: self._all_published(), START_SECONDS)

    def _all_registered(self) -> bool:
        expected = self.agent.agent.assembly.host.instances.values()
        return all(self.kubelet.registered(one.driver) for one in expected if one.driver is not None)

    def _all_published(self) -> bool:
        return all(documents and _complete(documents) for documents in self.slices().values())


def drivers_of(claim: Document) -> list[str]:
    """The drivers of an allocated claim, in the order of its results."""
    results = claim["status"]["allocation"]["devices"]["results"]
    return list(dict.fromkeys(result["driver"] for result in results))


def _complete(documents: Sequence[Document]) -> bool:
    """Whether all slices of every pool are there."""
    pools: dict[str, list[Document]] = {}
    for document in documents:
        pools.setdefault(document["spec"]["pool"]["name"], []).append(document["spec"]["pool"])
    return all(len(slices) == slices[0]["resourceSliceCount"] for slices in pools.values())
