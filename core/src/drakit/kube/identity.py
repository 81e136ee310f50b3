"""What credentials amount to right now: the Authorization header and the TLS context, as files are rotated."""

from __future__ import annotations

import os
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from drakit.errors import ConfigError
from drakit.kube.credentials import Credentials

TOKEN_SECONDS = 60.0
"""How long a token that was read is used before it is read again, even if its file looks unchanged."""


def _stamps(*paths: Path | None) -> tuple[tuple[int, int, int], ...]:
    """What changes when one of the files does. Raises OSError."""
    found = [os.stat(path) for path in paths if path is not None]
    return tuple((stat.st_mtime_ns, stat.st_ino, stat.st_size) for stat in found)


class Authorization:
    """The value of the Authorization header, read again when the token's file changes or has been used for a minute."""

    def __init__(self, credentials: Credentials, clock: Callable[[], float] = time.monotonic) -> None:
        self._credentials = credentials
        self._clock = clock
        self._header = ""
        self._stamp: tuple[tuple[int, int, int], ...] = ()
        self._read_at = 0.0

    def header(self) -> str:
        """The header's value, "" for none. Raises ConfigError where the token cannot be used."""
        if self._credentials.authorize is not None:
            return _one_line(self._credentials.authorize(), "the kubeconfig's credentials")
        path = self._credentials.token_file
        if path is None:
            return ""
        try:
            stamp = _stamps(path)
            if stamp != self._stamp or self._clock() - self._read_at >= TOKEN_SECONDS:
                token = path.read_text("latin-1")  # any bytes can be read so; only ASCII passes
                self._header = f"Bearer {_one_line(token, str(path))}"
                self._stamp, self._read_at = stamp, self._clock()
        except OSError as error:
            # The kubelet swaps the file; a token that was good a moment ago is better than none.
            if not self._header:
                raise ConfigError(f"token {path} cannot be read: {error.strerror or error}") from error
        return self._header

    def renewed(self) -> str:
        """The header's value as its source has it now, because the server refused it. Raises as `header`."""
        if self._credentials.renew is not None:
            self._credentials.renew()
        self._stamp = ()
        return self.header()


def _one_line(token: str, where: str) -> str:
    token = token.strip()
    if not token.isascii() or not token.isprintable():
        raise ConfigError(f"the token of {where} is not one line of ASCII text")
    return token


class Trust:
    """The TLS context for new connections, made again when a file of it changes."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._context: ssl.SSLContext | None = None
        self._stamp: tuple[tuple[int, int, int], ...] = ()

    def context(self) -> ssl.SSLContext:
        """The context. Raises ConfigError where a file of it cannot be used and never could be."""
        credentials = self._credentials
        try:
            stamp = _stamps(credentials.ca_file, credentials.client_certificate, credentials.client_key)
            if self._context is None or stamp != self._stamp:
                self._context, self._stamp = _make_context(credentials), stamp
        except (OSError, ValueError) as error:  # SSLError is an OSError
            if self._context is None:
                raise ConfigError(f"certificates for {credentials.server} cannot be used: {error}") from error
        return self._context


def _make_context(credentials: Credentials) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=credentials.ca_file)
    # Cluster CAs are often older than the strictness that Python 3.13 made the default.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not credentials.verify_server:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if credentials.client_certificate is not None:
        context.load_cert_chain(credentials.client_certificate, credentials.client_key)
    return context
