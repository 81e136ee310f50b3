"""What the server says when it does not do what was asked: Kubernetes' Status objects."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from drakit.testing.apiserver.resources import Resource


@frozen
class Cause:
    """One reason why a document is invalid. `reason` is one of Kubernetes' FieldValue… words."""

    field: str
    message: str
    reason: str = "FieldValueInvalid"


class Refusal(Exception):
    """A request that is not carried out, with the Status that says why. `code` is the HTTP status."""

    def __init__(self, code: int, reason: str, message: str, details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details or {}

    def status(self) -> dict[str, Any]:
        """The Status document."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }

    def body(self) -> bytes:
        """The Status document, encoded."""
        return json.dumps(self.status(), separators=(",", ":")).encode()


def bad_request(message: str) -> Refusal:
    """400: the request cannot be understood."""
    return Refusal(400, "BadRequest", message)


def not_found(resource: Resource, name: str) -> Refusal:
    """404 for an object."""
    return Refusal(404, "NotFound", f'{resource.qualified} "{name}" not found', _details(resource, name))


def no_such_path(path: str) -> Refusal:
    """404 for a path that is no resource this server knows."""
    return Refusal(404, "NotFound", f"the server could not find the requested resource: {path}")


def method_not_allowed(method: str, path: str) -> Refusal:
    """405."""
    return Refusal(405, "MethodNotAllowed", f"{method} is not possible on {path}")


def already_exists(resource: Resource, name: str) -> Refusal:
    """409 on create."""
    return Refusal(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', _details(resource, name))


def conflict(resource: Resource, name: str, why: str) -> Refusal:
    """409 on update or delete: what the client knows of the object is not what it is."""
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return Refusal(409, "Conflict", message, _details(resource, name))


def expired(version: int, oldest: int) -> Refusal:
    """410: the history does not reach back to a resource version."""
    return Refusal(410, "Expired", f"too old resource version: {version} ({oldest})")


def unsupported_media_type(given: str, accepted: Sequence[str]) -> Refusal:
    """415 for a patch of a kind this server does not do."""
    message = (
        f"the body of the request was in an unknown format ({given or 'none'}); accepted are {', '.join(accepted)}"
    )
    return Refusal(415, "UnsupportedMediaType", message)


def invalid(resource: Resource, name: str, causes: Sequence[Cause]) -> Refusal:
    """422 with every cause."""
    whole = "; ".join(f"{cause.field}: {cause.message}" for cause in causes)
    details = _details(resource, name) | {
        "kind": resource.kind,
        "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes],
    }
    group = f".{resource.group}" if resource.group else ""
    return Refusal(422, "Invalid", f'{resource.kind}{group} "{name}" is invalid: {whole}', details)


def invalid_options(kind: str, cause: Cause) -> Refusal:
    """422 for a query that asks for what does not go together, such as one of `ListOptions`."""
    causes = [{"reason": cause.reason, "message": cause.message, "field": cause.field}]
    message = f'{kind}.meta.k8s.io "" is invalid: {cause.field}: {cause.message}'
    return Refusal(422, "Invalid", message, {"group": "meta.k8s.io", "kind": kind, "causes": causes})


def _details(resource: Resource, name: str) -> dict[str, Any]:
    details = {"name": name, "kind": resource.plural}
    return details | {"group": resource.group} if resource.group else details
