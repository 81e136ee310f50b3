"""What `drakit check` looks at. Nothing is changed, and no lock is held longer than it takes to try it."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from attrs import evolve

from drakit.agent import credentials_of
from drakit.cli.offline import OfflineNode
from drakit.coexistence import why_to_give_way
from drakit.documents import Document
from drakit.errors import ConfigError, DRAError, describe
from drakit.kube.client import NODES, ApiError, KubeClient
from drakit.kube.credentials import Credentials
from drakit.kubelet.podresources import PodResources
from drakit.kubelet.sockets import KubeletPaths, is_alive
from drakit.model import Finding, Health, HealthStatus, Severity
from drakit.node import kubelet_advice
from drakit.settings import Settings

REQUEST_SECONDS = 5.0


def _ok(what: str, found: str) -> Finding:
    return Finding(Severity.OK, what, found)


def _warning(what: str, found: str) -> Finding:
    return Finding(Severity.WARNING, what, found)


def _error(what: str, found: str) -> Finding:
    return Finding(Severity.ERROR, what, found)


def of_settings(settings: Settings) -> Iterator[Finding]:
    """The configuration itself; that it can be read has been seen to."""
    backends, extensions = len(settings.backends), len(settings.extensions)
    if backends:
        yield _ok("configuration", f"backends: {backends}, extensions: {extensions}")
    else:
        yield _error("configuration", "no backend is enabled; list a plugin under backends")
    if settings.node_name:
        yield _ok("node name", settings.node_name)
    else:
        yield _error("node name", _message(settings.require_node_name))


def of_root(settings: Settings) -> Iterator[Finding]:
    """The host's file system, where hardware is looked for."""
    if (settings.root / "sys").is_dir():
        yield _ok("root", str(settings.root))
    else:
        yield _error("root", f"{settings.root} has no directory sys; mount the host's / there, or give another --root")


def of_plugins(node: OfflineNode) -> Iterator[Finding]:
    """Plugins, and the hardware they find."""
    for name, problem in node.errors:
        yield _error(name, problem)
    for name, problem in node.warnings:
        yield _warning(name, problem)
    explained = {name for name, finding in node.findings if finding.severity is not Severity.OK}
    for driver, pools in node.survey.pools.items():
        devices = sum(len(pool.devices) for pool in pools)
        if devices:
            yield _ok(driver, f"{devices} devices")
        elif driver in explained:
            yield _warning(driver, f"no devices below {node.settings.root}; see its findings below")
        else:
            yield _warning(
                driver,
                f"no devices below {node.settings.root}; if this node has such hardware, see that its kernel module is "
                "loaded, else take the backend out of the configuration",
            )
    for reports in node.health.values():
        for report in reports:
            if ill := _illness(report):
                yield _warning(str(report.device), f"unhealthy: {ill}")
    for name, finding in node.findings:
        yield evolve(finding, what=f"{name}: {finding.what}")


def _illness(report: Health) -> str:
    """What is wrong with a device now; "" if nothing is. What an agent remembers of it is not known here."""
    faults = [fault for fault in report.faults if fault.count is None or fault.count >= fault.threshold]
    if not faults and report.status is not HealthStatus.UNHEALTHY:
        return ""
    return "; ".join(fault.message or fault.name for fault in faults) or report.message or "no reason given"


def drivers_of(node: OfflineNode) -> list[str]:
    """The drivers that would be served."""
    return [instance.driver for instance in node.assembly.host.instances.values() if instance.driver]


def of_directories(settings: Settings) -> Iterator[Finding]:
    """What the kubelet and the container runtime share with drivers."""
    registry, plugins = settings.kubelet_registrar_directory_path, settings.kubelet_plugins_directory_path
    yield _kubelet_directory("kubelet registry", registry, "KUBELET_REGISTRAR_DIRECTORY_PATH")
    yield _kubelet_directory("kubelet plugins", plugins, "KUBELET_PLUGINS_DIRECTORY_PATH")
    yield _cdi_directory(settings.cdi_root)


