"""Text to tokens, as the CEL specification's lexis says."""

from __future__ import annotations

import re

from attrs import frozen

from drakit.plan.cel.ast import Constant
from drakit.plan.cel.errors import CelSyntaxError
from drakit.plan.cel.values import INT_MAX, UINT_MAX, UInt

RESERVED = frozenset(
    (
        "as",
        "break",
        "const",
        "continue",
        "else",
        "false",
        "for",
        "function",
        "if",
        "import",
        "in",
        "let",
        "loop",
        "package",
        "namespace",
        "null",
        "return",
        "true",
        "var",
        "void",
        "while",
    )
)

_TOKEN = re.compile(
    r"""
    (?P<space>[ \t\r\n\f]+|//[^\n]*)
  | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<int>(?:0x[0-9a-fA-F]+|\d+)[uU]?)
  | (?P<text>(?P<prefix>[bB]?[rR]?)(?P<quote>\"{3}|'{3}|"|'))
  | (?P<ident>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<op>&&|\|\||[=!<>]=|[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(
    r"""\\(?:([abfnrtv\\?"'`])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|)""",
    re.DOTALL,
)
_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@frozen
class Token:
    """`kind` is literal, ident, op or end; a literal has a value, everything else its text."""

    kind: str
    text: str
    position: int
    value: Constant = None


def tokens(source: str) -> list[Token]:
    """Every token, an `end` last. Raises CelSyntaxError."""
    found: list[Token] = []
    position = 0
    while position < len(source):
        match = _TOKEN.match(source, position)
        if match is None:
            raise CelSyntaxError(f"unexpected character {source[position]!r}", position)
        end, kind = match.end(), match.lastgroup or ""
        if match["text"] is not None:
            value, end = _string(source, match)
            found.append(Token("literal", source[position:end], position, value))
        elif kind != "space":
            found.append(_plain(kind, match[0], position))
        position = end
    found.append(Token("end", "the end", position))
    return found


def _plain(kind: str, text: str, position: int) -> Token:
    if kind == "float":
        return Token("literal", text, position, float(text))
    if kind == "int":
        return Token("literal", text, position, _integer(text, position))
    if text in ("true", "false"):
        return Token("literal", text, position, text == "true")
    if text == "null":
        return Token("literal", text, position, None)
    return Token("op" if text == "in" else kind, text, position)


def _integer(text: str, position: int) -> int:
    """The most negative integer is written with a minus of its own, hence the one more that is let through here."""
    unsigned = text[-1] in "uU"
    digits = text.rstrip("uU")
    value = int(digits, 16 if digits.startswith("0x") else 10) if len(digits) < 40 else UINT_MAX + 1
    if value > (UINT_MAX if unsigned else INT_MAX + 1):
        raise CelSyntaxError(f"the number {text} has more than 64 bits", position)
    return UInt(value) if unsigned else value


def _string(source: str, match: re.Match[str]) -> tuple[str | bytes, int]:
    quote, prefix, start = match["quote"], match["prefix"].lower(), match.start()
    raw = "r" in prefix
    position = match.end()
    while not source.startswith(quote, position):
        character = source[position : position + 1]
        if not character or (len(quote) == 1 and character in "\r\n"):
            raise CelSyntaxError("the string has no closing quote", start)
        position += 2 if character == "\\" and not raw else 1
    body = source[match.end() : position]
    text = body if raw else _unescape(body, match.end(), as_bytes="b" in prefix)
    if "b" not in prefix:
        return text, position + len(quote)
    # surrogateescape carries the bytes that \x and octal escapes stand for in a bytes literal.
    return text.encode("utf-8", "surrogateescape"), position + len(quote)


def _unescape(body: str, offset: int, *, as_bytes: bool) -> str:
    if "\\" not in body:
        return body

    def replace(match: re.Match[str]) -> str:
        simple, byte, short, long, octal = match.groups()
        if simple is not None:
            return _SIMPLE.get(simple, simple)
        digits = byte or short or long or octal
        if digits is None:
            raise CelSyntaxError("unknown escape sequence", offset + match.start())
        code = int(digits, 8 if octal else 16)
        if as_bytes and (byte or octal) and code > 0x7F:
            return bytes([code]).decode("ascii", "surrogateescape")
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise CelSyntaxError("the escape is not a Unicode character", offset + match.start())
        return chr(code)

    return _ESCAPE.sub(replace, body)
