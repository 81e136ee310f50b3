"""What a catalog file may hold. Decoded strictly; docs/templates.md is the page for whoever writes one.

Texts may have values in braces, `{devices}`. A text that is nothing but one takes its value as it is, so that a count
stays a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from attrs import Attribute, field, frozen

from drakit.model import Toleration
from drakit.model.names import check_label

API_VERSION = "drakit/v1alpha1"
KIND = "TemplateCatalog"

GIVEN = ("nodeType", "size")
"""The values that every text can use without anybody having set them."""

Value = str | int
Values = Mapping[str, Value]

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")


def _text_or_number(_instance: object, attribute: Attribute[Any], value: object) -> None:
    if value is not None and type(value) not in (int, str):
        raise ValueError(f"{attribute.name} must be a number, or a text such as '{{devices}}', not {value!r}")


def check_values(values: Mapping[str, Any], where: str) -> None:
    """Refuse what cannot be a value, or can never be asked for. Raises ValueError."""
    for name, value in values.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{where}: {name!r} is no name of a value; use letters and digits")
        if name in GIVEN:
            raise ValueError(f"{where}: {name!r} is given already; choose another name")
        if type(value) not in (int, str):
            raise ValueError(f"{where}.{name}: must be a text or a number, not {value!r}")


def _values(_instance: object, attribute: Attribute[Any], values: Mapping[str, Any]) -> None:
    check_values(values, attribute.name)


def _sizes(_instance: object, attribute: Attribute[Any], sizes: Mapping[str, Mapping[str, Any]]) -> None:
    for size, values in sizes.items():
        check_values(values, f"{attribute.name}.{size}")


def _label(_instance: object, attribute: Attribute[str], value: str) -> None:
    if value:
        check_label(attribute.name, value)


@frozen(kw_only=True)
class RequestEntry:
    """Devices of one class: so many, one by default, or all that the node has."""

    name: str = field(validator=_label)
    device_class_name: str
    count: Any = field(default=None, validator=_text_or_number)
    all_: bool = False
    selectors: tuple[str, ...] = ()
    """CEL; a device must match all of them."""
    capacity: dict[str, Any] = field(factory=dict)
    """How much of each device, where devices are shared."""
    tolerations: tuple[Toleration, ...] = ()

    def __attrs_post_init__(self) -> None:
        if self.all_ and self.count is not None:
            raise ValueError("has all and count; keep one of them")


@frozen(kw_only=True)
class ConstraintEntry:
    """The devices of these requests, of all if none is named, have one value of the attribute.

    An attribute that comes to an empty text is no constraint: so a size can do without.
    """

    match_attribute: str
    requests: tuple[str, ...] = ()


@frozen(kw_only=True)
class ConfigEntry:
    """Opaque configuration for a driver, for these requests or for all."""

    driver: str
    parameters: dict[str, Any]
    requests: tuple[str, ...] = ()


@frozen(kw_only=True)
class ClaimEntry:
    """One claim. Its name follows the template's, and may only be empty where there is one claim.

    `repeat`: requests, constraints and what is configured for requests stand in the claim so many times, each with
    names of its own, `gpu-1`, `gpu-2`: constraints hold within each.
    """

    name: str = field(default="", validator=_label)
    requests: tuple[RequestEntry, ...]
    constraints: tuple[ConstraintEntry, ...] = ()
    config: tuple[ConfigEntry, ...] = ()
    repeat: Any = field(default=None, validator=_text_or_number)

    def __attrs_post_init__(self) -> None:
        if not self.requests:
            raise ValueError("requests: there must be one at least")
        names = [request.name for request in self.requests]
        for requests in [one.requests for one in self.constraints] + [one.requests for one in self.config]:
            if unknown := [name for name in requests if name not in names]:
                raise ValueError(f"there is no request {unknown[0]!r}; there are: {', '.join(names)}")


@frozen(kw_only=True)
class NodesEntry:
    """Types of nodes that have the template, and what is different there.

    `per_node`: how many fit on such a node, by size if there are sizes; what is not named is not to be had there.
    `values` and `sizes` go over those of the template, `claims` stands in place of its own, and `config` is added to
    every claim.
    """

    types: tuple[str, ...]
    per_node: Any
    values: dict[str, Any] = field(factory=dict, validator=_values)
    sizes: dict[str, dict[str, Any]] = field(factory=dict, validator=_sizes)
    claims: tuple[ClaimEntry, ...] = ()
    config: tuple[ConfigEntry, ...] = ()

    def __attrs_post_init__(self) -> None:
        if not self.types:
            raise ValueError("types: there must be one at least")
        numbers = self.per_node.values() if isinstance(self.per_node, Mapping) else [self.per_node]
        if not numbers or any(type(number) is not int or number < 1 for number in numbers):
            raise ValueError(f"perNode must be a number from 1 on, or such a number for each size, not {self.per_node}")


@frozen(kw_only=True)
class TemplateEntry:
    """One template, or, with `sizes`, one for each size: its name must then have `{size}` in it.

    `plugin_options`: what the agent's configuration must have under `options`, by plugin, for devices that can be
    claimed in this way.
    """

    name: str
    title: str
    description: str = ""
    values: dict[str, Any] = field(factory=dict, validator=_values)
    sizes: dict[str, dict[str, Any]] = field(factory=dict, validator=_sizes)
    claims: tuple[ClaimEntry, ...]
    nodes: tuple[NodesEntry, ...]
    plugin_options: dict[str, dict[str, Any]] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if bool(self.sizes) != ("{size}" in self.name):
            raise ValueError(f"name: {self.name!r} must have {{size}} in it if there are sizes, and only then")
        if not self.nodes:
            raise ValueError("nodes: a template must be for one type of node at least")
        for index, nodes in enumerate(self.nodes):
            self._check_sizes(f"nodes[{index}]", nodes)

    def _check_sizes(self, where: str, nodes: NodesEntry) -> None:
        by_size = isinstance(nodes.per_node, Mapping)
        if by_size != bool(self.sizes):
            wanted = "a number for each size" if self.sizes else "one number, as there are no sizes"
            raise ValueError(f"{where}.perNode must be {wanted}")
        named = (*nodes.sizes, *(nodes.per_node if by_size else ()))
        if unknown := [size for size in named if size not in self.sizes]:
            raise ValueError(f"{where}: there is no size {unknown[0]!r}; there are: {', '.join(self.sizes) or 'none'}")


@frozen(kw_only=True)
class Guardrails:
    """What holds for every template that is to be had beside the catalog, those of plugins too.

    `node_types`: the only ones that templates are rendered for. `max_devices`: the most that one claim may ask for.
    `selectors`: by device class, CEL that is added to every request for it.
    """

    node_types: tuple[str, ...] = ()
    max_devices: int | None = None
    selectors: dict[str, tuple[str, ...]] = field(factory=dict)


@frozen(kw_only=True)
class CatalogDocument:
    """A catalog file."""

    templates: tuple[TemplateEntry, ...] = ()
    guardrails: Guardrails = field(factory=Guardrails)
