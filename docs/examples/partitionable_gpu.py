"""A GPU that is handed out whole, in halves or in quarters, with shared counters (KEP-4815).

Every partition is a device of its own from the start. What keeps them from overlapping is the counter set of the GPU
they are cut from: each takes its part of it, and the scheduler allocates no more than there is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from attrs import frozen
from drakit import (
    AllocatedDevice,
    ClaimAllocation,
    ClaimRef,
    ContainerEdits,
    CounterConsumption,
    CounterSet,
    Device,
    DeviceNode,
    PluginContext,
    Pool,
    PreparedDevice,
    Quantity,
    hookimpl,
)

PARTITIONS = {"full": 1, "half": 2, "quarter": 4}


@frozen(kw_only=True)
class GpuOptions:
    """How large the GPUs are; both must be divisible by four."""

    memory_gib: int = 80
    engines: int = 8


class PartitionableGpuPlugin:
    """Every `/dev/gpu<N>` of the node, with all the partitions it can be cut into."""

    driver_name = "partitionable-gpu.example.com"
    options = GpuOptions

    def __init__(self, context: PluginContext) -> None:
        self._context = context
        self._options: GpuOptions = context.options

    @hookimpl
    def discover(self) -> Sequence[Pool]:
        gpus = sorted(path.name for path in self._context.path("/dev").glob("gpu[0-9]*"))
        devices = [device for gpu in gpus for device in self._partitions(gpu)]
        return [Pool(devices, counters=[CounterSet(gpu, self._part(1)) for gpu in gpus])]

    @hookimpl
    def prepare(self, claim: ClaimAllocation) -> Sequence[PreparedDevice]:
        return [PreparedDevice.of(allocated, self._edits(allocated)) for allocated in claim.devices]

    @hookimpl
    def unprepare(self, claim: ClaimRef, prepared: Sequence[PreparedDevice]) -> None:
        """Nothing to undo: this GPU needs no command to be cut."""

    def _partitions(self, gpu: str) -> Iterator[Device]:
        for kind, parts in PARTITIONS.items():
            for number in range(parts):
                part = self._part(parts)
                yield Device(
                    name=f"{gpu}-{kind}-{number}",
                    attributes={"gpu": gpu, "partition": kind},
                    capacity={"memory": part["memory"]},
                    consumes=[CounterConsumption(gpu, part)],
                )

    def _part(self, parts: int) -> dict[str, Quantity]:
        return {
            "memory": Quantity(f"{self._options.memory_gib // parts}Gi"),
            "engines": Quantity(self._options.engines // parts),
        }

    def _edits(self, allocated: AllocatedDevice) -> ContainerEdits:
        name = allocated.device.name
        path = f"/dev/{name.partition('-')[0]}"
        return ContainerEdits(
            env={f"GPU_PARTITION_{name.upper().replace('-', '_')}": path},
            device_nodes=[DeviceNode(path, self._context.host_path(path))],
        )
