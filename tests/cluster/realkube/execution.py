"""Running a program in a container through the API server, as `kubectl exec` does."""

from __future__ import annotations

import json
import socket
import ssl
from typing import Any
from urllib.parse import urlencode

import websocket
from attrs import frozen

from realkube.api import Api, Document

_STDOUT, _STDERR, _STATUS = 1, 2, 3
_PROTOCOL = "v5.channel.k8s.io"
_BOUND_SECONDS = 60


@frozen
class Executed:
    """What came of it."""

    code: int
    output: str
    errors: str


def execute(api: Api, pod: Document, container: str, *command: str) -> Executed:
    """Run a program to its end, which may be bad. Raises OSError or WebSocketException where it cannot be started."""
    query = urlencode({"container": container, "stdout": 1, "stderr": 1, "command": command}, doseq=True)
    metadata = pod["metadata"]
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/exec?{query}"
    trust = ssl.create_default_context(cafile=api.authority)
    with api.entering():
        plain = socket.create_connection((api.host, api.port), _BOUND_SECONDS)
    connection = websocket.create_connection(
        f"wss://{api.host}:{api.port}{path}",
        socket=trust.wrap_socket(plain, server_hostname=api.host),
        header={"Authorization": f"Bearer {api.token}"},
        subprotocols=[_PROTOCOL],
    )
    said = {_STDOUT: b"", _STDERR: b"", _STATUS: b""}
    try:
        while not said[_STATUS]:
            data = connection.recv()
            if isinstance(data, bytes) and data:
                said[data[0]] += data[1:]
    finally:
        connection.close()
    return Executed(_exit_code(json.loads(said[_STATUS])), said[_STDOUT].decode(), said[_STDERR].decode())


def _exit_code(status: dict[str, Any]) -> int:
    if status["status"] == "Success":
        return 0
    for cause in status.get("details", {}).get("causes", ()):
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    raise ConnectionError(f"the program was not started: {status.get('message')}")
