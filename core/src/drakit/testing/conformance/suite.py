"""PluginConformance: the rules as tests of one plugin, by subclass or from the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from drakit.testing.conformance import declaring, discovering, interfering, preparing, processes, rounds
from drakit.testing.conformance.rules import Rule, Verdict
from drakit.testing.conformance.subject import HOOK_SECONDS, Subject
from drakit.testing.nodes import lay_out

RULES: tuple[Rule[Subject], ...] = (
    *declaring.RULES,
    *discovering.RULES,
    *preparing.RULES,
    *interfering.RULES,
    *processes.RULES,
    *rounds.RULES,
)
"""Every rule, in the order in which they are tried."""


class PluginConformance:
    """One test for each rule. Subclass it, in a module of tests, with a name that pytest collects.

        class TestSerial(PluginConformance):
            plugin = SerialPlugin

            def lay_out(self, root):
                (root / "dev").mkdir()
                (root / "dev" / "ttyUSB0").touch()

    `node_type` is a type of faked node that installed plugins can lay out; with it there is nothing to write. A rule
    that cannot be tried is skipped, with the reason.
    """

    plugin: ClassVar[type]
    node_type: ClassVar[str] = ""
    options: ClassVar[Mapping[str, Any]] = {}
    """The plugin's options, as in the agent's configuration."""
    driver: ClassVar[str | None] = None
    """The driver's name, if it is not to be the plugin's own."""
    parameters: ClassVar[Sequence[Mapping[str, Any]]] = ()
    """Opaque configuration for every claim, each with apiVersion and kind: for a plugin that needs some."""
    hook_seconds: ClassVar[float] = HOOK_SECONDS

    def lay_out(self, root: Path) -> None:
        """Write a node with the plugin's hardware below an empty directory. Done once for all tests of the class."""
        if self.node_type:
            lay_out(self.node_type, root)

    def make_subject(self, directory: Path, config: pytest.Config) -> Subject:  # noqa: ARG002 - for who overrides it
        """What the rules are tried on, with its root in a directory of its own. Done once, as `lay_out`."""
        root = directory / "root"
        root.mkdir()
        self.lay_out(root)
        return Subject(
            plugin=self.plugin,
            root=root,
            options=self.options,
            driver=self.driver,
            parameters=self.parameters,
            hook_seconds=self.hook_seconds,
        )

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Subject:
        """What the rules are tried on, for each test of the class the same."""
        made = _MADE.get(type(self))
        if made is None:
            made = _MADE[type(self)] = self.make_subject(tmp_path_factory.mktemp("node"), request.config)
        return made


_MADE: dict[type, Subject] = {}
"""A class-scoped fixture cannot be a method: pytest 10 does without."""


def _test_of(rule: Rule[Subject]) -> Callable[[PluginConformance, Subject], None]:
    def test(self: PluginConformance, subject: Subject) -> None:  # noqa: ARG001 - a method
        outcome = rule.examine(subject)
        if outcome.verdict is Verdict.NOT_TRIED:
            pytest.skip(outcome.found)
        if outcome.verdict is Verdict.BROKEN:
            pytest.fail(rule.text(outcome), pytrace=False)

    test.__name__, test.__qualname__ = f"test_{rule.name}", f"PluginConformance.test_{rule.name}"
    test.__doc__ = rule.law
    return test


for _rule in RULES:
    setattr(PluginConformance, f"test_{_rule.name}", _test_of(_rule))
