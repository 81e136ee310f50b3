"""A small DRA driver of another make: right in everything, but for the faults it is told to have."""

from __future__ import annotations

import json
from collections.abc import Collection
from concurrent import futures
from pathlib import Path
from typing import Any, Self

import grpc
from drakit.kubelet.proto import dra_v1_pb2, dra_v1beta1_pb2, health_v1_pb2, pluginregistration_pb2
from drakit.kubelet.wire import service_handler

NAME = "strange.example.com"
KIND = "strange.example.com/device"
DRA = {"v1.DRAPlugin": dra_v1_pb2, "v1beta1.DRAPlugin": dra_v1beta1_pb2}


class StrangeDriver:
    """Serves `directory/reg/strange-reg.sock` and `directory/dra.sock`. A context manager.

    `allocated` gives, by claim uid, the results it finds at its API server; `faults` are named as the rules they break.
    """

    def __init__(self, directory: Path, allocated: dict[str, list[dict[str, Any]]], faults: Collection[str]) -> None:
        self.directory = directory
        self.allocated = allocated
        self.faults = set(faults)
        self.prepared: set[str] = set()
        self.calls: list[str] = []
        self._server: grpc.Server | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        served = [("v1.DRAPlugin", dra_v1_pb2)]
        if "every_advertised_service_is_served" not in self.faults:
            served.append(("v1beta1.DRAPlugin", dra_v1beta1_pb2))
        for name, messages in served:
            self._server.add_generic_rpc_handlers([self._dra(name, messages)])
        self._server.add_generic_rpc_handlers([self._registration(), self._health()])
        for path in ("dra.sock", "reg/strange-reg.sock"):
            self._server.add_insecure_port(f"unix:{self.directory}/{path}")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(None).wait()

    def restart(self) -> None:
        self.stop()
        if "a_restart_changes_no_answer" in self.faults:
            self.faults.add("prefix")
        self.start()

    def _registration(self) -> grpc.GenericRpcHandler:
        service = pluginregistration_pb2.DESCRIPTOR.services_by_name["Registration"]
        behaviours = {"GetInfo": self._get_info, "NotifyRegistrationStatus": self._notify}
        return service_handler(service, behaviours)

    def _dra(self, name: str, messages: Any) -> grpc.GenericRpcHandler:
        behaviours = {
            "NodePrepareResources": lambda request, context: self._prepare(name, messages, request, context),
            "NodeUnprepareResources": lambda request, _context: self._unprepare(messages, request),
        }
        return service_handler(messages.DESCRIPTOR.services_by_name["DRAPlugin"], behaviours)

    def _health(self) -> grpc.GenericRpcHandler:
        service = health_v1_pb2.DESCRIPTOR.services_by_name["DRAResourceHealth"]
        return service_handler(service, {"NodeWatchResources": self._watch})

    def _get_info(self, _request: Any, _context: Any) -> Any:
        versions = [*DRA, "v1.DRAResourceHealth"]
        if "versions_are_known" in self.faults:
            versions = ["v1", "v1.DRAResourceHealth"]
        endpoint = f"{self.directory}/dra.sock"
        if "endpoint_accepts_connections" in self.faults:
            endpoint = f"{self.directory}/absent.sock"
        return pluginregistration_pb2.PluginInfo(
            type="CSIPlugin" if "info_is_legal" in self.faults else "DRAPlugin",
            name="another.example.com" if "registration_answers" in self.faults else NAME,
            endpoint=endpoint,
            supported_versions=versions,
        )

    def _notify(self, _request: Any, context: grpc.ServicerContext) -> Any:
        if "registration_is_acknowledged" in self.faults:
            context.abort(grpc.StatusCode.INTERNAL, "not now")
        return pluginregistration_pb2.RegistrationStatusResponse()

    def _prepare(self, service: str, messages: Any, request: Any, context: grpc.ServicerContext) -> Any:
        self.calls.append("prepare")
        if "claims_are_prepared" in self.faults and request.claims:
            context.abort(grpc.StatusCode.INTERNAL, "no such claim")
        response = messages.NodePrepareResourcesResponse()
        for claim in request.claims:
            answer = response.claims[claim.uid]
            for result in self.allocated[claim.uid][: -1 if self._has("every_allocated_device_is_answered") else None]:
                answer.devices.append(self._device(service, messages, claim.uid, result))
            if claim.uid not in self.prepared or not self._has("a_lost_cdi_file_comes_back"):
                self._write(claim.uid, answer.devices)
            self.prepared.add(claim.uid)
        return response

    def _device(self, service: str, messages: Any, uid: str, result: dict[str, Any]) -> Any:
        prefix = "b-" if self._has("prefix") else ""
        if self._has("a_repeat_is_answered_the_same"):
            prefix = f"{len(self.calls)}-"
        if self._has("every_service_answers_the_same") and service == "v1beta1.DRAPlugin":
            prefix = "old-"
        own, common = f"{KIND}={prefix}{uid}-{result['device']}", f"{KIND}=common"
        if self._has("cdi_ids_are_legal"):
            own = f"{uid}-{result['device']}"
        base = result["request"].partition("/")[0]
        device = messages.Device(
            request_names=[result["request"] if self._has("requests_are_named_by_their_base") else base],
            pool_name=result["pool"],
            device_name=result["device"],
            cdi_device_ids=[common, own] if self._has("the_first_cdi_id_is_the_devices_own") else [own, common],
        )
        if service == "v1.DRAPlugin" and result.get("shareID") and not self._has("share_ids_are_returned"):
            device.share_id = result["shareID"]
        return device

    def _write(self, uid: str, devices: Any) -> None:
        names = {cdi_id.rpartition("=")[2] for device in devices for cdi_id in device.cdi_device_ids} - {"common"}
        if self._has("cdi_ids_resolve") or self._has("cdi_ids_are_legal"):
            names = set()
        self._write_file("common", {"common"})
        self._write_file(uid, names)

    def _write_file(self, name: str, devices: set[str]) -> None:
        spec = {
            "cdiVersion": "0.6.0",
            "kind": KIND,
            "devices": [{"name": device, "containerEdits": {"env": ["A=b"]}} for device in sorted(devices)],
        }
        (self.directory / "cdi" / f"{name}.json").write_text(json.dumps(spec))

    def _unprepare(self, messages: Any, request: Any) -> Any:
        response = messages.NodeUnprepareResourcesResponse()
        for claim in request.claims:
            self.calls.append("unprepare")
            known = claim.uid in self.prepared
            answer = response.claims[claim.uid]
            if not known and claim.uid not in self.allocated and self._has("an_unknown_claim_is_unprepared"):
                answer.error = "never heard of it"
            if not known and claim.uid in self.allocated and self._has("a_repeated_unprepare_succeeds"):
                answer.error = "not prepared"
            if known and self._has("claims_are_unprepared"):
                answer.error = "cannot"
            else:
                self.prepared.discard(claim.uid)
        return response

    def _watch(self, _request: Any, _context: Any) -> Any:
        if not self._has("health_is_reported"):
            device = health_v1_pb2.DeviceIdentifier(pool_name="node-1", device_name="one")
            health = health_v1_pb2.DeviceHealth(device=device, health=1)
            yield health_v1_pb2.NodeWatchResourcesResponse(devices=[health])

    def _has(self, fault: str) -> bool:
        return fault in self.faults
