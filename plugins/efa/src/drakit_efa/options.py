"""The settings of the EFA backend."""

from __future__ import annotations

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


@frozen
class EfaOptions:
    """`addresses`: publish only the adapters with these PCI addresses; empty for all of them.

    Two backends with disjoint addresses can divide the adapters of a node between two drivers.

    `sharing`: whether several claims may have one adapter.
    """

    addresses: tuple[str, ...] = field(default=())
    sharing: SharingOptions = field(factory=SharingOptions, kw_only=True)

    @addresses.validator
    def _check(self, _attribute: Attribute[tuple[str, ...]], addresses: tuple[str, ...]) -> None:
        for address in addresses:
            if not ADDRESS.fullmatch(address):
                raise ValueError(f"addresses: {address!r} is not a PCI address such as '0000:10:1b.0', in lower case")


def options_of(context: PluginContext) -> EfaOptions:
    """The settings a plugin was given; the defaults where it was given none, as offline."""
    return context.options if isinstance(context.options, EfaOptions) else EfaOptions()
