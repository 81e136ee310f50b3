"""drakit's own measurements, beside the lean prototype where that is at hand. `make bench` runs this.

Ratios are of blocks that alternate A, B, B, A between two live drivers under the same load; their median is given with
a bootstrap interval of 95 %. Targets are printed beside each figure; a missed one is marked, and is not an error.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from churn import churn
from plan import plan
from processes import PROTOTYPE, ApiServer, Driver, mock_gpus

ALL_BACKENDS = """
- plugin: neuron
- plugin: efa
- plugin: mock
  driver: gpu.example.com
  options: {profile: generic-gpu}
"""


class Report:
    """Figures as they come, and all of them at the end."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}

    def figure(self, name: str, value: float, unit: str = "", target: float | None = None, note: str = "") -> None:
        self.figures[name] = round(value, 3)
        verdict = "" if target is None else f"  target <= {target:g}: {'met' if value <= target else 'MISSED'}"
        print(f"{name:<52} {value:10.2f} {unit:<4}{verdict}  {note}".rstrip(), flush=True)


def interval(values: list[float], rounds: int = 2000) -> tuple[float, float]:
    """A bootstrap interval of 95 % for the median."""
    chance = random.Random(1)
    medians = sorted(statistics.median(chance.choices(values, k=len(values))) for _ in range(rounds))
    return medians[int(0.025 * rounds)], medians[int(0.975 * rounds)]


def beside_the_prototype(report: Report, blocks: int) -> None:
    """Prepare, against the prototype, at one and at 32 callers."""
    if not PROTOTYPE.is_file() or importlib.util.find_spec("orjson") is None:
        print("the prototype (or orjson, which it needs) is not here: no ratios to it")
        return
    with ApiServer() as one, ApiServer() as other, Driver(one, prototype=True) as prototype, Driver(other) as drakit:
        for driver in (prototype, drakit):
            driver.load(count=200, concurrency=2, offset=900000)
        for concurrency, target in ((1, 1.35), (8, None), (32, 1.3)):
            rows: list[tuple[float, float, float]] = []
            for block in range(blocks):
                found = {}
                for name, driver in (("a", prototype), ("b", drakit))[:: 1 if block % 2 == 0 else -1]:
                    found[name] = driver.load(count=max(80, 6 * concurrency), concurrency=concurrency, offset=1000)
                rows.append((found["a"]["p50"], found["b"]["p50"], found["b"]["rate"] / found["a"]["rate"]))
            ratios = [b / a for a, b, _ in rows]
            low, high = interval(ratios)
            report.figure(
                f"prepare p50 at c={concurrency}, of the prototype's",
                statistics.median(ratios),
                target=target,
                note=f"[{low:.2f}, {high:.2f}] {statistics.median(b for _, b, _ in rows):.2f} ms "
                f"to {statistics.median(a for a, _, _ in rows):.2f} ms",
            )


def flatness(report: Report) -> None:
    """Prepare with 1 and with 1000 claims prepared."""
    with ApiServer(devices=1200) as api, Driver(api, backends=mock_gpus(1200)) as driver:

        def measure() -> float:
            return statistics.median(float(driver.load(count=80, offset=1001)["p50"]) for _ in range(7))

        driver.load(count=200, concurrency=2, offset=1000)
        driver.load(count=1, operation="prepare")
        few = measure()
        driver.load(count=999, concurrency=8, offset=1, operation="prepare")
        many = measure()
        report.figure("prepare p50 with 1000 claims prepared, of that with 1", many / few, target=1.3)


def api_calls(report: Report) -> None:
    """What is asked of the API server: per claim, and when nothing happens."""
    with ApiServer() as api, Driver(api) as driver:
        before = api.counts()
        driver.load(count=100, concurrency=4)
        after = api.counts()
        reads = after.get("GET resourceclaims", 0) - before.get("GET resourceclaims", 0)
        report.figure("API reads per prepared claim", reads / 100, target=1)
        idle = api.counts()
        time.sleep(10)
        asked = sum(api.counts().values()) - sum(idle.values())
        report.figure("API calls in 10 s of idling", asked, target=0)


def start(report: Report, rounds: int) -> None:
    """From exec to registered, and memory at rest, with all three backends."""
    times: list[float] = []
    memory: list[float] = []
    for _ in range(rounds + 1):  # the first start warms the bytecode
        with ApiServer() as api, Driver(api, backends=ALL_BACKENDS, drivers=3) as driver:
            times.append(driver.registered)
            time.sleep(1.5)
            memory.append(driver.memory()["rss"])
    report.figure("exec to all three drivers registered", statistics.median(times[1:]), "ms", target=300)
    report.figure("resident memory at rest, three backends", statistics.median(memory[1:]), "MiB", target=55)


def main() -> None:
    """Measure what was asked for, or everything."""
    measurements = ("plan", "churn", "start", "api", "flatness", "prototype")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help=f"what to measure, of {', '.join(measurements)}; everything by default")
    parser.add_argument("--blocks", type=int, default=24)
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = parser.parse_args()
    wanted = options.only or measurements
    if unknown := set(wanted) - set(measurements):
        parser.error(f"unknown measurement {unknown.pop()!r}; known are {', '.join(measurements)}")
    report = Report()
    if "plan" in wanted:
        plan(report)
    if "churn" in wanted:
        churn(report)
    if "start" in wanted:
        start(report, options.starts)
    if "api" in wanted:
        api_calls(report)
    if "flatness" in wanted:
        flatness(report)
    if "prototype" in wanted:
        beside_the_prototype(report, options.blocks)
    if options.json:
        options.json.write_text(json.dumps(report.figures, indent=1))


if __name__ == "__main__":
    main()
