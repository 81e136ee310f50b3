"""Makes docs/security.md from docs/security.yaml: `python docs/security.py` writes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from drakit.decoding import read_yaml

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security.md"
REASONS = ROOT / "docs" / "security.yaml"

Row = Mapping[str, Any]

HEAD = """\
# Security

What the [Helm chart](install.md) lets the agent do and see, why, what happens without it, and the test that it
suffices. The tables are made from docs/security.yaml (`make docs`); tests hold them to what the chart renders to, for
every combination of values in `deploy/helm/drakit/ci`: a permission, a mount or a user that is not in them fails a
test, and so does one that is in them and in no rendering.

- No container is privileged or may become so, none has a capability, each has a read-only root file system and the
  runtime's seccomp profile. `agent.capabilities` and `agent.seLinuxOptions` are there for plugins and hosts of your
  own. With faked hardware (`mock.enabled`) its init container has MKNOD, and nothing of the host's hardware is read.
- The pod has its own network, processes and IPC. It opens no device: what it hands out, it has the container runtime
  open.
- The token is bound to the pod, lasts an hour, and is in the agent's container alone. The service account itself has
  none.
- Nothing is downloaded when a pod starts but images. Plugins of others come from wheels, each with its hash.
- The pods need a namespace that admits `hostPath` volumes (`pod-security.kubernetes.io/enforce: privileged`); of the
  profile *baseline* that is all they break, of *restricted* also that they run as root.

## What the agent may ask of the API server

"""

TAIL = """
## The network

A NetworkPolicy (`networkPolicy.enabled`, on by default) lets in what asks for metrics, and out what goes to the ports
that API servers have; the kubelet's probes come from the node and need no rule. It is on because it costs nothing
where the network plugin ignores policies, and where it does not, an agent that was taken over reaches no other ports.
No name is looked up: pods are given the API server's address. `networkPolicy.apiServerPorts` has 443, 6443, 8443 and
16443; give yours if it is another, or the agents say that the API server cannot be reached. A backend `efa` with
`imds.enabled` has a rule for its endpoint, and `networkPolicy.extraEgress` is for plugins of your own.

Metrics and probes are served in plain HTTP, without a login. Metrics name no claim and no pod; `/readyz` names a claim
that a driver is stuck with, and only the kubelet can ask for it. `networkPolicy.metricsFrom` says who may ask for
metrics; `config.metricsPort: 0` turns them off.

## What is trusted

- Whoever may change the release's ConfigMap or DaemonSet is root on every node, as with every DaemonSet that mounts
  the kubelet's directories. A plugin runs in the agent, with all it may do.
- An agent that was taken over has its node: it can have containers on it be given any file, by CDI. The policies keep
  it from other nodes: it publishes devices of its own node and drivers only. It can read every ResourceClaim of the
  cluster, and write Events about anything.
- With `admission.slices.sharedPools` it can also write slices that are bound to no node, of the configured drivers,
  under the name of any pool, and before Kubernetes 1.36 say what it likes of their devices in the status of every
  claim: it can disturb these drivers on other nodes. Leave it off where no plugin needs it.
- In a first installation Helm makes the policies after the DaemonSet: until they are in force, for some seconds, RBAC
  alone holds.
- Opaque configuration in claims is written by users. It is decoded strictly, and says nothing of files or commands.
"""


def page() -> str:
    """The whole page."""
    (reasons,) = read_yaml(REASONS)
    return HEAD + "\n".join(_tables(reasons)) + "\n" + TAIL


def _tables(reasons: Mapping[str, Sequence[Row]]) -> Iterator[str]:
    agents = [row for row in reasons["permissions"] if "whom" not in row]
    yield from _table(("resource", "verbs"), map(_permission, agents), agents)
    yield "\nRBAC knows nothing of nodes and drivers. What it cannot say, policies of the API server do:\n"
    policies = [(f"`{row['policy']}`",) for row in reasons["policies"]]
    yield from _table(("policy",), policies, reasons["policies"])
    yield "\n## What people may ask of it\n"
    yield "ClusterRoles of the catalog ([templates.md](templates.md#who-may-do-what)); nobody has them unless told.\n"
    people = [row for row in reasons["permissions"] if "whom" in row]
    cells = [(row["whom"], *_permission(row)) for row in people]
    yield from _table(("who", "resource", "verbs"), cells, people)
    yield "\n## As whom containers run\n"
    users = [(f"`{row['container']}`", str(row["user"])) for row in reasons["processes"]]
    yield from _table(("container", "user"), users, reasons["processes"])
    yield "\n## What containers see\n"
    mounts = [(f"`{row['container']}`", row["source"], row["access"]) for row in reasons["mounts"]]
    yield from _table(("container", "what", "access"), mounts, reasons["mounts"])


def _permission(row: Row) -> tuple[str, ...]:
    role = f" (`{row['role'].lstrip('-')}`)" if row["role"] else ""
    return f"`{row['resource']}`{role}", ", ".join(f"`{verb}`" for verb in row["verbs"])


def _table(first: Sequence[str], cells: Any, rows: Sequence[Row]) -> Iterator[str]:
    titles = [*first, "why", "without it", "shown by"]
    yield f"| {' | '.join(titles)} |"
    yield f"|{' --- |' * len(titles)}"
    for own, row in zip(cells, rows, strict=True):
        why = f"{row['why']}. Only with {row['when']}" if "when" in row else row["why"]
        tests = "; ".join(f"[{_words(test)}](../{test.partition('::')[0]})" for test in row["tests"])
        yield f"| {' | '.join([*own, why, row['without'], tests])} |"


def _words(test: str) -> str:
    return test.partition("::")[2].removeprefix("test_").replace("_", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
