"""Faults to inject: what goes wrong with the requests to come."""

from __future__ import annotations

import json
import threading

from attrs import define, field

from drakit.testing.apiserver.api import Request, Response

REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


@define(eq=False)
class Fault:
    """What happens to the next `remaining` requests that match.

    They are answered with `response`; or carried out, and the connection reset within the answer, if `cut`; or left
    without an answer.
    """

    remaining: int
    response: Response | None
    method: str | None = None
    path_contains: str | None = None
    cut: bool = False

    @property
    def holds(self) -> bool:
        """Whether no answer is given."""
        return self.response is None and not self.cut

    def matches(self, request: Request) -> bool:
        """Is this request one of them? `path_contains` is looked for in path and query."""
        return self.method in (None, request.method) and (self.path_contains or "") in request.target


@define
class Faults:
    """The faults that are due, first come first served. Safe from any thread."""

    _due: list[Fault] = field(factory=list, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)

    def add(self, fault: Fault) -> None:
        """From now on."""
        with self._lock:
            self._due.append(fault)

    def clear(self) -> None:
        """From now on nothing goes wrong."""
        with self._lock:
            self._due.clear()

    def end_hanging(self) -> None:
        """From now on every request is answered again."""
        with self._lock:
            self._due = [fault for fault in self._due if not fault.holds]

    def take(self, request: Request) -> Fault | None:
        """The fault this request meets, if any."""
        if not self._due:
            return None
        with self._lock:
            for fault in self._due:
                if fault.matches(request):
                    fault.remaining -= 1
                    if not fault.remaining:
                        self._due.remove(fault)
                    return fault
        return None


GARBAGE = Response(200, b'{"kind": "List", "items": [\x00')
"""What a broken proxy may make of an answer: a success that nobody can read."""


def failure(status: int, retry_after: int | None, message: str) -> Response:
    """An error answer as a server in trouble gives it."""
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": REASONS.get(status, "Unknown"),
        "code": status,
    }
    return Response(status, json.dumps(document).encode(), retry_after=retry_after)
