"""Tokens: equal for equal content in any process, different for different content, and honest about what has none."""

from __future__ import annotations

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import pathlib
import threading
import types
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kask
from kask.exceptions import TokenizationError

tokenize = kask.tokenize


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass
class Point:
    x: int
    y: object = None


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    x: int


class Plain:
    def __init__(self, x):
        self.x = x

    def method(self):
        return self.x


class Slots:
    __slots__ = ("a", "b")


Pair = collections.namedtuple("Pair", "a b")


def module_function(x):
    return x


def slots(a, b=None):
    made = Slots()
    made.a = a
    if b is not None:
        made.b = b
    return made


def make_adder(n):
    def add(x):
        return x + n

    return add


def recursive(n):
    def fact(k):
        return 1 if k <= 1 else k * fact(k - 1)

    return functools.partial(fact, n)


# Each is a function that makes an equal object every time; all of them differ from each other.
DISTINCT = [
    lambda: None,
    lambda: True,
    lambda: 1,
    lambda: 1.0,
    lambda: 1j,
    lambda: -1,
    lambda: 2**100,
    lambda: "1",
    lambda: b"1",
    lambda: bytearray(b"1"),
    lambda: float("inf"),
    lambda: float("nan"),
    list,
    lambda: (),
    dict,
    lambda: set(),
    lambda: frozenset(),
    lambda: [1],
    lambda: (1,),
    lambda: {1},
    lambda: {1: 2},
    lambda: {2: 1},
    lambda: {"a": 1, 2: 3, (4, 5): 6},
    lambda: [[1], [2]],
    lambda: [[1, 2]],
    lambda: [1, 2],
    lambda: ["ab", "c"],
    lambda: ["a", "bc"],
    lambda: range(3),
    lambda: slice(1, 2, 3),
    lambda: ...,
    lambda: NotImplemented,
    lambda: collections.OrderedDict(a=1),
    lambda: collections.defaultdict(list, a=[1]),
    lambda: collections.Counter("aab"),
    lambda: collections.deque([1, 2], maxlen=3),
    lambda: Pair(1, 2),
    lambda: types.SimpleNamespace(a=1),
    lambda: types.MappingProxyType({"a": 9}),
    lambda: decimal.Decimal("1.5"),
    lambda: fractions.Fraction(1, 3),
    lambda: uuid.UUID(int=5),
    lambda: datetime.date(2024, 1, 1),
    lambda: datetime.datetime(2024, 1, 1),
    lambda: datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
    lambda: datetime.timedelta(1),
    lambda: datetime.time(1),
    lambda: pathlib.PurePosixPath("a/b"),
    lambda: pathlib.Path("a/b"),
    lambda: Colour.RED,
    lambda: Colour.BLUE,
    lambda: Colour,
    lambda: Point(1),
    lambda: Point(2),
    lambda: Point,
    lambda: Slotted(1),
    lambda: Plain(1),
    lambda: Plain(2),
    lambda: Plain([Plain(1)]),
    lambda: Plain(1).method,
    lambda: Plain.method,
    lambda: slots(1),
    lambda: slots(1, 2),
    lambda: len,
    lambda: [].append,
    lambda: str.upper,
    lambda: "a".upper,
    lambda: int.__add__,
    lambda: int,
    lambda: math_module(),
    lambda: module_function,
    lambda: functools.partial(module_function, 1),
    lambda: functools.partial(module_function, x=1),
    lambda: make_adder(1),
    lambda: make_adder(2),
    lambda: recursive(3),
    lambda: (lambda x: x + 1),
    lambda: (lambda x: x + 2),
    lambda: (lambda x, y=1: x + y),
    lambda: (lambda x, y=2: x + y),
    lambda: (lambda x, *, y=2: x + y),
    lambda: (lambda x: x + GLOBAL),
    lambda: (lambda: [i + 1 for i in range(3)]),
    lambda: (lambda: [i + 1 for i in range(4)]),
    lambda: local_class(1),
    lambda: local_class(2),
    lambda: local_class(1)(),
    lambda: re_pattern(),
    lambda: local_dataclass(),
    lambda: list[int],
    lambda: int | None,
    lambda: cyclic(),
    lambda: property(module_function),
]  # fmt: skip

