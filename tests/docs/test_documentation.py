"""The documentation says what the code does: names, arguments, settings and examples are compared."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import attrs
import pytest
from drakit import hookspecs
from drakit.decoding import camel
from drakit.loading import HOOKS
from drakit.settings import VARIABLES, Settings

ROOT = Path(__file__).parents[2]
HOOKS_PAGE = (ROOT / "docs" / "hooks.md").read_text()
CONFIGURATION_PAGE = (ROOT / "docs" / "configuration.md").read_text()
README = (ROOT / "README.md").read_text()


def test_the_readme_shows_the_example_plugin_as_it_is():
    (shown,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert shown == (ROOT / "docs" / "examples" / "serial.py").read_text()


def test_the_example_plugin_is_forty_lines_at_most():
    lines = [line for line in (ROOT / "docs" / "examples" / "serial.py").read_text().splitlines() if line.strip()]
    assert len(lines) <= 40


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_is_documented_with_its_exact_arguments_and_an_example(hook):
    arguments = ", ".join(inspect.signature(getattr(hookspecs, hook)).parameters)
    assert f"## {hook}({arguments})" in HOOKS_PAGE
    section = HOOKS_PAGE.split(f"## {hook}(")[1].split("\n## ")[0]
    assert re.search(rf"@hookimpl\ndef {hook}\(self", section)


@pytest.mark.parametrize("setting", attrs.fields(Settings), ids=lambda setting: setting.name)
def test_every_setting_is_documented_with_its_variable_and_default(setting):
    row = next(line for line in CONFIGURATION_PAGE.splitlines() if line.startswith(f"| `{camel(setting.name)}` "))
    if setting.name in VARIABLES:
        assert f"`{VARIABLES[setting.name]}`" in row
    if isinstance(setting.default, float):
        assert f"| {setting.default:g} |" in row
    elif isinstance(setting.default, Path):
        assert f"`{setting.default}`" in row


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]), ids=lambda page: page.name
)
def test_every_link_of_a_page_leads_somewhere(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_room_of_the_core_is_on_a_floor_of_the_architecture():
    floors = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    core = ROOT / "core" / "src" / "drakit"
    rooms = {path.stem for path in core.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert sorted(rooms - {"__init__"} - set(re.findall(r"[a-z]+", floors))) == []
