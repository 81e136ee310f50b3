"""`drakit check` asks every plugin what it finds; one that cannot say costs a finding, and nobody else anything."""

from __future__ import annotations

import pytest

BACKEND = """
from drakit import Device, Finding, Pool, Severity, hookimpl

class Plugin:
    driver_name = "gpu.example.com"
    node_label_keys = ("example.com/rack",)
    def __init__(self, context): self.discovered, self.labels = False, context.node_labels
    @hookimpl
    def discover(self):
        self.discovered = True
        return [Pool([Device("gpu-0")])]
    @hookimpl
    def prepare(self, claim): return []
    @hookimpl
    def unprepare(self, claim, prepared): pass
    @hookimpl
    def node_labels(self): return {"example.com/rack": "r7"}
    @hookimpl
    def check(self):
        {answer}
"""
EXTENSION = """
from drakit import Finding, Severity, hookimpl

class Plugin:
    def __init__(self, context): pass
    @hookimpl
    def check(self): return [Finding(Severity.ERROR, "racks", "the table has no node-7; add it")]
"""


@pytest.fixture
def check(installed_drakit, distribution, write_config):
    """Run it: `(answer, **backend)`, the body of the backend's hook; returns exit code, and findings by subject."""

    def run(answer, settings=(), **backend):
        env = distribution("gpu", BACKEND.replace("{answer}", answer), {"drakit.plugins": {"gpu": "gpu:Plugin"}})
        distribution("racks", EXTENSION, {"drakit.plugins": {"racks": "racks:Plugin"}})
        config = write_config(
            {"plugin": "gpu", **backend}, extensions=[{"plugin": "racks"}], nodeName="node-7", **dict(settings)
        )
        outcome = installed_drakit("check", "--config", config, "-o", "json", **env)
        return outcome.code, {entry["what"]: (entry["severity"], entry["found"]) for entry in outcome.json}

    return run


def test_what_a_plugin_finds_is_shown_with_its_name(check):
    code, found = check('return [Finding(Severity.WARNING, "firmware", "1.0 loses links; update it")]')
    assert code == 1
    assert found["gpu.example.com: firmware"] == ("warning", "1.0 loses links; update it")
    assert found["racks: racks"] == ("error", "the table has no node-7; add it")


def test_a_plugin_is_asked_after_the_survey(check):
    _, found = check('return [Finding(Severity.OK, "devices", f"discovered: {self.discovered}")]')
    assert found["gpu.example.com: devices"] == ("ok", "discovered: True")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ('raise OSError("no such bus")', "check failed: OSError: no such bus"),
        ("raise SystemExit(3)", "check failed: SystemExit: 3"),
        ('return "fine"', "check: must return a sequence of Finding, not 'fine'"),
    ],
)
def test_a_plugin_that_cannot_say_is_a_warning_that_names_it(check, answer, said):
    _, found = check(answer)
    severity, text = found["gpu.example.com: its own check"]
    assert severity == "warning"
    assert said in text
    assert found["gpu.example.com"] == ("ok", "1 devices")
    assert "racks: racks" in found


TELLING = """
from drakit import Finding, Pool, Severity, hookimpl

class Plugin:
    driver_name = "gpu.example.com"
    def __init__(self, context): self.log = context.log
    @hookimpl
    def discover(self):
        self.log.warning("firmware 1.0 of gpu-0 is old", extra={"finding": "firmware"})
        self.log.warning("gpu-0 is slow", extra={"finding": "speed"})
        self.log.warning("gpu-0 is warm")
        return [Pool([])]
    @hookimpl
    def prepare(self, claim): return []
    @hookimpl
    def unprepare(self, claim, prepared): pass
    {hook}
"""
FINDS = """@hookimpl
    def check(self): return [Finding(Severity.WARNING, "firmware", "1.0 is old; update it")]
"""
FAILS = """@hookimpl
    def check(self): raise OSError("no such bus")
"""
LINES = ["firmware 1.0 of gpu-0 is old", "gpu-0 is slow", "gpu-0 is warm"]


