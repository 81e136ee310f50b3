"""What kubelets of different releases do differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from attrs import evolve, field, frozen

from drakit.model.converters import frozen_tuple

_ALPHA_HEALTH = "v1alpha1.DRAResourceHealth"
_HEALTH = "v1.DRAResourceHealth"


@frozen(kw_only=True)
class KubeletProfile:
    """One kubelet's habits. `attrs.evolve` gives others, such as a kubelet that knows only v1beta1.

    `dra_services` are the ones it knows, by their advertised names. `watches_health` is the state of the feature gate
    ResourceHealthStatus. `negotiates_health` says whether it reads what is advertised; else it opens a v1alpha1
    stream to every driver. `retries_registration` says whether a failed registration is tried again, and
    `appends_on_repeat` whether the answer to a repeated Prepare is added to the first one's instead of replacing it.
    """

    version: str
    dra_services: tuple[str, ...] = field(default=("v1.DRAPlugin", "v1beta1.DRAPlugin"), converter=frozen_tuple)
    watches_health: bool = True
    negotiates_health: bool = False
    retries_registration: bool = True
    appends_on_repeat: bool = True

    def choose_dra_service(self, advertised: Sequence[str]) -> str | None:
        """The first advertised service that the kubelet knows: the order is the driver's."""
        return next((name for name in advertised if name in self.dra_services), None)

    def choose_health_service(self, advertised: Sequence[str]) -> str | None:
        """The health service it opens a stream to, if any."""
        if not self.watches_health:
            return None
        if not self.negotiates_health:
            return _ALPHA_HEALTH
        return next((name for name in (_HEALTH, _ALPHA_HEALTH) if name in advertised), None)


_V134 = KubeletProfile(version="1.34", watches_health=False, retries_registration=False)
_V136 = KubeletProfile(version="1.36")

PROFILES: Mapping[str, KubeletProfile] = MappingProxyType(
    {
        "1.34": _V134,
        "1.35": evolve(_V134, version="1.35"),
        "1.36": _V136,
        "1.37": evolve(_V136, version="1.37", negotiates_health=True, appends_on_repeat=False),
    }
)
"""By minor release, each with its default feature gates."""
