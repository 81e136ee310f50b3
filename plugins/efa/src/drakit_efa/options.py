"""The settings of the EFA backend."""

from __future__ import annotations

from attrs import Attribute, field, frozen
from drakit import PluginContext

from drakit_efa.sysfs import ADDRESS


def _camel(name: str) -> str:
    words = name.split("_")
    return words[0] + "".join(map(str.capitalize, words[1:]))


def _limit(_instance: object, attribute: Attribute[int], value: int) -> None:
    if value < 0:
        raise ValueError(f"{_camel(attribute.name)} must be how many are a fault, or 0 for never, not {value}")


@frozen(kw_only=True)
class HealthOptions:
    """What counts as a fault of an adapter.

    `port_down`: whether a port that is not active is one.

    The numbers are how many of a kind it takes, counted since the fault was last cleared; 0 is never. A fault by
    `no_completion` stands until the adapter is bound anew, the node is rebooted or an operator clears it, the others
    until their count has not grown for a time.

    `no_completion`: commands that the adapter did not complete in time, after which its driver gives it no more.
    `command_errors`: commands that failed. `verbs_errors`: queues, memory and the like that processes could not get.
    `rx_drops`: packets that were dropped on receipt. `rdma_errors`: RDMA reads and writes that failed.
    `retransmit_timeouts`, `unresponsive_remotes`, `impaired_connections`: what the driver counts of peers. All but the
    first may be the doing of a workload or of a peer.
    """

    port_down: bool = True
    no_completion: int = field(default=1, validator=_limit)
    command_errors: int = field(default=0, validator=_limit)
    verbs_errors: int = field(default=0, validator=_limit)
    rx_drops: int = field(default=0, validator=_limit)
    rdma_errors: int = field(default=0, validator=_limit)
    retransmit_timeouts: int = field(default=0, validator=_limit)
    unresponsive_remotes: int = field(default=0, validator=_limit)
    impaired_connections: int = field(default=0, validator=_limit)


@frozen
class EfaOptions:
    """`addresses`: publish only the adapters with these PCI addresses; empty for all of them.

    Two backends with disjoint addresses can divide the adapters of a node between two drivers.

    `health`: what counts as a fault.
    """

    addresses: tuple[str, ...] = field(default=())
    health: HealthOptions = field(factory=HealthOptions, kw_only=True)

    @addresses.validator
    def _check(self, _attribute: Attribute[tuple[str, ...]], addresses: tuple[str, ...]) -> None:
        for address in addresses:
            if not ADDRESS.fullmatch(address):
                raise ValueError(f"addresses: {address!r} is not a PCI address such as '0000:10:1b.0', in lower case")


def options_of(context: PluginContext) -> EfaOptions:
    """The settings a plugin was given; the defaults where it was given none, as offline."""
    return context.options if isinstance(context.options, EfaOptions) else EfaOptions()
