"""Which devices are held, and by whom, while pods are placed one after another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from drakit.model import DeviceRef
from drakit.plan.allocated import Allocated
from drakit.plan.outcome import Allocation
from drakit.plan.pools import PoolKey


class Holdings:
    """What is allocated so far, by pool, so that a question about a few nodes costs no more than those."""

    def __init__(self) -> None:
        self._pools: dict[PoolKey, _PoolHoldings] = {}
        self._holders: dict[DeviceRef, list[str]] = {}

    def add_claim(self, document: Mapping[str, Any], holder: str) -> None:
        """What a claim that is allocated already holds. Raises InvalidDocument."""
        held = Allocated.of_claims([document])
        for ref in held.devices:
            self._of(ref).devices.add(ref)
        for ref in held.shares:
            self._of(ref).shares.add(ref)
        for ref, amounts in held.consumed.items():
            self._of(ref).consume(ref, amounts)
        for ref in held.every:
            self._holders.setdefault(ref, []).append(holder)

    def add(self, allocation: Allocation, holder: str) -> None:
        """What a claim is given now."""
        for result in allocation.results:
            if result.admin_access:
                continue
            pool = self._of(result.device)
            if result.share_id is None:
                pool.devices.add(result.device)
            else:
                pool.shares.add(result.device)
                pool.consume(result.device, {name: amount.nanos for name, amount in result.consumed.items()})
            self._holders.setdefault(result.device, []).append(holder)

    def holders(self, device: DeviceRef) -> tuple[str, ...]:
        """Who has the device, or shares of it."""
        return tuple(dict.fromkeys(self._holders.get(device, ())))

    def allocated(self, pools: Iterable[PoolKey] | None = None) -> Allocated:
        """What is held of some pools, all by default."""
        wanted = self._pools.values() if pools is None else [self._pools[key] for key in pools if key in self._pools]
        devices: set[DeviceRef] = set()
        shares: set[DeviceRef] = set()
        consumed: dict[DeviceRef, Mapping[str, int]] = {}
        for pool in wanted:
            devices |= pool.devices
            shares |= pool.shares
            consumed |= pool.consumed
        return Allocated(devices=devices, shares=shares, consumed=consumed)

    def copy(self) -> Holdings:
        """The same, to go on from in another way."""
        other = Holdings()
        other._pools = {key: pool.copy() for key, pool in self._pools.items()}
        other._holders = {ref: list(names) for ref, names in self._holders.items()}
        return other

    def _of(self, ref: DeviceRef) -> _PoolHoldings:
        return self._pools.setdefault((ref.driver, ref.pool), _PoolHoldings())


class _PoolHoldings:
    """What is held of one pool."""

    def __init__(self) -> None:
        self.devices: set[DeviceRef] = set()
        self.shares: set[DeviceRef] = set()
        self.consumed: dict[DeviceRef, dict[str, int]] = {}

    def consume(self, ref: DeviceRef, amounts: Mapping[str, int]) -> None:
        """Take some of a device's capacity."""
        if not amounts:
            return
        known = self.consumed.setdefault(ref, {})
        for name, amount in amounts.items():
            known[name] = known.get(name, 0) + amount

    def copy(self) -> _PoolHoldings:
        """The same, to go on from in another way."""
        other = _PoolHoldings()
        other.devices, other.shares = set(self.devices), set(self.shares)
        other.consumed = {ref: dict(amounts) for ref, amounts in self.consumed.items()}
        return other
