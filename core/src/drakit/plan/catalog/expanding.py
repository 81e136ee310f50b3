"""From an entry of a catalog to the templates it stands for, each with its claims on every type of node.

Everything is rendered and read by the planner here, so that a catalog which was read has no template that an API server
would refuse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen

from drakit.errors import DRAError, LimitExceeded, shorten
from drakit.model import Quantity
from drakit.model.converters import frozen_mapping
from drakit.model.names import check_subdomain
from drakit.plan.catalog.filling import fill
from drakit.plan.catalog.model import (
    ClaimEntry,
    ConfigEntry,
    ConstraintEntry,
    Guardrails,
    NodesEntry,
    RequestEntry,
    TemplateEntry,
    Values,
)
from drakit.plan.cel import CelError, compile_selector
from drakit.plan.claims import read_claim
from drakit.plan.task import MAX_RESULTS

_MAX_NAME = 63
"""Names of templates become the values of labels."""


@frozen(kw_only=True)
class Claim:
    """One claim of a template on one type of node. `devices` is what stands in its `spec.devices`."""

    name: str
    devices: Mapping[str, Any]

    @property
    def requests(self) -> Iterator[tuple[str, int | None, str]]:
        """Each request: its name, how many devices, None for all, and of which class."""
        for request in self.devices["requests"]:
            yield request["name"], request["exactly"].get("count"), request["exactly"]["deviceClassName"]


@frozen(kw_only=True)
class Variant:
    """A template on one type of node; so many of it, with all its claims, fit there."""

    node_type: str
    per_node: int
    claims: tuple[Claim, ...]

    @property
    def classes(self) -> tuple[str, ...]:
        """The device classes that it asks for, each once."""
        return tuple(dict.fromkeys(name for claim in self.claims for _, _, name in claim.requests))

    def renamed(self, template: str, name: str) -> Variant:
        """The same with claims that begin with another name than their template's. Raises LimitExceeded."""
        claims = [evolve(claim, name=f"{name}{claim.name.removeprefix(template)}") for claim in self.claims]
        for claim in claims:
            check_subdomain("the name", claim.name, _MAX_NAME)
        return evolve(self, claims=tuple(claims))


@frozen(kw_only=True)
class Template:
    """What a practitioner picks by name. `origin` says whose it is.

    `withheld`: types of nodes that the catalog has it for, and that guardrails rule out, with the reason.
    """

    name: str
    title: str
    description: str
    origin: str
    variants: Mapping[str, Variant] = field(converter=frozen_mapping)
    plugin_options: Mapping[str, Mapping[str, Any]] = field(factory=dict, converter=frozen_mapping)
    withheld: Mapping[str, str] = field(factory=dict, converter=frozen_mapping)

    def within(self, guardrails: Guardrails, whose: str) -> Template:
        """The template as guardrails, which `whose` names, leave it."""
        kept, withheld = {}, dict(self.withheld)
        for node_type, variant in self.variants.items():
            reason = _outside(variant, guardrails)
            if reason:
                withheld[node_type] = f"{reason} ({whose})"
            else:
                claims = [evolve(one, devices=_guarded(one.devices, guardrails)) for one in variant.claims]
                kept[node_type] = evolve(variant, claims=tuple(claims))
        return evolve(self, variants=kept, withheld=withheld)


def expand(entry: TemplateEntry, origin: str) -> list[Template]:
    """Every template of an entry, in the order of its sizes. Raises ValueError, with what is wrong where."""
    return [_template(entry, size, origin) for size in entry.sizes or ("",)]


def _template(entry: TemplateEntry, size: str, origin: str) -> Template:
    given: Values = {**entry.values, **entry.sizes.get(size, {}), **({"size": size} if size else {})}
    name = str(_filled(entry.name, given, "name"))
    check_subdomain("name", name, _MAX_NAME)
    variants: dict[str, Variant] = {}
    for index, nodes in enumerate(entry.nodes):
        per_node: int = nodes.per_node.get(size, 0) if isinstance(nodes.per_node, Mapping) else nodes.per_node
        for node_type in nodes.types if per_node else ():
            if node_type in variants:
                raise ValueError(f"nodes[{index}].types: {node_type!r} is there twice")
            values = {**given, **nodes.values, **nodes.sizes.get(size, {}), "nodeType": node_type}
            claims = nodes.claims or entry.claims
            where = f"{name} on {node_type}"
            variants[node_type] = Variant(
                node_type=node_type,
                per_node=per_node,
                claims=tuple(_claim(claim, nodes, name, values, where) for claim in _distinct(claims)),
            )
    if not variants:
        raise ValueError(f"{name}: no perNode has the size {size!r}, so it is for no node")
    return Template(
        name=name,
        title=str(_filled(entry.title, given, "title")),
        description=str(_filled(" ".join(entry.description.split()), given, "description")),
        origin=origin,
        variants=variants,
        plugin_options=entry.plugin_options,
    )


