"""What can go wrong with a faked adapter, to rehearse failures: the files that tell of it, and what they hold then."""

from __future__ import annotations

from collections.abc import Mapping

from drakit_efa.counters import COUNTERS_DIRECTORY
from drakit_efa.ports import PORT

_PORT_DOWN = {f"{PORT}/state": "1: DOWN\n"}
_FAULTS: Mapping[str, Mapping[str, str]] = {
    "unhealthy": _PORT_DOWN,
    "port-down": _PORT_DOWN,
    "command-timeout": {
        f"{COUNTERS_DIRECTORY}/{name}": "+1" for name in ("submitted_cmds", "cmds_err", "no_completion_cmds")
    },
    "rx-drops": {f"{PORT}/{COUNTERS_DIRECTORY}/rx_drops": "+1"},
}


def faults(verbs: str) -> Mapping[str, Mapping[str, str]]:
    """The faults of an adapter, by a word, where this is the directory of its RDMA device."""
    return {word: {f"{verbs}/{path}": text for path, text in files.items()} for word, files in _FAULTS.items()}
