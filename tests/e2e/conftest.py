"""A whole node on loopback: faked hardware, an API server, a kubelet, and the agent as a process of its own."""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from drakit.documents import claim_ref
from drakit.model import ClaimRef
from drakit.testing import FakeKubelet, InMemoryApiServer, lay_out

from tests.e2e.watched import Watched

NODE = "node-1"
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
BOUND_SECONDS = 30.0


@pytest.fixture
def until() -> Callable[[Callable[[], object], str], None]:
    """Wait for a condition: `(condition, what)`."""
    return _until


def _until(condition: Callable[[], object], what: str) -> None:
    limit = time.monotonic() + BOUND_SECONDS
    while not condition():
        assert time.monotonic() < limit, f"waited {BOUND_SECONDS} s for {what}"
        time.sleep(0.01)


class Node:
    """The directories of one node, and the agent process on it.

    With no launcher, agents are the installed program, started as anywhere.
    """

    def __init__(self, directory: Path, api: InMemoryApiServer, launcher: Any) -> None:
        self.directory = directory
        self.api = api
        self.launcher = launcher
        self.root = directory / "root"
        self.cdi = directory / "cdi"
        self.registry = directory / "reg"
        self.plugins = directory / "plugins"
        self.pod_resources = directory / "pods.sock"
        for path in (self.registry, self.plugins):
            path.mkdir()
        self.log = directory / "agent.log"
        self.agent: Any = None

    def install(self, name: str, source: str) -> None:
        """One more distribution on this node: a module of this name, whose class Plugin is the plugin of this name."""
        (self.directory / f"{name}.py").write_text(source)
        info = self.directory / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[drakit.plugins]\n{name} = {name}:Plugin\n")

    def start(self, backends: str = "[{plugin: neuron}, {plugin: efa}]", **settings: object) -> Any:
        """Start an agent. Further settings in camelCase."""
        config = self.directory / "config.yaml"
        values = {
            "apiVersion": "drakit/v1alpha1",
            "kind": "AgentConfiguration",
            "nodeName": NODE,
            "root": str(self.root),
            "cdiRoot": str(self.cdi),
            "kubeletRegistrarDirectoryPath": str(self.registry),
            "kubeletPluginsDirectoryPath": str(self.plugins),
            "kubeletPodResourcesSocket": str(self.pod_resources),
            "apiServer": self.api.url,
            "backends": yaml.safe_load(backends),
            **settings,
        }
        config.write_text(yaml.safe_dump(values))
        arguments = [str(Path(sys.executable).with_name("drakit")), "agent", "--config", str(config)]
        environment = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "NODE_NAME")}
        environment |= {"PYTHONPATH": str(self.directory)}
        if self.launcher is not None:
            self.agent = self.launcher.start(arguments, environment, out=self.log, err=self.log)
        else:
            with self.log.open("ab") as log:
                self.agent = subprocess.Popen(arguments, stderr=log, stdout=log, env=environment)
        return self.agent

    def end(self, with_signal: int = signal.SIGTERM) -> int:
        """End the agent; returns its exit code."""
        assert self.agent is not None
        self.agent.send_signal(with_signal)
        code = self.agent.wait(BOUND_SECONDS)
        self.agent = None
        return code

    def files(self) -> dict[str, bytes]:
        """Every CDI file, by name, as a container runtime reads them: what ends otherwise is passed over."""
        return {path.name: path.read_bytes() for path in self.cdi.glob("*.json")}


@pytest.fixture
def api() -> Iterator[InMemoryApiServer]:
    with InMemoryApiServer() as server:
        server.create({"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {}}})
        yield server


@pytest.fixture(scope="session")
def launcher(new_launcher: Callable[..., Any]) -> Any:
    """Starts agents by a fork: they have imported what every agent imports, and no more."""
    return new_launcher("drakit.agent", "drakit.cli.agent", "drakit_neuron.plugin", "drakit_efa.plugin")


@pytest.fixture
def node(api: InMemoryApiServer, short_path: Path, launcher: Any) -> Iterator[Node]:
    node = Node(short_path, api, launcher)
    yield node
    if node.agent is not None:
        node.end(signal.SIGKILL)


@pytest.fixture
def trn2(node: Node) -> Node:
    """A node that looks like a trn2.48xlarge."""
    lay_out("trn2.48xlarge", node.root)
    return node


@pytest.fixture
def watched(node: Node, until: Callable[[Callable[[], object], str], None]) -> Watched:
    """This node, with an agent that may be asked how it is."""
    return Watched(node, until)


@pytest.fixture
def kubelet(node: Node) -> Iterator[FakeKubelet]:
    with FakeKubelet(node.registry, retry_seconds=0.05, pod_resources=node.pod_resources) as fake:
        yield fake


Results = dict[str, tuple[str, list[str]]]
"""What a claim is allocated: driver -> (request, names of devices)."""


@pytest.fixture
def new_claim(api: InMemoryApiServer) -> Callable[..., ClaimRef]:
    """Create a claim, allocated as a scheduler would: `(name, results, config=None)`."""
    return functools.partial(_new_claim, api)


def _new_claim(
    api: InMemoryApiServer, name: str, results: Results, config: list[dict[str, Any]] | None = None
) -> ClaimRef:
    document = {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaim",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"devices": {"requests": [{"name": "any", "exactly": {"deviceClassName": "any"}}]}},
    }
    devices = [
        {"request": request, "driver": driver, "pool": NODE, "device": device}
        for driver, (request, names) in results.items()
        for device in names
    ]
    allocation = {"devices": {"results": devices, "config": config or []}}
    return claim_ref(api.create({**document, "status": {"allocation": allocation}}))
