"""The TCP ports where somebody may ask how the agent is."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable

from drakit.decoding import camel
from drakit.errors import ConfigError
from drakit.settings import VARIABLES, Settings
from drakit.vitals.state import Vitals

log = logging.getLogger(__name__)

MOST_REQUESTS = 16
"""How many requests are answered at once. Those who ask are a kubelet and a few scrapers."""
_BACKLOG = 64
_REST_SECONDS = 1.0


class Ports:
    """The ports of one agent: bound on construction, served once there is something to tell, closed at the end.

    Whoever connects before they are served is answered then. Raises ConfigError for a port that cannot be had.
    """

    def __init__(self, settings: Settings) -> None:
        self._closed = threading.Event()
        self._topics: dict[int, set[str]] = {}
        self._listeners: dict[int, socket.socket] = {}
        for name in ("healthcheck_port", "metrics_port"):
            port: int = getattr(settings, name)
            if port > 0:
                self._topics.setdefault(port, set()).add(name)
                if port not in self._listeners:
                    self._listeners[port] = self._bind(name, port)

    def __bool__(self) -> bool:
        return bool(self._listeners)

    def serve(self, vitals: Vitals) -> None:
        """Begin to answer, on threads that hold up nothing, least of all the exit of the process."""
        for port, listener in self._listeners.items():
            threading.Thread(
                target=self._serve, args=(listener, self._topics[port], vitals), name=f"port {port}", daemon=True
            ).start()

    def close(self) -> None:
        """Stop listening. Does not wait for requests under way."""
        self._closed.set()
        for listener in self._listeners.values():
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # this wakes who waits in accept; to close alone does not
            listener.close()

    def _bind(self, name: str, port: int) -> socket.socket:
        try:
            if socket.has_dualstack_ipv6():
                return socket.create_server(("", port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
            return socket.create_server(("", port), backlog=_BACKLOG)
        except OSError as error:
            self.close()
            raise ConfigError(
                f"{camel(name)} ({VARIABLES[name]}): port {port} cannot be served: {error.strerror}; set another one, "
                f"or 0 for none"
            ) from None

    def _serve(self, listener: socket.socket, topics: set[str], vitals: Vitals) -> None:
        # Imported on this thread: it takes tens of milliseconds, in which the loop goes on.
        from drakit.vitals.pages import make_pages
        from drakit.vitals.web import answer

        pages = make_pages(vitals, health="healthcheck_port" in topics, metrics="metrics_port" in topics)
        free = threading.BoundedSemaphore(MOST_REQUESTS)

        def work(connection: socket.socket) -> None:
            try:
                answer(connection, pages)
            finally:
                free.release()

        self._accept(listener, free, work)

    def _accept(
        self, listener: socket.socket, free: threading.BoundedSemaphore, work: Callable[[socket.socket], None]
    ) -> None:
        while True:
            free.acquire()
            try:
                _work_on(listener.accept()[0], work)
            except (OSError, RuntimeError) as error:  # closed, or too many files or threads for now
                free.release()
                if self._closed.wait(_REST_SECONDS):
                    return
                log.warning("a request could not be taken: %s", error)


def _work_on(connection: socket.socket, work: Callable[[socket.socket], None]) -> None:
    try:
        threading.Thread(target=work, args=(connection,), daemon=True).start()
    except RuntimeError:
        connection.close()
        raise
