"""Claims, templates and classes as the allocator reads them. Source: `resource.k8s.io/v1`.

Decoding is strict: what this module does not know could change the answer, so it is refused by its path.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from attrs import Attribute, field, frozen

from drakit.decoding import structure
from drakit.documents import API_VERSION, claim_ref
from drakit.errors import ConfigError
from drakit.model import Quantity, Taint, TaintEffect, Toleration
from drakit.model.names import check_count, check_label, check_qualified_name
from drakit.plan.errors import InvalidDocument

MAX_REQUESTS = 32
MAX_CONSTRAINTS = 32
MAX_ALTERNATIVES = 8
MAX_SELECTORS = 32
POD_CLAIM_NAME = "resource.kubernetes.io/pod-claim-name"

T = TypeVar("T")


class AllocationMode(enum.StrEnum):
    """How many devices a request is for."""

    EXACT_COUNT = "ExactCount"
    ALL = "All"


@frozen(kw_only=True)
class CelSelector:
    """A CEL expression."""

    expression: str


@frozen(kw_only=True)
class DeviceSelector:
    """One selector; CEL is the only kind there is."""

    cel: CelSelector


@frozen(kw_only=True)
class CapacityRequirements:
    """What a request wants to consume of each device."""

    requests: dict[str, Quantity] = field(factory=dict)


def _positive(_instance: object, _attribute: Attribute[int], value: int) -> None:
    if value < 1:
        raise ValueError(f"must be at least 1, not {value}")


def _named(_instance: object, _attribute: Attribute[str], value: str) -> None:
    check_label("the name", value)


def _not_empty(_instance: object, _attribute: Attribute[str], value: str) -> None:
    if not value:
        raise ValueError("must not be empty; a request without a device class is of a kind the planner does not know")


@frozen(kw_only=True)
class ExactRequest:
    """Devices of one class: the `exactly` of a request."""

    device_class_name: str = field(validator=_not_empty)
    selectors: tuple[DeviceSelector, ...] = ()
    allocation_mode: AllocationMode = AllocationMode.EXACT_COUNT
    count: int = field(default=1, validator=_positive)
    admin_access: bool = False
    tolerations: tuple[Toleration, ...] = ()
    capacity: CapacityRequirements = field(factory=CapacityRequirements)

    def __attrs_post_init__(self) -> None:
        check_count("selectors", self.selectors, MAX_SELECTORS)

    def tolerates(self, taints: Iterable[Taint]) -> bool:
        """Whether a device with these taints may be allocated. A taint of effect None only informs."""
        return all(
            taint.effect is TaintEffect.NONE or any(toleration.tolerates(taint) for toleration in self.tolerations)
            for taint in taints
        )


@frozen(kw_only=True)
class SubRequest(ExactRequest):
    """One alternative of a prioritized list."""

    name: str = field(validator=_named)


@frozen(kw_only=True)
class Request:
    """One request: `exactly`, or the first of several alternatives that can be met."""

    name: str = field(validator=_named)
    exactly: ExactRequest | None = None
    first_available: tuple[SubRequest, ...] = ()

    def __attrs_post_init__(self) -> None:
        if (self.exactly is None) == (not self.first_available):
            raise ValueError("must have either exactly or firstAvailable")
        check_count("firstAvailable", self.first_available, MAX_ALTERNATIVES)

    @property
    def alternatives(self) -> tuple[tuple[str, ExactRequest], ...]:
        """What may meet the request, best first, each with the name that results carry."""
        if self.exactly is not None:
            return ((self.name, self.exactly),)
        return tuple((f"{self.name}/{alternative.name}", alternative) for alternative in self.first_available)


@frozen(kw_only=True)
class Constraint:
    """Devices of several requests must agree, or differ, in one attribute; no requests stands for all."""

    requests: tuple[str, ...] = ()
    match_attribute: str | None = None
    distinct_attribute: str | None = None

    def __attrs_post_init__(self) -> None:
        if (self.match_attribute is None) == (self.distinct_attribute is None):
            raise ValueError("must have either matchAttribute or distinctAttribute; the planner knows no other kind")
        check_qualified_name("the attribute", self.attribute)
        if "/" not in self.attribute:
            raise ValueError(f"the attribute {self.attribute!r} must have a domain, as in dra.example.com/name")

    @property
    def attribute(self) -> str:
        """The fully qualified name."""
        return self.match_attribute or self.distinct_attribute or ""

    def covers(self, request: str) -> bool:
        """Whether the request, given as results name it, is in scope."""
        return not self.requests or request in self.requests or request.partition("/")[0] in self.requests


@frozen(kw_only=True)
class OpaqueParameters:
    """Configuration for one driver."""

    driver: str
    parameters: Any = None


@frozen(kw_only=True)
class DeviceConfig:
    """One configuration of a class (without requests) or a claim."""

    opaque: OpaqueParameters
    requests: tuple[str, ...] = ()

    def to_api(self, source: str, requests: Iterable[str]) -> dict[str, Any]:
        """The entry of an allocation's `devices.config`."""
        document: dict[str, Any] = {"source": source}
        if names := list(requests):
            document["requests"] = names
        document["opaque"] = {"driver": self.opaque.driver, "parameters": self.opaque.parameters}
        return document