def _filled(item: Any, values: Values, where: str) -> Any:
    try:
        return fill(item, values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _distinct(claims: Sequence[ClaimEntry]) -> Sequence[ClaimEntry]:
    names = [claim.name for claim in claims]
    if not claims:
        raise ValueError("claims: there must be one at least")
    if len(claims) > 1 and ("" in names or len(set(names)) < len(names)):
        raise ValueError("claims: where there are several, each must have a name of its own")
    return claims


def _claim(claim: ClaimEntry, nodes: NodesEntry, template: str, values: Values, where: str) -> Claim:
    name = f"{template}-{claim.name}" if claim.name else template
    try:
        check_subdomain("name", name, _MAX_NAME)
        devices = _devices(claim, (*claim.config, *nodes.config), values)
        _check(name, devices)
    except LimitExceeded as error:
        raise ValueError(f"{where}: {error}") from None
    except (ValueError, DRAError) as error:
        said = str(error).removeprefix(f"claim {name}: ")
        raise ValueError(f"{where}: {said}") from None
    return Claim(name=name, devices=_as_stored(devices))


def _as_stored(devices: Mapping[str, Any]) -> dict[str, Any]:
    """What a claim asks for, with quantities as an API server writes them: nothing of it changes when it is applied."""
    return {**devices, "requests": [{**one, "exactly": _stored(one["exactly"])} for one in devices["requests"]]}


def _stored(wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    if "capacity" not in wanted:
        return wanted
    amounts = {name: Quantity(amount).canonical for name, amount in wanted["capacity"]["requests"].items()}
    return {**wanted, "capacity": {"requests": amounts}}


def _check(name: str, devices: Mapping[str, Any]) -> None:
    """Let the planner read the claim. Raises InvalidDocument, CelError, or ValueError for too many devices."""
    spec = read_claim({"metadata": {"name": name}, "spec": {"devices": devices}})
    for request in spec.requests:
        for _, wanted in request.alternatives:
            for index, selector in enumerate(wanted.selectors):
                _compile(f"request {request.name!r}, selectors[{index}]", selector.cel.expression)
    asked = _asked(devices)
    if asked is not None and asked > MAX_RESULTS:
        raise ValueError(f"asks for {asked} devices; one claim can have at most {MAX_RESULTS}")


def _compile(where: str, expression: str) -> None:
    try:
        compile_selector(expression)
    except CelError as error:
        raise ValueError(f"{where}: {shorten(expression)} does not compile: {error}") from None


def _asked(devices: Mapping[str, Any]) -> int | None:
    """For how many devices a claim asks; None where it is for all."""
    counts = [request["exactly"].get("count") for request in devices["requests"]]
    return None if None in counts else sum(counts)


def _devices(claim: ClaimEntry, config: Sequence[ConfigEntry], values: Values) -> dict[str, Any]:
    copies = fill(claim.repeat, values)
    if copies is not None and (type(copies) is not int or not 1 <= copies <= MAX_RESULTS):
        raise ValueError(f"repeat must come to a number from 1 to {MAX_RESULTS}, not {copies!r}")
    suffixes = [""] if copies is None else [f"-{number}" for number in range(1, copies + 1)]
    names = [request.name for request in claim.requests]
    constraints = [
        {"requests": [f"{name}{suffix}" for name in one.requests or names], "matchAttribute": attribute}
        for suffix in suffixes
        for one, attribute in _filled_constraints(claim.constraints, values)
    ]
    configs = [_config(one, suffixes, values) for one in config]
    return {
        "requests": [_request(request, suffix, values) for suffix in suffixes for request in claim.requests],
        **({"constraints": constraints} if constraints else {}),
        **({"config": configs} if configs else {}),
    }


def _filled_constraints(entries: Iterable[ConstraintEntry], values: Values) -> Iterator[tuple[ConstraintEntry, str]]:
    for entry in entries:
        if attribute := fill(entry.match_attribute, values):
            yield entry, attribute


def _request(request: RequestEntry, suffix: str, values: Values) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "deviceClassName": fill(request.device_class_name, values),
        "allocationMode": "All" if request.all_ else "ExactCount",
    }
    if not request.all_:
        wanted["count"] = 1 if request.count is None else fill(request.count, values)
    if request.selectors:
        wanted["selectors"] = [_selector(str(fill(text, values))) for text in request.selectors]
    if request.capacity:
        wanted["capacity"] = {"requests": fill(request.capacity, values)}
    if request.tolerations:
        wanted["tolerations"] = [fill(toleration.to_api(), values) for toleration in request.tolerations]
    return {"name": f"{request.name}{suffix}", "exactly": wanted}


def _selector(expression: str) -> dict[str, Any]:
    """CEL as it was written, without a line break at its end."""
    return {"cel": {"expression": expression.strip()}}


def _config(entry: ConfigEntry, suffixes: Sequence[str], values: Values) -> dict[str, Any]:
    requests = [f"{name}{suffix}" for suffix in suffixes for name in entry.requests]
    opaque = {"driver": fill(entry.driver, values), "parameters": fill(entry.parameters, values)}
    return {**({"requests": requests} if requests else {}), "opaque": opaque}


def _outside(variant: Variant, guardrails: Guardrails) -> str:
    """Why a variant is not within guardrails; empty if it is."""
    if guardrails.node_types and variant.node_type not in guardrails.node_types:
        return f"only {', '.join(guardrails.node_types)} may be used"
    for claim in variant.claims if guardrails.max_devices is not None else ():
        asked = _asked(claim.devices)
        if asked is None or asked > (guardrails.max_devices or 0):
            number = "all" if asked is None else asked
            return f"{claim.name} asks for {number} devices, and one claim may ask for {guardrails.max_devices}"
    return ""


def _guarded(devices: Mapping[str, Any], guardrails: Guardrails) -> dict[str, Any]:
    requests = []
    for request in devices["requests"]:
        wanted = dict(request["exactly"])
        if more := guardrails.selectors.get(wanted["deviceClassName"]):
            wanted["selectors"] = [*wanted.get("selectors", ()), *map(_selector, more)]
        requests.append({**request, "exactly": wanted})
    return {**devices, "requests": requests}
