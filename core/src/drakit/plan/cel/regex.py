"""RE2's regular expressions, checked and rewritten for Python's `re`.

CEL's are RE2: no look-around, no back references, ASCII classes, `$` only at the very end. What RE2 refuses is refused
here; the few things only RE2 has (Unicode classes, the ungreedy flag) are refused too, saying so.
"""

from __future__ import annotations

import re
from functools import lru_cache

_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "ascii": r"\x00-\x7F",
    "blank": r"\t\x20",
    "cntrl": r"\x00-\x1F\x7F",
    "digit": "0-9",
    "graph": r"\x21-\x7E",
    "lower": "a-z",
    "print": r"\x20-\x7E",
    "punct": r"\x21-\x2F\x3A-\x40\x5B-\x60\x7B-\x7E",
    "space": r"\t\n\v\f\r\x20",
    "upper": "A-Z",
    "word": "0-9A-Za-z_",
    "xdigit": "0-9A-Fa-f",
}
_NAMED = re.compile(r"\[:(\^?)(\w+):\]")
_REPEAT = re.compile(r"\{(\d+)(,(\d*))?\}")
_GROUP = re.compile(r"\?(?:P?<(?P<name>\w+)>|(?P<flags>[imsU]*(?:-[imsU]+)?)(?P<end>[:)]))")
_MAX_REPEAT = 1000
_SPACE = r"\t\n\f\r\x20"


@lru_cache(maxsize=1024)
def compile_re2(pattern: str) -> re.Pattern[str]:
    """A Python pattern that matches what RE2 would. Raises ValueError for what RE2, or this, does not take."""
    try:
        return re.compile(_Rewriter(pattern).rewrite(), re.ASCII)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from None


class _Rewriter:
    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._out: list[str] = []
        self._multiline = [False]
        self._extra = [0]
        self._repeatable = True

    def rewrite(self) -> str:
        while self._at < len(self._text):
            character = self._text[self._at]
            if character in "*+?" or (character == "{" and _REPEAT.match(self._text, self._at)):
                self._quantifier()
                continue
            self._repeatable = True
            if character == "\\":
                self._out.append(self._escape(in_class=False))
            elif character == "[":
                self._class()
            elif character == "(":
                self._open()
            elif character == ")":
                self._close()
            else:
                self._at += 1
                self._out.append(self._plain(character))
        return "".join(self._out) + ")" * self._extra[0]

    def _plain(self, character: str) -> str:
        if character == "$" and not self._multiline[-1]:
            return r"\Z"
        return r"\{" if character == "{" else character

    def _quantifier(self) -> None:
        if not self._repeatable:
            raise ValueError(f"invalid nested repetition operator at {self._at}")
        repeat = _REPEAT.match(self._text, self._at)
        if repeat and max(int(number[:9]) for number in (repeat[1], repeat[3] or "0")) > _MAX_REPEAT:
            raise ValueError(f"invalid repeat count {repeat[0]}")
        end = repeat.end() if repeat else self._at + 1
        end += self._text.startswith("?", end)
        self._out.append(self._text[self._at : end])
        self._at = end
        self._repeatable = False

    def _open(self) -> None:
        self._at += 1
        multiline = self._multiline[-1]
        if not self._text.startswith("?", self._at):
            self._out.append("(")
            self._nest(multiline)
            return
        match = _GROUP.match(self._text, self._at)
        if match is None:
            raise ValueError(f"invalid or unsupported Perl syntax at {self._at - 1}")
        self._at = match.end()
        if match["name"]:
            self._out.append(f"(?P<{match['name']}>")
            self._nest(multiline)
            return
        on, _, off = match["flags"].partition("-")
        if "U" in match["flags"]:
            raise ValueError("the ungreedy flag is not supported by the planner")
        multiline = (multiline or "m" in on) and "m" not in off
        self._out.append(f"(?{match['flags']}:")
        if match["end"] == ":":
            self._nest(multiline)
        elif self._out[:-1] and self._out[-2][-1:] not in "(:>":
            raise ValueError("flags in the middle of a group are not supported by the planner")
        else:
            self._extra[-1] += 1
            self._multiline[-1] = multiline

    def _nest(self, multiline: bool) -> None:
        self._multiline.append(multiline)
        self._extra.append(0)
        self._repeatable = False

    def _close(self) -> None:
        if len(self._extra) == 1:
            raise ValueError("unexpected )")
        self._at += 1
        self._multiline.pop()
        self._out.append(")" * (self._extra.pop() + 1))

    def _escape(self, *, in_class: bool) -> str:
        rest = self._text[self._at + 1 : self._at + 12]
        if not rest:
            raise ValueError("trailing backslash")
        if match := re.match(r"x\{([0-9A-Fa-f]{1,6})\}|x([0-9A-Fa-f]{2})|(0[0-7]{0,2}|[1-7][0-7]{1,2})", rest):
            self._at += 1 + match.end()
            code = int(match[1] or match[2] or match[3], 8 if match[3] else 16)
            if code > 0x10FFFF:
                raise ValueError(f"invalid escape sequence \\{match[0]}")
            return re.escape(chr(code))
        character = rest[0]
        self._at += 2
        if character == "Q" and not in_class:
            quoted, _, _ = self._text[self._at :].partition("\\E")
            self._at += len(quoted) + (2 if self._text.startswith("\\E", self._at + len(quoted)) else 0)
            return re.escape(quoted)
        if character in "sS":
            return self._space(character, in_class=in_class)
        if character in "dDwWafnrtv" or (not in_class and character in "AbB"):
            return f"\\{character}"
        if character == "z" and not in_class:
            return r"\Z"
        if character in "pP":
            raise ValueError("Unicode classes are not supported by the planner")
        if character.isascii() and not character.isalnum():
            return re.escape(character)
        raise ValueError(f"invalid escape sequence \\{character}")

    @staticmethod
    def _space(character: str, *, in_class: bool) -> str:
        """RE2's white space is without the vertical tab."""
        if not in_class:
            return f"[{'^' if character == 'S' else ''}{_SPACE}]"
        return _SPACE if character == "s" else r"\x00-\x08\x0B\x0E-\x1F\x21-\U0010FFFF"

    def _class(self) -> None:
        self._at += 1
        out = ["["]
        if self._text.startswith("^", self._at):
            out.append("^")
            self._at += 1
        first = True
        while first or not self._text.startswith("]", self._at):
            out.append(self._class_item())
            first = False
        self._at += 1
        self._out.append("".join(out) + "]")

    def _class_item(self) -> str:
        """A named class, one character, or a range of them."""
        if named := _NAMED.match(self._text, self._at):
            if named[2] not in _CLASSES:
                raise ValueError(f"invalid character class {named[0]}")
            if named[1]:
                raise ValueError(f"the negated class {named[0]} is not supported by the planner")
            self._at = named.end()
            return _CLASSES[named[2]]
        is_set = re.match(r"\\[dDwWsS]", self._text[self._at : self._at + 2])
        low = self._class_character()
        if is_set or not self._text.startswith("-", self._at) or self._text.startswith("-]", self._at):
            return low
        self._at += 1
        return f"{low}-{self._class_character()}"

    def _class_character(self) -> str:
        character = self._text[self._at : self._at + 1]
        if not character:
            raise ValueError("missing closing ]")
        if character == "\\":
            return self._escape(in_class=True)
        self._at += 1
        return re.escape(character)
