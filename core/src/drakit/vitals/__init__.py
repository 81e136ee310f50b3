"""How the agent is: liveness, readiness and metrics over HTTP.

Everything here is read from the live agent at the moment somebody asks, on threads of its own. What asking needs, an
HTTP server and the Prometheus client, is imported on those threads, once the drivers are registered.
"""

from drakit.vitals.ports import Ports
from drakit.vitals.state import HookTally, Rounds, Vitals

__all__ = ["HookTally", "Ports", "Rounds", "Vitals"]
