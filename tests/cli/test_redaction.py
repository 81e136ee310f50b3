"""No secret leaves in a support bundle, whatever it stands in."""

from __future__ import annotations

import json

import pytest
from drakit.cli.support.redaction import REDACTED, redacted, scrubbed
from hypothesis import given
from hypothesis import strategies as st

HIDDEN = "hunter2"
NAMES = [
    "DB_PASS",
    "MY_PWD",
    "PGPASS",
    "pin",
    "storageAccountKey",
    "password",
    "apiToken",
    "API_KEY",
    "clientSecret",
    "aws-secret-access-key",
    "privateKey",
    "client-key-data",
]


@pytest.mark.parametrize("name", NAMES)
def test_what_a_secret_name_has_is_taken_away_and_the_name_stays(name):
    for value in (HIDDEN, [HIDDEN], {"deep": HIDDEN}, 12345):
        document = redacted({"outer": [{name: value, "plain": "kept"}]})
        assert name in document["outer"][0]
        assert document["outer"][0]["plain"] == "kept"
        assert HIDDEN not in json.dumps(document)
        assert "12345" not in json.dumps(document)


@pytest.mark.parametrize(
    "name", ["passthrough", "pinned", "design", "key", "author", "kind", "effect", "request", "kubeconfig", "nodeName"]
)
def test_what_is_no_secret_stays(name):
    assert redacted({name: "value"}) == {name: "value"}


def test_that_nothing_is_set_can_be_seen():
    assert redacted({"token": "", "password": None}) == {"token": "", "password": None}


@pytest.mark.parametrize(
    "text",
    [
        f"DB_PASSWORD={HIDDEN}",
        f"--auth-token {HIDDEN} --other",
        f"auth_token: '{HIDDEN}'",
        f'{{"token": "{HIDDEN}"}}',
        f"Authorization: Bearer {HIDDEN}",
        f"https://me:{HIDDEN}@example.com/path",
        f"https://{HIDDEN}@example.com/path",
        f"-----BEGIN RSA PRIVATE KEY-----\n{HIDDEN}\n-----END RSA PRIVATE KEY-----",
        f"cut off: -----BEGIN CERTIFICATE-----\n{HIDDEN}",
        f"eyJhbGciOi.eyJ{HIDDEN}.sig",
        f"https://me:a/b@{HIDDEN}@example.com/path",
        f"GET /blob?sig={HIDDEN}&X-Amz-Signature={HIDDEN}",
        f"options.password: must be a string, not [{HIDDEN}]",
        f"options.pin: must be a string, not {HIDDEN}",
        f'{{\\"password\\":\\"{HIDDEN}\\"}}',
        f'"password":"a\\"{HIDDEN}"',
        f"Authorization: Digest name, {HIDDEN}",
        f"Cookie: a=b; session={HIDDEN}",
        f"{{'tokens':['a', '{HIDDEN}']}}",
        f"LS0tLS1CRUdJTiBSU0Eg{HIDDEN}==",
    ],
)
def test_text_is_scrubbed_of_what_looks_like_a_secret(text):
    for shown in (scrubbed(f"before {text} after"), json.dumps(redacted({"note": text}))):
        assert HIDDEN not in shown
        assert REDACTED in shown


def test_a_variables_value_is_taken_away_whole():
    assert redacted(["A=b", f"MY_SECRET=with spaces, {HIDDEN}\nand lines"]) == ["A=b", f"MY_SECRET={REDACTED}"]


def test_what_is_given_to_a_name_beside_it_is_taken_away():
    container = {"env": [{"name": "DB_PASSWORD", "value": HIDDEN}, {"name": "LANES", "value": "4"}]}
    assert redacted(container)["env"] == [{"name": "DB_PASSWORD", "value": REDACTED}, {"name": "LANES", "value": "4"}]
    assert redacted(["run", "--auth-token", HIDDEN, "--fast"]) == ["run", "--auth-token", REDACTED, "--fast"]


@pytest.mark.parametrize("key", [f"AKIA{'A1' * 8}", f"ghp_{'a1' * 18}"])
def test_keys_that_have_a_shape_of_their_own_are_known_by_it(key):
    assert scrubbed(f"with {key}, twice {key}") == f"with {REDACTED}, twice {REDACTED}"


def test_text_without_secrets_is_left_as_it_is():
    text = "driver efa: the token of /var/run/secrets cannot be read; see https://example.com/a?b=c\n"
    assert scrubbed(text) == text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(values)
def test_what_was_redacted_once_stays_as_it_is(value):
    once = redacted(value)
    assert redacted(once) == once


@given(st.sampled_from(NAMES), st.text("xyz", min_size=12), values)
def test_no_secret_survives_beside_anything(name, hidden, value):
    assert hidden not in json.dumps(redacted({"beside": value, "of": {name: hidden}})["of"])


@pytest.mark.parametrize("unit", ["x", "token", "eyJ-", "-", "--token", "://a", "-----BEGIN A-----", 'token="', "a.b="])
def test_no_text_takes_longer_than_in_proportion_to_its_length(unit):
    scrubbed(unit * (2**18 // len(unit)))  # in minutes, if it were in proportion to the square
