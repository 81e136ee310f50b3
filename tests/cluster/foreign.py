"""A DRA driver of another make, as a process of a node: `foreign.py <driver>`, until SIGTERM.

What it knows of claims it reads from the API server, each time; what it has prepared is in its CDI files alone, which
have names of its own. Its slices are published by the test.
"""

from __future__ import annotations

import json
import os
import signal
import ssl
import sys
import urllib.request
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
from drakit.kubelet.proto import dra_v1_pb2 as dra
from drakit.kubelet.proto import pluginregistration_pb2 as registration
from drakit.kubelet.wire import service_handler

KIND = "vendor.example.com/device"
ACCOUNT = Path("/run/secrets/kubernetes.io/serviceaccount")


class Foreign:
    """The driver."""

    def __init__(self, driver: str) -> None:
        self.driver = driver
        self.sockets = [
            Path(f"/var/lib/kubelet/plugins/{driver}/dra.sock"),
            Path(f"/var/lib/kubelet/plugins_registry/{driver}-reg.sock"),
        ]
        self.server = grpc.server(futures.ThreadPoolExecutor(4))
        dra_service = dra.DESCRIPTOR.services_by_name["DRAPlugin"]
        registration_service = registration.DESCRIPTOR.services_by_name["Registration"]
        self.server.add_generic_rpc_handlers(
            [
                service_handler(
                    dra_service, {"NodePrepareResources": self.prepare, "NodeUnprepareResources": self.unprepare}
                ),
                service_handler(
                    registration_service, {"GetInfo": self.info, "NotifyRegistrationStatus": self.registered}
                ),
            ]
        )
        for socket in self.sockets:
            socket.parent.mkdir(exist_ok=True)
            self.server.add_insecure_port(f"unix:{socket}")

    def info(self, _request: Any, _context: Any) -> Any:
        """Registration: who this is."""
        endpoint = str(self.sockets[0])
        return registration.PluginInfo(
            type="DRAPlugin", name=self.driver, endpoint=endpoint, supported_versions=["v1.DRAPlugin"]
        )

    def registered(self, request: Any, _context: Any) -> Any:
        """Registration: what the kubelet made of it."""
        sys.stdout.write("registered\n" if request.plugin_registered else f"refused: {request.error}\n")
        sys.stdout.flush()
        return registration.RegistrationStatusResponse()

    def prepare(self, request: Any, _context: Any) -> Any:
        """Write a CDI file for each claim."""
        response = dra.NodePrepareResourcesResponse()
        for claim in request.claims:
            results = [it for it in allocated(claim.namespace, claim.name) if it["driver"] == self.driver]
            names = [f"{claim.uid}-{result['device']}" for result in results]
            devices = [{"name": name, "containerEdits": {"env": [f"FOREIGN={name[37:]}"]}} for name in names]
            file_of(claim.uid).write_text(json.dumps({"cdiVersion": "0.5.0", "kind": KIND, "devices": devices}))
            for result, name in zip(results, names, strict=True):
                response.claims[claim.uid].devices.add(
                    request_names=[result["request"]],
                    pool_name=result["pool"],
                    device_name=result["device"],
                    cdi_device_ids=[f"{KIND}={name}"],
                )
        return response

    def unprepare(self, request: Any, _context: Any) -> Any:
        """Remove the CDI file of each claim that has one."""
        response = dra.NodeUnprepareResourcesResponse()
        for claim in request.claims:
            file_of(claim.uid).unlink(missing_ok=True)
            response.claims[claim.uid].error = ""
        return response


def file_of(uid: str) -> Path:
    """Where the CDI file of a claim is."""
    return Path(f"/run/cdi/vendor.example.com-{uid}.json")


def allocated(namespace: str, name: str) -> list[dict[str, Any]]:
    """What a claim has been allocated."""
    server = f"https://{os.environ['KUBERNETES_SERVICE_HOST']}:{os.environ['KUBERNETES_SERVICE_PORT']}"
    path = f"/apis/resource.k8s.io/v1/namespaces/{namespace}/resourceclaims/{name}"
    token = {"Authorization": f"Bearer {(ACCOUNT / 'token').read_text()}"}
    trust = ssl.create_default_context(cafile=str(ACCOUNT / "ca.crt"))
    with urllib.request.urlopen(
        urllib.request.Request(server + path, headers=token), context=trust, timeout=10
    ) as found:
        results: list[dict[str, Any]] = json.load(found)["status"]["allocation"]["devices"]["results"]
    return results


def main() -> None:
    """Serve until SIGTERM."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    Path("/run/cdi").mkdir(exist_ok=True)
    driver = Foreign(sys.argv[1])
    driver.server.start()
    signal.sigwait({signal.SIGTERM})
    driver.server.stop(5).wait()
    for socket in driver.sockets:
        socket.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
