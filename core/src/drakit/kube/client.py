"""The Kubernetes API on plain documents: get, list, watch, create, replace, apply, delete."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from attrs import frozen

from drakit.documents import Document
from drakit.errors import ConfigError, DRAError, describe, shorten
from drakit.kube.connection import Response
from drakit.kube.credentials import Credentials
from drakit.kube.requests import Requests
from drakit.kube.transport import Transport

REQUEST_SECONDS = 10.0

Decode = Callable[[bytes], Any]
WatchEvent = tuple[str, Document]
"""ADDED, MODIFIED, DELETED or BOOKMARK, and the object."""


class ApiError(DRAError):
    """The API server refused a request, or did not answer it.

    `status` is the HTTP status, 0 where there was no answer; `reason` is the API's word for it, such as NotFound or
    Conflict; `retry_after` is in seconds, None where the server did not say.
    """

    def __init__(self, call: str, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{call}: {f'{status} ' if status else ''}{reason}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @property
    def denied(self) -> bool:
        """Whether it is a matter of who asks: the credentials, or what they allow."""
        return self.status in {401, 403}


class ApiUnreachable(ApiError):
    """There was no answer, or none that can be read: whether the server has acted is not known."""

    def __init__(self, call: str, message: str) -> None:
        super().__init__(call, 0, "Unreachable", message)


@frozen
class Resource:
    """One kind of object, as the API's paths name it."""

    group_version: str
    plural: str

    def path(self, name: str = "", namespace: str = "") -> str:
        """The path of one object, or of all of them without a name."""
        root = "apis" if "/" in self.group_version else "api"
        scope = f"/namespaces/{quote(namespace, safe='')}" if namespace else ""
        leaf = f"/{quote(name, safe='')}" if name else ""
        return f"/{root}/{self.group_version}{scope}/{self.plural}{leaf}"


NODES: Final = Resource("v1", "nodes")
RESOURCE_CLAIMS: Final = Resource("resource.k8s.io/v1", "resourceclaims")
RESOURCE_SLICES: Final = Resource("resource.k8s.io/v1", "resourceslices")


