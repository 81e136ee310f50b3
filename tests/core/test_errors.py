"""Messages are shown to people as they stand."""

from __future__ import annotations

import inspect

import pytest
from drakit import errors
from drakit.errors import DeviceBusy, DRAError, HookFailed, LimitExceeded, PluginContractError, describe, shorten


def test_every_exception_stands_in_the_tree_of_the_docstring():
    for name, kind in inspect.getmembers(errors, inspect.isclass):
        if kind.__module__ == errors.__name__:
            assert issubclass(kind, DRAError)
            assert name in errors.__doc__


def test_a_failed_hook_names_plugin_hook_and_cause():
    cause = OSError(5, "Input/output error", "/dev/thing0")
    error = HookFailed("acme", "discover", cause)
    assert str(error) == "plugin 'acme': discover failed: OSError: [Errno 5] Input/output error: '/dev/thing0'"
    assert error.__cause__ is cause
    assert (error.plugin, error.hook) == ("acme", "discover")


def test_a_broken_contract_names_plugin_and_hook():
    error = PluginContractError("acme", "share", "must return a SharePolicy")
    assert str(error) == "plugin 'acme': share: must return a SharePolicy"


def test_a_limit_is_also_a_value_error_that_carries_its_parts():
    error = LimitExceeded("Device.name", "must be a DNS label", "GPU 0")
    assert isinstance(error, ValueError)
    assert (error.field, error.limit, error.value) == ("Device.name", "must be a DNS label", "GPU 0")
    assert str(error) == "Device.name must be a DNS label; got 'GPU 0'"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (DeviceBusy("it is held"), "it is held"),
        (ValueError("bad\n  thing"), "ValueError: bad thing"),
        (KeyError("x"), "KeyError: 'x'"),
        (SystemExit(3), "SystemExit: 3"),
        (AssertionError(), "AssertionError"),
        (DeviceBusy(), "DeviceBusy"),
    ],
)
def test_describing_an_error_is_one_line_and_never_empty(error, text):
    assert describe(error) == text


def test_a_long_value_is_cut_in_a_message():
    assert shorten("x" * 200) == "'" + "x" * 78 + "…"
    assert len(shorten("x" * 200, 20)) == 20
    assert shorten("short") == "'short'"
