from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from drakit.errors import DRAError
from drakit.model import Device, Quantity, Version
from drakit.plan.cel import CelError, CelRuntimeError, CelSyntaxError, CelTypeError, compile_selector
from drakit.plan.cel.library import FUNCTIONS
from drakit.plan.cel.values import NONE, CelType, Cidr, Optional, UInt, Url
from hypothesis import given, settings
from hypothesis import strategies as st

DRIVER = "gpu.example.com"
GPU = Device(
    name="gpu-0",
    attributes={
        "model": "A100",
        "index": 2,
        "healthy": True,
        "version": Version("1.2.3"),
        "numa": (0, 1),
        "other.example.com/zone": "a",
    },
    capacity={"memory": "40Gi"},
)


def matches(expression: str, *, shared: bool = False) -> bool:
    return compile_selector(expression).matches(GPU, DRIVER, shared)


def attribute(name: str) -> str:
    return f'device.attributes["{DRIVER}"].{name}'


def test_an_unqualified_attribute_has_the_drivers_domain():
    assert matches(f'{attribute("model")} == "A100" && device.attributes["other.example.com"].zone == "a"')


def test_a_missing_domain_reads_as_empty_but_is_not_there():
    assert matches('device.attributes["nobody.example.com"].size() == 0')
    assert matches('!("nobody.example.com" in device.attributes)')
    assert matches('has(device.attributes.nobody) && !has(device.attributes["nobody"].x)')


def test_a_missing_name_fails_and_says_which():
    with pytest.raises(CelRuntimeError, match="no such key: nothing"):
        matches(f"{attribute('nothing')} == 1")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("{missing} == 1 || true", True),
        ("true || {missing} == 1", True),
        ("{missing} == 1 && false", False),
        ("[1, 2].exists(x, {missing} == x || x == 2)", True),
        ("[1, 2].all(x, {missing} == 1 && x == 1)", False),
        ("true ? true : {missing} == 1", True),
        ("cel.bind(x, {missing}, true)", True),
        ("cel.bind(x, {missing}, false && x == 1)", False),
    ],
)
def test_an_error_that_decides_nothing_is_absorbed(expression, expected):
    assert matches(expression.format(missing=attribute("nothing"))) is expected


def test_an_error_that_decides_is_raised():
    for expression in ("{} == 1 || false", "true && {} == 1", "[1].exists(x, {} == x)", "cel.bind(x, {}, x == 1)"):
        with pytest.raises(CelRuntimeError, match="no such key"):
            matches(expression.format(attribute("nothing")))


@pytest.mark.parametrize(
    ("expression", "position"),
    [
        ("1 +", 3),
        ("device.driver == 'x", 17),
        ("(1 == 1", 7),
        ("a b", 2),
        ("device.driver == $", 17),
        ("for == 1", 0),
        ("99999999999999999999 == 1", 0),
        ("has(device)", 0),
        ("[1].all(1, true)", 8),
        (r"'\q' == 'q'", 1),
        ("device{}", 0),
    ],
)
def test_what_is_no_expression_is_refused_with_its_place(expression, position):
    with pytest.raises(CelSyntaxError) as caught:
        compile_selector(expression)
    assert caught.value.position == position
    assert isinstance(caught.value, DRAError)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("nobody == 1", "undeclared reference to 'nobody'"),
        ("device.colour == 'red'", "undefined field 'colour'"),
        ("device.driver.frobnicate()", "undeclared reference to 'frobnicate'"),
        ("device.driver == 1", "no matching overload for '_==_'"),
        ("device.driver", "must evaluate to bool or the unknown type, not string"),
        ("[1, 'a'].size() == 2", "expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': 'c'}.size() == 2", "expected type 'int' but found 'string'"),
        ("device.driver.matches('(?=x)')", "invalid matches argument"),
        ("device.driver && true", "'&&' needs a bool"),
        ("1.exists(x, true)", "expression of type 'int' cannot be the range"),
        ("timestamp('2026-01-01T00:00:00Z') == timestamp('x')", "the planner does not have it"),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_the_reason(expression, problem):
    with pytest.raises(CelTypeError) as caught:
        compile_selector(expression)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "nested",
    [
        "(" * 5000 + "true" + ")" * 5000,
        "!" * 9000 + "true" + " && (" * 100,
        "[" * 3000 + "]" * 3000 + ".size() == 1",
        "1" + " + 1" * 2000 + " == 1",
        "device" + ".a" * 3000,
        "true ? " * 900 + "true" + " : false" * 900,
        "[1].all(x, " * 500 + "true" + ")" * 500,
    ],
)
def test_deep_nesting_is_refused_and_exhausts_nothing(nested):
    with pytest.raises(CelSyntaxError):
        compile_selector(nested)


