"""Other types of nodes, on which what does not fit is tried: those that were asked for, or that the claims point to."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from drakit.cli import BadInput
from drakit.cli.demo.scenarios import classes_in, load_scenarios
from drakit.cli.plan.sources import of_types
from drakit.documents import Document
from drakit.loading import load_installed
from drakit.plan import DeviceClass, NodeView, SliceSet, read_claim
from drakit.plan.explain import MAX_TYPES, NodeType
from drakit.plan.placing import PodOutcome

MAX_POINTED = 4
"""So many types that claims point to are tried: each is a machine to lay out and survey."""

_TEXT = re.compile(r"""["']([^"'\\]+)["']""")
Types = Callable[[PodOutcome], Mapping[str, NodeType]]


def types_to_try(given: Sequence[str], classes: Mapping[str, DeviceClass], config: Path | None) -> Types:
    """For a pod that is not placed, the types to be tried. Raises ConfigError for a given one that there is not."""
    made = functools.cache(functools.partial(_empty_node, config=config))
    if len(given) > MAX_TYPES:
        raise BadInput(f"--try: {len(given)} types are more than are tried at once ({MAX_TYPES})")
    for name in given:
        made(name)
    asked = {name: functools.partial(made, name) for name in given}

    def types(outcome: PodOutcome) -> Mapping[str, NodeType]:
        if asked or outcome.error is not None:
            return asked
        claims = [use.document for use in outcome.pending]
        return {name: functools.partial(made, name) for name in _pointed_to(claims, classes)}

    return types


def _empty_node(name: str, *, config: Path | None) -> tuple[SliceSet, NodeView]:
    source = of_types([name], config)
    return source.slices, source.nodes[0].view


def _pointed_to(claims: Iterable[Document], classes: Mapping[str, DeviceClass]) -> list[str]:
    """The types that selectors name; where they name none, those of the scenarios that have a class of the claims."""
    requests = [
        request for claim in claims for wanted in read_claim(claim).requests for _, request in wanted.alternatives
    ]
    wanted = {request.device_class_name for request in requests}
    selectors = [selector.cel.expression for request in requests for selector in request.selectors]
    selectors += [text for name in sorted(wanted & set(classes)) for text in classes[name].selectors]
    named = [text for selector in selectors for text in _TEXT.findall(selector)]
    known = {one for plugin in load_installed().loaded.values() for one in plugin.declarations.node_types}
    found = [text for text in named if text in known] or _of_scenarios(wanted)
    return list(dict.fromkeys(found))[:MAX_POINTED]


def _of_scenarios(wanted: set[str]) -> list[str]:
    """The node types of the scenarios with any of these classes: those that are shown with a plugin's devices."""

    def types() -> Iterator[str]:
        suited = [one for one in load_scenarios().loaded.values() if wanted & classes_in(one)]
        yield from (one.node_type for one in suited)
        yield from (name for one in suited for name in one.also_for)

    return list(types())
