"""The HTML page in a real browser, without a window: what it makes of it in either colour scheme.

It is skipped where there is no Chromium; docs/testing.md says how to have one.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from drakit.cli.nodetypes import survey_of
from drakit.plan.topology import Inputs, html_page, pictures_of
from drakit.plan.topology.colours import DARK, LIGHT

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BOUND_SECONDS = 120
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-extensions",
    "--enable-logging=stderr", "--virtual-time-budget=5000",
]  # fmt: skip
SCHEMES = {"dark": ("0", DARK), "light": ("1", LIGHT)}

browser = next(filter(None, map(shutil.which, BROWSERS)), None)
needs_browser = pytest.mark.skipif(
    browser is None, reason=f"no browser here: none of {', '.join(BROWSERS)} is installed"
)

PROBE = """
<script>
  const colour = (query, property) => getComputedStyle(document.querySelector(query))[property];
  const lit = {};
  for (const section of document.querySelectorAll("section")) {
    const own = lit[section.dataset.node] = {};
    for (const chip of section.querySelectorAll(".legend [data-group]")) {
      chip.dispatchEvent(new Event("mouseenter"));
      own[chip.dataset.group] = [...section.querySelectorAll(".device.lit")].map((one) => one.dataset.device);
      chip.dispatchEvent(new Event("mouseleave"));
    }
    own[""] = section.querySelectorAll(".lit, .hushed").length;
  }
  const boxes = [...document.querySelectorAll(".device > .box")].map((one) => one.getBoundingClientRect());
  const clipped = [...document.querySelectorAll(".device > text")].filter((text) => {
    const own = text.getBoundingClientRect(), box = text.parentNode.querySelector(".box").getBoundingClientRect();
    return own.left < box.left || own.right > box.right || own.top < box.top - 1 || own.bottom > box.bottom + 1;
  }).map((text) => text.textContent);
  const chips = [...document.querySelectorAll(".frame text")].filter((text) => {
    const own = text.getBoundingClientRect();
    const frame = text.closest(".frame").querySelector(".outline").getBoundingClientRect();
    return own.left < frame.left || own.right > frame.right;
  }).map((text) => text.textContent);
  const found = {
    dark: matchMedia("(prefers-color-scheme: dark)").matches,
    page: colour("body", "backgroundColor"), ink: colour(".tp .title", "fill"), box: colour(".s-free > .box", "fill"),
    lit, clipped: clipped.concat(chips), empty: boxes.filter((one) => !one.width || !one.height).length,
  };
  document.body.append(Object.assign(document.createElement("pre"), {id: "found", textContent: JSON.stringify(found)}));
</script>
"""


def look(page: Path, profile: Path, scheme: str = "light") -> tuple[str, list[str]]:
    """The document as the browser has it once its scripts have run, and what its console says."""
    preferred = f"--blink-settings=preferredColorScheme={SCHEMES[scheme][0]}"
    done = subprocess.run(
        [browser, *OPTIONS, preferred, f"--user-data-dir={profile}", "--dump-dom", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
        timeout=BOUND_SECONDS,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def pictures():
    claims, slices = [], []
    for node_type in ("trn2.48xlarge", "trn1.32xlarge", "generic-gpu-nic"):
        own = survey_of(node_type).slices
        slices += own
        spec = own[-1]["spec"]
        first = spec["devices"][0]["name"]
        result = {"request": "r", "driver": spec["driver"], "pool": spec["pool"]["name"], "device": first}
        allocation = {"allocation": {"devices": {"results": [result]}}}
        claims.append({"metadata": {"name": "train", "namespace": "<team>"}, "status": allocation})
        spec["devices"][-1]["taints"] = [{"key": "example.com/broken", "effect": "NoSchedule"}]
    return pictures_of(Inputs(slices, claims))


@pytest.fixture(scope="module")
def drawn():
    return pictures()


@needs_browser
@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_browser_shows_every_device_group_and_legend_in_either_scheme(drawn, tmp_path, scheme):
    page = tmp_path / "page.html"
    page.write_text(html_page(drawn, "Topology").replace("</body>", f"{PROBE}</body>"), encoding="utf-8")
    document, said = look(page, tmp_path / "profile", scheme)
    assert said == []
    found = json.loads(html.unescape(re.search(r'<pre id="found">(.*?)</pre>', document, re.DOTALL)[1]))
    assert (found["dark"], found["empty"]) == (scheme == "dark", 0)
    assert found["clipped"] == []
    palette = SCHEMES[scheme][1]
    assert [found[name] for name in ("page", "ink", "box")] == [rgb(palette[name]) for name in ("page", "ink", "box")]
    assert sorted(found["lit"]) == sorted(picture.name for picture in drawn)
    devices = [str(box.ref) for picture in drawn for box in picture.boxes]
    assert sorted(re.findall(r'data-device="([^"]*)"', document)) == sorted(devices)
    assert sorted(re.findall(r'data-row="([^"]*)"', document)) == sorted(devices)
    for picture in drawn:
        assert found["lit"][picture.name].pop("") == 0
        assert found["lit"][picture.name] == {
            f"{index}-{number}": [str(picture.boxes[place].ref) for place in sorted(group.members)]
            for index, band in enumerate(picture.bands)
            for number, group in enumerate(band.groups)
        }


@needs_browser
def test_what_the_console_says_would_be_seen(tmp_path):
    """The test above would not notice anything otherwise."""
    page = tmp_path / "page.html"
    page.write_text("<!DOCTYPE html><script>missing.thing()</script>", encoding="utf-8")
    _, said = look(page, tmp_path / "profile")
    assert any("missing is not defined" in line for line in said)


def rgb(colour: str) -> str:
    return f"rgb({', '.join(str(int(colour[n : n + 2], 16)) for n in (1, 3, 5))})"
