"""The name rules of the Kubernetes API, as attrs validators and plain checks.

Source: apimachinery validation and `resource.k8s.io` validation of Kubernetes 1.34 to 1.37. Every check raises
LimitExceeded with the field, the rule and the value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sized
from functools import lru_cache
from typing import Any

from attrs import Attribute

from drakit.errors import LimitExceeded

MAX_DRIVER_NAME = 63
MAX_POOL_NAME = 253
MAX_OBJECT_NAME = 253
MAX_LABEL = 63
MAX_ATTRIBUTE_ID = 32
MAX_ATTRIBUTE_DOMAIN = 63

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_SUBDOMAIN = re.compile(SUBDOMAIN)
_C_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?")

Validator = Callable[[Any, "Attribute[Any]", Any], None]


def check_label(field: str, value: object, limit: int = MAX_LABEL) -> None:
    """A DNS label: device names, counter sets, counters, request names."""
    if not isinstance(value, str) or len(value) > limit or not _LABEL.fullmatch(value):
        raise LimitExceeded(field, f"must be a DNS label of at most {limit} characters (a-z, 0-9, '-')", value)


def check_subdomain(field: str, value: object, limit: int) -> None:
    """A lower-case DNS subdomain: driver names, attribute domains and names of objects."""
    if not isinstance(value, str) or len(value) > limit or not _SUBDOMAIN.fullmatch(value):
        raise LimitExceeded(field, f"must be a lower-case DNS subdomain of at most {limit} characters", value)


def check_driver_name(field: str, value: object) -> None:
    """The name of a DRA driver."""
    check_subdomain(field, value, MAX_DRIVER_NAME)


def check_pool_name(field: str, value: object) -> None:
    """DNS subdomains joined by '/'."""
    rule = f"must be DNS subdomains joined by '/', at most {MAX_POOL_NAME} characters"
    if not isinstance(value, str) or not 0 < len(value) <= MAX_POOL_NAME:
        raise LimitExceeded(field, rule, value)
    if not all(_SUBDOMAIN.fullmatch(part) for part in value.split("/")):
        raise LimitExceeded(field, rule, value)


def check_qualified_name(field: str, value: object) -> None:
    """The key of an attribute or a capacity: a C identifier, with or without a `domain/`."""
    if not isinstance(value, str):
        raise LimitExceeded(field, "must be a string", value)
    if _is_qualified_name(value):
        return
    domain, slash, identifier = value.rpartition("/")
    if slash:
        check_subdomain(f"{field}: the domain", domain, MAX_ATTRIBUTE_DOMAIN)
    if len(identifier) > MAX_ATTRIBUTE_ID or not _C_IDENTIFIER.fullmatch(identifier):
        raise LimitExceeded(field, f"must be a C identifier of at most {MAX_ATTRIBUTE_ID} characters", value)


@lru_cache(maxsize=4096)
def _is_qualified_name(value: str) -> bool:
    """Whether nothing is wrong with it: thousands of devices have the same few names."""
    domain, slash, identifier = value.rpartition("/")
    good = not slash or (len(domain) <= MAX_ATTRIBUTE_DOMAIN and _SUBDOMAIN.fullmatch(domain) is not None)
    return good and len(identifier) <= MAX_ATTRIBUTE_ID and _C_IDENTIFIER.fullmatch(identifier) is not None


def check_label_key(field: str, value: object) -> None:
    """The key of a label or a taint: a name of at most 63 characters with an optional `domain/`."""
    rule = "must be a label name of at most 63 characters with an optional DNS domain"
    if not isinstance(value, str):
        raise LimitExceeded(field, rule, value)
    domain, slash, name = value.rpartition("/")
    if slash and (len(domain) > 253 or not _SUBDOMAIN.fullmatch(domain)):
        raise LimitExceeded(field, rule, value)
    if len(name) > MAX_LABEL or not _LABEL_NAME.fullmatch(name):
        raise LimitExceeded(field, rule, value)


def check_label_value(field: str, value: object) -> None:
    """The value of a label or a taint; may be empty."""
    if not isinstance(value, str) or len(value) > MAX_LABEL or not _LABEL_VALUE.fullmatch(value):
        raise LimitExceeded(field, "must be a label value of at most 63 characters", value)


def check_count(field: str, value: Sized, limit: int, least: int = 0) -> None:
    """How many entries a collection may have."""
    if len(value) > limit:
        raise LimitExceeded(field, f"may have at most {limit} entries", len(value))
    if len(value) < least:
        raise LimitExceeded(field, f"must have at least {least} entries", len(value))


def valid(check: Callable[[str, object], None]) -> Validator:
    """Make an attrs validator of a check; the field is named `Class.attribute`."""

    def validator(instance: Any, attribute: Attribute[Any], value: Any) -> None:
        check(f"{type(instance).__name__}.{attribute.name}", value)

    return validator
