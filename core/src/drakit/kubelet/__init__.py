"""What the kubelet talks to: registration, DRA v1 and v1beta1, and device health, over unix sockets.

The only part of the core that imports grpc and protobuf. A KubeletServer per driver calls a ClaimService; which claims
there are and what preparing them means is not known here.
"""

from drakit.kubelet.dra import DRA_VERSIONS, ClaimService
from drakit.kubelet.health import HEALTH_VERSIONS, HealthBoard
from drakit.kubelet.registration import PLUGIN_TYPE, OnRegistered
from drakit.kubelet.server import KubeletServer
from drakit.kubelet.sockets import MAX_SOCKET_PATH, KubeletPaths, is_alive

__all__ = [
    "DRA_VERSIONS",
    "HEALTH_VERSIONS",
    "MAX_SOCKET_PATH",
    "PLUGIN_TYPE",
    "ClaimService",
    "HealthBoard",
    "KubeletPaths",
    "KubeletServer",
    "OnRegistered",
    "is_alive",
]
