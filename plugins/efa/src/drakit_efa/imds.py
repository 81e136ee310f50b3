"""What EC2's instance metadata service (IMDS) says of a network interface: asked by IMDSv2, and doubted.

Facts: the EC2 User Guide on instance metadata, and AWS's own VPC CNI, which knows a card as `network-card` and has an
interface that says none on card 0. The guide once had it as `network-card-index`. Proxies are not used, redirections
not followed: the service is link-local.
"""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from drakit import AttributeValue

from drakit_efa.devices import OWN

INTERFACE_ID = f"{OWN}/interfaceId"
NETWORK_CARD = f"{OWN}/networkCard"
DEVICE_NUMBER = f"{OWN}/deviceNumber"
SUBNET_ID = f"{OWN}/subnetId"
VPC_ID = f"{OWN}/vpcId"

TOKEN = "/latest/api/token"  # noqa: S105 - a path
INTERFACES = "/latest/meta-data/network/interfaces/macs"

_LIFE_HEADER, _TOKEN_HEADER = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
_LIFE_SECONDS = 60
"""Of a token: long enough for one round of questions."""
_MAX_BYTES = 1024
"""The most that an answer may have; a token has 56."""
_TOKEN_FORM = re.compile(r"[!-~]{1,512}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,4}", re.ASCII)
_OK, _BAD_REQUEST, _UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _NOT_ALLOWED = 200, 400, 401, 403, 404, 405


class NoAnswer(Exception):
    """IMDS did not say what it was asked. The message says why, and what to do; it is the same each time."""


class Session:
    """One round of questions over one connection. Raises NoAnswer wherever it gets no good answer."""

    def __init__(self, endpoint: str, timeout_seconds: float) -> None:
        """Connects to nothing yet. The bound is that of each wait for the network."""
        parts = urlsplit(endpoint)
        self._endpoint = endpoint
        self._connection = HTTPConnection(parts.hostname or "", parts.port or 80, timeout=timeout_seconds)
        self._token = ""
        self._aborted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def abort(self) -> None:
        """End the round, from any thread: whoever waits for an answer is told at once that there is none."""
        self._aborted = True
        if (connected := self._connection.sock) is not None:
            with contextlib.suppress(OSError):
                connected.shutdown(socket.SHUT_RDWR)

    def interface(self, mac: str) -> Mapping[str, AttributeValue] | None:
        """The attributes of the interface with this MAC; None where the instance has no such interface."""
        interface = self._word(mac, "interface-id", "eni")
        if interface is None:
            return None
        card = self._number(mac, "network-card")
        if card is None:
            card = self._number(mac, "network-card-index")
        found: dict[str, AttributeValue | None] = {
            INTERFACE_ID: interface,
            NETWORK_CARD: card or 0,
            DEVICE_NUMBER: self._number(mac, "device-number"),
            SUBNET_ID: self._word(mac, "subnet-id", "subnet"),
            VPC_ID: self._word(mac, "vpc-id", "vpc"),
        }
        return {name: value for name, value in found.items() if value is not None}

    def _begin(self) -> None:
        """Get a token."""
        status, text = self._ask("PUT", TOKEN, {_LIFE_HEADER: str(_LIFE_SECONDS)})
        if status == _FORBIDDEN:
            raise NoAnswer(
                f"instance metadata is turned off for this instance (403 at {self._endpoint}); turn it on (aws ec2 "
                "modify-instance-metadata-options --http-endpoint enabled), or set imds.enabled: false"
            )
        if status in (_BAD_REQUEST, _NOT_FOUND, _NOT_ALLOWED):
            raise NoAnswer(f"{self._endpoint} gives no IMDSv2 token ({status}); check imds.endpoint")
        if status != _OK:
            raise self._unexpected(status)
        if not _TOKEN_FORM.fullmatch(text):
            raise NoAnswer(f"what {self._endpoint} gives is no IMDSv2 token; check imds.endpoint")
        self._token = text

    def _word(self, mac: str, key: str, kind: str) -> str | None:
        return self._get(mac, key, re.compile(rf"{kind}-[0-9a-z]{{1,40}}", re.ASCII))

    def _number(self, mac: str, key: str) -> int | None:
        text = self._get(mac, key, _NUMBER)
        return None if text is None else int(text)

    def _get(self, mac: str, key: str, form: re.Pattern[str]) -> str | None:
        """One fact of an interface; None where there is none of it."""
        if not self._token:
            self._begin()
        status, text = self._ask("GET", f"{INTERFACES}/{mac}/{key}", {_TOKEN_HEADER: self._token})
        if status == _NOT_FOUND:
            return None
        if status != _OK:
            raise self._unexpected(status)
        if not form.fullmatch(text):
            raise NoAnswer(f"what {self._endpoint} says of {key} is none; check imds.endpoint")
        return text

    def _ask(self, method: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        """Status and text of an answer; "" for what is no text."""
        try:
            if self._connection.sock is None:
                self._connection.connect()
            if self._aborted:  # while it connected, when there was nothing to shut down
                raise ConnectionError("given up")
            self._connection.request(method, path, headers=dict(headers))
            response = self._connection.getresponse()
            with response:
                body = response.read(_MAX_BYTES + 1)
                if response.length and len(body) <= _MAX_BYTES:
                    raise ConnectionError("the answer broke off")
        except OSError as error:
            why = "no answer in time" if isinstance(error, TimeoutError) else error.strerror or str(error)
            raise NoAnswer(
                f"instance metadata cannot be read at {self._endpoint} ({why}); from a container it takes a hop "
                "limit of 2 (aws ec2 modify-instance-metadata-options --http-put-response-hop-limit 2) or the host's "
                "network; else set imds.enabled: false"
            ) from None
        except (HTTPException, ValueError):
            raise NoAnswer(f"what answers at {self._endpoint} does not speak HTTP; check imds.endpoint") from None
        if len(body) > _MAX_BYTES:
            raise NoAnswer(f"what {self._endpoint} answers is too long for instance metadata; check imds.endpoint")
        return response.status, body.decode("ascii", "replace").strip()

    def _unexpected(self, status: int) -> NoAnswer:
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            return NoAnswer(
                f"{self._endpoint} refuses what it is asked ({status}); see whether a firewall, or what stands in for "
                "instance metadata on this node, lets the agent read it"
            )
        return NoAnswer(f"{self._endpoint} answers with {status}; if that lasts, check imds.endpoint")
