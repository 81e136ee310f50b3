"""What became of the requests to the API server: counted by method and answer, and since when there is none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from drakit.tally import Calls

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "WATCH")
"""As on the wire, but for a watch: that is a GET whose answer has no end, and is counted when its headers are there."""
NO_ANSWER = "none"
CODES = ("2xx", "3xx", "4xx", "5xx", NO_ANSWER)


class Request:
    """One request under way. Whoever sends it sets the status when there is one."""

    __slots__ = ("status",)

    def __init__(self) -> None:
        self.status = 0


class Requests:
    """All requests of one client. One thread sends, any may read."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.calls = {method: Calls(*CODES) for method in METHODS}
        self._clock = clock
        self._unanswered_since: float | None = None

    @property
    def outage_seconds(self) -> float:
        """For how long no request was answered, or only with a 5xx; 0 while they are, and while none are sent."""
        since = self._unanswered_since
        return 0.0 if since is None else self._clock() - since

    @contextlib.contextmanager
    def one(self, method: str) -> Iterator[Request]:
        """Count one request, by its status or as unanswered. One that is cancelled says nothing of the server."""
        request, begin = Request(), self._clock()
        try:
            yield request
        except OSError:
            self._add(method, NO_ANSWER, begin)
            raise
        self._add(method, f"{min(request.status // 100, 5)}xx", begin)

    def _add(self, method: str, code: str, begin: float) -> None:
        now = self._clock()
        self.calls[method].add(code, now - begin)
        if code not in (NO_ANSWER, "5xx"):
            self._unanswered_since = None
        elif self._unanswered_since is None:
            self._unanswered_since = begin
