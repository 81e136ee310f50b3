"""The settings of the EFA backend."""

from __future__ import annotations

from attrs import Attribute, field, frozen
from drakit import PluginContext

from drakit_efa.sysfs import ADDRESS


@frozen
class EfaOptions:
    """`addresses`: publish only the adapters with these PCI addresses; empty for all of them.

    Two backends with disjoint addresses can divide the adapters of a node between two drivers.
    """

    addresses: tuple[str, ...] = field(default=())

    @addresses.validator
    def _check(self, _attribute: Attribute[tuple[str, ...]], addresses: tuple[str, ...]) -> None:
        for address in addresses:
            if not ADDRESS.fullmatch(address):
                raise ValueError(f"addresses: {address!r} is not a PCI address such as '0000:10:1b.0', in lower case")


def options_of(context: PluginContext) -> EfaOptions:
    """The settings a plugin was given; the defaults where it was given none, as offline."""
    return context.options if isinstance(context.options, EfaOptions) else EfaOptions()
