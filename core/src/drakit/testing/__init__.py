"""The public test kit: what a driver meets, in memory and on this machine, and what a plugin must keep to."""

from drakit.testing.apiserver import InMemoryApiServer, Refusal
from drakit.testing.nodes import NodeLayout, lay_out
from drakit.testing.scenarios import Scenario

__all__ = ["InMemoryApiServer", "NodeLayout", "Refusal", "Scenario", "lay_out"]
