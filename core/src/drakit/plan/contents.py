"""What slices offer: devices, decoded once however many slices list the same ones."""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from attrs import evolve, frozen

from drakit.documents import device_from_api
from drakit.errors import LimitExceeded
from drakit.model import Device, NodeSelection, RequestPolicy, ResolvedPool, SharePolicy
from drakit.plan.cel import DeviceValue, device_value
from drakit.plan.errors import InvalidDocument, NotSupported
from drakit.plan.nodes import read_nodes

Document = Mapping[str, Any]
Draw = tuple[tuple[str, str], int]
"""A counter, by its set and name, and how many billionths of it are taken."""


@frozen(eq=False, slots=False, kw_only=True)
class Offer:
    """One device of a slice. `nodes` only counts where the slice leaves nodes to its devices.

    `value` is what selectors see, `policies` are the request policies of its capacities; `binds`: an allocation of it
    is for one node only.
    """

    device: Device
    driver: str
    value: DeviceValue
    shared: bool = False
    policies: Mapping[str, RequestPolicy]
    conditions: tuple[str, ...] = ()
    failure_conditions: tuple[str, ...] = ()
    binds: bool = False
    nodes: NodeSelection | None = None

    @cached_property
    def draws(self) -> tuple[Draw, ...]:
        """What it takes of its pool's counters while it is allocated."""
        return tuple(
            ((consumption.counter_set, name), amount.nanos)
            for consumption in self.device.consumes
            for name, amount in consumption.counters.items()
        )


@frozen(eq=False, slots=False)
class Content:
    """The devices of a slice, in its order."""

    offers: tuple[Offer, ...]

    @cached_property
    def binding(self) -> bool:
        """Whether any of them has binding conditions."""
        return any(offer.conditions for offer in self.offers)


class Contents:
    """Decodes the devices of slices; the same list from the same driver is decoded once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, bytes], Content] = {}

    def read(self, driver: str, devices: Any, where: str) -> Content:
        """The devices of one slice. Raises InvalidDocument and NotSupported, naming the place."""
        try:
            # Version 2 writes no references, so that equal documents have equal bytes.
            key = driver, marshal.dumps(devices, 2)
        except ValueError:
            raise InvalidDocument(f"{where}: holds something that JSON has not") from None
        found = self._known.get(key)
        if found is None:
            offers = tuple(_read(driver, entry, f"{where}[{index}]") for index, entry in enumerate(devices or ()))
            found = self._known[key] = Content(offers)
        return found


def content_of(pool: ResolvedPool) -> Content:
    """The devices of an agent's own pool."""
    return Content(tuple(_own(pool.driver, device, pool.shares.get(device.name)) for device in pool.devices))


def _own(driver: str, device: Device, share: SharePolicy | None) -> Offer:
    binding = device.binding
    return Offer(
        device=device,
        driver=driver,
        value=device_value(device, driver, shared=share is not None),
        shared=share is not None,
        policies=share.policies if share else {},
        conditions=binding.conditions if binding else (),
        failure_conditions=binding.failure_conditions if binding else (),
        binds=bool(binding and binding.binds_to_node),
        nodes=device.nodes,
    )


_BINDING = ("bindingConditions", "bindingFailureConditions", "bindsToNode")


def _read(driver: str, entry: Document, where: str) -> Offer:
    if not isinstance(entry, Mapping):
        raise InvalidDocument(f"{where}: must be a mapping")
    if entry.get("nodeAllocatableResourceMappings") or entry.get("nodeAllocatableResources"):
        raise NotSupported(where, "devices that take of the node's allocatable resources")
    if any(item.get("compatibilityGroups") for item in entry.get("consumesCounters") or ()):
        raise NotSupported(f"{where}.consumesCounters", "compatibility groups")
    try:
        # Policies are read with what is shared; the scheduler heeds those of any device.
        plain = {key: value for key, value in entry.items() if key not in _BINDING}
        device, share = device_from_api(plain | {"allowMultipleAllocations": True})
    except (LimitExceeded, KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidDocument(f"{where}: {problem_of(error)}") from None
    nodes = read_nodes(entry)
    shared = bool(entry.get("allowMultipleAllocations"))
    return Offer(
        device=evolve(device, nodes=nodes) if nodes is not None else device,
        driver=driver,
        value=device_value(device, driver, shared=shared),
        shared=shared,
        policies=share.policies if share else {},
        conditions=tuple(entry.get("bindingConditions") or ()),
        failure_conditions=tuple(entry.get("bindingFailureConditions") or ()),
        binds=bool(entry.get("bindsToNode")),
        nodes=nodes,
    )


def problem_of(error: Exception) -> str:
    """What an error of decoding says."""
    return f"missing or unknown: {error.args[0]!r}" if isinstance(error, KeyError) else str(error)
