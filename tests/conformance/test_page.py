"""docs/conformance.md has every rule with its reason, every option, and a class that passes as it is printed."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from drakit.testing import blackbox, conformance

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "conformance.md"


def test_the_page_has_every_rule_as_it_is():
    specification = importlib.util.spec_from_file_location("conformance_page", DOCS / "conformance.py")
    maker = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(maker)
    text = PAGE.read_text()
    assert maker.page(text) == text, "docs/conformance.md is stale; run `make docs`"
    for rule in (*conformance.RULES, *blackbox.RULES):
        assert f"| `{rule.name}` | {rule.law} | {rule.reason} |" in text


def test_the_page_names_every_option_of_the_command_lines():
    page = PAGE.read_text()
    plugin = (Path(conformance.__file__).parents[1] / "pytest_plugin.py").read_text()
    for option in re.findall(r'"(--dra-[a-z]+)"', plugin):
        assert f"`{option} " in page
    for option in ("--driver", "--registry", "--claims", "--cdi", "--restart-command", "-o json"):
        assert option in page


def test_the_printed_class_passes_as_it_is_printed(tmp_path):
    (printed,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    example = (DOCS / "examples" / "serial.py").read_text()
    names = {"__name__": "printed"}
    exec(compile(example, "serial.py", "exec"), names)
    exec(compile(printed.replace("from drakit_serial import SerialPlugin\n", ""), "page", "exec"), names)
    suite = names["TestSerial"]()
    suite.lay_out(tmp_path)
    subject = conformance.Subject(plugin=suite.plugin, root=tmp_path)
    (rule,) = [rule for rule in conformance.RULES if rule.name == "claims_do_not_leak"]
    assert rule.examine(subject).verdict is conformance.Verdict.HOLDS
