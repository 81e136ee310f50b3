"""A whole cluster: one control plane, one or more nodes, each a machine of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from realkube.api import Api
from realkube.controlplane import ControlPlane
from realkube.debian import Debian
from realkube.gates import apis_of, gates_of
from realkube.helm import NAMESPACE, helm
from realkube.kubernetes import Kubernetes
from realkube.machine import Machine, remove_cgroups
from realkube.node import Node
from realkube.waiting import until

_PREFIX = "dk-cluster-"


class Cluster:
    """Made, then used as a context: at its end nothing of it is left, but for logs that were kept.

    With `gates`, every feature that drakit serves is on, but for those named in `without`, else what is on by default.
    `apis` are served beside those of the default, such as `resource.k8s.io/v1beta2`.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        debian: Debian,
        nodes: int = 1,
        *,
        gates: bool = True,
        without: Collection[str] = (),
        apis: Sequence[str] = (),
    ) -> None:
        remove_cgroups()
        _remove_directories()
        # Short, for unix sockets lie below it. mkdtemp's 0700 would keep pods' users out of their volumes.
        self.directory = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
        self.directory.chmod(0o755)
        self.kubernetes = kubernetes
        self.debian = debian
        names = [f"node-{number}" for number in range(1, nodes + 1)]
        self.gates = gates_of(kubernetes.minor, without) if gates else {}
        self._apis = [*(apis_of(kubernetes.minor) if gates else ()), *apis]
        self.nodes = [
            Node(name, number, self.directory / name, kubernetes, debian, gates=self.gates)
            for number, name in enumerate(names, 1)
        ]
        self._stack = contextlib.ExitStack()
        self._control_plane: ControlPlane | None = None

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def control_plane(self) -> ControlPlane:
        """The control plane, once started."""
        assert self._control_plane is not None
        return self._control_plane

    @property
    def api(self) -> Api:
        """The API server, for the administrator."""
        return self.control_plane.api

    def start_nodes(self) -> None:
        """Start machine, containerd and kubelet of every node, and wait until all are ready."""
        for node in self.nodes:
            self._stack.callback(node.stop)
            node.start(self.control_plane)
        for node in self.nodes:
            until(
                f"{node.name} to be ready",
                lambda node=node: node.is_ready(self.api.get("Node", node.name)),  # type: ignore[misc]
                seen=node.running.processes["kubelet"].tail,
            )

    def deploy(self, values: Mapping[str, Any], *, speechless: Collection[str] = ()) -> None:
        """Apply what the chart renders to, but for the DaemonSet: the agents run as processes, from this checkout.

        The agents may not write the status of devices of the drivers that are `speechless`.
        """
        self.make_namespace()
        for document in helm().template(values, f"--kube-version={self.kubernetes.release}"):
            for rule in document.get("rules", ()):
                if rule["resources"] == ["resourceclaims/driver"]:
                    rule["resourceNames"] = [name for name in rule["resourceNames"] if name not in speechless]
            if document["kind"] != "DaemonSet":
                self.api.apply(document)

    def make_namespace(self) -> None:
        """Make the namespace that the agents' service account is in."""
        # Where the cluster's default is another, the pods of the DaemonSet need this, for they mount directories.
        labels = {"pod-security.kubernetes.io/enforce": "privileged"}
        self.api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})

    def helm(self, *arguments: str) -> str:
        """Run helm as the administrator; returns what it says. Raises HelmFailed."""
        control_plane = self.control_plane
        config = self.directory / "admin.kubeconfig"
        config.write_text(control_plane.kubeconfig("admin"))
        config.chmod(0o600)
        within = ["nsenter", f"--net={control_plane.machine.network}"]
        return helm().run(*arguments, environment={"KUBECONFIG": str(config)}, within=within)

    def stop(self) -> None:
        """End everything and remove what it left. May be called again."""
        self._stack.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def machines(self) -> Sequence[tuple[str, Path]]:
        """Name and state directory of each machine, for logs."""
        names = ["control-plane", *(node.name for node in self.nodes)]
        return [(name, self.directory / name) for name in names]

    def _start(self) -> None:
        machine = Machine("control-plane", self.directory / "control-plane")
        self._stack.callback(machine.stop)
        names = [node.name for node in self.nodes]
        self._control_plane = ControlPlane(
            machine, self.kubernetes, self.debian, names, gates=self.gates, apis=self._apis
        )


def _remove_directories() -> None:
    """Remove the directories of test runs that were killed."""
    for directory in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        owner = directory.name.removeprefix(_PREFIX).partition("-")[0]
        if not Path(f"/proc/{owner}").exists():
            shutil.rmtree(directory, ignore_errors=True)
