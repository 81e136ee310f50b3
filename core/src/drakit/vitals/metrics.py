"""The metrics of an agent. Nothing is counted here: each is read from where it is known.

No label names a claim or a pod: those come and go, and a time series stays. The docstrings are the help texts, and
docs/metrics.md is made of them.
"""

from __future__ import annotations

import platform
from collections import Counter
from importlib import metadata

from drakit.driver import Driver
from drakit.entries import Entry, Phase
from drakit.model import DeviceRef, HealthStatus
from drakit.vitals.families import Catalogue, Samples
from drakit.vitals.readiness import readiness
from drakit.vitals.state import Vitals

CATALOGUE = Catalogue()
counter, gauge, histogram = CATALOGUE.counter, CATALOGUE.gauge, CATALOGUE.histogram


@gauge("build_info", "version", "python_version")
def _build_info(_vitals: Vitals) -> Samples:
    """Always 1: the release of drakit, and the Python it runs on."""
    yield (metadata.version("drakit"), platform.python_version()), 1


@gauge("ready", "name")
def _ready(vitals: Vitals) -> Samples:
    """Whether it is ready, as /readyz says with the reason. By driver, or by plugin where there is no driver."""
    for name, reason in readiness(vitals).reasons.items():
        yield (name,), not reason


@gauge("plugin_loaded", "name")
def _plugin_loaded(vitals: Vitals) -> Samples:
    """Whether an enabled plugin could be loaded and constructed. By driver, or by plugin where there is no driver."""
    for name in vitals.assembly.host.instances:
        yield (name,), 1
    for name in vitals.assembly.failures:
        yield (name,), 0


@histogram("hook_duration", "driver", "plugin", "hook")
def _hook_duration(vitals: Vitals) -> Samples:
    """How long calls of a plugin's hook took. An extension has no driver."""
    for labels, calls in vitals.hooks.each(vitals.assembly.host.instances.values()):
        yield labels, calls.durations


@counter("hook_calls", "driver", "plugin", "hook", "result")
def _hook_calls(vitals: Vitals) -> Samples:
    """Calls of a plugin's hook: returned, refused (a ClaimError of prepare) or raised (anything else)."""
    for labels, calls in vitals.hooks.each(vitals.assembly.host.instances.values()):
        for result, number in calls.results.items():
            yield (*labels, result), number


@gauge("plugin_stuck", "name", "thread")
def _plugin_stuck(vitals: Vitals) -> Samples:
    """Whether a hook runs past its bound on the plugin's driver thread (prepare, unprepare) or observer thread."""
    for driver in vitals.drivers.values():
        yield (driver.name, "driver"), driver.worker.stuck is not None
    stuck = vitals.observer.stuck
    for name in vitals.assembly.host.instances:
        yield (name, "observer"), name in stuck


@histogram("survey_duration")
def _survey_duration(vitals: Vitals) -> Samples:
    """How long rounds over the hardware of the node took, all plugins together."""
    yield (), vitals.rounds.durations


@gauge("survey_last_timestamp_seconds")
def _survey_last_timestamp(vitals: Vitals) -> Samples:
    """When the last round over the hardware ended, in seconds since the epoch; 0 before the first."""
    yield (), vitals.rounds.finished_at


@counter("survey_failures", "name")
def _survey_failures(vitals: Vitals) -> Samples:
    """Rounds in which a plugin failed or was late, so that its last good answer was used."""
    for name in vitals.assembly.host.instances:
        yield (name,), vitals.rounds.failures[name]


@gauge("survey_problems", "driver")
def _survey_problems(vitals: Vitals) -> Samples:
    """What was refused of a driver in the last round: conflicting attributes, duplicate devices, and the like."""
    problems = Counter(problem.driver for problem in vitals.rounds.last.problems)
    for name in vitals.drivers:
        yield (name,), problems[name]


@gauge("driver_registered", "driver")
def _driver_registered(vitals: Vitals) -> Samples:
    """Whether the driver's sockets are served, and the kubelet has registered it."""
    for driver in vitals.drivers.values():
        yield (driver.name,), not (driver.standing.unserved or driver.standing.unregistered)


