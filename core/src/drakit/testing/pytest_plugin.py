"""Command-line options of the conformance kit, for every pytest run of an environment that has drakit.

Nothing of drakit is imported here, and nothing else is done: the kit itself is imported by whoever asks for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # installed distributions are looked through where there is no pytest, too
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of `pytest --pyargs drakit.testing.conformance`."""
    group = parser.getgroup("drakit", "conformance of a DRA plugin (pytest --pyargs drakit.testing.conformance)")
    group.addoption("--dra-plugin", metavar="MODULE:CLASS", help="the plugin's class")
    group.addoption(
        "--dra-root",
        metavar="DIR",
        help="a directory that looks like the root of a node with the plugin's hardware; it is copied. Or / itself",
    )
    group.addoption("--dra-options", metavar="FILE", help="YAML: the plugin's options, as in the agent's configuration")
    group.addoption("--dra-driver", metavar="NAME", help="the driver's name, if it is not to be the plugin's own")
    group.addoption(
        "--dra-parameters",
        metavar="FILE",
        help="YAML: opaque parameters that every claim carries, one document each, with apiVersion and kind",
    )
