"""How the instance metadata service is to be asked, and what is refused of it."""

from __future__ import annotations

import pytest
from drakit.decoding import structure
from drakit.errors import ConfigError
from drakit_efa.plugin import EfaPlugin


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"endpoint": "169.254.169.254"}, "endpoint must be like http://169.254.169.254"),
        ({"endpoint": "https://169.254.169.254"}, "endpoint must be"),
        ({"endpoint": "http://169.254.169.254/latest"}, "endpoint must be"),
        ({"endpoint": "http://user@host"}, "endpoint must be"),
        ({"endpoint": "http://host:99999"}, "endpoint must be"),
        ({"endpoint": "http://ho st"}, "endpoint must be"),
        ({"endpoint": "http://[fd00"}, "endpoint must be"),
        ({"endpoint": "http://"}, "endpoint must be"),
        ({"timeoutSeconds": 0}, "timeoutSeconds must be over 0"),
        ({"waitSeconds": 21}, "waitSeconds must be over 0 and at most 20 s, not 21"),
        ({"waitSeconds": float("nan")}, "waitSeconds"),
        ({"enabled": "yes"}, "options.imds.enabled"),
        ({"retries": 3}, "retries"),
    ],
)
def test_options_that_are_none_are_refused_by_their_place(written, said):
    with pytest.raises(ConfigError, match=said):
        structure(EfaPlugin.options, {"imds": written}, "options")


@pytest.mark.parametrize("endpoint", ["http://169.254.169.254", "http://[fd00:ec2::254]", "http://imds.test:8080"])
def test_endpoints_of_every_kind_are_taken(endpoint):
    assert structure(EfaPlugin.options, {"imds": {"endpoint": endpoint}}, "options").imds.endpoint == endpoint