@counter("driver_registrations", "driver", "result")
def _driver_registrations(vitals: Vitals) -> Samples:
    """Registrations that the kubelet told of, accepted or refused; more than one where the kubelet restarts."""
    for driver in vitals.drivers.values():
        for result, number in driver.standing.registrations.items():
            yield (driver.name, result), number


@counter("claim_calls", "driver", "call", "result")
def _claim_calls(vitals: Vitals) -> Samples:
    """Calls of the kubelet for one claim, by how they ended.

    That is success, refused (the claim's own fault), failed (anything else) or abandoned (nobody waited any more).
    """
    for driver in vitals.drivers.values():
        for call, calls in driver.standing.calls.items():
            for result, number in calls.results.items():
                yield (driver.name, call, result), number


@histogram("claim_call_duration", "driver", "call")
def _claim_call_duration(vitals: Vitals) -> Samples:
    """How long calls of the kubelet for one claim took, from arrival to answer, however they ended."""
    for driver in vitals.drivers.values():
        for call, calls in driver.standing.calls.items():
            yield (driver.name, call), calls.durations


@gauge("claims", "driver", "phase")
def _claims(vitals: Vitals) -> Samples:
    """Claims in the journal. Those in phase quarantined had damaged records, and wait for their pods to end."""
    for driver in vitals.drivers.values():
        phases = Counter(entry.phase for entry in _entries(driver))
        for phase in Phase:
            yield (driver.name, phase.value), phases[phase]


@counter("journal_syncs", "driver")
def _journal_syncs(vitals: Vitals) -> Samples:
    """Syncs of the journal to disk."""
    for driver in vitals.drivers.values():
        yield (driver.name,), driver.engine.journal.syncs if driver.engine else 0


@counter("journal_written_bytes", "driver")
def _journal_written_bytes(vitals: Vitals) -> Samples:
    """Bytes written to the journal, compaction included."""
    for driver in vitals.drivers.values():
        yield (driver.name,), driver.engine.journal.written_bytes if driver.engine else 0


@counter("cdi_restores", "driver")
def _cdi_restores(vitals: Vitals) -> Samples:
    """CDI files of prepared claims that were missing or different, and were written again."""
    for driver in vitals.drivers.values():
        yield (driver.name,), driver.engine.cdi.restored if driver.engine else 0


@gauge("pool_devices", "driver", "pool")
def _pool_devices(vitals: Vitals) -> Samples:
    """Devices of a pool, as they are to be published after the last round over the hardware."""
    for driver, pools in vitals.rounds.last.pools.items():
        for pool in pools:
            yield (driver, pool.name), len(pool.devices)


@gauge("pool_generation", "driver", "pool")
def _pool_generation(vitals: Vitals) -> Samples:
    """The generation of a pool whose slices are published; 0 before they are."""
    for driver in vitals.drivers.values():
        found = {pool.name: 0 for pool in vitals.rounds.last.pools.get(driver.name, ())}
        generations = driver.publisher.status.generations if driver.publisher else {}
        for pool, generation in {**found, **generations}.items():
            yield (driver.name, pool), generation


@gauge("slices_current", "driver")
def _slices_current(vitals: Vitals) -> Samples:
    """Whether all that is to be published is, as far as the last look at the API server tells."""
    for driver in vitals.drivers.values():
        if driver.publisher is not None:
            yield (driver.name,), driver.publisher.status.current


@gauge("slices_published_timestamp_seconds", "driver")
def _slices_published_timestamp(vitals: Vitals) -> Samples:
    """When a look at the API server last said so, in seconds since the epoch; 0 if none has. At rest nobody looks."""
    for driver in vitals.drivers.values():
        if driver.publisher is not None:
            yield (driver.name,), driver.publisher.status.published_at


@counter("slice_writes", "driver", "operation")
def _slice_writes(vitals: Vitals) -> Samples:
    """ResourceSlices created, updated and deleted."""
    for driver in vitals.drivers.values():
        for operation, number in driver.publisher.writes.items() if driver.publisher else ():
            yield (driver.name, operation), number


