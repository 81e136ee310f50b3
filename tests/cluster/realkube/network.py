"""The network between the machines of a cluster, and the way into it from a test."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from realkube.errors import ClusterFailure
from realkube.machine import Machine

CONTROL_PLANE = "10.99.0.1"
SERVICES = "10.97.0.0/16"
_API_SERVER = "10.97.0.1"
"""The address of its Service: the first of all, as Kubernetes has it."""
_BRIDGE = "cluster"
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def make_bridge(machine: Machine) -> None:
    """Make the network, in the namespace of the control plane, which has the first address of it."""
    _ip(machine, "link", "add", _BRIDGE, "type", "bridge")
    _ip(machine, "address", "add", f"{CONTROL_PLANE}/24", "dev", _BRIDGE)
    _ip(machine, "address", "add", f"{_API_SERVER}/32", "dev", _BRIDGE)
    _ip(machine, "link", "set", _BRIDGE, "up")
    _ip(machine, "route", "add", "default", "dev", _BRIDGE)  # some components look for one; it leads nowhere


def connect(control_plane: Machine, machine: Machine, address: str, pods: str) -> None:
    """Put a machine on the network, and the pods that will be on it."""
    port = f"to-{machine.pid}"
    _ip(control_plane, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(machine.pid))
    _ip(control_plane, "link", "set", port, "master", _BRIDGE, "up")
    _ip(machine, "address", "add", f"{address}/24", "dev", "eth0")
    _ip(machine, "link", "set", "eth0", "up")
    _ip(machine, "route", "add", "default", "via", CONTROL_PLANE)
    _ip(control_plane, "route", "replace", pods, "via", address)  # a machine may come again


@contextlib.contextmanager
def inside(namespace: Path) -> Iterator[None]:
    """Sockets that this thread makes meanwhile are in that network namespace, and stay there."""
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _enter(namespace)
        try:
            yield
        finally:
            if _libc.setns(own, _CLONE_NEWNET):
                os._exit(70)  # a thread left in another network would spoil whatever runs next
    finally:
        os.close(own)


def _enter(namespace: Path) -> None:
    descriptor = os.open(namespace, os.O_RDONLY)
    try:
        if _libc.setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(descriptor)


def _ip(machine: Machine, *arguments: str) -> None:
    # In the network alone: processes of one machine are named there by the numbers this machine knows.
    command = ["nsenter", f"--net={machine.network}", "ip", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClusterFailure(f"{machine.name}: {' '.join(command[2:])}: {done.stderr.strip()}")