class KubeClient:
    """One API server, from one event loop. Documents go in and come out as dicts, whole.

    Every call raises ApiError and is bounded in time. There is no rate limit here, and no request waits for another:
    whoever makes many bounds them.
    """

    def __init__(
        self, credentials: Credentials, *, user_agent: str = "drakit", timeout_seconds: float = REQUEST_SECONDS
    ) -> None:
        self.server = credentials.server
        self._transport = Transport(credentials, user_agent=user_agent)
        self._timeout_seconds = timeout_seconds

    @property
    def requests(self) -> Requests:
        """What became of the requests so far. May be read from any thread."""
        return self._transport.requests

    async def close(self) -> None:
        """Close all connections. What is under way fails."""
        await self._transport.close()

    async def get(self, resource: Resource, name: str, namespace: str = "", *, decode: Decode = json.loads) -> Document:
        """One object."""
        return await self._object("GET", resource.path(name, namespace), decode=decode)

    async def list(
        self, resource: Resource, namespace: str = "", *, field_selector: str = "", label_selector: str = ""
    ) -> Document:
        """The whole list document: `items` (without apiVersion and kind) and `metadata.resourceVersion`."""
        query = _query(fieldSelector=field_selector, labelSelector=label_selector)
        path = resource.path("", namespace) + query
        document = await self._call("GET", path)
        items = document.get("items", ...)
        if not isinstance(_metadata(document).get("resourceVersion"), str) or not isinstance(items, list | None):
            raise ApiUnreachable(f"GET {path}", f"the answer is not a list of objects: {shorten(document)}")
        for item in items or ():
            _check_object(f"GET {path}", item)
        return document

    async def create(self, resource: Resource, document: Mapping[str, Any]) -> Document:
        """Create an object; returns it as the server has it. Never sent twice: a lost answer leaves it unknown."""
        return await self._object("POST", resource.path("", document["metadata"].get("namespace", "")), document)

    async def replace(self, resource: Resource, document: Mapping[str, Any]) -> Document:
        """Replace an object; returns it as the server has it. Conflict (409) if its resourceVersion is not current."""
        metadata = document["metadata"]
        return await self._object("PUT", resource.path(metadata["name"], metadata.get("namespace", "")), document)

    async def apply(
        self, resource: Resource, document: Mapping[str, Any], *, manager: str, force: bool = True
    ) -> Document:
        """Make the manager's part of an object be what the document says; returns the object, created if need be.

        Server-side apply: what the manager applied before and no longer says goes, what others have stays. Where
        another has set a field to another value, it is taken over, or without `force` refused: Conflict (409).
        """
        return await self._apply("", resource, document, manager, force=force)

    async def apply_status(self, resource: Resource, document: Mapping[str, Any], *, manager: str) -> Document:
        """Apply, as `apply` does, to an object's status. NotFound (404) if it is not there.

        Conflict (409) if the document has another uid.
        """
        return await self._apply("/status", resource, document, manager, force=True)

    async def delete(self, resource: Resource, document: Mapping[str, Any]) -> None:
        """Delete exactly this object in this version. Conflict (409) if it is another by now."""
        metadata = document["metadata"]
        preconditions = {key: metadata[key] for key in ("uid", "resourceVersion") if metadata.get(key)}
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions}
        await self._call("DELETE", resource.path(metadata["name"], metadata.get("namespace", "")), options)

    async def watch(
        self,
        resource: Resource,
        namespace: str = "",
        *,
        resource_version: str,
        field_selector: str = "",
        timeout_seconds: int,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Events after a list's version, until the server ends the watch, which it is asked to do after a time.

        One that does not, and is silent, is given up three request bounds later: it may be gone without a word.
        Raises ApiError, also for an error event, such as 410 (Gone) for a version that is too old. Close the iterator
        (`contextlib.aclosing`) to end the watch early.
        """
        query = _query(
            watch="true",
            resourceVersion=resource_version,
            fieldSelector=field_selector,
            timeoutSeconds=str(timeout_seconds),
            allowWatchBookmarks="true",
        )
        path = resource.path("", namespace) + query
        call = f"watch {path}"
        try:
            async with self._transport.stream(path, timeout_seconds=self._timeout_seconds) as (status, headers, reader):
                if status != 200:
                    async with asyncio.timeout(self._timeout_seconds):
                        raise _refusal(call, Response(status, headers, await reader.read()))
                while True:
                    async with asyncio.timeout(timeout_seconds + 3 * self._timeout_seconds):
                        line = await _read_line(reader)
                    if not line:
                        return
                    yield _event(call, line)
        except (OSError, ConfigError) as error:
            raise ApiUnreachable(call, self._no_answer(error)) from error

    async def server_release(self) -> str:
        """The release of the API server as it calls itself, such as `v1.37.2`; "" where it does not say."""
        return str((await self._call("GET", "/version")).get("gitVersion", ""))

    async def server_version(self) -> tuple[int, int]:
        """Major and minor version of the API server."""
        document = await self._call("GET", "/version")
        numbers = [re.match(r"\d+", str(document.get(part, ""))) for part in ("major", "minor")]
        if not all(numbers):
            raise ApiUnreachable("GET /version", f"the answer names no version: {document!r}")
        major, minor = (int(match[0]) for match in numbers if match)
        return major, minor

    async def served(self, group: str) -> tuple[str, ...]:
        """The versions of an API group that the server has, the one it prefers first. NotFound (404) without any."""
        document = await self._call("GET", f"/apis/{quote(group, safe='')}")
        versions = [str(one.get("version")) for one in document.get("versions") or () if isinstance(one, dict)]
        preferred = str((document.get("preferredVersion") or {}).get("version"))
        return tuple(sorted(versions, key=lambda version: version != preferred))

    async def schema(self, group_version: str) -> Document:
        """The OpenAPI document of a version of a group, as `resource.k8s.io/v1`: every field that the server knows."""
        return await self._call("GET", f"/openapi/v3/apis/{quote(group_version)}")

    async def metrics(self) -> str:
        """What the API server measures of itself, as Prometheus reads it."""
        response = await self._send("GET", "/metrics", None)
        if response.status != 200:
            raise _refusal("GET /metrics", response)
        return response.body.decode("utf-8", "replace")

    async def _apply(
        self, part: str, resource: Resource, document: Mapping[str, Any], manager: str, *, force: bool
    ) -> Document:
        metadata = document["metadata"]
        path = resource.path(metadata["name"], metadata.get("namespace", ""))
        query = _query(fieldManager=manager, force="true" if force else "")
        return await self._object("PATCH", f"{path}{part}{query}", document)

    async def _object(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, decode: Decode = json.loads
    ) -> Document:
        document = await self._call(method, path, body, decode=decode)
        _check_object(f"{method} {path}", document)
        return document

    async def _call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, decode: Decode = json.loads
    ) -> Document:
        response = await self._send(method, path, None if body is None else json.dumps(body).encode())
        if not 200 <= response.status < 300:
            raise _refusal(f"{method} {path}", response)
        try:
            document = decode(response.body)
        except ValueError as error:
            raise ApiUnreachable(f"{method} {path}", f"the answer is not JSON: {describe(error)}") from error
        if not isinstance(document, dict):
            raise ApiUnreachable(f"{method} {path}", f"the answer is not a JSON object: {shorten(document)}")
        return document

    async def _send(self, method: str, path: str, body: bytes | None) -> Response:
        """One request. If the server no longer takes the token, once more with the one that there is now.

        It may have been read meanwhile for another request: what counts is what this one was sent with.
        """
        seconds, authorization = self._timeout_seconds, self._transport.authorization
        try:
            used = authorization.header()
            response = await self._transport.request(method, path, body, authorization=used, timeout_seconds=seconds)
            if response.status == 401 and (now := authorization.renewed()) != used:
                response = await self._transport.request(method, path, body, authorization=now, timeout_seconds=seconds)
        except (OSError, ConfigError) as error:
            raise ApiUnreachable(f"{method} {path}", self._no_answer(error)) from error
        return response

    def _no_answer(self, error: OSError | ConfigError) -> str:
        if isinstance(error, TimeoutError):
            return f"{self.server} did not answer in time"
        return f"{self.server} cannot be reached: {describe(error)}"


def _query(**parameters: str) -> str:
    given = {key: value for key, value in parameters.items() if value}
    return f"?{urlencode(given)}" if given else ""


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """One line, or nothing at the end. Raises ConnectionError for a line that is cut or has no end."""
    try:
        return await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise ConnectionError("the stream ended within an event") from error
        return b""
    except asyncio.LimitOverrunError as error:
        raise ConnectionError("an event is longer than any object can be") from error


def _event(call: str, line: bytes) -> WatchEvent:
    try:
        event = json.loads(line)
        kind, document = event["type"], event["object"]
    except (ValueError, KeyError, TypeError) as error:
        raise ApiUnreachable(call, f"an event is not a watch event: {describe(error)}") from error
    if kind == "ERROR" and isinstance(document, dict):
        code = document.get("code")
        raise _from_status(call, code if isinstance(code, int) else 0, document, {})
    if kind != "BOOKMARK":
        _check_object(call, document)
    return kind, document


def _metadata(document: Any) -> Mapping[str, Any]:
    metadata = document.get("metadata") if isinstance(document, Mapping) else None
    return metadata if isinstance(metadata, Mapping) else {}


def _check_object(call: str, document: Any) -> None:
    """Refuse what is not an object with an identity, as every object that an API server has is."""
    metadata = _metadata(document)
    if not all(isinstance(metadata.get(key), str) for key in ("name", "uid", "resourceVersion")):
        raise ApiUnreachable(call, f"the answer is not an object of the API: {shorten(document)}")


def _refusal(call: str, response: Response) -> ApiError:
    try:
        document = json.loads(response.body)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        text = response.body[:200].decode("utf-8", "replace").strip()
        document = {"message": text or "no reason was given"}
    return _from_status(call, response.status, document, response.headers)


def _from_status(call: str, status: int, document: Mapping[str, Any], headers: Mapping[str, str]) -> ApiError:
    message = str(document.get("message") or "no reason was given")
    return ApiError(call, status, str(document.get("reason") or "Unknown"), message, _retry_after(document, headers))


def _retry_after(document: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    """The server's wish in seconds: the header where it is a number, else what the Status says."""
    details = document.get("details")
    told = headers.get("retry-after") or (details.get("retryAfterSeconds") if isinstance(details, dict) else None)
    try:
        return max(0.0, float(told)) if told is not None else None
    except (TypeError, ValueError):
        return None
