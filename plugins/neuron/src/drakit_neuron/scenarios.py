"""The demo scenarios of this distribution: Neuron devices with the EFA adapters nearest to them, and a whole node."""

from __future__ import annotations

from drakit.testing import Scenario

from drakit_neuron.instances import DATA

_BACKENDS = ({"plugin": "neuron"}, {"plugin": "efa"})

ALIGNED_EFA_NEURON = Scenario(
    name="aligned-efa-neuron",
    title="Four Neuron devices and the four EFA adapters nearest to them, from two drivers",
    node_type="trn2.48xlarge",
    manifest=DATA / "examples" / "aligned-efa-neuron.yaml",
    backends=_BACKENDS,
)

# A group of four devices has two adapters on this type: the claim for four of each cannot be met there.
ALIGNED_EFA_NEURON_TRN1 = Scenario(
    name="aligned-efa-neuron-trn1",
    title="Four Neuron devices and the two EFA adapters nearest to them, from two drivers",
    node_type="trn1.32xlarge",
    manifest=DATA / "examples" / "aligned-efa-neuron-trn1.yaml",
    backends=_BACKENDS,
)

# The type publishes its node as one device: claims for single devices cannot be met there.
ULTRASERVER_NODE = Scenario(
    name="ultraserver-node",
    title="One of the four nodes of an UltraServer job, which learns its place in the server",
    node_type="trn2u.48xlarge",
    manifest=DATA / "templates" / "us-4-node-config.yaml",
    backends=_BACKENDS,
)
