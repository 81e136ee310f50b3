"""The demo scenario of this distribution: GPUs and network adapters of two drivers, aligned by PCIe root."""

from __future__ import annotations

from pathlib import Path

from drakit.testing import Scenario

GPU_NIC = Scenario(
    name="gpu-nic",
    title="Two GPUs and two network adapters below one PCIe root, from two drivers",
    node_type="generic-gpu-nic",
    manifest=Path(__file__).parent / "data" / "examples" / "gpu-nic.yaml",
    backends=[
        {"plugin": "mock", "driver": "gpu.example.com", "options": {"profile": "generic-gpu"}},
        {"plugin": "mock", "driver": "nic.example.com", "options": {"profile": "generic-nic"}},
    ],
)
