"""Makes docs/metrics.md from the agent's catalogue of metrics: `python docs/metrics.py` writes it."""

from __future__ import annotations

from pathlib import Path

from drakit.tally import BOUNDS
from drakit.vitals.families import Family
from drakit.vitals.metrics import CATALOGUE

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "metrics.md"

HEAD = """\
# Probes and metrics

Over HTTP, on all addresses, where a port is set (see [configuration.md](configuration.md)); on none by default. Both
may be the same port. They are answered from threads of their own, once the drivers are registered or two seconds after
the start.

| path | port | answers |
| --- | --- | --- |
| `/livez` | `healthcheckPort` | 200 while the event loop answers within 4 s, else 503: a restart helps |
| `/readyz` | `healthcheckPort` | 200 if every driver is ready, else 503; a line for each driver, with the reason |
| `/metrics` | `metricsPort` | Prometheus text |

A driver is ready when its sockets are served, the kubelet has registered it, its hardware was found, what is to be
published has been published once, and no hook is stuck. A plugin that cannot be loaded, a foreign driver of the same
name and a stop under way make the agent unready. An outage of the API server does not, once slices are published: what
is prepared is served from the journal. Neither that nor a stuck hook ends liveness: a restart would mend neither.

## Metrics

Every series of every driver is there from the first scrape, whether the API server answers or not: those of its pools
and devices once the first round over the hardware has found them, those of faults and counters of devices once there
are any. No label names a claim or a pod. Histograms have the buckets {bounds} s. Beside these there are the `process_…`
metrics of the Prometheus client: memory, CPU, files, start time.

| name | kind | labels | meaning |
| --- | --- | --- | --- |
"""

TAIL = """
## Joins

`driver`, `pool` and `device` name a device in the whole cluster, and are what the kubelet's PodResources API says of
each container: `driver_name`, `pool_name` and `device_name` in its `claim_resources`. An exporter that labels what it
measures with them can be joined with `drakit_device_allocated` and `drakit_device_health`, on no further label. With
such an exporter's `device_power_watts{driver, pool, device, namespace, pod, container}`, these are the containers on
devices that are unhealthy, and the devices that are held and used by no container:

```promql
device_power_watts
  * on (driver, pool, device) group_left ()
  max by (driver, pool, device) (drakit_device_health{status="Unhealthy"} == 1)

max by (driver, pool, device) (drakit_device_allocated) == 1
  unless on (driver, pool, device) device_power_watts
```

In a rolling update two agents of a node speak of the same devices for a while: `max by` takes them together.

## What to be told of

As rules of Prometheus, with what to do about each, these and more are in [operations.md](operations.md#alerts); there
is a dashboard for Grafana as well.

```promql
drakit_ready == 0                                             # for 5 minutes; /readyz says why
drakit_plugin_stuck == 1                                      # a hook has not returned within its bound
drakit_slices_current == 0                                    # for 10 minutes; the log says why
drakit_slices_with_dropped_fields > 0                         # a feature gate may be off
drakit_claims{phase="quarantined"} > 0                        # delete the pod and its claim
rate(drakit_claim_calls_total{result="failed"}[5m]) > 0       # pods wait for their devices
drakit_api_outage_seconds > 300                               # no answer from the API server
max by (driver) (drakit_device_health{status="Unhealthy"}) == 1
```
"""


def page() -> str:
    """The whole page."""
    bounds = ", ".join(f"{bound:g}" for bound in BOUNDS)
    return HEAD.replace("{bounds}", bounds) + "".join(map(_row, CATALOGUE.families)) + TAIL


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"| `{family.name}` | {family.kind} | {labels} | {family.help} |\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
