"""The control plane of a cluster on a machine of its own: etcd, API server, controllers and scheduler."""

from __future__ import annotations

import functools
import json
import secrets
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from realkube.api import Api
from realkube.debian import Debian
from realkube.errors import ClusterFailure
from realkube.kubernetes import Kubernetes
from realkube.machine import Machine, Process
from realkube.network import CONTROL_PLANE, SERVICES, inside, make_bridge
from realkube.waiting import until

PORT = 443
"""That of the Service too: pods reach the API server by the address of its Service, and nothing translates it."""
_RUN = "/run/kubernetes"
_ETCD = "http://127.0.0.1:2379"
_PEERS = "http://127.0.0.1:2380"


class ControlPlane:
    """Running when it is made. Everybody comes with a token; only the API server has a certificate, its own."""

    def __init__(
        self,
        machine: Machine,
        kubernetes: Kubernetes,
        debian: Debian,
        nodes: list[str],
        *,
        gates: Mapping[str, object],
        apis: Sequence[str] = (),
    ) -> None:
        self.machine = machine
        self._kubernetes = kubernetes
        self._debian = debian
        self._gates = gates
        self._apis = {"runtime_config": ",".join(f"{api}=true" for api in apis)} if apis else {}
        self._tokens = {
            name: secrets.token_hex(16) for name in ("admin", "controllers", "scheduler", *map(_kubelet, nodes))
        }
        self._files = machine.path(_RUN)
        self._files.mkdir()
        self._write_tokens(nodes)
        _make_key(self._files)
        make_bridge(machine)
        self._start_etcd()
        self.start_api_server()
        for component in ("kube-controller-manager", "kube-scheduler"):
            self._start_client(component)
        self.api = self.api_as(self._tokens["admin"])
        until("the default service account", lambda: self.api.find("ServiceAccount", "default"), seen=self._tails)

    @property
    def authority(self) -> Path:
        """The certificates that the API server's own is signed with."""
        return self._files / "api/apiserver.crt"

    def api_as(self, token: str) -> Api:
        """The API server for whoever has that token."""
        network = self.machine.network
        return Api(CONTROL_PLANE, PORT, token, self.authority, functools.partial(inside, network))

    def kubeconfig(self, user: str) -> str:
        """A kubeconfig's text, for `admin`, or for the kubelet of a node: `kubelet-<node>`."""
        server = {"server": f"https://{CONTROL_PLANE}:{PORT}", "certificate-authority": str(self.authority)}
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "it", "cluster": server}],
            "users": [{"name": "it", "user": {"token": self._tokens[user]}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
            "current-context": "it",
        }
        return json.dumps(document)

    def kubelet_kubeconfig(self, node: str, authority: str) -> str:
        """The kubeconfig of a node's kubelet, with the path that the certificates have on its machine."""
        return self.kubeconfig(_kubelet(node)).replace(json.dumps(str(self.authority)), json.dumps(authority))

    def start_api_server(self) -> Process:
        """Start the API server, at first or again, and wait until it is ready."""
        process = self.machine.start(
            "kube-apiserver",
            self._kubernetes.command(
                "kube-apiserver",
                etcd_servers=_ETCD,
                bind_address="0.0.0.0",
                advertise_address=CONTROL_PLANE,
                secure_port=PORT,
                cert_dir=f"{_RUN}/api",
                service_cluster_ip_range=SERVICES,
                service_account_issuer="https://drakit.test",
                service_account_key_file=f"{_RUN}/accounts.pub",
                service_account_signing_key_file=f"{_RUN}/accounts.key",
                token_auth_file=f"{_RUN}/tokens.csv",
                authorization_mode="Node,RBAC",
                enable_admission_plugins="NodeRestriction",
                allow_privileged=True,
                kubelet_preferred_address_types="InternalIP",
                profiling=False,
                **self._gates,
                **self._apis,
            ),
        )
        until("the API server", self._is_ready, seen=process.tail)
        return process

    def _is_ready(self) -> bool:
        if not self.machine.processes["kube-apiserver"].running:
            raise ClusterFailure(f"kube-apiserver has ended:\n{self._tails()}")
        return bool(self.api_as(self._tokens["admin"]).call("GET", "/readyz") == "ok")

    def _start_etcd(self) -> None:
        self.machine.start(
            "etcd",
            [
                str(self._debian.root / "usr/bin/etcd"),
                f"--data-dir={_RUN}/etcd",
                "--unsafe-no-fsync",
                f"--listen-client-urls={_ETCD}",
                f"--advertise-client-urls={_ETCD}",
                f"--listen-peer-urls={_PEERS}",
                f"--initial-advertise-peer-urls={_PEERS}",
                f"--initial-cluster=default={_PEERS}",
            ],
        )

    def _start_client(self, component: str) -> None:
        user = {"kube-controller-manager": "controllers", "kube-scheduler": "scheduler"}[component]
        config = f"{_RUN}/{user}.kubeconfig"
        # Inside, its own paths; the file is read there.
        inner = self.kubeconfig(user).replace(json.dumps(str(self.authority)), json.dumps(f"{_RUN}/api/apiserver.crt"))
        self.machine.path(config).write_text(inner)
        flags = {"kubeconfig": config, "leader_elect": False, "bind_address": "127.0.0.1", "cert_dir": f"{_RUN}/{user}"}
        flags |= self._gates
        if user == "controllers":
            flags["service_account_private_key_file"] = f"{_RUN}/accounts.key"
            flags["root_ca_file"] = f"{_RUN}/api/apiserver.crt"  # pods find it in every namespace
            flags["use_service_account_credentials"] = True  # each controller may do what it must, and no more
        self.machine.start(component, self._kubernetes.command(component, **flags))

    def _write_tokens(self, nodes: list[str]) -> None:
        users = {
            "admin": ("admin", "system:masters"),
            "controllers": ("system:kube-controller-manager", "system:masters"),
            "scheduler": ("system:kube-scheduler", ""),
        } | {_kubelet(node): (f"system:node:{node}", "system:nodes") for node in nodes}
        lines = [f'{self._tokens[key]},{user},{key},"{groups}"' for key, (user, groups) in users.items()]
        (self._files / "tokens.csv").write_text("\n".join(lines) + "\n")

    def _tails(self) -> str:
        return "\n".join(f"{process.name}:\n{process.tail(5)}" for process in self.machine.processes.values())


def _kubelet(node: str) -> str:
    return f"kubelet-{node}"


def _make_key(directory: Path) -> None:
    """The key that service accounts' tokens are signed with."""
    key, public = directory / "accounts.key", directory / "accounts.pub"
    for command in (["genrsa", "-out", str(key), "2048"], ["rsa", "-in", str(key), "-pubout", "-out", str(public)]):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
