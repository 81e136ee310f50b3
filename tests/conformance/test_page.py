"""docs/conformance.md has every rule with its reason. Run as a program, this writes them there."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path

from drakit.testing import blackbox, conformance

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"
PARTS = {"rules of a plugin": conformance.RULES, "rules of a driver": blackbox.RULES}
PART = r"(<!-- {name}: [^>]*-->\n).*?(<!-- end -->)"


def table(rules):
    """The rules, topic by topic."""
    lines = []
    for topic, members in groupby(rules, key=lambda rule: rule.topic):
        lines += [f"\n**{topic}**\n", "| rule | what must hold | why |", "| --- | --- | --- |"]
        lines += [f"| `{rule.name}` | {rule.law} | {rule.reason} |" for rule in members]
    return "\n".join(lines) + "\n\n"


def rendered(page):
    for name, rules in PARTS.items():
        page = re.sub(
            PART.format(name=name), lambda match, rules=rules: match[1] + table(rules) + match[2], page, flags=re.DOTALL
        )
    return page


def test_the_page_has_every_rule_as_it_is():
    page = PAGE.read_text()
    assert page == rendered(page), "run: .venv/bin/python tests/conformance/test_page.py"
    for rule in (*conformance.RULES, *blackbox.RULES):
        assert f"| `{rule.name}` |" in page


def test_the_page_names_every_option_of_the_command_lines():
    page = PAGE.read_text()
    plugin = (Path(conformance.__file__).parents[1] / "pytest_plugin.py").read_text()
    for option in re.findall(r'"(--dra-[a-z]+)"', plugin):
        assert f"`{option} " in page
    for option in ("--driver", "--registry", "--claims", "--cdi", "--restart-command", "-o json"):
        assert option in page


def test_the_printed_class_passes_as_it_is_printed(tmp_path):
    (printed,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    example = (PAGE.parent / "examples" / "serial.py").read_text()
    names = {"__name__": "printed"}
    exec(compile(example, "serial.py", "exec"), names)
    exec(compile(printed.replace("from drakit_serial import SerialPlugin\n", ""), "page", "exec"), names)
    suite = names["TestSerial"]()
    suite.lay_out(tmp_path)
    subject = conformance.Subject(plugin=suite.plugin, root=tmp_path)
    (rule,) = [rule for rule in conformance.RULES if rule.name == "claims_do_not_leak"]
    assert rule.examine(subject).verdict is conformance.Verdict.HOLDS


if __name__ == "__main__":
    PAGE.write_text(rendered(PAGE.read_text()))
