"""Claims with one thing changed. The documents that are given stay as they are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from drakit.plan.allocator import Claim

Document = dict[str, Any]
Claims = tuple[Claim, ...]


@frozen
class Place:
    """One alternative of one request, by where it stands in the claims; `alternative` is None for `exactly`."""

    claim: int
    request: int
    alternative: int | None

    @property
    def path(self) -> str:
        """Where it stands in its claim."""
        inside = "exactly" if self.alternative is None else f"firstAvailable[{self.alternative}]"
        return f"spec.devices.requests[{self.request}].{inside}"

    def judged_by(self, alternative: int) -> Place:
        """The alternative whose selectors decide over this one."""
        return self if self.alternative is None else evolve(self, alternative=alternative)

    def find(self, claims: Sequence[Any]) -> Any:
        """What stands there."""
        request = claims[self.claim]["spec"]["devices"]["requests"][self.request]
        return request["exactly"] if self.alternative is None else request["firstAvailable"][self.alternative]


def devices_of(claim: Claim) -> Any:
    """The `spec.devices` of a claim; empty where there is none."""
    return (claim.get("spec") or {}).get("devices") or {}


def places(claims: Claims) -> Iterator[Place]:
    """All alternatives of all requests, in the order in which they are tried."""
    for number, claim in enumerate(claims):
        for index, request in enumerate(devices_of(claim).get("requests") or ()):
            if request.get("exactly") is not None:
                yield Place(number, index, None)
            else:
                yield from (Place(number, index, one) for one in range(len(request.get("firstAvailable") or ())))


def edited(claims: Claims, change: Callable[[list[Document]], None]) -> Claims:
    """The claims after a change was made to a copy."""
    copies = [_copied(claim) for claim in claims]
    change(copies)
    return tuple(copies)


def _copied(value: Any) -> Any:
    """A copy in which nothing is shared: what a YAML alias stands for is changed in one place, not in all."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list | tuple) else value


Part = tuple[str, int, int]
"""`request` or `constraint`, the claim's place and its own."""


def parts(claims: Claims) -> list[Part]:
    """What claims are made of: constraints first, then requests."""
    return [
        (kind, number, index)
        for kind in ("constraint", "request")
        for number, claim in enumerate(claims)
        for index in range(len(devices_of(claim).get(f"{kind}s") or ()))
    ]


def only(claims: Claims, kept: Sequence[Part]) -> Claims:
    """The claims with nothing in them but these parts. A constraint is over those of its requests that are left."""

    def reduce(copies: list[Document]) -> None:
        for number, claim in enumerate(copies):
            devices = devices_of(claim)
            own = devices.get("requests") or []
            requests = [one for index, one in enumerate(own) if ("request", number, index) in kept]
            constraints = [
                narrowed
                for index, one in enumerate(devices.get("constraints") or ())
                if ("constraint", number, index) in kept and (narrowed := _narrowed(one, requests)) is not None
            ]
            claim["spec"] = {"devices": {"requests": requests, "constraints": constraints}}

    return edited(claims, reduce)


def _narrowed(constraint: Document, requests: Sequence[Document]) -> Document | None:
    named = constraint.get("requests")
    if not named:
        return constraint
    known = {name for request in requests for name in _names(request)}
    left = [name for name in named if name in known]
    return constraint | {"requests": left} if left else None


def _names(request: Document) -> Iterator[str]:
    yield request["name"]
    yield from (f"{request['name']}/{one['name']}" for one in request.get("firstAvailable") or ())


def covered(claims: Claims, part: Part) -> list[Part]:
    """The requests that a constraint is over."""
    _, number, index = part
    devices = devices_of(claims[number])
    named = devices["constraints"][index].get("requests")
    return [
        ("request", number, place)
        for place, request in enumerate(devices.get("requests") or ())
        if not named or not set(named).isdisjoint(_names(request))
    ]
