"""The settings of the EFA backend."""

from __future__ import annotations

from urllib.parse import urlsplit

from attrs import Attribute, field, frozen
from drakit import PluginContext

from drakit_efa.sysfs import ADDRESS

MAX_SHARES = 1000


@frozen(kw_only=True)
class SharingOptions:
    """Whether several claims may have one adapter, and what they ask for; as it is, none may.

    `shares`: into how many equal shares an adapter is divided. `bandwidth`: claims ask for some of its bandwidth. The
    scheduler counts either; the adapter keeps nobody to it.
    """

    shares: int | None = field(default=None)
    bandwidth: bool = field(default=False)

    @shares.validator
    def _check_shares(self, _attribute: Attribute[int | None], shares: int | None) -> None:
        if shares is not None and not 2 <= shares <= MAX_SHARES:
            raise ValueError(f"shares must be from 2 to {MAX_SHARES}, or left out for none, not {shares}")

    @bandwidth.validator
    def _check_bandwidth(self, _attribute: Attribute[bool], bandwidth: bool) -> None:
        if bandwidth and self.shares is not None:
            raise ValueError("an adapter is divided by shares or by bandwidth: give one of the two")


MAX_SECONDS = 20
"""Of what discovery may have to wait for, which must end well before the core takes it for stuck."""


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


def _seconds(_instance: object, attribute: Attribute[float], value: float) -> None:
    if not 0 < value <= MAX_SECONDS:  # nor is "not a number" one
        raise ValueError(f"{_camel(attribute.name)} must be over 0 and at most {MAX_SECONDS} s, not {value:g}")


@frozen(kw_only=True)
class ImdsOptions:
    """Whether EC2's instance metadata service is asked how the adapters are attached.

    `endpoint`: where it is; of IPv6, http://[fd00:ec2::254]. `timeout_seconds`: how long a question waits for the
    network. `wait_seconds`: how long the first discovery waits for all the answers; later ones are published later.
    """

    enabled: bool = False
    endpoint: str = field(default="http://169.254.169.254")
    timeout_seconds: float = field(default=1.0, validator=_seconds)
    wait_seconds: float = field(default=2.0, validator=_seconds)

    @endpoint.validator
    def _check(self, _attribute: Attribute[str], endpoint: str) -> None:
        if not _is_endpoint(endpoint):
            raise ValueError(f"endpoint must be like http://169.254.169.254, without a path, not {endpoint!r}")


def _is_endpoint(text: str) -> bool:
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    bare = parts.scheme == "http" and not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
    return bare and bool(parts.hostname) and port != 0 and text.isascii() and text.isprintable() and " " not in text


@frozen
class EfaOptions:
    """`addresses`: publish only the adapters with these PCI addresses; empty for all of them.

    Two backends with disjoint addresses can divide the adapters of a node between two drivers.

    `sharing`: whether several claims may have one adapter. `health`: what counts as a fault. `imds`: whether EC2 is
    asked how the adapters are attached.
    """

    addresses: tuple[str, ...] = field(default=())
    sharing: SharingOptions = field(factory=SharingOptions, kw_only=True)
    health: HealthOptions = field(factory=HealthOptions, kw_only=True)
    imds: ImdsOptions = field(factory=ImdsOptions, kw_only=True)

    @addresses.validator
    def _check(self, _attribute: Attribute[tuple[str, ...]], addresses: tuple[str, ...]) -> None:
        for address in addresses:
            if not ADDRESS.fullmatch(address):
                raise ValueError(f"addresses: {address!r} is not a PCI address such as '0000:10:1b.0', in lower case")


def options_of(context: PluginContext) -> EfaOptions:
    """The settings a plugin was given; the defaults where it was given none, as offline."""
    return context.options if isinstance(context.options, EfaOptions) else EfaOptions()
