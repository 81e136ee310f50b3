"""A node of a cluster: a machine with containerd, a kubelet, a drakit agent, and faked hardware."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from drakit.testing import lay_out

from realkube.api import Document
from realkube.controlplane import PORT, ControlPlane
from realkube.debian import Debian
from realkube.errors import ClusterFailure
from realkube.helm import NAMESPACE
from realkube.image import PAUSE, write_images
from realkube.kubernetes import Kubernetes
from realkube.machine import Machine, Process
from realkube.network import CONTROL_PLANE, connect, inside
from realkube.waiting import until

ACCOUNT = "drakit"
"""The service account that the chart gives the agent."""
_SERVICE_ACCOUNT = "/run/secrets/kubernetes.io/serviceaccount"
_RUN = "/run/kubernetes"
_CONTAINERD = "/run/containerd/containerd.sock"
DRAIN_SECONDS = 5.0
_IN_POD = {"KUBERNETES_SERVICE_HOST": CONTROL_PLANE, "KUBERNETES_SERVICE_PORT": str(PORT)}


class Node:
    """Nothing runs before `start`. What is in `state` is the node's disk; it outlives `reboot`."""

    def __init__(
        self,
        name: str,
        number: int,
        state: Path,
        kubernetes: Kubernetes,
        debian: Debian,
        *,
        gates: Mapping[str, object],
    ) -> None:
        self.name = name
        self.address = f"10.99.0.{10 + number}"
        self.state = state
        self.hardware = state / "hardware"
        self._pods = f"10.98.{number}.0/24"
        self._kubernetes = kubernetes
        self._debian = debian
        self._gates = gates
        self._control_plane: ControlPlane | None = None
        self.machine: Machine | None = None
        self.backends: Sequence[Any] = ()

    def lay_out(self, node_type: str) -> None:
        """Give the node the hardware of an instance type."""
        lay_out(node_type, self.hardware)

    def start(self, control_plane: ControlPlane) -> None:
        """Start the machine, containerd and the kubelet; returns when containerd serves."""
        boot_id = str(uuid.uuid4())
        faked = self.hardware / "proc/sys/kernel/random/boot_id"
        if faked.is_file():
            faked.write_text(f"{boot_id}\n")
        self.machine = Machine(self.name, self.state, boot_id)
        self._control_plane = control_plane
        connect(control_plane.machine, self.machine, self.address, self._pods)
        self._write_files(control_plane)
        self.start_containerd()
        self._import_images()
        self.start_kubelet()

    def stop(self) -> None:
        """End the node as a power failure does."""
        if self.machine is not None:
            self.machine.stop()

    def reboot(self) -> None:
        """End everything, and start the machine again with an empty /run and another boot id; without the agent."""
        assert self._control_plane is not None
        self.stop()
        self.start(self._control_plane)

    def path(self, path: str) -> Path:
        """A path on the node, as this process reaches it."""
        return self.running.path(path)

    @property
    def running(self) -> Machine:
        """The machine, which must have been started."""
        assert self.machine is not None, f"{self.name} was not started"
        return self.machine

    def start_containerd(self) -> Process:
        """Start containerd, and wait until it serves."""
        path = {"PATH": f"{self._debian.path}:/usr/sbin:/usr/bin:/sbin:/bin"}
        process = self.running.start("containerd", ["containerd", f"--config={_RUN}/containerd.toml"], path)
        until(f"containerd of {self.name}", self._serves, seen=process.tail)
        return process

    def start_kubelet(self) -> Process:
        """Start the kubelet. When it is ready, the Node says so."""
        flags = {
            "config": f"{_RUN}/kubelet.yaml",
            "kubeconfig": f"{_RUN}/kubelet.kubeconfig",
            "cert_dir": f"{_RUN}/kubelet",
            "node_ip": self.address,
            "hostname_override": self.name,
            "v": 2,
            **self._gates,
        }
        path = {"PATH": f"{self._debian.path}:/usr/sbin:/usr/bin:/sbin:/bin"}
        return self.running.start("kubelet", self._kubernetes.command("kubelet", **flags), path)

    def start_agent(
        self, backends: Sequence[Any] | None = None, *, token: bool = True, name: str = "drakit", **settings: Any
    ) -> Process:
        """Start drakit as a process of the node, under the service account of the chart, as a pod is.

        Without `backends` they are those of the time before, and without a new token so is the token. `name` is what
        the process is called here, where there are two.
        """
        if backends is not None:
            self.backends = backends
        if token:
            self._write_service_account()
        configuration = {
            "apiVersion": "drakit/v1alpha1",
            "kind": "AgentConfiguration",
            "nodeName": self.name,
            "root": str(self.hardware),
            "drainSeconds": DRAIN_SECONDS,
            "backends": list(self.backends),
            **settings,
        }
        self.path(f"{_RUN}/{name}.yaml").write_text(yaml.safe_dump(configuration))
        command = [str(Path(sys.executable).with_name("drakit")), "agent", f"--config={_RUN}/{name}.yaml"]
        return self.running.start(name, command, _IN_POD)

    def start_script(self, name: str, script: Path, *arguments: str) -> Process:
        """Start a Python script as a process of the node, with what the agent of before finds of a cluster."""
        return self.running.start(name, [sys.executable, str(script), *arguments], _IN_POD)

    def load(self, archive: Path) -> None:
        """Give containerd the images of an archive."""
        self._ctr("--namespace=k8s.io", "images", "import", str(archive))

    def call(self, image: str, name: str) -> None:
        """Let an image that containerd has go by another name too."""
        self._ctr("--namespace=k8s.io", "images", "tag", "--force", image, name)

    def kill(self, process: str) -> None:
        """End a process of the node with SIGKILL."""
        self.running.processes[process].end(signal.SIGKILL)

    def get(self, port: int, path: str, host: str = "127.0.0.1") -> tuple[int, str]:
        """Ask a process of the node, or one of its pods by address, over HTTP; returns status and text.

        Raises OSError where there is no answer.
        """
        connection = http.client.HTTPConnection(host, port, timeout=10)
        try:
            with inside(self.running.network):
                connection.connect()
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(f"GET {path}: {error!r}") from error
        finally:
            connection.close()

    def drakit(self, *arguments: str) -> str:
        """Run a command of drakit where the agent runs; returns what it says. Raises ClusterFailure if it fails."""
        environment = [f"{name}={value}" for name, value in _IN_POD.items()]
        drakit = str(Path(sys.executable).with_name("drakit"))
        return self.running.run("env", *environment, f"DRAKIT_CONFIG={_RUN}/drakit.yaml", drakit, *arguments)

    def fault(self, *words: str) -> None:
        """Break or mend something of the node's mock devices: `drakit mock fault`."""
        self.drakit("mock", "fault", *words)

    def kill_container(self, status: Document) -> None:
        """End a container, given by its status in the pod, with SIGKILL."""
        identifier = status["containerID"].removeprefix("containerd://")
        self._ctr("--namespace=k8s.io", "tasks", "kill", "--signal=SIGKILL", identifier)

    def cdi_files(self) -> dict[str, str]:
        """Every CDI file on the node, by name."""
        directory = self.path("/run/cdi")
        return {path.name: path.read_text() for path in directory.iterdir()} if directory.is_dir() else {}

    def sockets(self) -> list[str]:
        """Every driver's sockets on the node."""
        kubelet = self.state / "lib/kubelet"
        found = [*kubelet.glob("plugins/*/*.sock"), *kubelet.glob("plugins_registry/*.sock")]
        return sorted(path.name for path in found)

    def is_ready(self, node: Document) -> bool:
        """Whether the Node says that it is ready."""
        conditions = node.get("status", {}).get("conditions", [])
        return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)

    def _write_files(self, control_plane: ControlPlane) -> None:
        self.path(_RUN).mkdir()
        authority = f"{_RUN}/ca.crt"
        shutil.copy(control_plane.authority, self.path(authority))
        cni = self.path(f"{_RUN}/cni")
        cni.mkdir()
        for name, text in {
            f"{_RUN}/containerd.toml": _containerd(self._debian, self.state),
            f"{_RUN}/kubelet.yaml": json.dumps(_KUBELET),
            f"{_RUN}/kubelet.kubeconfig": control_plane.kubelet_kubeconfig(self.name, authority),
            f"{_RUN}/cni/10-pods.conflist": json.dumps(_cni(self._pods)),
        }.items():
            self.path(name).write_text(text)

    def _write_service_account(self) -> None:
        assert self._control_plane is not None
        api = self._control_plane.api
        token = api.token_for(ACCOUNT, NAMESPACE, api.get("Node", self.name))
        directory = self.path(_SERVICE_ACCOUNT)
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "token").write_text(token)
        shutil.copy(self._control_plane.authority, directory / "ca.crt")

    def _import_images(self) -> None:
        archive = self.path(f"{_RUN}/images.tar")
        write_images(self._debian.root / "usr/bin/busybox", archive)
        self.load(Path(f"{_RUN}/images.tar"))
        archive.unlink()

    def _ctr(self, *arguments: str) -> str:
        return self.running.run("ctr", f"--address={_CONTAINERD}", *arguments, path=self._debian.path)

    def _serves(self) -> bool:
        try:
            self._ctr("version")
        except ClusterFailure:
            return False
        return True


