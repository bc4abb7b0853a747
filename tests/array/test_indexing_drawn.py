"""``x[index]`` and ``x[index] = value`` with shapes, chunks, indices and values that hypothesis draws."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import kask.array as ka


@st.composite
def chunks_of(draw: Any, length: int) -> tuple[int, ...]:
    """Any chunks, also empty ones."""
    cuts = sorted(draw(st.lists(st.integers(0, length), max_size=4)))
    return tuple(np.diff([0, *cuts, length]).tolist())


@st.composite
def cut_arrays(draw: Any) -> tuple[np.ndarray, tuple[tuple[int, ...], ...]]:
    shape = draw(st.lists(st.integers(0, 7), min_size=1, max_size=3))
    return np.arange(np.prod(shape)).reshape(shape), tuple([draw(chunks_of(length)) for length in shape])


@st.composite
def mixed_indices(draw: Any, shape: tuple[int, ...]) -> tuple[Any, ...]:
    """Slices, integers and lists of one length, beside each other or apart."""
    count = draw(st.integers(0, 5))
    found: list[Any] = []
    for length in shape:
        kinds = [st.slices(length)]
        if length:
            within = st.integers(-length, length - 1)
            kinds += [within, st.lists(within, min_size=count, max_size=count)]
        else:
            kinds += [st.just([])] if not count else []
        found.append(draw(st.one_of(kinds)))
    if draw(st.booleans()):
        found = found[: draw(st.integers(0, len(found)))]
    if draw(st.booleans()):
        found.insert(draw(st.integers(0, len(found))), None)
    return tuple(found)


def indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    ways = [mixed_indices(shape), hnp.basic_indices(shape, allow_newaxis=True, max_dims=6), hnp.arrays(bool, shape)]
    if 0 not in shape:
        ways.append(hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4)))
    return st.one_of(ways)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_reading(data: Any) -> None:
    array, chunks = data.draw(cut_arrays())
    index = data.draw(indices(array.shape))
    x = ka.from_array(array, chunks=chunks)
    found, expected = x[index], array[index]
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found.compute(), expected)
    # What is made of a part, and a part of what is made of something.
    np.testing.assert_array_equal((x + 1).T.T[index].compute(), expected + 1)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_writing(data: Any) -> None:
    array, chunks = data.draw(cut_arrays())
    index = data.draw(indices(array.shape))
    place = array[index]
    shape = [data.draw(st.sampled_from([1, length])) if length else 0 for length in np.shape(place)]
    shape = shape[data.draw(st.integers(0, len(shape))) :]
    value: Any = -1 - np.arange(np.prod(shape, dtype=int)).reshape(shape)
    x, expected = ka.from_array(array, chunks=chunks), array.copy()
    expected[index] = value
    if data.draw(st.booleans()):
        value = ka.from_array(value, chunks=tuple([data.draw(chunks_of(length)) for length in shape]))
    x[index] = value
    assert x.shape == expected.shape
    np.testing.assert_array_equal(x.compute(), expected)
