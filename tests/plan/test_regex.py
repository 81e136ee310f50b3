"""Regular expressions. What is expected of them was taken from Go's `regexp`."""

from __future__ import annotations

import pytest
from drakit.plan.cel.regex import compile_re2, is_tame
from drakit.plan.cel.regex_machine import Machine
from drakit.plan.cel.regex_syntax import parse
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a$", "a\n", False),
        ("(?i)A100", "a100", True),
        ("(?i:a)B", "AB", True),
        ("(?m)^b$", "a\nb\nc", True),
        (r"\d", "٣", False),
        (r"[[:alpha:]]+\z", "abc", True),
        (r"\Qa.b\E", "a.b", True),
        (r"\Qa.b\E", "axb", False),
        ("a{,2}", "a{,2}", True),
        ("a{2}", "aa", True),
        ("[]a]", "]", True),
        ("[a-c-]", "-", True),
        (r"\x41\x{42}", "AB", True),
        ("(?P<n>a)|b", "b", True),
        ("(?<n>a)", "a", True),
        (r"\s", "\v", False),
        ("a.c", "a\nc", False),
        ("(?s)a.c", "a\nc", True),
        ("(?i)a|b", "B", True),
        ("[&&~~||[]", "&", True),
        ("[--9]", ".", True),
        (r"\pL\p{Lu}", "éÉ", True),
        (r"^\PL$", "é", False),
        ("[[:^alpha:]]", "a1", True),
        (r"(?i)\W", "\u212a", False),
        ("(?i)k", "\u212a", True),
        (r"\B", "", True),
        (r"a\b.", "a b", True),
        ("a(?i)b", "aB", True),
        ("a(?i)?", "", True),
        (r"\101", "A", True),
        ("^(?:a?){30}a{30}$", "a" * 30, True),
        ("(a+)+$", "a" * 60 + "b", False),
        ("(a|aa)+$", "a" * 60 + "b", False),
        ("(.*)*x", "a" * 200, False),
    ],
)
def test_a_regular_expression_means_what_re2_means(pattern, text, found):
    assert (compile_re2(pattern).search(text) is not None) is found


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a|ab", "ab", ["a"]),
        ("(?:a|ab)$", "ab", ["ab"]),
        ("a*?", "aa", ["", "", ""]),
        ("(?U)a+", "aa", ["a", "a"]),
        ("(?U)a+?", "aa", ["aa"]),
        ("a*", "baac", ["", "aa", ""]),
        (r"\d+", "a1b22", ["1", "22"]),
        ("(?:|.)+", "ab", ["", "", ""]),
        (r"\b", "ab c", ["", "", "", ""]),
        ("(?m)^", "a\nb", ["", ""]),
        ("x", "y", []),
    ],
)
def test_matches_are_the_leftmost_that_are_tried_first(pattern, text, found):
    assert list(compile_re2(pattern).find_all(text)) == found


@pytest.mark.parametrize(
    "pattern",
    [
        "(?=a)",
        "(?<!a)b",
        r"(a)\8",
        "a**",
        "a*+",
        "a{1001}",
        "(",
        ")",
        "[a",
        r"\Z",
        r"\C",
        "(?#x)",
        "\\",
        "*a",
        r"a\y",
        "[z-a]",
        r"[a-\d]",
        "(a{100}){100}",
        "a{2,1}",
        r"\p{Xx}",
        "(" * 201 + ")" * 201,
    ],
)
def test_what_re2_refuses_is_refused(pattern):
    with pytest.raises(ValueError, match=r"\w"):
        compile_re2(pattern)


@given(st.text(alphabet="ab()[]{}*+?|^$.\\dwsQEz-:<>=!P1,i", max_size=20))
def test_any_pattern_compiles_or_is_refused(pattern):
    try:
        compile_re2(pattern)
    except ValueError:
        return


PIECES = st.sampled_from(
    ["a", "b", "[ab]", "[^a]", ".", "^", "$", r"\b", r"\d", "(?i:a)", "a|b", "(a)", "a{2}", "a*", "b+?", "(?:ab)?", "|"]
)


@given(st.lists(PIECES, max_size=5).map("".join), st.text(alphabet="abA1\n ", max_size=8))
def test_tame_expressions_match_the_same_either_way(pattern, text):
    try:
        root = parse(pattern)
    except ValueError:
        return
    if is_tame(root):
        assert compile_re2(pattern).search(text) == Machine(root).search(text)


def test_what_varies_in_a_repetition_or_too_much_is_not_tame():
    assert is_tame(parse("^NVIDIA.*(A|H)100.*$"))
    for pattern in ("(a+)+", "(a|b)*", "(a?){20}", "a*a*a*a*", r"\pL"):
        assert not is_tame(parse(pattern))
