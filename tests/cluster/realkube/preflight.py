"""What this machine lacks for real clusters: reasons, to be read by whoever wonders why tests were skipped."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from realkube.errors import Lacking
from realkube.machine import HIERARCHIES

_TOOLS = ("unshare", "nsenter", "mount", "umount", "ip", "hostname", "openssl", "apt-get", "dpkg-deb")
_BOUND_SECONDS = 20


def require() -> None:
    """Raise Lacking with everything that is lacking."""
    if reasons := lacking():
        raise Lacking("; ".join(reasons))


def lacking() -> list[str]:
    """Everything that is lacking; nothing if real clusters run here."""
    if platform.system() != "Linux":
        return [f"real clusters need Linux, and this is {platform.system()}"]
    if os.geteuid():
        return ["namespaces, cgroups and device nodes need root; run the tests as root"]
    missing = [f"the command {tool} is not installed" for tool in _TOOLS if shutil.which(tool) is None]
    return missing or [*_cgroups(), *_checks()]


def _cgroups() -> Iterator[str]:
    known = {line.split(":")[1].removeprefix("name=") for line in Path("/proc/self/cgroup").read_text().splitlines()}
    absent = [name for name in (*HIERARCHIES, "systemd") if not Path(f"/sys/fs/cgroup/{name}").is_dir()]
    absent += [name for name in HIERARCHIES if name not in known and name not in absent]
    if absent:
        yield f"cgroup v1 hierarchies are needed, and {', '.join(absent)} are not there (cgroup v2 is not supported)"


def _checks() -> Iterator[str]:
    checks: dict[str, Callable[[], str]] = {
        "private namespaces cannot be made": _namespaces,
        "overlayfs cannot be mounted": _overlay,
        "a bridge and a veth pair cannot be made": _links,
        "/dev/kmsg cannot be opened, which the kubelet needs": _kmsg,
        "character devices cannot be made": _device,
    }
    for problem, check in checks.items():
        if reason := check():
            yield f"{problem}: {reason}"


def _namespaces() -> str:
    return _fails("unshare", "-m", "-C", "-n", "-p", "-i", "-u", "--fork", "--mount-proc", "true")


def _overlay() -> str:
    with tempfile.TemporaryDirectory() as directory:
        for name in ("lower", "upper", "work", "merged"):
            (Path(directory) / name).mkdir()
        options = f"lowerdir={directory}/lower,upperdir={directory}/upper,workdir={directory}/work"
        return _fails("unshare", "-m", "mount", "-t", "overlay", "overlay", "-o", options, f"{directory}/merged")


def _links() -> str:
    commands = "ip link add bridge0 type bridge && ip link add veth0 type veth peer name veth1"
    return _fails("unshare", "-n", "sh", "-c", commands)


def _kmsg() -> str:
    try:
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
    except OSError as error:
        return str(error)
    return ""


def _device() -> str:
    with tempfile.TemporaryDirectory() as directory:
        return _fails("mknod", f"{directory}/device", "c", "243", "0")


def _fails(*command: str) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BOUND_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"{command[0]} did not end"
    return (done.stderr.strip() or f"{command[0]} ended with {done.returncode}") if done.returncode else ""
