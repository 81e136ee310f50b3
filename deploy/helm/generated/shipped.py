"""The plugins that are in the image, which is what the chart knows of without being told."""

from __future__ import annotations

from collections.abc import Mapping

from drakit.errors import PluginError
from drakit.loading import LoadedPlugin, load

NAMES = ("neuron", "efa", "mock")


def shipped() -> Mapping[str, LoadedPlugin]:
    """The plugins by name. Raises PluginError where one cannot be loaded."""
    report = load(NAMES)
    problem: PluginError | None = next((error for name in NAMES if (error := report.problem(name))), None)
    if problem is not None:
        raise problem
    return report.loaded