GLOBAL = 5


def math_module():
    import math

    return math


def re_pattern():
    import re

    return re.compile("a+", re.IGNORECASE)


def local_class(n):
    class Local:
        value = n

        def method(self):
            return n

    return Local


def local_dataclass():
    @dataclasses.dataclass
    class Record:
        a: int = 1
        b: list = dataclasses.field(default_factory=list)

    return Record(1)


def cyclic():
    box = Plain(1)
    box.me = [box]
    return box


def test_equal_things_have_equal_tokens_and_others_have_not():
    tokens = {}
    for position, make in enumerate(DISTINCT):
        first = tokenize(make(), ensure_deterministic=True)
        assert first == tokenize(make(), ensure_deterministic=True), f"number {position}: {make()!r}"
        assert len(first) == 32
        int(first, 16)
        assert first not in tokens, f"{make()!r} is taken for {tokens[first]!r}"
        tokens[first] = make()


def test_order_of_keywords_and_dicts_does_not_count():
    assert tokenize(a=1, b=2) == tokenize(b=2, a=1)
    assert tokenize({"a": 1, "b": 2}) == tokenize({"b": 2, "a": 1})
    assert tokenize({1: "x", (2, 3): "y"}) == tokenize({(2, 3): "y", 1: "x"})
    assert tokenize(Plain({3: 1, 4: 2})) == tokenize(Plain({4: 2, 3: 1}))
    assert tokenize({"x", "y", "z"}) == tokenize({"z", "y", "x"})
    assert tokenize(1, 2) != tokenize(2, 1)
    assert tokenize(1, 2) != tokenize((1, 2))
    assert tokenize(a=1) != tokenize({"a": 1})
    assert tokenize() != tokenize(None)


def test_globals_that_a_function_reads_count(monkeypatch):
    def reads():
        return GLOBAL

    before = tokenize(reads)
    monkeypatch.setitem(globals(), "GLOBAL", 6)
    assert tokenize(reads) != before


def test_where_a_function_stands_does_not_count():
    scope: dict = {}
    exec(compile("f = lambda x: x * 2", "one.py", "exec"), scope)
    first = scope["f"]
    exec(compile("\n\n\nf = lambda x: x * 2", "two.py", "exec"), scope)
    assert tokenize(first) == tokenize(scope["f"])


def test_shared_parts_cost_no_more_than_themselves():
    box: object = Plain(0)
    for _ in range(60):
        box = Plain([box, box])
    tokenize(box, ensure_deterministic=True)


SCRIPT = """
import sys; sys.path.insert(0, sys.argv[1])
import kask, test_tokens as t
print([kask.tokenize(make(), ensure_deterministic=True) for make in t.DISTINCT])
print(kask.tokenize({"x": {"b", "a", "c"}, "y": [frozenset("hello world")]}))
"""


def test_tokens_are_the_same_in_every_process(script):
    here = str(pathlib.Path(__file__).parent)
    outputs = [script(SCRIPT, here, PYTHONHASHSEED=seed) for seed in ("0", "1", "12345")]
    assert all(run.returncode == 0 for run in outputs), outputs[0].stderr
    assert len({run.stdout for run in outputs}) == 1
    assert outputs[0].stdout.splitlines()[0] == str([tokenize(make(), ensure_deterministic=True) for make in DISTINCT])


def test_functions_of_main_have_tokens_by_their_code(script):
    code = """
import kask
def f(x): return g(x) + K
def g(x): return x if x < 1 else f(x - 1)
K = 3
class C:
    k: int = 1
    def m(self): return f(self.k)
print(kask.tokenize(f, C, C(), ensure_deterministic=True))
"""
    first, same, other = script(code), script("# moved\n\n" + code), script(code.replace("K = 3", "K = 4"))
    assert first.returncode == 0, first.stderr
    assert first.stdout == same.stdout != other.stdout


@pytest.mark.smoke
def test_plain_data_has_these_tokens_in_every_version():
    # Results are stored under these names: a change here makes every stored result unreachable.
    data = [
        None,
        True,
        1,
        -(2**80),
        1.5,
        2j,
        "tëxt",
        b"bytes",
        [1, (2,)],
        {"a": {1, 2}},
        Plain({"x": [1]}),
        Point(1, "y"),
    ]
    assert tokenize(data, key=datetime.date(2024, 2, 29)) == GOLDEN


