"""One HTTP request: a page is looked up, made and sent. To be imported late, for `http.server` is large."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import BaseServer
from typing import Any, cast

from attrs import frozen

from drakit.errors import describe

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 2.0
"""For each read and write: those who fall silent must not keep the threads that a liveness probe waits for."""
TEXT = "text/plain; charset=utf-8"


@frozen
class Page:
    """What is answered."""

    body: str
    status: HTTPStatus = HTTPStatus.OK
    content_type: str = TEXT


Pages = Mapping[str, Callable[[], Page]]
"""By path, what makes a page. Called on any thread, and several at a time."""


def answer(connection: socket.socket, pages: Pages) -> None:
    """Answer one request and close the connection. Raises nothing."""
    with connection:
        try:
            _Handler(connection, pages)
        except OSError as error:
            log.debug("a request was not answered to its end: %s", error)
        except Exception:
            log.exception("a request could not be answered")


class _Handler(BaseHTTPRequestHandler):
    """See `http.server`: it handles the request while it is constructed."""

    server_version = "drakit"
    sys_version = ""
    timeout = PATIENCE_SECONDS

    def __init__(self, connection: socket.socket, pages: Pages) -> None:
        self._pages = pages
        super().__init__(connection, connection.getpeername(), cast("BaseServer", None))

    def do_GET(self) -> None:
        """Send the page."""
        page = self._make()
        body = page.body.encode()
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of `http.server`
        """Requests are many, and no news."""
        log.debug(format, *args)

    def _make(self) -> Page:
        make = self._pages.get(self.path.partition("?")[0])
        if make is None:
            return Page(f"there is no such page; there are {', '.join(self._pages)}\n", HTTPStatus.NOT_FOUND)
        try:
            return make()
        except Exception as error:
            log.exception("page %s cannot be made", self.path)
            return Page(f"{describe(error)}\n", HTTPStatus.INTERNAL_SERVER_ERROR)
