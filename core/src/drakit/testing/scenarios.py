"""Demo scenarios: what a distribution offers `drakit demo` by the entry-point group `drakit.scenarios`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from drakit.model.converters import frozen_tuple


@frozen(kw_only=True)
class Scenario:
    """A pod with claims, the node that can run it, and the drivers it takes. The entry point's value is one of these.

    `node_type` is laid out with the `layout` hooks of all plugins. `manifest` is a YAML file with the pod and its
    ResourceClaims or templates. `backends` is what stands under `backends` in the agent's configuration: mappings
    with `plugin`, and where needed `driver` and `options`. DeviceClasses come from the plugins' `data`; `classes` are
    YAML files with others, of drivers for which a mock stands in. `also_for` are further types of node that the
    backends are for, which `drakit demo --node` takes for claims of one's own.
    """

    name: str
    node_type: str
    manifest: Path
    backends: tuple[Mapping[str, Any], ...] = field(converter=frozen_tuple)
    title: str = ""
    classes: tuple[Path, ...] = field(default=(), converter=frozen_tuple)
    also_for: tuple[str, ...] = field(default=(), converter=frozen_tuple)