GOLDEN = "f5f76b397a74347c0eb5346bf79eeb07"


nested = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text() | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


@settings(max_examples=200, deadline=None)
@given(nested)
def test_copies_have_equal_tokens(value):
    import pickle

    copied = pickle.loads(pickle.dumps(value))
    assert tokenize(value) == tokenize(copied)
    assert tokenize(Plain(value)) == tokenize(Plain(copied))


# -- what has none


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: threading.Lock(), "argument 0: an instance of _thread.lock"),
        (lambda: [1, threading.Lock()], r"argument 0\[1\]: an instance of _thread.lock"),
        (lambda: {"a": Plain(threading.Lock())}, r"argument 0\['a'\]\.x: an instance of _thread.lock"),
        (lambda: Point(1, object()), r"argument 0\.y: an instance of object"),
        (lambda: (i for i in range(3)), "argument 0: an instance of builtins.generator"),
        (lambda: io.TextIOWrapper(io.BytesIO()), "argument 0: an instance of _io.TextIOWrapper"),
        (
            lambda: closure_over(threading.Lock()),
            "argument 0, the function inner, variable thing: an instance of _thread.lock",
        ),
    ],
)
def test_what_has_no_token_is_named(make, place):
    value = make()
    with pytest.raises(TokenizationError, match=place) as caught:
        tokenize(value, ensure_deterministic=True)
    assert "__kask_tokenize__" in caught.value.hint
    assert tokenize(value) != tokenize(value)
    with kask.config.set({"tokenize.ensure_deterministic": True}), pytest.raises(TokenizationError):
        tokenize(value)


def closure_over(thing):
    def inner():
        return thing

    return inner


def test_keyword_arguments_are_named_too():
    with pytest.raises(TokenizationError, match="lock_of_mine: "):
        tokenize(1, lock_of_mine=threading.Lock(), ensure_deterministic=True)


# -- teaching it


@pytest.mark.parametrize("protocol", ["__kask_tokenize__", "__dask_tokenize__"])
def test_protocol_methods(protocol):
    class Own:
        def __init__(self, name):
            self.name, self.lock = name, threading.Lock()

    setattr(Own, protocol, lambda self: [self.name])
    assert tokenize(Own("a"), ensure_deterministic=True) == tokenize(Own("a"))
    assert len({tokenize(Own("a")), tokenize(Own("b")), tokenize(["a"])}) == 3


def test_registered_types_and_their_subclasses():
    class Base:
        def __init__(self, n):
            self.n, self.lock = n, threading.Lock()

    class Derived(Base):
        pass

    @kask.normalize_token.register(Base)
    def _(base):
        return type(base).__name__, base.n

    assert tokenize(Base(1), ensure_deterministic=True) == tokenize(Base(1))
    assert tokenize(Derived(1)) == tokenize(Derived(1)) != tokenize(Base(1))


def test_lazily_registered_packages():
    calls = []
    kask.normalize_token.register_lazy("no_such_package_here", lambda: calls.append(1))
    tokenize(Plain(1))
    assert calls == []


# -- arrays and frames


def test_numpy():
    np = pytest.importorskip("numpy")
    base = np.arange(24, dtype="i8").reshape(2, 3, 4)
    token = tokenize(base, ensure_deterministic=True)
    assert (
        token
        == tokenize(base.copy())
        == tokenize(np.asfortranarray(base))
        == tokenize(base.repeat(2, axis=2)[:, :, ::2])
    )
    different = [
        base.astype("i4"),
        base.reshape(4, 6),
        base + 1,
        base.astype("f8"),
        base.T,
        base.astype(">i8"),
        base.astype("m8[s]"),
        base.astype("m8[ms]"),
    ]
    different += [
        base[:0],
        base[0, 0, 0],
        np.float64(1),
        np.float32(1),
        np.str_("a"),
        np.datetime64("2024-01-01"),
        base.dtype,
        np.dtype("f4"),
    ]
    different += [
        np.zeros(3, [("a", "i4"), ("b", "f8")]),
        np.array(["a", None, 3], dtype=object),
        np.array(["ab", "c"]),
        np.array(["a", "bc"]),
    ]
    different += [
        np.add,
        np.multiply,
        np.sum,
        np.ma.masked_array([1, 2], [True, False]),
        np.ma.masked_array([1, 2], [False, False]),
    ]
    different += [np.random.default_rng(1), np.random.default_rng(2), np.arange(3).view(np.matrix)]
    tokens = [tokenize(value, ensure_deterministic=True) for value in different]
    assert tokens == [tokenize(value, ensure_deterministic=True) for value in different]
    assert len({token, *tokens}) == len(tokens) + 1
    with pytest.raises(TokenizationError, match="ufunc"):
        tokenize(np.frompyfunc(lambda x: x, 1, 1), ensure_deterministic=True)


