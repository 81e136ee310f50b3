"""The demo scenarios of this distribution: adapters alone, shared, and with the GPUs nearest to them."""

from __future__ import annotations

from drakit.testing import Scenario

from drakit_efa.instances import DATA

_GPUS = {"plugin": "mock", "driver": "gpu.nvidia.com", "options": {"profile": "nvidia-gpu"}}

# The GPUs are those of another driver, for which the mock stands in.
GPU_EFA_ALIGNED = Scenario(
    name="gpu-efa-aligned",
    title="A GPU and an EFA adapter below one PCIe root, from two drivers",
    node_type="p5.48xlarge",
    manifest=DATA / "templates" / "gpu-efa-aligned.yaml",
    backends=({"plugin": "efa"}, _GPUS),
    classes=(DATA / "others" / "gpu.nvidia.com.yaml",),
    also_for=(
        "p4d.24xlarge",
        "p4de.24xlarge",
        "p5e.48xlarge",
        "p5en.48xlarge",
        "p6-b200.48xlarge",
        "g6e.48xlarge",
    ),
)

EFA_SHARES = Scenario(
    name="efa-shares",
    title="Two claims on one EFA adapter, each with a share of it",
    node_type="p5.4xlarge",
    manifest=DATA / "examples" / "efa-shares.yaml",
    backends=({"plugin": "efa", "options": {"sharing": {"shares": 4}}},),
)

SINGLE_EFA = Scenario(
    name="single-efa",
    title="One EFA adapter for one container",
    node_type="g6e.12xlarge",
    manifest=DATA / "templates" / "single-efa-claim.yaml",
    backends=({"plugin": "efa"},),
)