@frozen(kw_only=True)
class DeviceClaim:
    """The `spec.devices` of a claim."""

    requests: tuple[Request, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    config: tuple[DeviceConfig, ...] = ()

    def __attrs_post_init__(self) -> None:
        check_count("requests", self.requests, MAX_REQUESTS)
        check_count("constraints", self.constraints, MAX_CONSTRAINTS)
        names = {request.name for request in self.requests}
        if len(names) != len(self.requests):
            raise ValueError("requests must have different names")
        names |= {name for request in self.requests for name, _ in request.alternatives}
        named = [(f"constraints[{i}]", entry.requests) for i, entry in enumerate(self.constraints)]
        named += [(f"config[{i}]", entry.requests) for i, entry in enumerate(self.config)]
        for where, references in named:
            if unknown := [name for name in references if name not in names]:
                raise ValueError(f"{where}.requests: there is no request {unknown[0]!r}")


@frozen(kw_only=True)
class _ClassSpec:
    selectors: tuple[DeviceSelector, ...] = ()
    config: tuple[DeviceConfig, ...] = ()
    extended_resource_name: str = ""


@frozen
class DeviceClass:
    """A DeviceClass: what its devices must match, and the configuration they get."""

    name: str
    selectors: tuple[str, ...] = ()
    config: tuple[DeviceConfig, ...] = ()

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> DeviceClass:
        """Read a DeviceClass document. Raises InvalidDocument."""
        name = str((document.get("metadata") or {}).get("name") or "")
        spec = _structure(_ClassSpec, document.get("spec") or {}, f"DeviceClass {name!r}: spec")
        return cls(name, tuple(selector.cel.expression for selector in spec.selectors), spec.config)


def read_claim(document: Mapping[str, Any]) -> DeviceClaim:
    """The devices a ResourceClaim asks for. Raises InvalidDocument, naming the path."""
    if not isinstance(document.get("metadata") or {}, Mapping):
        raise InvalidDocument("claim: metadata: must be a mapping")
    where = f"claim {claim_name(document)}: spec"
    spec = document.get("spec")
    if not isinstance(spec, Mapping):
        raise InvalidDocument(f"{where}: must be a mapping")
    return _structure(DeviceClaim, spec.get("devices") or {}, f"{where}.devices")


def claim_name(document: Mapping[str, Any]) -> str:
    """`namespace/name`, for messages."""
    claim = claim_ref(document)
    return str(claim) if claim.namespace else claim.name


def claim_from_template(
    template: Mapping[str, Any], name: str, namespace: str, uid: str, pod_claim_name: str | None = None
) -> dict[str, Any]:
    """The claim that a ResourceClaimTemplate document stands for, unallocated.

    With `pod_claim_name`, the claim says which entry of a pod's `resourceClaims` it was made for, as the claims the
    controller makes do. Raises InvalidDocument where the template has no claim in it.
    """
    inner = template.get("spec")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("spec"), Mapping):
        where = (template.get("metadata") or {}).get("name") or name
        raise InvalidDocument(f"ResourceClaimTemplate {where!r}: spec.spec: must hold the spec of a claim")
    wanted = inner.get("metadata") or {}
    metadata: dict[str, Any] = {"name": name, "namespace": namespace, "uid": uid}
    annotations = dict(wanted.get("annotations") or {})
    if pod_claim_name is not None:
        annotations[POD_CLAIM_NAME] = pod_claim_name
    if wanted.get("labels"):
        metadata["labels"] = dict(wanted["labels"])
    if annotations:
        metadata["annotations"] = annotations
    return {"apiVersion": API_VERSION, "kind": "ResourceClaim", "metadata": metadata, "spec": dict(inner["spec"])}


def _structure(kind: type[T], value: Any, where: str) -> T:
    try:
        return structure(kind, _without_nulls(value), where)
    except ConfigError as error:
        raise InvalidDocument(str(error)) from None


def _without_nulls(value: Any) -> Any:
    """Absent and null are the same to the API, except inside opaque parameters, which are not ours to read."""
    if isinstance(value, Mapping):
        return {
            key: item if key == "parameters" else _without_nulls(item)
            for key, item in value.items()
            if item is not None
        }
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
