"""The API server as tests use it: plain documents, one call at a time."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from attrs import evolve, field, frozen

Document = dict[str, Any]
APPLY = "application/apply-patch+yaml"
_RESOURCES = {
    "ClusterRole": ("rbac.authorization.k8s.io/v1", "clusterroles", False),
    "ClusterRoleBinding": ("rbac.authorization.k8s.io/v1", "clusterrolebindings", False),
    "ConfigMap": ("v1", "configmaps", True),
    "CustomResourceDefinition": ("apiextensions.k8s.io/v1", "customresourcedefinitions", False),
    "DaemonSet": ("apps/v1", "daemonsets", True),
    "Deployment": ("apps/v1", "deployments", True),
    "DeviceClass": ("resource.k8s.io/v1", "deviceclasses", False),
    "Event": ("v1", "events", True),
    "Job": ("batch/v1", "jobs", True),
    "Namespace": ("v1", "namespaces", False),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies", True),
    "Node": ("v1", "nodes", False),
    "Pod": ("v1", "pods", True),
    "ResourceClaim": ("resource.k8s.io/v1", "resourceclaims", True),
    "ResourceClaimTemplate": ("resource.k8s.io/v1", "resourceclaimtemplates", True),
    "ResourceQuota": ("v1", "resourcequotas", True),
    "ResourceSlice": ("resource.k8s.io/v1", "resourceslices", False),
    "RoleBinding": ("rbac.authorization.k8s.io/v1", "rolebindings", True),
    "Service": ("v1", "services", True),
    "ServiceMonitor": ("monitoring.coreos.com/v1", "servicemonitors", True),
    "ServiceAccount": ("v1", "serviceaccounts", True),
    "ValidatingAdmissionPolicy": ("admissionregistration.k8s.io/v1", "validatingadmissionpolicies", False),
    "ValidatingAdmissionPolicyBinding": ("admissionregistration.k8s.io/v1", "validatingadmissionpolicybindings", False),
}
"""Kind -> group and version, plural, whether it is in a namespace."""


class Refused(Exception):
    """The API server refused a call."""

    def __init__(self, call: str, status: int, answer: Any) -> None:
        self.status = status
        self.reason = answer.get("reason", "") if isinstance(answer, dict) else ""
        self.message = answer.get("message", "") if isinstance(answer, dict) else str(answer)
        super().__init__(f"{call}: {status} {self.message}")


@frozen
class Api:
    """One API server, as one user. `entering` is where connections are made from: see `network.inside`."""

    host: str
    port: int
    token: str = field(repr=False)
    authority: Path
    entering: Any
    acting_as: Sequence[tuple[str, str]] = ()
    """Headers of whoever the user acts as: see `impersonating`."""

    def impersonating(self, user: str, *groups: str) -> Api:
        """The API server as another user sees it, whom this one may act as."""
        groups = (*groups, "system:authenticated")
        return evolve(self, acting_as=[("Impersonate-User", user), *(("Impersonate-Group", one) for one in groups)])

    def create(self, document: Mapping[str, Any], namespace: str = "default", *, dry_run: bool = False) -> Document:
        """Create an object."""
        path = self._path(document["kind"], "", document["metadata"].get("namespace", namespace))
        return self._document("POST", path + ("?dryRun=All" if dry_run else ""), document)

    def apply(
        self,
        document: Mapping[str, Any],
        namespace: str = "default",
        *,
        dry_run: bool = False,
        subresource: str = "",
        manager: str = "test",
    ) -> Document:
        """Create an object or make it as the document says, as `kubectl apply --server-side` does."""
        metadata = document["metadata"]
        path = self._path(document["kind"], metadata["name"], metadata.get("namespace", namespace))
        path += f"/{subresource}" if subresource else ""
        query = {"fieldManager": manager, "force": "true", "fieldValidation": "Strict"}
        query |= {"dryRun": "All"} if dry_run else {}
        return self._document("PATCH", f"{path}?{urlencode(query)}", document, APPLY)

    def replace(self, document: Mapping[str, Any], subresource: str = "") -> Document:
        """Replace an object, or a part of it such as its `status`."""
        metadata = document["metadata"]
        path = self._path(document["kind"], metadata["name"], metadata.get("namespace", ""))
        return self._document("PUT", path + (f"/{subresource}" if subresource else ""), document)

    def get(self, kind: str, name: str, namespace: str = "default") -> Document:
        """One object."""
        return self._document("GET", self._path(kind, name, namespace))

    def find(self, kind: str, name: str, namespace: str = "default") -> Document | None:
        """One object, None if there is none."""
        try:
            return self.get(kind, name, namespace)
        except Refused as refusal:
            if refusal.status == 404:
                return None
            raise

    def list(self, kind: str, namespace: str = "default", **selectors: str) -> list[Document]:
        """All objects of a kind, of one namespace unless that is empty."""
        query = f"?{urlencode(selectors)}" if selectors else ""
        return list(self.call("GET", self._path(kind, "", namespace) + query)["items"])

    def version(self, kind: str) -> str:
        """The version that the objects of a kind have now, to ask later what became of them: see `history`."""
        return str(self.call("GET", self._path(kind, "", ""))["metadata"]["resourceVersion"])

    def history(self, kind: str, since: str) -> Sequence[tuple[str, Document]]:
        """What happened to the objects of a kind since that version, in order: ADDED, MODIFIED or DELETED, and what."""
        query = urlencode({"watch": "true", "resourceVersion": since, "timeoutSeconds": 1})
        lines = self._send("GET", f"{self._path(kind, '', '')}?{query}", None, "")[1].splitlines()
        return [(event["type"], event["object"]) for event in map(json.loads, lines)]

    def delete(self, kind: str, name: str, namespace: str = "default", **options: Any) -> None:
        """Delete an object; it may be gone already."""
        try:
            self.call("DELETE", self._path(kind, name, namespace), options)
        except Refused as refusal:
            if refusal.status != 404:
                raise

    def log(self, pod: str, namespace: str = "default", container: str = "") -> str:
        """What a container has written."""
        query = f"?container={container}" if container else ""
        return self._send("GET", f"{self._path('Pod', pod, namespace)}/log{query}", None, "")[1].decode()

    def token_for(self, account: str, namespace: str, node: Document) -> str:
        """A service account's token, bound to a node as the token of a pod on that node is."""
        bound = {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"], "uid": node["metadata"]["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"audiences": [], "expirationSeconds": 3600, "boundObjectRef": bound},
        }
        path = self._path("ServiceAccount", account, namespace)
        return str(self.call("POST", f"{path}/token", request)["status"]["token"])

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, content_type: str = "application/json"
    ) -> Any:
        """One call; the answer decoded. Raises Refused, and OSError where there is no answer."""
        status, data = self._send(method, path, None if body is None else json.dumps(body).encode(), content_type)
        try:
            answer = json.loads(data)
        except ValueError:
            answer = data.decode(errors="replace")
        if not 200 <= status < 300:
            raise Refused(f"{method} {path}", status, answer)
        return answer

    def _document(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, content_type: str = "application/json"
    ) -> Document:
        answer = self.call(method, path, body, content_type=content_type)
        assert isinstance(answer, dict), f"{method} {path} was not answered with an object: {answer!r}"
        return answer

    def _send(self, method: str, path: str, body: bytes | None, content_type: str) -> tuple[int, bytes]:
        trust = ssl.create_default_context(cafile=self.authority)
        connection = http.client.HTTPSConnection(self.host, self.port, timeout=30, context=trust)
        entered: AbstractContextManager[None] = self.entering()
        try:
            with entered:
                connection.connect()
            connection.putrequest(method, path)
            headers = [("Authorization", f"Bearer {self.token}"), ("Content-Type", content_type), *self.acting_as]
            for name, value in [*headers, ("Content-Length", str(len(body or b"")))]:
                connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return response.status, response.read()
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()

    def _path(self, kind: str, name: str, namespace: str) -> str:
        group_version, plural, namespaced = _RESOURCES[kind]
        root = "apis" if "/" in group_version else "api"
        scope = f"/namespaces/{quote(namespace)}" if namespaced and namespace else ""
        return f"/{root}/{group_version}{scope}/{plural}" + (f"/{quote(name)}" if name else "")
