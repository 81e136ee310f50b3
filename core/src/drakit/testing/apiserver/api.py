"""The API: from a request to an answer, without any wire."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from attrs import field, frozen

from drakit.decoding import load_yaml
from drakit.errors import ConfigError
from drakit.testing.apiserver.registry import NOBODY, Part, Registry
from drakit.testing.apiserver.resources import RESOURCES, Target, locate
from drakit.testing.apiserver.selectors import selector
from drakit.testing.apiserver.status import (
    Cause,
    Refusal,
    bad_request,
    invalid_options,
    method_not_allowed,
    unsupported_media_type,
)
from drakit.testing.apiserver.store import Store, Stored
from drakit.testing.apiserver.watching import Watch

_MERGE_PATCH = "application/merge-patch+json"
_APPLY_PATCH = "application/apply-patch+yaml"
_TRUE = ("1", "true", "True")
_VERSIONS = {group: (version,) for group, version in {(one.group, one.version) for one in RESOURCES if one.group}}
"""The versions of each API group."""


@frozen
class Request:
    """One HTTP request. Header names are in lower case."""

    method: str
    path: str
    query: str = ""
    headers: Mapping[bytes, bytes] = field(factory=dict)
    body: bytes = b""

    @property
    def target(self) -> str:
        """Path and query, as they came."""
        return f"{self.path}?{self.query}" if self.query else self.path

    @property
    def parameters(self) -> dict[str, str]:
        """The query; of a parameter given twice, the last."""
        return dict(parse_qsl(self.query, keep_blank_values=True)) if self.query else {}

    @property
    def manager(self) -> str:
        """Whose the fields are that it writes: as it says itself, or the program that sent it."""
        agent = self.headers.get(b"user-agent", b"").decode("latin-1").partition("/")[0]
        return self.parameters.get("fieldManager") or agent or NOBODY


@frozen
class Response:
    """One HTTP response."""

    code: int
    body: bytes
    content_type: bytes = b"application/json"
    retry_after: int | None = None
    cut: bool = False
    """Whether the connection is reset before the end of the body."""


def refused(refusal: Refusal) -> Response:
    """The answer for a request that is not carried out."""
    return Response(refusal.code, refusal.body())


class Api:
    """Answers requests as kube-apiserver does, as of a release such as `v1.36.2`."""

    def __init__(self, store: Store, git_version: str) -> None:
        self.store = store
        self.minor = _minor(git_version)
        self.git_version = git_version
        self.registry = Registry(store, self.minor)
        self.token: str | None = None

    def upgrade(self, git_version: str) -> None:
        """Answer as another release from now on."""
        self.minor = self.registry.minor = _minor(git_version)
        self.git_version = git_version

    def answer(self, request: Request) -> Response | Watch:
        """The answer to one request; a Watch is to be streamed."""
        try:
            return self._answer(request)
        except Refusal as refusal:
            return refused(refusal)

    def _answer(self, request: Request) -> Response | Watch:
        if self.token is not None and request.headers.get(b"authorization") != b"Bearer " + self.token.encode():
            raise Refusal(401, "Unauthorized", "Unauthorized")
        target = locate(request.path)
        if isinstance(target, Refusal):
            return self._about_the_server(request.path) or refused(target)
        if request.method == "GET":
            if target.name:
                return Response(200, self.registry.read(target).body)
            return self._list_or_watch(target, request.parameters)
        return self._write(target, request)

    def _write(self, target: Target, request: Request) -> Response:
        part: Part = "status" if target.status else "main"
        match request.method:
            case "POST" if not target.name:
                document = _json_object(request.body)
                return Response(201, self.registry.create(target, document, manager=request.manager).body)
            case "PUT" if target.name:
                document = _json_object(request.body)
                return Response(200, self.registry.replace(target, document, part, request.manager).body)
            case "PATCH" if target.name:
                return self._patch(target, request, part)
            case "DELETE" if target.name and not target.status:
                return self._delete(target, request)
            case "DELETE" if not target.name:
                return self._delete_collection(target, request)
            case _:
                raise method_not_allowed(request.method, request.path)

    def _about_the_server(self, path: str) -> Response | None:
        if path in ("/readyz", "/livez", "/healthz"):
            return Response(200, b"ok", b"text/plain")
        if path == "/version":
            version = {"major": "1", "minor": str(self.minor), "gitVersion": self.git_version}
            return Response(200, json.dumps(version).encode())
        if (group := path.removeprefix("/apis/")) in _VERSIONS:
            versions = [{"groupVersion": f"{group}/{one}", "version": one} for one in _VERSIONS[group]]
            found = {"kind": "APIGroup", "apiVersion": "v1", "name": group, "versions": versions}
            return Response(200, json.dumps(found | {"preferredVersion": versions[0]}).encode())
        return None

    def _list_or_watch(self, target: Target, parameters: Mapping[str, str]) -> Response | Watch:
        if parameters.get("watch") in _TRUE:
            return self._watch(target, parameters)
        return self._list(target, parameters)

    def _list(self, target: Target, parameters: Mapping[str, str]) -> Response:
        resource = target.resource
        with self.store.changed:
            selected = self._selected(target, parameters)
            version, start = self._continued(parameters.get("continue", ""))
        metadata: dict[str, Any] = {"resourceVersion": str(version)}
        if start is not None:
            selected = [item for item in selected if item[0] > start]
        limit = _integer(parameters, "limit") or 0
        if limit and len(selected) > limit:
            metadata["continue"] = _token(version, selected[limit - 1][0])
            metadata["remainingItemCount"] = len(selected) - limit
            selected = selected[:limit]
        head = json.dumps({"kind": f"{resource.kind}List", "apiVersion": resource.api_version, "metadata": metadata})
        skipped = len(resource.prefix)
        items = b",".join([b"{" + stored.body[skipped:] for _, stored in selected])
        return Response(200, b'%s,"items":[%s]}' % (head[:-1].encode(), items))

    def _selected(self, target: Target, parameters: Mapping[str, str]) -> list[tuple[tuple[str, str], Stored]]:
        labels, fields = parameters.get("labelSelector", ""), parameters.get("fieldSelector", "")
        chosen = selector(target.resource, self.minor, labels, fields)
        objects = self.store.objects(target.resource, target.namespace)
        return objects if chosen is None else [item for item in objects if chosen(item[1].document)]

    def _continued(self, token: str) -> tuple[int, tuple[str, str] | None]:
        """The version a list is of, and the key after which it goes on. Raises Refusal (400 or 410)."""
        if not token:
            return self.store.version, None
        try:
            version, namespace, name = json.loads(base64.urlsafe_b64decode(token))
        except ValueError:
            raise bad_request("continue key is not valid") from None
        self.store.changes(version)
        return version, (namespace, name)

    def _watch(self, target: Target, parameters: Mapping[str, str]) -> Watch:
        bookmarks = parameters.get("allowWatchBookmarks") in _TRUE
        initial = parameters.get("sendInitialEvents") in _TRUE
        if initial and not (bookmarks and parameters.get("resourceVersionMatch") == "NotOlderThan"):
            rule = "Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            raise invalid_options("ListOptions", Cause("resourceVersionMatch", rule, "FieldValueForbidden"))
        version = _integer(parameters, "resourceVersion")
        labels, fields = parameters.get("labelSelector", ""), parameters.get("fieldSelector", "")
        return Watch(
            self.store,
            target.resource,
            target.namespace,
            selector(target.resource, self.minor, labels, fields),
            since=None if initial else version or None,
            bookmarks=bookmarks,
            ends_initial_events=initial,
            timeout_seconds=_integer(parameters, "timeoutSeconds"),
        )

    def _patch(self, target: Target, request: Request, part: Part) -> Response:
        kind = request.headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip()
        if kind == _MERGE_PATCH:
            patch = _json_object(request.body)
        elif kind == _APPLY_PATCH:
            patch = _yaml_object(request.body)
            if not (patch.get("apiVersion") and patch.get("kind")):
                raise bad_request("an apply patch must have apiVersion and kind")
            if not request.parameters.get("fieldManager"):
                raise invalid_options(
                    "PatchOptions", Cause("fieldManager", "Required value: is required for apply patch")
                )
        else:
            raise unsupported_media_type(kind, (_MERGE_PATCH, _APPLY_PATCH))
        apply, force = kind == _APPLY_PATCH, request.parameters.get("force") in _TRUE
        stored = self.registry.patch(target, patch, part, apply=apply, force=force, manager=request.manager)
        return Response(200, stored.body)

    def _delete(self, target: Target, request: Request) -> Response:
        options = _json_object(request.body) if request.body else {}
        resource = target.resource
        with self.store.changed:
            before = self.registry.read(target)
            remaining = self.registry.delete(target, options.get("preconditions") or {})
        if remaining is not None or resource.returns_deleted:
            return Response(200, (remaining or before).body)
        uid = before.document["metadata"]["uid"]
        return _success({"name": target.name, "group": resource.group, "kind": resource.plural, "uid": uid})

    def _delete_collection(self, target: Target, request: Request) -> Response:
        with self.store.changed:
            for (namespace, name), _ in self._selected(target, request.parameters):
                self.registry.delete(Target(target.resource, namespace, name), {})
        return _success({"group": target.resource.group, "kind": target.resource.plural})


def _minor(git_version: str) -> int:
    match = re.match(r"v1\.(\d+)\.", git_version)
    if match is None:
        raise ValueError(f"the git version must be like v1.36.2, not {git_version!r}")
    return int(match[1])


def _success(details: dict[str, str]) -> Response:
    status = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return Response(200, json.dumps(status).encode())


def _integer(parameters: Mapping[str, str], name: str) -> int | None:
    """A parameter that is a whole number; None if it is absent or empty."""
    text = parameters.get(name, "")
    if not re.fullmatch(r"\d{0,18}", text, re.ASCII):
        raise bad_request(f"{name} must be a whole number, not {text!r}")
    return int(text) if text else None


def _token(version: int, key: tuple[str, str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([version, *key]).encode()).decode()


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise bad_request(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise bad_request("the body is not a JSON object")
    return document


def _yaml_object(body: bytes) -> dict[str, Any]:
    try:
        documents = load_yaml(body.decode(), "the body")
    except (ConfigError, UnicodeDecodeError) as error:
        raise bad_request(str(error)) from None
    if len(documents) != 1 or not isinstance(documents[0], dict):
        raise bad_request("the body is not one YAML mapping")
    return documents[0]
