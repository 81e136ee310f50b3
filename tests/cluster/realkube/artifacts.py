"""What is kept of a cluster in which a test failed: every component's log, and a page on what the cluster saw."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from realkube.api import Refused
from realkube.cluster import Cluster

DIRECTORY = Path(__file__).parents[3] / "artifacts" / "cluster"
_TAIL, _WIDTH = 4, 200


class Session(Protocol):
    """Of pytest's session, what is asked for here."""

    @property
    def testsfailed(self) -> int:
        """How many tests have failed so far."""


@contextlib.contextmanager
def kept_on_failure(cluster: Cluster, session: Session) -> Iterator[None]:
    """Keep logs and a summary if a test fails meanwhile, or what is done in the block."""
    before = session.testsfailed
    failed = True
    try:
        yield
        failed = session.testsfailed > before
    finally:
        if failed:
            keep(cluster)


def keep(cluster: Cluster) -> Path:
    """Write artifacts/cluster/<name>; returns the directory."""
    target = DIRECTORY / f"{time.strftime('%Y%m%d-%H%M%S')}-{cluster.directory.name}"
    target.mkdir(parents=True)
    for name, state in cluster.machines():
        if (state / "log").is_dir():
            shutil.copytree(state / "log", target / name, symlinks=True, ignore_dangling_symlinks=True)
    (target / "summary.md").write_text("\n".join(_summary(cluster)) + "\n")
    return target


def _summary(cluster: Cluster) -> Iterator[str]:
    yield f"# Kubernetes {cluster.kubernetes.release}, {len(cluster.nodes)} node(s)"
    yield from (f"- {package} {version}" for package, version in cluster.debian.versions.items())
    for title, tell in {
        "Nodes": _nodes,
        "Slices": _slices,
        "Claims": _claims,
        "Pods": _pods,
        "Events": _events,
        "Processes": _processes,
    }.items():
        yield f"\n## {title}"
        yield from _told(cluster, tell)


def _told(cluster: Cluster, tell: Callable[[Cluster], Iterator[str]]) -> Iterator[str]:
    try:
        yield from list(tell(cluster)) or ["none"]
    except (OSError, Refused, AssertionError) as error:
        yield f"cannot be told: {error}"


def _nodes(cluster: Cluster) -> Iterator[str]:
    ready = {node.name: node.is_ready for node in cluster.nodes}
    for node in cluster.api.list("Node"):
        name = node["metadata"]["name"]
        if name not in ready:
            yield f"- {name}: made by a test, without a kubelet"
        else:
            yield f"- {name}: {'ready' if ready[name](node) else 'not ready'}"


def _slices(cluster: Cluster) -> Iterator[str]:
    for it in cluster.api.list("ResourceSlice"):
        pool = it["spec"]["pool"]
        count = len(it["spec"].get("devices") or ())
        yield f"- {it['spec']['driver']} of {pool['name']}, generation {pool['generation']}: {count} devices"


def _claims(cluster: Cluster) -> Iterator[str]:
    for it in cluster.api.list("ResourceClaim", ""):
        results = it.get("status", {}).get("allocation", {}).get("devices", {}).get("results", [])
        yield f"- {_name(it)}: {', '.join(result['device'] for result in results) or 'not allocated'}"


def _pods(cluster: Cluster) -> Iterator[str]:
    for it in cluster.api.list("Pod", ""):
        ending = ", being deleted" if it["metadata"].get("deletionTimestamp") else ""
        yield f"- {_name(it)} on {it['spec'].get('nodeName', 'no node')}: {it['status'].get('phase')}{ending}"


def _events(cluster: Cluster) -> Iterator[str]:
    warnings = [it for it in cluster.api.list("Event", "") if it.get("type") == "Warning"]
    for it in itertools.islice(reversed(warnings), 40):
        yield f"- {it['involvedObject'].get('name')}: {it.get('message', '')[:300]}"


def _processes(cluster: Cluster) -> Iterator[str]:
    machines = [cluster.control_plane.machine, *(node.machine for node in cluster.nodes if node.machine)]
    for machine in machines:
        for process in machine.processes.values():
            yield f"### {process.name} on {machine.name}: {'running' if process.running else 'ended'}"
            yield "```"
            yield from (line[:_WIDTH] for line in process.tail(_TAIL).splitlines())
            yield "```"


def _name(document: dict[str, Any]) -> str:
    metadata = document["metadata"]
    return f"{metadata['namespace']}/{metadata['name']}"