def _kubelet_directory(what: str, path: Path, variable: str) -> Finding:
    if not path.is_dir():
        return _error(
            what, f"{path} does not exist; mount it at the same path as on the host, or say where it is ({variable})"
        )
    if not _writable(path):
        return _error(what, f"{path} cannot be written; run as root, or change its permissions")
    return _ok(what, str(path))


def _cdi_directory(path: Path) -> Finding:
    existing = next(place for place in (path, *path.absolute().parents) if place.exists())
    if not existing.is_dir() or not _writable(existing):
        return _error("CDI directory", f"{path} cannot be written; set CDI_ROOT, or change its permissions")
    return _ok("CDI directory", str(path) if existing == path else f"{path} (will be made)")


def _writable(path: Path) -> bool:
    return os.access(path, os.W_OK | os.X_OK)


def of_sockets(settings: Settings, drivers: Iterable[str]) -> Iterator[Finding]:
    """The sockets of each driver: whether they can be made, and who holds them."""
    for driver in drivers:
        try:
            paths = KubeletPaths(
                registry=settings.kubelet_registrar_directory_path,
                plugins=settings.kubelet_plugins_directory_path,
                pod_uid=settings.pod_uid,
            )
            sockets = [paths.registration_socket(driver), paths.dra_socket(driver)]
        except ConfigError as error:
            yield _error(f"sockets of {driver}", str(error))
        else:
            yield _occupation(driver, sockets)


def _occupation(driver: str, sockets: Sequence[Path]) -> Finding:
    what = f"sockets of {driver}"
    try:
        taken = [path for path in sockets if is_alive(path)]
    except OSError as error:
        return _warning(what, f"cannot tell whether they are in use ({describe(error)}); run as root")
    if not taken:
        return _ok(what, "free")
    if _is_locked(Path(f"{sockets[-1]}.lock")):
        return _ok(what, "served by a drakit agent that runs now")
    return _error(
        what,
        f"another driver of this name serves {taken[0]}; remove that driver, or give this backend another `driver`",
    )


def _is_locked(path: Path) -> bool:
    """Whether an agent of ours holds its instance lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def of_api_server(settings: Settings) -> tuple[Finding, Document]:
    """The API server: whether it is known, answers, and knows the node; and the Node, empty where it is not had."""
    try:
        credentials = credentials_of(settings)
        document = asyncio.run(_get_node(credentials, settings.node_name))
    except ApiError as error:
        return _error("API server", _api_problem(error, settings.node_name)), {}
    except DRAError as error:
        return _error("API server", str(error)), {}
    return _ok("API server", credentials.server), document


async def _get_node(credentials: Credentials, node: str) -> Document:
    """The Node; nothing of one that has no name."""
    client = KubeClient(credentials, timeout_seconds=REQUEST_SECONDS)
    try:
        if node:
            return await client.get(NODES, node)
        await client.server_version()
        return {}
    finally:
        await client.close()


def of_node(document: Document, node: OfflineNode) -> Iterator[Finding]:
    """What the Node says of itself: its kubelet, and device plugins beside which a driver gives way."""
    if advice := kubelet_advice(document):
        yield _warning("kubelet", advice)
    allocatable = (document.get("status") or {}).get("allocatable") or {}
    pods = PodResources(node.settings.kubelet_pod_resources_socket)
    for instance in node.assembly.host.instances.values():
        if instance.driver is not None:
            resources = instance.declarations.device_plugin_resources
            if why := asyncio.run(why_to_give_way(instance.driver, resources, allocatable, pods)):
                yield _error(f"device plugin beside {instance.driver}", why)


def _api_problem(error: ApiError, node: str) -> str:
    remedies = {
        0: "check the address, and that this node may reach it",
        401: "the credentials are not accepted; renew them",
        403: "let the agent's service account get nodes",
        404: f"the cluster has no node {node!r}; set NODE_NAME to the name the kubelet registered",
    }
    remedy = remedies.get(error.status)
    return f"{describe(error)}; {remedy}" if remedy else describe(error)


def _message(call: Callable[[], object]) -> str:
    """What a check of the core says if it does not pass."""
    try:
        call()
    except DRAError as error:
        return str(error)
    return ""