def test_a_long_chain_of_conditions_is_not_deep():
    assert matches(" || ".join(["false"] * 1000 + ["true"]))


def test_an_expression_over_ten_kib_is_refused():
    with pytest.raises(CelSyntaxError, match="longer than 10240 bytes"):
        compile_selector("true || " * 1300 + "true")


def test_a_loop_without_end_in_sight_is_cut_short():
    ten = "[1,2,3,4,5,6,7,8,9,10]"
    endless = "true"
    for variable in "abcdefg":
        endless = f"{ten}.all({variable}, {endless})"
    with pytest.raises(CelRuntimeError, match="cost limit exceeded"):
        matches(endless)


@pytest.mark.parametrize(
    "expression",
    [
        "-7 / 2 == -3 && -7 % 2 == -1 && 7 / -2 == -3",
        "-9223372036854775808 < 9223372036854775807",
        "1 < 1.5 && 2u > 1 && dyn(1) == dyn(1.0) && dyn(1) == dyn(1u)",
        "0x1F == 31 && 1e3 == 1000.0 && .5 == 0.5",
        r"'\x41\u00e9\101' == 'AéA' && r'\n' != '\n' && '''a\"b''' == 'a\"b' && b'\xff' != b'\x00'",
        "[1, 2] + [3] == [1, 2, 3] && {'a': 1}['a'] == 1 && {'a': [1]}.a[0] == 1",
        "[1, 2, 3].map(x, x > 1, x * 2) == [4, 6] && [1, 2, 3].filter(x, x != 2) == [1, 3]",
        "[3, 1].sortBy(x, -x) == [3, 1] && ['b', 'a'].sort() == ['a', 'b']",
        "[1, 2].transformList(i, v, i * v) == [0, 2] && {'a': 1}.transformMap(k, v, v + 1) == {'a': 2}",
        "['a', 'b'].transformMapEntry(i, v, {v: i}) == {'a': 0, 'b': 1}",
        "[1, 1, 2].exists_one(x, x == 2) && [1, 2].existsOne(i, v, i == 1 && v == 2)",
        "[?optional.of(1), ?optional.none()] == [1] && {?'a': optional.none(), 'b': 1} == {'b': 1}",
        "optional.of(2).optMap(x, x + 1).value() == 3 && !optional.none().optMap(x, 1).hasValue()",
        "[1, 2][?5].orValue(7) == 7 && {'a': {'b': 1}}.?a.?b.orValue(0) == 1",
        "'a,b,c'.split(',', 2) == ['a', 'b,c'] && ['a', 'b'].join('-') == 'a-b' && 'abc'.indexOf('c') == 2",
        "' x '.trim() == 'x' && 'abc'.substring(1) == 'bc' && 'aXb'.replace('X', '') == 'ab' && 'É'.size() == 1",
        "'a1b22'.findAll('[0-9]+') == ['1', '22'] && 'a1b22'.find('[0-9]+') == '1' && 'x'.find('y') == ''",
        "'%d %s %.2f %x %b %%'.format([5, 'a', 1.5, 255, true]) == '5 a 1.50 ff 1 %'",
        "string(1.0) == '1' && string(true) == 'true' && int('-5') == -5 && bool('true') && double('1.5') == 1.5",
        "type(1) == int && type(device.attributes) == map && type('') != bytes",
        "quantity('1Gi').isGreaterThan(quantity('1G')) && quantity('1.5').add(1).compareTo(quantity('2500m')) == 0",
        "quantity('5').sign() == 1 && quantity('5').isInteger() && !isQuantity('5X')",
        "semver('1.10.0').isGreaterThan(semver('1.9.0')) && semver('v1.2', true).minor() == 2 && !isSemver('1')",
        "ip('::1').isLoopback() && ip.isCanonical('10.0.0.1') && cidr('10.0.0.0/8').containsIP('10.1.2.3')",
        "cidr('10.1.0.0/16').masked().prefixLength() == 16 && !isCIDR('10.0.0.0/33') && !isIP('1.2.3')",
        "url('https://u@h.example:8080/a?b=c').getHost() == 'h.example:8080' && isURL('/a') && !isURL('a b')",
        "sets.equivalent([1, 2], [2, 1]) && sets.intersects([1], [1, 2]) && !sets.contains([1], [2])",
        "[1, 2, 3].sum() == 6 && [1.5].max() == 1.5 && [1, 2].isSorted() && lists.range(3) == [0, 1, 2]",
        "[[1], [2]].flatten() == [1, 2] && [1, 1].distinct() == [1] && [1, 2].reverse() == [2, 1]",
        "[1, 2].first().value() == 1 && [1, 2, 3].slice(1, 2) == [2]",
        "!(true in [1].map(x, dyn(x)))",
        "cel.bind(device, 1, device == 1)",
    ],
)
def test_the_language_and_its_libraries(expression):
    assert matches(expression)


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("1 / 0 == 1", "division by zero"),
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        ("-(-9223372036854775808) > 0", "integer overflow"),
        ("0u - 1u == 0u", "unsigned integer overflow"),
        ("[1][1] == 1", "index out of bounds: 1"),
        ("int('x') == 1", "not an integer"),
        ("quantity('1.5').asInteger() == 1", "cannot convert"),
        ("semver('1') == semver('1.0.0')", "not a semantic version"),
        ("'abc'.substring(2, 1) == ''", "invalid substring range"),
        ("[].max() == 1", "empty list"),
        ("optional.none().value() == 1", "dereference"),
        ("{'a': 1, 'a': 2}.size() == 1", "already exists"),
        ("'%d'.format(['a']) == ''", "does not take a string"),
        ("dyn('a') > 1", "no such overload"),
        ("dyn(1).exists(x, x == 1)", "expected iterable type"),
        ("dyn('a')", "could not be converted to bool"),
        ("lists.range(10000000).size() == 1", "cost limit exceeded"),
    ],
)
def test_what_fails_at_run_time_says_why(expression, problem):
    with pytest.raises(CelRuntimeError) as caught:
        matches(expression)
    assert problem in str(caught.value)


