"""What must not leave a node: secrets, wherever they may have got to.

A value goes by the name it has: a key of a document, a variable of the environment, a flag. What looks like a secret
by itself, as tokens and keys do, goes wherever it stands. Too much is taken away rather than too little.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

REDACTED = "[redacted]"

_WORDS = (
    r"passw|passphrase|passcode|pass(?![a-z])|pwd|secret|token|credential|bearer|cookie|authorization|certificate|"
    r"signature|connection[-_.]?string|client-key|(?<![a-z])(?:pw|pin|otp|sas|sig|dsn|psk|jwt)(?![a-z])|"
    r"(?:api|access|private|encryption|signing|ssh|auth|account|master|shared|licen[cs]e)[-_.]?key"
)
_SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)
# Every repetition is bounded, or ends a match: a log of megabytes must not take hours.
_NAME = rf"""(?:{_WORDS})[\w.-]{{0,64}}\\{{0,4}}["']?"""
_TOLD = re.compile(rf"(?P<name>{_NAME}[ \t]{{0,8}}:[ \t]{{1,8}})[^\n]+", re.IGNORECASE)
"""What follows a name in words, such as a complaint about a value, which may end with that value: to the line's end."""
_GIVEN = re.compile(
    rf"""(?P<name>{_NAME}\s{{0,8}}(?:=>?|:)\s{{0,8}}"""
    rf"""|(?<![\w-])--[\w-]{{0,64}}(?:{_WORDS})[\w-]{{0,64}}\s{{1,8}})"""
    r"""(?:\\{1,4}"[^"\n]*"?|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|\[[^\]\n]*\]?[^\s"',;]*|[^\s"',;]+)""",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"(?P<name>[\w.-]+)=(?P<value>.*)", re.DOTALL)
_BY_ITSELF = (
    (re.compile(r"-----BEGIN [^-]{1,64}-----.*?(?:-----END [^-]+-----|\Z)", re.DOTALL), REDACTED),
    (re.compile(r"LS0tLS1CRUdJTi[\w+/=]*"), REDACTED),  # the same in base64, as kubeconfigs have it
    (re.compile(r"\b(Bearer|Basic)\s{1,8}[^\s\"',;]+", re.IGNORECASE), rf"\1 {REDACTED}"),
    (re.compile(r"(?<![\w-])eyJ[\w-]{1,2048}\.[\w-]+(?:\.[\w-]*)?"), REDACTED),
    (re.compile(r"\b(?:(?:AKIA|ASIA)[A-Z0-9]{16}|gh[a-z]_\w{20,255})\b"), REDACTED),
    (re.compile(r"""(?<=://)[^\s"'<>?#]{1,512}@"""), f"{REDACTED}@"),
)


def redacted(value: Any, name: str = "") -> Any:
    """A document, or a part of one that has this name, without its secrets. Keys stay: one sees what was set."""
    if isinstance(value, Mapping):
        if _is_secret(name) and value:
            return REDACTED
        given = str(value.get("name", "")) if "value" in value else ""  # as a container has its environment
        return {
            str(key): redacted(item, given if key == "value" and _is_secret(given) else str(key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(item, _flag(before) or name) for before, item in zip((None, *value), value, strict=False)]
    if value is None or isinstance(value, bool) or value == "":
        return value
    if _is_secret(name):
        return REDACTED
    return _text(value) if isinstance(value, str) else value


def scrubbed(text: str) -> str:
    """Plain text, of many lines, without what looks like a secret or is given to a name that does."""
    for pattern, instead in _BY_ITSELF:
        text = pattern.sub(instead, text)
    for given in (_TOLD, _GIVEN):
        text = given.sub(lambda match: f"{match['name']}{REDACTED}", text)
    return text


def _text(text: str) -> str:
    """One string of a document: also a variable, as CDI has them, whose value may be anything."""
    variable = _VARIABLE.fullmatch(text)
    if variable is not None and _is_secret(variable["name"]):
        return f"{variable['name']}={REDACTED}"
    return scrubbed(text)


def _flag(argument: Any) -> str:
    """The flag whose value comes next in a list of arguments, if that is a secret."""
    found = isinstance(argument, str) and argument.startswith("-") and "=" not in argument and _is_secret(argument)
    return argument if found else ""


def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name) is not None
