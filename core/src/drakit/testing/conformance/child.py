"""The other processes: each constructs the plugin, does as it is told, and reports on itself, one JSON line per event.

Run as `python -P -m drakit.testing.conformance.child DESCRIPTOR` with a job on stdin. The job has several lives; for
each this process forks, which spares the imports. What hooks open, list, change or start outside the root is seen by an
audit hook; `stat`, `readlink` and native code raise no audit events.
"""

from __future__ import annotations

import faulthandler
import functools
import json
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drakit.context import PluginContext
from drakit.decoding import structure_lenient
from drakit.documents import counter_set_to_api, device_to_api, nodes_to_api
from drakit.errors import describe
from drakit.host import Instance, PluginHost
from drakit.inventory import begin, with_attributes
from drakit.loading import inspect
from drakit.model import ClaimAllocation, ClaimRef, DeviceGroup, Pool, PreparedDevice
from drakit.settings import decode_options
from drakit.testing.conformance.directories import list_backwards
from drakit.testing.conformance.location import locate
from drakit.testing.conformance.subject import NODE, decoded, host_of, in_order, plain_answer
from drakit.testing.conformance.trespass import Trespasses

_THREAD_SECONDS = 2.0
"""How long threads of a plugin that was closed have to end."""

_PATIENCE = 2
"""A hook that takes this many times what it may is not waited for any longer."""

Emit = Callable[..., None]


class Performer:
    """One instance of the plugin, and the steps it can be put through."""

    def __init__(self, job: Mapping[str, Any], plugin: type, emit: Emit, trespasses: Trespasses) -> None:
        self._job = job
        self._emit = emit
        self._trespasses = trespasses
        self._loaded = inspect(plugin.__name__, plugin)
        self._host: PluginHost
        self._pools: Sequence[Pool] = ()
        self._prepared: Any = []

    def construct(self) -> None:
        """Construct the instance; the first step."""
        declared = self._loaded.declarations
        context = PluginContext(
            driver=self._job["driver"],
            node=NODE,
            pool=NODE,
            root=Path(self._job["root"]),
            options=decode_options(declared.options, self._job["options"], "options"),
            boot_id=self._job["boot_id"],
            log=logging.getLogger("drakit.plugins.conformance"),
        )
        self._host = host_of(self._loaded, context, [self])

    def began(self, _instance: Instance, hook: str) -> None:
        """Say which hook is running: should it never return, this was the last word."""
        self._emit(hook=hook)

    def ended(self, _instance: Instance, hook: str, seconds: float, _error: BaseException | None) -> None:
        """Say how long it took."""
        self._emit(took=hook, seconds=seconds)

    def discover(self) -> Any:
        """Every pool, as plain data."""
        self._pools = self._host.discover(self._name)
        return [_plain_pool(pool) for pool in self._pools]

    def describe(self) -> Any:
        """What is asked of a plugin after discovery. Returns attributes, sharing and groups as plain data."""
        begun = begin(NODE, {self._name: self._pools})
        said = {ref: self._host.attributes(self._name, ref, device) for ref, device in begun.inventory}
        shares = [str(self._host.share(self._name, device)) for _, device in begun.inventory]
        groups = self._host.devicegroups(self._name, with_attributes(begun, {self._name: said}).inventory)
        for ref, _ in begun.inventory:
            self._host.in_use(self._name, ref)
        self._host.health(self._name)
        self._host.node_labels(self._name)
        self._host.check(self._name)
        attributes = [str(sorted(answer.items())) for answer in said.values()]
        return [*attributes, *shares, *sorted(_plain_group(group) for group in groups)]

    def prepare(self, claim: Any) -> Any:
        """Prepare a claim; the answer as the journal would have it."""
        allocation = structure_lenient(ClaimAllocation, claim)
        answer = self._host.prepare(self._name, decoded(allocation, self._loaded.declarations))
        self._prepared = plain_answer(in_order(allocation, answer))
        return self._prepared

    def unprepare(self, claim: Any, prepared: Any = None) -> None:
        """Undo what another process has prepared, or without it what this one has."""
        devices = [structure_lenient(PreparedDevice, device) for device in prepared or self._prepared]
        self._host.unprepare(self._name, structure_lenient(ClaimRef, claim), devices)

    def close(self) -> None:
        """Close the instance; the last step."""
        for failure in self._host.close():
            raise failure

    def perform(self, step: Sequence[Any]) -> None:
        """Do one step and report on it."""
        name, *arguments = step
        self._emit(began=name)
        answer, error = None, None
        # Says on stderr where it hangs, and ends the process.
        faulthandler.dump_traceback_later(_PATIENCE * self._job["hook_seconds"], exit=True)
        with self._trespasses.recorded():
            try:
                answer = getattr(self, name)(*arguments)
            except BaseException as raised:  # whatever the plugin raises is its answer
                error = describe(raised)
        faulthandler.cancel_dump_traceback_later()
        self._emit(ended=name, answer=answer, error=error)

    @property
    def _name(self) -> str:
        (name,) = self._host.instances
        return name


def _plain_pool(pool: Pool) -> Any:
    nodes = nodes_to_api(pool.nodes) or str(pool.nodes)
    devices = [device_to_api(device) for device in pool.devices]
    return [pool.name, nodes, [counter_set_to_api(counters) for counters in pool.counters], devices]


def _plain_group(group: DeviceGroup) -> str:
    members = ", ".join(sorted(map(str, group.members)))
    return f"{group.attribute}={group.value!r}, rank {group.rank}, of {members}"


def _threads_left(before: set[threading.Thread]) -> list[str]:
    limit = time.monotonic() + _THREAD_SECONDS
    while left := [thread for thread in threading.enumerate() if thread not in before]:
        if time.monotonic() > limit:
            return [thread.name for thread in left]
        left[0].join(0.05)
    return []


def _live(job: Mapping[str, Any], life: Mapping[str, Any], plugin: type, emit: Emit) -> None:
    trespasses = Trespasses(Path(job["root"]), Path(job["plugin"][1]), job["options"])
    threads = set(threading.enumerate())
    performer = Performer(job, plugin, emit, trespasses)
    for step in life["steps"]:
        performer.perform(step)
    left = _threads_left(threads) if life["steps"][-1] == ["close"] else []
    emit(trespasses=trespasses.found, threads=left)


def _in_a_fork(live: Callable[[], None]) -> int:
    """Run it in a process of its own, and wait for that; returns its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        live()
    except BaseException:  # a fork must never return
        traceback.print_exc()
        os._exit(1)
    sys.stdout.flush()
    sys.stderr.flush()
    # The interpreter would wait for threads of the plugin that are no daemons: whether there are any has been said.
    os._exit(0)


def main() -> None:
    """Do the job that is on stdin."""
    report = os.fdopen(int(sys.argv[1]), "w")

    def emit(**event: Any) -> None:
        report.write(json.dumps(event) + "\n")
        report.flush()

    job = json.load(sys.stdin)
    logging.getLogger().addHandler(logging.NullHandler())
    plugin = locate(*job["plugin"])
    if job["backwards"]:
        list_backwards()
    for life in job["lives"]:
        begin_at = os.lseek(1, 0, os.SEEK_CUR)
        emit(life=life["name"])
        code = _in_a_fork(functools.partial(_live, job, life, plugin, emit))
        emit(code=code, printed=[begin_at, os.lseek(1, 0, os.SEEK_CUR)])


if __name__ == "__main__":
    main()
