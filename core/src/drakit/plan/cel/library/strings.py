"""Strings: CEL's own functions, the string extension (version 2) and Kubernetes' `find`."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Any

from drakit.plan.cel.errors import CelRuntimeError
from drakit.plan.cel.library.formatting import format_string
from drakit.plan.cel.library.overload import overload
from drakit.plan.cel.regex import Pattern, compile_re2

_SPACE = " \t\n\v\f\r\u0085\u00a0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_UPPER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_LOWER = {code + 32: code for code in _UPPER}


@lru_cache(maxsize=1024)
def _pattern(text: str) -> Pattern:
    try:
        return compile_re2(text)
    except ValueError as error:
        raise CelRuntimeError(f"invalid regular expression {text!r}: {error}") from None


def _matches(text: str, pattern: str) -> bool:
    return _pattern(pattern).search(text) is not None


def _find(text: str, pattern: str) -> str:
    found = _pattern(pattern).search(text)
    return text[slice(*found)] if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> tuple[str, ...]:
    found = _pattern(pattern).find_all(text)
    return tuple(found if limit < 0 else islice(found, limit))


def _at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise CelRuntimeError(f"index out of range: {index}")
    return text[index : index + 1]


def _index(text: str, part: str, start: int = 0) -> int:
    if part == "":
        return start
    if not 0 <= start <= len(text):
        raise CelRuntimeError(f"index out of range: {start}")
    return text.find(part, start)


def _last_index(text: str, part: str, start: int | None = None) -> int:
    if start is None:
        return text.rfind(part)
    if part == "":
        return start
    if not 0 <= start <= len(text):
        raise CelRuntimeError(f"index out of range: {start}")
    return text.rfind(part, 0, start + len(part))


def _split(text: str, separator: str, limit: int = -1) -> tuple[str, ...]:
    if limit == 0:
        return ()
    if separator == "":
        pieces = list(text)
        return tuple(pieces if limit < 0 or limit >= len(pieces) else [*pieces[: limit - 1], text[limit - 1 :]])
    return tuple(text.split(separator, -1 if limit < 0 else limit - 1))


def _substring(text: str, start: int, end: int | None = None) -> str:
    end = len(text) if end is None else end
    if not 0 <= start <= len(text):
        raise CelRuntimeError(f"index out of range: {start}")
    if not 0 <= end <= len(text):
        raise CelRuntimeError(f"index out of range: {end}")
    if start > end:
        raise CelRuntimeError(f"invalid substring range. start: {start}, end: {end}")
    return text[start:end]


def _join(parts: tuple[Any, ...], separator: str = "") -> str:
    if not all(isinstance(part, str) for part in parts):
        raise CelRuntimeError("join: every element must be a string")
    return separator.join(parts)


_QUOTED: dict[str, str | int | None] = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def _quote(text: str) -> str:
    return '"' + text.translate(str.maketrans(_QUOTED | {"\\": "\\\\", '"': '\\"'})) + '"'


OVERLOADS = [
    overload("<string>.contains(string) -> bool", lambda text, part: part in text),
    overload("<string>.startsWith(string) -> bool", str.startswith),
    overload("<string>.endsWith(string) -> bool", str.endswith),
    overload("<string>.matches(string) -> bool", _matches),
    overload("matches(string, string) -> bool", _matches),
    overload("<string>.find(string) -> string", _find),
    overload("<string>.findAll(string) -> list(string)", _find_all),
    overload("<string>.findAll(string, int) -> list(string)", _find_all),
    overload("<string>.charAt(int) -> string", _at),
    overload("<string>.indexOf(string) -> int", _index),
    overload("<string>.indexOf(string, int) -> int", _index),
    overload("<string>.lastIndexOf(string) -> int", _last_index),
    overload("<string>.lastIndexOf(string, int) -> int", _last_index),
    overload("<string>.lowerAscii() -> string", lambda text: text.translate(_UPPER)),
    overload("<string>.upperAscii() -> string", lambda text: text.translate(_LOWER)),
    overload("<string>.replace(string, string) -> string", str.replace),
    overload("<string>.replace(string, string, int) -> string", str.replace),
    overload("<string>.split(string) -> list(string)", _split),
    overload("<string>.split(string, int) -> list(string)", _split),
    overload("<string>.substring(int) -> string", _substring),
    overload("<string>.substring(int, int) -> string", _substring),
    overload("<string>.trim() -> string", lambda text: text.strip(_SPACE)),
    overload("<list(string)>.join() -> string", _join),
    overload("<list(string)>.join(string) -> string", _join),
    overload("<string>.format(list(dyn)) -> string", format_string),
    overload("strings.quote(string) -> string", _quote),
]
