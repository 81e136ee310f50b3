"""A process that forks a drakit of its own whenever it is told, with all imported that this one is to have.

Importing is nine tenths of what a short command costs, and most of an agent's start. What follows is as in the
installed program, the way a process ends too. Commands and answers are lines of JSON, one at a time. Ends with its
standard input, and takes what it has started along. Its arguments are the modules to import.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
from typing import Any

from drakit.cli import main


def serve() -> dict[str, Any] | None:
    """Do what is told. Returns in what was started, with what it was told; and None at the end, in the launcher."""
    started: set[int] = set()
    for line in sys.stdin:
        command = json.loads(line)
        if command["do"] == "start":
            answer: int | None = os.fork()
            if answer == 0:
                return command
            started.add(answer)
        else:
            pid, status = os.waitpid(command["pid"], os.WNOHANG)
            started.discard(pid)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    for pid in started:
        os.kill(pid, signal.SIGKILL)
    return None


def become_program(arguments: list[str], environment: dict[str, str], out: str, err: str) -> None:
    """Have the files, the environment and the module path of a program that was just started, and run it."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
    os.environ.clear()
    os.environ.update(environment)
    sys.path[1:1] = filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))
    sys.argv = arguments
    main()


if __name__ == "__main__":
    for module in sys.argv[1:]:
        importlib.import_module(module)
    gc.freeze()  # what is shared by all is looked at by none
    told = serve()
    if told is not None:
        become_program(**told["program"])