@pytest.fixture
def told(installed_drakit, distribution, write_config):
    """Run it with another plugin: `(hook)`; returns what is found, by subject and in order."""

    def run(hook):
        source = TELLING.replace("{hook}", hook)
        env = distribution("gpu", source, {"drakit.plugins": {"gpu": "gpu:Plugin"}})
        config = write_config({"plugin": "gpu"}, nodeName="node-7")
        found: dict[str, list[str]] = {}
        for entry in installed_drakit("check", "--config", config, "-o", "json", **env).json:
            found.setdefault(entry["what"], []).append(entry["found"])
        return found

    return run


def test_what_a_plugin_finds_is_not_said_once_more_from_its_log(told):
    found = told(FINDS)
    assert found["gpu"] == ["gpu-0 is slow", "gpu-0 is warm"]
    assert found["gpu.example.com: firmware"] == ["1.0 is old; update it"]


@pytest.mark.parametrize("hook", ["", FAILS])
def test_what_a_plugin_warns_of_is_shown_where_it_does_not_say_so_itself(told, hook):
    assert told(hook)["gpu"] == LINES


@pytest.mark.parametrize(
    ("hook", "said"),
    [(FINDS, "; see its findings below"), ("", "; if this node has such hardware, see that its kernel")],
)
def test_that_there_are_no_devices_comes_with_general_advice_only_where_the_plugin_gives_none(told, hook, said):
    (text,) = told(hook)["gpu.example.com"]
    assert text.startswith("no devices below ")
    assert said in text


AILING = """
from drakit import Device, DeviceRef, Fault, Health, Pool, hookimpl

class Plugin:
    driver_name = "gpu.example.com"
    def __init__(self, context): self.context = context
    @hookimpl
    def discover(self): return [Pool([Device(name) for name in ("worn", "gone", "sound")])]
    @hookimpl
    def prepare(self, claim): return []
    @hookimpl
    def unprepare(self, claim, prepared): pass
    @hookimpl
    def health(self):
        faults = {
            "worn": [Fault("ecc", "2 errors", count=2, threshold=2), Fault("fan", "the fan has stopped")],
            "gone": [Fault("gone", "")],
            "sound": [Fault("ecc", "1 error", count=1, threshold=2)],
        }
        ref = lambda name: DeviceRef(self.context.driver, self.context.pool, name)
        return [Health(ref(name), "Healthy", faults=found) for name, found in faults.items()]
"""


def test_what_is_wrong_with_a_device_now_is_a_warning_and_what_is_below_its_threshold_is_not(
    installed_drakit, distribution, write_config
):
    env = distribution("gpu", AILING, {"drakit.plugins": {"gpu": "gpu:Plugin"}})
    outcome = installed_drakit(
        "check", "--config", write_config({"plugin": "gpu"}, nodeName="node-7"), "-o", "json", **env
    )
    found = {entry["what"]: entry["found"] for entry in outcome.json if entry["what"].startswith("gpu.example.com/")}
    assert found == {
        "gpu.example.com/node-7/worn": "unhealthy: 2 errors; the fan has stopped",
        "gpu.example.com/node-7/gone": "unhealthy: gone",
    }


SHOW_LABELS = 'return [Finding(Severity.OK, "labels", str(sorted(self.labels.items())))]'


def test_a_plugin_sees_the_labels_that_the_node_has(check, api):
    node = api.get("Node", "node-7")
    api.replace({**node, "metadata": {**node["metadata"], "labels": {"example.com/zone": "a"}}})
    _, found = check(SHOW_LABELS, {"apiServer": api.url})
    assert found["gpu.example.com: labels"] == ("ok", "[('example.com/zone', 'a')]")


def test_a_plugin_that_is_to_label_the_node_sees_its_labels_before_they_are_written(check):
    _, found = check(SHOW_LABELS, nodeLabels=True)
    assert found["gpu.example.com: labels"] == ("ok", "[('example.com/rack', 'r7')]")