@gauge("slices_with_dropped_fields", "driver")
def _slices_with_dropped_fields(vitals: Vitals) -> Samples:
    """ResourceSlices of which the API server did not keep everything: a feature gate may be off."""
    for driver in vitals.drivers.values():
        if driver.publisher is not None:
            yield (driver.name,), len(driver.publisher.status.dropped)


@counter("publish_errors", "driver")
def _publish_errors(vitals: Vitals) -> Samples:
    """Attempts to publish in which something could not be published."""
    for driver in vitals.drivers.values():
        if driver.publisher is not None:
            yield (driver.name,), driver.publisher.failed_rounds


@gauge("device_allocated", "driver", "pool", "device")
def _device_allocated(vitals: Vitals) -> Samples:
    """Whether a claim holds the device on this node: 1 from Prepare to Unprepare, however many claims share it."""
    for driver in vitals.drivers.values():
        held = {device.device for entry in _entries(driver) for device in entry.devices}
        for ref in sorted(held.union(_devices(vitals, driver)), key=str):
            yield (ref.driver, ref.pool, ref.name), ref in held


@gauge("device_health", "driver", "pool", "device", "status")
def _device_health(vitals: Vitals) -> Samples:
    """1 for the status the device has, 0 for the others; only of drivers that report health.

    A device that they do not speak of is Unknown, and so is every device while they do not answer.
    """
    for driver in vitals.drivers.values():
        if driver.health is None:
            continue
        report = driver.health.report if driver.health.alive() else None
        said = {health.device: health.status for health in report or ()}
        for ref in _devices(vitals, driver):
            now = said.get(ref, HealthStatus.UNKNOWN)
            for status in HealthStatus:
                yield (ref.driver, ref.pool, ref.name, status.value), status is now


@gauge("device_fault", "driver", "pool", "device", "fault")
def _device_fault(vitals: Vitals) -> Samples:
    """1 for each fault that stands, whether the device is still known or not; there is no series of one that does not.

    Faults that were found when a claim was to be prepared are among them.
    """
    for driver in vitals.drivers.values():
        for fault in driver.faults.standing if driver.faults is not None else ():
            yield (fault.device.driver, fault.device.pool, fault.device.name, fault.name), 1


@counter("device_counter", "driver", "pool", "device", "counter")
def _device_counter(vitals: Vitals) -> Samples:
    """What devices have counted, as their backend last reported it; README of the plugin: what each counter means.

    A counter begins again at 0 when the device or its kernel module is reset.
    """
    for driver in vitals.drivers.values():
        for ref, counters in driver.faults.counters.items() if driver.faults is not None else ():
            for name, number in counters.items():
                yield (ref.driver, ref.pool, ref.name, name), number


@counter("api_requests", "method", "code")
def _api_requests(vitals: Vitals) -> Samples:
    """Requests to the API server, by HTTP method (WATCH for watches) and class of the status; none: no answer."""
    for method, calls in vitals.client.requests.calls.items():
        for code, number in calls.results.items():
            yield (method, code), number


@histogram("api_request_duration", "method")
def _api_request_duration(vitals: Vitals) -> Samples:
    """How long requests to the API server took; of watches, until their headers were there."""
    for method, calls in vitals.client.requests.calls.items():
        yield (method,), calls.durations


@gauge("api_outage_seconds")
def _api_outage(vitals: Vitals) -> Samples:
    """For how long the API server has answered no request, or with 5xx only; 0 when all is well."""
    yield (), vitals.client.requests.outage_seconds


def _entries(driver: Driver) -> list[Entry]:
    """What a driver has journalled now."""
    return list(driver.engine.journal.entries.values()) if driver.engine is not None else []


def _devices(vitals: Vitals, driver: Driver) -> list[DeviceRef]:
    """The devices of a driver, as the last round found them."""
    pools = vitals.rounds.last.pools.get(driver.name, ())
    return [DeviceRef(driver.name, pool.name, device.name) for pool in pools for device in pool.devices]
