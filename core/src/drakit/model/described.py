"""What a container is told of a device it was given (KEP-5304)."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import field, frozen
from attrs.validators import instance_of, optional

from drakit.model.claim import ClaimRef
from drakit.model.converters import frozen_mapping
from drakit.model.device import AttributeValue, DeviceRef, check_attribute
from drakit.model.status import NetworkData


@frozen(kw_only=True)
class DescribedDevice:
    """One device of a container, as the metadata file of its claim describes it.

    `request` is the name in the claim, `request/subrequest` where a prioritized list was used. `attributes` are those
    that were published when the claim was prepared, `network` the interface that the device is to the pod.
    `pod_claim_name` is what the pod calls a claim that was made for it from a template; empty for another.
    """

    device: DeviceRef = field(validator=instance_of(DeviceRef))
    claim: ClaimRef = field(validator=instance_of(ClaimRef))
    request: str
    attributes: Mapping[str, AttributeValue] = field(factory=dict, converter=frozen_mapping)
    network: NetworkData | None = field(default=None, validator=optional(instance_of(NetworkData)))
    pod_claim_name: str = ""

    def __attrs_post_init__(self) -> None:
        for name, value in self.attributes.items():
            check_attribute(name, value)
