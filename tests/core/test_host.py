"""PluginHost: a plugin's failure has a name and costs no other plugin anything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import frozen
from drakit import ClaimError, DeviceRef, Fault, Health, PluginContext, Pool, hookimpl
from drakit.errors import HookFailed, PluginContractError, PluginError, PluginLoadError
from drakit.host import PluginHost
from drakit.loading import inspect

DRIVER, OTHER = "gpu.example.com", "nic.example.com"


def raising(error: BaseException) -> Callable:
    def raise_it(**_: Any) -> Any:
        raise error

    return raise_it


@pytest.mark.parametrize("error", [RuntimeError("x"), SystemExit(1), GeneratorExit(), StopIteration(), MemoryError()])
def test_whatever_a_hook_raises_is_charged_to_its_plugin(hosted, error):
    bad = hosted.add(hosted.backend(discover=raising(error)))
    good = hosted.add(hosted.backend(OTHER, discover=lambda: [Pool(())]))
    with pytest.raises(HookFailed) as caught:
        hosted.host.discover(bad)
    assert str(caught.value).startswith(f"plugin {DRIVER!r}: discover failed: {type(error).__name__}")
    assert caught.value.__cause__ is error
    assert hosted.host.discover(good) == (Pool(()),)


def test_a_plugin_error_raised_by_a_hook_is_passed_on(hosted):
    error = PluginContractError(DRIVER, "discover", "not so")
    name = hosted.add(hosted.backend(discover=raising(error)))
    with pytest.raises(PluginContractError) as caught:
        hosted.host.discover(name)
    assert caught.value is error


def test_a_claim_error_from_any_other_hook_is_a_contract_error(hosted):
    name = hosted.add(hosted.backend(discover=raising(ClaimError("?"))))
    with pytest.raises(PluginContractError, match="only prepare may"):
        hosted.host.discover(name)


def test_one_class_serves_several_drivers_and_only_the_asked_one_answers(hosted):
    class Named(hosted.backend()):
        @hookimpl
        def discover(self):
            return [Pool((), name=self.context.driver)]

    for driver in (DRIVER, OTHER):
        hosted.add(Named, driver=driver)
    assert hosted.host.discover(DRIVER) == (Pool((), name=DRIVER),)
    assert hosted.host.discover(OTHER) == (Pool((), name=OTHER),)
    assert [instance.name for instance in hosted.host.implementing("discover")] == [DRIVER, OTHER]


def test_a_plugin_added_later_is_not_asked_in_place_of_an_earlier_one(hosted):
    first = hosted.add(hosted.backend(discover=lambda: [Pool((), name="first")]))
    assert hosted.host.discover(first) == (Pool((), name="first"),)
    hosted.add(hosted.backend(OTHER, discover=lambda: [Pool((), name="second")]))
    assert hosted.host.discover(first) == (Pool((), name="first"),)


def test_a_driver_name_taken_twice_is_refused(hosted):
    hosted.add(hosted.backend())
    with pytest.raises(PluginLoadError, match="enabled twice under one driver name; give each its own `driver`"):
        hosted.add(hosted.backend())


def test_a_plugin_that_is_not_loaded_cannot_be_asked(hosted):
    with pytest.raises(PluginLoadError, match="is not loaded"):
        hosted.host.discover("nobody")


@pytest.mark.parametrize("error", [ValueError("no bus"), SystemExit("no licence")])
def test_a_plugin_that_cannot_be_constructed_is_a_load_error_and_not_added(hosted, error):
    class Broken(hosted.backend()):
        def __init__(self, context: PluginContext) -> None:
            raise error

    with pytest.raises(PluginLoadError, match=f"plugin {DRIVER!r}: cannot be constructed: {type(error).__name__}: no"):
        hosted.add(Broken)
    assert hosted.host.instances == {}
    assert hosted.host.discover(hosted.add(hosted.backend())) == ()


def test_a_hook_with_an_argument_that_there_is_not_is_refused_and_not_added(hosted):
    class Misspelled(hosted.backend()):
        @hookimpl
        def prepare(self, claims): ...

    with pytest.raises(PluginContractError, match="claims"):
        hosted.add(Misspelled)
    assert hosted.host.discover(hosted.add(hosted.backend())) == ()


def test_one_object_cannot_be_two_drivers(hosted):
    class Single(hosted.backend()):
        _only: Any = None

        def __new__(cls, context: PluginContext) -> Any:
            cls._only = cls._only or super().__new__(cls)
            return cls._only

    hosted.add(Single)
    with pytest.raises(PluginContractError, match="already registered"):
        hosted.add(Single, driver=OTHER)
    assert list(hosted.host.instances) == [DRIVER]
    assert hosted.host.discover(DRIVER) == ()


def test_every_failure_of_a_host_is_a_plugin_error():
    for kind in (HookFailed, PluginContractError, PluginLoadError):
        assert issubclass(kind, PluginError)


def test_an_instance_knows_what_its_plugin_declared(hosted):
    @frozen
    class Options:
        size: int = 1

    class Declaring(hosted.backend()):
        options = Options

    host = PluginHost()
    context = PluginContext(driver=DRIVER, node="n", pool="n", options=Options(3))
    instance = host.add(DRIVER, inspect("acme", Declaring), context)
    assert (instance.name, instance.plugin, instance.driver) == (DRIVER, "acme", DRIVER)
    assert instance.declarations.options is Options


def test_an_instance_may_know_better_than_its_class_whether_it_has_side_effects(hosted):
    class Careful(hosted.backend()):
        side_effects = False

        def __init__(self, context):
            super().__init__(context)
            self.side_effects = context.driver == DRIVER

    told = {name: hosted.host.instances[hosted.add(Careful, driver=name)].declarations for name in (DRIVER, OTHER)}
    assert {name: declared.side_effects for name, declared in told.items()} == {DRIVER: True, OTHER: False}


@pytest.mark.parametrize("parts", [[2], [1, 1]])
def test_a_fault_that_is_reported_twice_of_one_device_breaks_the_contract(hosted, parts):
    device, fault = DeviceRef(DRIVER, "node-1", "gpu-0"), Fault("link", "down")
    reports = [Health(device, "Healthy", faults=[fault] * times) for times in parts]
    hosted.add(hosted.backend(health=lambda: reports))
    with pytest.raises(PluginContractError, match=r"reports fault 'link' of .*gpu-0 2 times"):
        hosted.host.health(DRIVER)
