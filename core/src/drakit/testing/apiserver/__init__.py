"""A Kubernetes API server in memory, for tests, the demo and benchmarks."""

from drakit.testing.apiserver.server import InMemoryApiServer
from drakit.testing.apiserver.status import Refusal

__all__ = ["InMemoryApiServer", "Refusal"]
