"""What others answer: drakit's own commands, the agent on its ports, and the API server. Each within a bound."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

from drakit.agent import credentials_of
from drakit.cli.support.bundle import Absent, Bundle, Part, fail
from drakit.errors import ConfigError
from drakit.kube.client import NODES, RESOURCE_SLICES, KubeClient
from drakit.settings import Settings

COMMANDS = ("plugins", "check", "inventory", "slices")
"""They load plugins, which may hang or bring their process down: so each runs in one of its own."""
COMMAND_SECONDS = 60.0
REQUEST_SECONDS = 5.0
_PROGRAM = "from drakit.cli import main; main(prog_name='drakit')"
_FINDING = 1
_GOOD = 200


def collect_commands(bundle: Bundle, options: dict[str, Sequence[str]], seconds: float = COMMAND_SECONDS) -> None:
    """What the commands that look at a node say; `options` are those of each. All run at once, within one bound."""
    end = time.monotonic() + seconds
    running = {name: _start(name, options[name]) for name in COMMANDS}
    for name, process in running.items():
        with bundle.part(f"drakit {name}") as part:
            try:
                out, err = process.communicate(timeout=max(0.0, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                fail(part, TimeoutError(f"drakit {name} did not end within {seconds:g} s"))
            _add_output(bundle, part, name, out, err)
            if process.returncode not in (0, _FINDING) and not part.why:
                fail(part, ChildProcessError(f"drakit {name} ended with code {process.returncode}: {_last(err)}"))


def _start(name: str, options: Sequence[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", _PROGRAM, name, *options, "-o", "json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def _add_output(bundle: Bundle, part: Part, name: str, out: str, err: str) -> None:
    try:
        bundle.add(part, f"commands/{name}.json", json.loads(out))
    except ValueError:
        if out:
            bundle.add(part, f"commands/{name}.out", out)
    if err:
        bundle.add(part, f"commands/{name}.err", err)


def _last(text: str) -> str:
    return text.strip().rpartition("\n")[2]


def collect_ports(bundle: Bundle, settings: Settings) -> None:
    """What the agent that runs here says of itself."""
    ports = {
        "metrics": ("metricsPort", settings.metrics_port),
        "livez": ("healthcheckPort", settings.healthcheck_port),
        "readyz": ("healthcheckPort", settings.healthcheck_port),
    }
    for name, (setting, port) in ports.items():
        with bundle.part(f"agent's /{name}") as part:
            if port <= 0:
                raise Absent(f"{setting} is not set")
            bundle.add(part, f"agent/{name}.txt", _fetch(f"http://127.0.0.1:{port}/{name}"))


def _fetch(url: str) -> str:
    """The answer, of whatever status. Raises OSError."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=REQUEST_SECONDS) as answer:
            body: bytes = answer.read()
            status: int = answer.status
    except urllib.error.HTTPError as error:
        with error:
            status, body = error.code, error.read()
    told = "" if status == _GOOD else f"HTTP {status}\n"
    return told + body.decode(errors="replace")


def collect_api(bundle: Bundle, settings: Settings) -> None:
    """What the API server has of this node: the Node, and the slices that are published for it."""
    with bundle.part("API server") as part:
        if not settings.node_name:
            raise Absent("the node's name is not known; give --node-name")
        try:
            credentials = credentials_of(settings)
        except ConfigError as error:
            raise Absent(str(error)) from None
        asyncio.run(_ask(bundle, part, KubeClient(credentials, timeout_seconds=REQUEST_SECONDS), settings.node_name))


async def _ask(bundle: Bundle, part: Part, client: KubeClient, node: str) -> None:
    try:
        major, minor = await client.server_version()
        bundle.add(part, "api/version.json", {"major": major, "minor": minor})
        questions = {
            "node": client.get(NODES, node),
            "resourceslices": client.list(RESOURCE_SLICES, field_selector=f"spec.nodeName={node}"),
        }
        answers = await asyncio.gather(*questions.values(), return_exceptions=True)
        for name, answer in zip(questions, answers, strict=True):
            if isinstance(answer, BaseException):
                fail(part, answer)
            else:
                bundle.add(part, f"api/{name}.json", _without_managed_fields(answer))
    finally:
        await client.close()


def _without_managed_fields(document: Any) -> Any:
    for item in (document, *(document.get("items") or ())):
        (item.get("metadata") or {}).pop("managedFields", None)
    return document
