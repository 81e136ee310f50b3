"""DeviceClasses as settings name them: the shipped ones, with another name or for another driver."""

from __future__ import annotations

import pytest
import yaml
from drakit import PluginContext, hookimpl
from drakit.classes import device_classes
from drakit.errors import ConfigError
from drakit.loading import inspect
from drakit.plan.cel import compile_selector
from drakit.settings import BackendSettings, ExtensionSettings, Settings

DRIVER = "dev.example.com"
GUARDED = f'device.driver == "{DRIVER}" && "size" in device.attributes["{DRIVER}"]'


def device_class(name, *expressions, **spec):
    selectors = [{"cel": {"expression": expression}} for expression in expressions]
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "DeviceClass",
        "metadata": {"name": name},
        "spec": {"selectors": selectors, **spec},
    }


@pytest.fixture
def classes_of(tmp_path):
    """What a plugin with these classes, enabled so often and so, is printed as; by name its selectors."""

    def classes_of(shipped, *backends, extensions=(), driver_name=DRIVER):
        class Plugin:
            data = tmp_path

            def __init__(self, context: PluginContext) -> None:
                pass

            @hookimpl
            def discover(self):
                return []

            @hookimpl
            def prepare(self, claim):
                return []

            @hookimpl
            def unprepare(self, claim, prepared):
                pass

        if driver_name:
            Plugin.driver_name = driver_name
        (tmp_path / "deviceclasses").mkdir(exist_ok=True)
        (tmp_path / "deviceclasses/them.yaml").write_text(yaml.safe_dump_all(shipped))
        settings = Settings(
            backends=[BackendSettings(plugin="dev", **given) for given in backends],
            extensions=[ExtensionSettings(plugin=name) for name in extensions],
        )
        return device_classes(settings, {"dev": inspect("dev", Plugin)})

    return classes_of


def selectors(document):
    return [one["cel"]["expression"] for one in document["spec"]["selectors"]]


def test_without_settings_a_class_is_as_it_is_shipped(classes_of):
    shipped = [device_class("one.example.com", GUARDED), device_class("two.example.com", config=[])]
    assert classes_of(shipped, {}) == shipped
    assert classes_of(shipped, {"driver": DRIVER}) == shipped


def test_a_class_gets_the_name_that_is_set_and_nothing_else_of_it_changes(classes_of):
    shipped = device_class(DRIVER, GUARDED, extendedResourceName="example.com/dev")
    (renamed,) = classes_of([shipped], {"device_class": "ours.example.com"})
    assert renamed == shipped | {"metadata": {"name": "ours.example.com"}}


@pytest.mark.parametrize("count", [0, 2])
def test_a_name_for_other_than_one_class_is_refused_with_what_there_is(classes_of, count):
    shipped = [device_class(f"class-{number}", GUARDED) for number in range(count)]
    with pytest.raises(ConfigError, match=f"deviceClass of plugin 'dev'.*ships {count} .*; remove it"):
        classes_of(shipped, {"device_class": "ours.example.com"})


@pytest.mark.parametrize(
    ("shipped", "expected"),
    [
        (f'device.driver == "{DRIVER}"', 'device.driver == "other.example.com"'),
        (f"device.driver=='{DRIVER}'", 'device.driver == "other.example.com"'),
        (GUARDED, f'device.driver == "other.example.com" && "size" in device.attributes["{DRIVER}"]'),
        (
            f'device.driver == "a.example.com" || device.driver == "{DRIVER}"',
            'device.driver == "a.example.com" || device.driver == "other.example.com"',
        ),
        (f'device.driver == "{DRIVER}.net"', f'device.driver == "{DRIVER}.net"'),
        (f'device.attributes["{DRIVER}"].kind == "x"', f'device.attributes["{DRIVER}"].kind == "x"'),
        ("device.driver.endsWith('.com')", "device.driver.endsWith('.com')"),
    ],
)
def test_a_selector_that_asks_for_the_default_driver_asks_for_the_one_that_is_set(classes_of, shipped, expected):
    (document,) = classes_of([device_class("one", shipped)], {"driver": "other.example.com"})
    assert selectors(document) == [expected]
    compile_selector(expected)


def test_configuration_in_a_class_is_for_the_driver_that_is_set(classes_of):
    config = [{"opaque": {"driver": of, "parameters": {"kind": "X"}}} for of in (DRIVER, "else.example.com")]
    (document,) = classes_of([device_class("one", GUARDED, config=config)], {"driver": "other.example.com"})
    assert [one["opaque"]["driver"] for one in document["spec"]["config"]] == ["other.example.com", "else.example.com"]
    assert document["spec"]["config"][0]["opaque"]["parameters"] == {"kind": "X"}


@pytest.mark.parametrize("shipped", [f'"{DRIVER}" == device.driver', f'device.driver in ["{DRIVER}"]'])
def test_a_selector_that_cannot_be_made_one_of_another_driver_is_refused_and_not_left_to_select_nothing(
    classes_of, shipped
):
    assert classes_of([device_class("one", shipped)], {}), "under its own driver it is well"
    with pytest.raises(ConfigError, match=r"'one' cannot be made one of driver 'other.example.com'"):
        classes_of([device_class("one", shipped)], {"driver": "other.example.com"})


def test_of_one_plugin_for_two_drivers_a_class_is_there_once_if_it_is_the_same_for_both(classes_of):
    shipped = [device_class("one", 'device.attributes["a.example.com"].kind == "x"')]
    assert classes_of(shipped, {}, {"driver": "other.example.com"}) == shipped
    by_driver = [device_class("one", GUARDED)]
    with pytest.raises(ConfigError, match=r"for plugin 'dev' and another for driver 'other.example.com'; give one"):
        classes_of(by_driver, {}, {"driver": "other.example.com"})
    other = {"driver": "other.example.com", "device_class": "two"}
    assert [document["metadata"]["name"] for document in classes_of(by_driver, {}, other)] == ["one", "two"]


def test_an_extension_brings_its_classes_as_they_are(classes_of):
    shipped = [device_class("one", "true")]
    assert classes_of(shipped, extensions=["dev"], driver_name=None) == shipped


def test_a_plugin_that_is_not_loaded_brings_none():
    assert device_classes(Settings(backends=[BackendSettings(plugin="absent")]), {}) == []


def test_what_is_no_class_is_a_defect_of_the_plugin_and_said_by_file(classes_of):
    with pytest.raises(ConfigError, match=r"them.yaml: .* no DeviceClass; plugin 'dev'"):
        classes_of([{"kind": "ConfigMap"}], {})