def test_a_version_only_compares_with_a_version():
    assert matches(f'{attribute("version")} == semver("1.2.3") && {attribute("version")} != semver("1.2.4")')
    with pytest.raises(CelRuntimeError, match="no such overload"):
        matches(f'{attribute("version")} == "1.2.3"')
    assert not matches(f'"1.2.3" == {attribute("version")}')


def test_a_shared_device_says_so():
    assert matches("device.allowMultipleAllocations", shared=True)
    assert not matches("device.allowMultipleAllocations")


def test_the_same_text_is_compiled_once():
    assert compile_selector("device.driver == 'once'") is compile_selector("device.driver == 'once'")


@given(st.text(max_size=60) | st.text(alphabet="device.atrbus[]()'\"x01+-*/%!&|?:,{}<>= \\", max_size=80))
def test_any_text_compiles_or_is_refused(text):
    try:
        selector = compile_selector(text)
        selector.matches(GPU, DRIVER)
    except CelError:
        return


SMALL = {
    "int": st.integers(-3, 5) | st.sampled_from([2**63 - 1, -(2**63)]),
    "uint": st.integers(0, 5).map(UInt) | st.just(UInt(2**64 - 1)),
    "double": st.floats(),
    "bool": st.booleans(),
    "bytes": st.binary(max_size=4),
    "string": st.text(max_size=6)
    | st.sampled_from(["1.2.3", "v1.2", "10.0.0.0/8", "::1", "1Gi", "http://a:1/b?c", "%s%d"]),
    "type": st.builds(CelType, st.just("int")),
    "optional_type": st.just(NONE) | st.builds(Optional, st.integers()),
    "kubernetes.Quantity": st.sampled_from([Quantity("1Gi"), Quantity("-1.5"), Quantity("9E")]),
    "kubernetes.Semver": st.sampled_from([Version("1.2.3"), Version("1.0.0-a")]),
    "net.IP": st.ip_addresses(),
    "net.CIDR": st.builds(Cidr, st.ip_addresses(v=4), st.integers(0, 32)),
    "kubernetes.URL": st.sampled_from(["https://[::1]:80/a?b=c&b", "/x"]).map(lambda text: Url(urlsplit(text))),
}
ANY = st.one_of(*SMALL.values())
LISTS = st.lists(ANY, max_size=4).map(tuple)
MAPS = st.dictionaries(SMALL["string"], ANY, max_size=3)


@settings(max_examples=1000)
@given(st.data())
def test_no_function_of_the_libraries_fails_but_as_cel_does(data):
    overload = data.draw(st.sampled_from([one for several in FUNCTIONS.values() for one in several]))
    kinds = SMALL | {"list": LISTS, "map": MAPS}
    values = [data.draw(kinds.get(parameter.name, ANY | LISTS | MAPS)) for parameter in overload.parameters]
    try:
        overload.call(*values)
    except CelRuntimeError:
        return


numbers = st.integers(-(2**62), 2**62)


@given(numbers, numbers, numbers)
def test_integers_add_and_compare_as_integers_do(a, b, c):
    assert matches(f"({a}) + ({b}) < ({c})") is (a + b < c) if abs(a + b) < 2**63 else True
    assert matches(f"({a}) - ({b}) == ({a - b})") if abs(a - b) < 2**63 else True


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_quantifiers_are_chains_of_conditions(flags):
    written = "[" + ", ".join(str(flag).lower() for flag in flags) + "]"
    assert matches(f"{written}.all(x, x)") is all(flags)
    assert matches(f"{written}.exists(x, x)") is any(flags)
