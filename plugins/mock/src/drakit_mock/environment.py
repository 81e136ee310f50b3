"""Environment variables: which names may be set, and what a mock device's own are called."""

from __future__ import annotations

import re
from collections.abc import Mapping

from drakit import DeviceRef, EachKey, Matches, Quantity

VARIABLE_NAME = Matches(
    "[A-Za-z_][A-Za-z0-9_]*", says="must be the name of an environment variable (letters, digits, '_')"
)


def check_names(env: Mapping[str, str]) -> None:
    """Raise ValueError for what no shell could read."""
    if problem := EachKey(VARIABLE_NAME).problem(env):
        raise ValueError(f"env{problem}")


def device_variable(ref: DeviceRef) -> tuple[str, str]:
    """`MOCK_DEVICE_GPU_0=gpu.example.com/node/gpu-0`: tells a container what it was given."""
    return f"MOCK_DEVICE_{_upper(ref.name)}", str(ref)


def capacity_variable(ref: DeviceRef, capacity: str, amount: Quantity) -> tuple[str, str]:
    """`MOCK_CAPACITY_NIC_0_BANDWIDTH=10G`: how much of a shared device is the claim's."""
    return f"MOCK_CAPACITY_{_upper(ref.name)}_{_upper(capacity)}", str(amount)


def _upper(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", name.upper())