def test_numpy_with_strings_of_any_length():
    np = pytest.importorskip("numpy")
    strings = np.array(["a", "bb"], dtype=np.dtypes.StringDType())
    assert tokenize(strings, ensure_deterministic=True) == tokenize(strings.copy()) != tokenize(np.array(["a", "bb"]))


def test_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"], "c": pd.Categorical(["u", "v"])})
    token = tokenize(frame, ensure_deterministic=True)
    assert (
        token
        == tokenize(frame.copy())
        == tokenize(pd.concat([frame.iloc[:1], frame.iloc[1:]]).astype({"c": frame.c.dtype}))
    )
    times = pd.date_range("2024", periods=2)
    different = [
        frame.rename(columns={"a": "z"}),
        frame[["b", "a", "c"]],
        frame.iloc[::-1],
        frame.astype({"a": "f8"}),
        frame.set_index("a"),
        frame.iloc[:0],
    ]
    different += [
        frame.a,
        frame.a.rename("q"),
        frame.b,
        frame.c,
        frame.index,
        frame.columns,
        frame.a.astype("Int64"),
        frame.a.astype("Float64"),
    ]
    different += [
        times,
        times.tz_localize("UTC"),
        times.tz_localize("Europe/Berlin"),
        times.to_period("D"),
        times - times[0],
        pd.Series(times),
    ]
    different += [
        pd.MultiIndex.from_arrays([[1, 2], ["a", "b"]]),
        pd.interval_range(0, 2),
        pd.Series([1, None], dtype="Int64"),
        pd.NA,
        pd.NaT,
    ]
    different += [
        pd.Series(["a", None], dtype="string"),
        pd.Series(["a", None], dtype=object),
        pd.Timestamp("2024"),
        pd.Timedelta("1s"),
    ]
    tokens = [tokenize(value, ensure_deterministic=True) for value in different]
    assert tokens == [
        tokenize(value.copy() if hasattr(value, "copy") else value, ensure_deterministic=True) for value in different
    ]
    assert len({token, *tokens}) == len(tokens) + 1


def test_what_lies_under_a_mask_does_not_count():
    pd = pytest.importorskip("pandas")
    hidden = pd.array([1, 99], dtype="Int64")
    hidden[1] = pd.NA
    assert tokenize(pd.Series(hidden)) == tokenize(pd.Series([1, None], dtype="Int64"))


def test_pyarrow():
    pa = pytest.importorskip("pyarrow")
    table = pa.table({"a": [1, 2, None], "b": ["x", None, "z"]})
    token = tokenize(table, ensure_deterministic=True)
    assert token == tokenize(pa.concat_tables([table.slice(0, 1), table.slice(1)]))
    assert token == tokenize(pa.concat_tables([table, table]).slice(3))
    assert token != tokenize(table.slice(1))
    assert tokenize(table["a"]) == tokenize(table["a"].combine_chunks()) != tokenize(table["b"])


# -- in keys


def test_pure_delayed_calls_share_keys():
    inc = kask.delayed(module_function, pure=True)
    assert inc(1).key == inc(1).key != inc(2).key
    assert kask.delayed(module_function)(1).key != kask.delayed(module_function)(1).key
    assert inc(inc(1)).key == inc(inc(1)).key
    assert (inc(1) + 2).key == (inc(1) + 2).key != (inc(1) + 3).key
