"""A process that has drakit imported and forks an agent whenever it is told, so that an agent costs milliseconds.

Commands and answers are lines of JSON. Ends with its standard input, and takes its agents along.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from typing import Any

import steps

steps.install()

import drakit.agent  # noqa: E402 - after the wrapping, and before the fork
import drakit.cli.agent  # noqa: E402, F401
from drakit.cli import main  # noqa: E402
from drakit.loading import load_installed  # noqa: E402
from drakit.settings import parse_settings  # noqa: E402

CONFIGURATION = "{apiVersion: drakit/v1alpha1, kind: AgentConfiguration, backends: [{plugin: plain}]}"


def start(command: dict[str, Any]) -> dict[str, Any]:
    """Fork an agent."""
    pid = os.fork()
    if pid == 0:
        _become_agent(command)
    agents.add(pid)
    return {"pid": pid}


def look(command: dict[str, Any]) -> dict[str, Any]:
    """How an agent ended: its exit code, minus the signal that killed it; null while it runs."""
    pid, status = os.waitpid(command["pid"], os.WNOHANG)
    if pid == 0:
        return {"code": None}
    agents.discard(pid)
    return {"code": os.waitstatus_to_exitcode(status)}


def _become_agent(command: dict[str, Any]) -> None:
    code: Any = 70
    try:
        log = os.open(command["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        steps.STEPS.directories = tuple(command["directories"])
        steps.STEPS.armed, steps.STEPS.epitaph = command["armed"], command["epitaph"]
        steps.STEPS.clock = command["clock"]
        steps.STEPS.victim, steps.STEPS.fault = command["victim"], command["fault"]
        main(["agent", "--config", command["config"]])
    except SystemExit as error:
        code = error.code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or 0)


agents: set[int] = set()
if __name__ == "__main__":
    load_installed()  # what is read or made once is so before the fork
    parse_settings(CONFIGURATION, "")
    gc.freeze()  # what is shared by all agents is looked at by none
    for line in sys.stdin:
        command = json.loads(line)
        sys.stdout.write(json.dumps({"start": start, "look": look}[command["do"]](command)) + "\n")
        sys.stdout.flush()
    for agent in agents:
        os.kill(agent, signal.SIGKILL)