_KUBELET = {
    "apiVersion": "kubelet.config.k8s.io/v1beta1",
    "kind": "KubeletConfiguration",
    "failCgroupV1": False,
    "cgroupDriver": "cgroupfs",
    "failSwapOn": False,
    "containerRuntimeEndpoint": f"unix://{_CONTAINERD}",
    "address": "0.0.0.0",
    "readOnlyPort": 0,
    "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
    "authorization": {"mode": "AlwaysAllow"},
    "oomScoreAdj": 0,
    "makeIPTablesUtilChains": False,
    "clusterDNS": ["10.97.0.10"],  # nobody is there
    "syncFrequency": "5s",
    "nodeStatusUpdateFrequency": "4s",
    "podLogsDir": "/var/log/pods",
    "imageGCHighThresholdPercent": 100,
    "evictionHard": {"memory.available": "50Mi"},
}


def _cni(pods: str) -> dict[str, Any]:
    ipam = {"type": "host-local", "dataDir": "/run/cni-ipam", "ranges": [[{"subnet": pods}]]}
    plugin = {"type": "ptp", "ipMasq": False, "ipam": ipam | {"routes": [{"dst": "0.0.0.0/0"}]}}
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": [plugin]}


def _containerd(debian: Debian, state: Path) -> str:
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "{_CONTAINERD}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  enable_cdi = true
  cdi_spec_dirs = ["/etc/cdi", "/var/run/cdi"]
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      runtime_path = "{debian.root}/usr/bin/containerd-shim-runc-v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        BinaryName = "{debian.root}/usr/sbin/runc"
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{debian.plugins}"
    conf_dir = "{_RUN}/cni"
[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/opt"
"""
