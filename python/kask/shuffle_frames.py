"""Data frames of pandas as tables of Arrow and back again, so that every dtype, label and object is what it was.

A column of Arrow is made of each column and of each level of the index. The metadata of its field says what dtype it had (partitions
whose dtypes differ are refused by ``crates/kask-kernels/src/reconcile.rs``), that of the schema has the labels. Python objects travel cell
by cell: text as UTF-8 and all else as a pickle. No text begins with the byte that begins a pickle.
"""

from __future__ import annotations

import base64
import pickle
from collections.abc import Iterable
from typing import Any

__all__ = ["frame_keys", "from_frame", "refuse_unless_one", "to_frame"]

# In the metadata of the schema: columns, names of the index, whether it is a MultiIndex, attrs.
_FRAME = b"kask.frame"
# In the metadata of a field: the dtype in words, and pickled where it is none of NumPy.
_DTYPE, _PICKLE = b"kask.dtype", b"kask.pickle"

_PICKLED = pickle.PROTO


def from_frame(frame: Any) -> Any:
    """The frame as a table of Arrow."""
    import pyarrow

    columns = [(_name(label), frame.iloc[:, place]) for place, label in enumerate(frame.columns)]
    fields, arrays = [], []
    for name, values in [*columns, *_levels(frame)]:
        array = _carried(values)
        arrays.append(array)
        fields.append(pyarrow.field(name, array.type, metadata=_described(values.dtype)))
    index = frame.index
    labels = (frame.columns, list(index.names), type(index).__name__ == "MultiIndex", frame.attrs)
    return pyarrow.Table.from_arrays(arrays, schema=pyarrow.schema(fields, {_FRAME: _packed(labels)}))


def to_frame(table: Any) -> Any:
    """The frame that such a table was made of."""
    import pandas

    columns, names, is_multi, attrs = _unpacked(table.schema.metadata[_FRAME])
    dtypes = [_dtype(field) for field in table.schema]
    values = [_restored(table.column(place), dtype, table.field(place).name) for place, dtype in enumerate(dtypes)]
    levels = [_index(array, dtype) for array, dtype in zip(values[len(columns) :], dtypes[len(columns) :])]
    index = pandas.MultiIndex.from_arrays(levels, names=names) if is_multi else levels[0].rename(names[0])
    # Text among objects would be taken for the dtype str, if nothing was said.
    data = {
        place: pandas.Series(array, index=index, dtype=object if _is_object(dtypes[place]) else None, copy=False)
        for place, array in enumerate(values[: len(columns)])
    }
    frame = pandas.DataFrame(data, index=index)
    frame.columns = columns
    frame.attrs = attrs
    return frame


def frame_keys(frame: Any, names: list[str]) -> Any:
    """Columns, or levels of the index, as a table of Arrow whose values can be compared: objects are what they hold."""
    import pyarrow

    levels = [(name, values) for name, values in _levels(frame) if name in frame.index.names]
    labelled = [(label, frame.iloc[:, place]) for place, label in enumerate(frame.columns) if isinstance(label, str)]
    keys = {}
    for name in names:
        found = [values for label, values in labelled if label == name]
        found = found or [values for label, values in levels if label == name]
        refuse_unless_one(len(found), name, frame.columns)
        keys[name] = _key(found[0], name)
    return pyarrow.table(keys)


def refuse_unless_one(count: int, name: str, columns: Iterable[Any]) -> None:
    """A key is one column of a table, of which there are so many by this name."""
    if not count:
        raise KeyError(f"there is no column {name!r}; the table has the columns {', '.join(map(repr, columns))}")
    if count > 1:
        raise ValueError(f"the table has {count} columns named {name!r}; rename all but one of them")


# -- labels and dtypes


def _name(label: Any) -> str:
    return label if isinstance(label, str) else f"{label!r} ({type(label).__name__})"


def _levels(frame: Any) -> list[tuple[str, Any]]:
    import pandas

    index = frame.index
    return [
        (name if isinstance(name, str) else f"(index level {place})", pandas.Series(index.get_level_values(place)))
        for place, name in enumerate(index.names)
    ]


def _described(dtype: Any) -> dict[bytes, bytes]:
    import numpy

    if _is_categorical(dtype):
        told = f"category of {dtype.categories.dtype}"
        if dtype.ordered:
            told = f"ordered {told}: {' < '.join(map(repr, dtype.categories))}"
        return {_DTYPE: told.encode("utf-8", "backslashreplace"), _PICKLE: _packed(_Categories(dtype))}
    words = {_DTYPE: str(dtype).encode()}
    return words if isinstance(dtype, numpy.dtype) else {**words, _PICKLE: _packed(dtype)}


def _dtype(field: Any) -> Any:
    import numpy

    pickled = field.metadata.get(_PICKLE)
    return numpy.dtype(field.metadata[_DTYPE].decode()) if pickled is None else _unpacked(pickled)


class _Categories:
    """The dtype of categoricals but for the categories themselves, which differ from partition to partition."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.ordered = dtype.categories.dtype, dtype.ordered


def _is_object(dtype: Any) -> bool:
    import numpy

    return isinstance(dtype, numpy.dtype) and dtype.hasobject


def _is_categorical(dtype: Any) -> bool:
    import pandas

    return isinstance(dtype, pandas.CategoricalDtype)


def _packed(value: Any) -> bytes:
    """A pickle as text, which metadata has to be."""
    return base64.b64encode(pickle.dumps(value, protocol=5))


def _unpacked(text: bytes) -> Any:
    return pickle.loads(base64.b64decode(text))


# -- values


def _carried(values: Any) -> Any:
    """A Series as an array of Arrow, of which :func:`_restored` makes the same again."""
    import numpy
    import pyarrow

    dtype = values.dtype
    if _is_categorical(dtype):
        return _dictionary(values, _carried)
    if not _is_object(dtype) and (isinstance(dtype, numpy.dtype) or hasattr(dtype, "__from_arrow__")):
        try:
            return pyarrow.array(values, from_pandas=True)
        except (pyarrow.ArrowException, ValueError):
            # Arrow has no such type: complex numbers, for one.
            pass
    objects = values.astype(object).to_numpy()
    if _is_object(dtype) and all(value is None for value in objects):
        # Such a column takes the type that it has in other partitions.
        return pyarrow.nulls(len(objects))
    return _cells(objects)


def _restored(array: Any, dtype: Any, name: str) -> Any:
    """The values of a chunked array: an array of NumPy or of pandas."""
    import numpy
    import pandas
    import pyarrow

    if isinstance(dtype, _Categories):
        return _categorical(array, dtype, name)
    if _is_object(dtype) and pyarrow.types.is_null(array.type):
        return numpy.full(len(array), None, dtype=object)
    if pyarrow.types.is_large_binary(array.type) and not isinstance(dtype, pandas.ArrowDtype):
        objects = _objects(array)
        return objects if _is_object(dtype) else pandas.Series(objects, dtype=dtype).array
    if hasattr(dtype, "__from_arrow__"):
        return dtype.__from_arrow__(array)
    if array.null_count and dtype.kind in "iub":
        raise TypeError(
            f"column {name!r} has the type {dtype} in some partitions, which cannot hold the None of the others; convert it to one type first"
        )
    return array.to_numpy()


def _key(values: Any, name: str) -> Any:
    """A Series as an array of Arrow that has the values themselves."""
    import pyarrow

    if _is_categorical(values.dtype):
        return _dictionary(values, lambda categories: _key(categories, name))
    try:
        return pyarrow.array(values, from_pandas=True)
    except (pyarrow.ArrowException, ValueError, OverflowError) as error:
        raise TypeError(
            f"column {name!r} of the type {values.dtype} cannot be a key: {error}; convert it to one type of numbers, text or times first"
        ) from error


def _dictionary(values: Any, convert: Any) -> Any:
    """A Series of categoricals as a dictionary, its categories converted; nulls if it has none."""
    import pandas
    import pyarrow

    codes, categories = values.cat.codes.to_numpy(), values.cat.categories
    if not len(categories):
        return pyarrow.nulls(len(values))
    dictionary = convert(pandas.Series(categories))
    if isinstance(dictionary, pyarrow.ChunkedArray):
        dictionary = dictionary.combine_chunks()
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes, mask=codes < 0), dictionary)


def _categorical(array: Any, dtype: _Categories, name: str) -> Any:
    import numpy
    import pandas
    import pyarrow

    if pyarrow.types.is_null(array.type):
        codes, categories = numpy.full(len(array), -1), pandas.Index([], dtype=dtype.dtype)
    else:
        array = array.combine_chunks()
        codes = array.indices.fill_null(-1).to_numpy()
        categories = _index(_restored(pyarrow.chunked_array([array.dictionary]), dtype.dtype, name), dtype.dtype)
    return pandas.Categorical.from_codes(codes, dtype=pandas.CategoricalDtype(categories, dtype.ordered))


def _index(values: Any, dtype: Any) -> Any:
    import pandas

    return pandas.Index(values, dtype=object if _is_object(dtype) else None)


def _cells(objects: Any) -> Any:
    """An array of objects as one of bytes."""
    import pyarrow

    if set(map(type, objects)) <= {str, type(None)}:
        try:
            return pyarrow.array(objects, pyarrow.large_string()).cast(pyarrow.large_binary())
        except UnicodeEncodeError:
            pass
    cells = [None if value is None else pickle.dumps(value, protocol=5) for value in objects]
    return pyarrow.array(cells, pyarrow.large_binary())


def _objects(array: Any) -> Any:
    import numpy
    import pyarrow

    try:
        text = array.cast(pyarrow.large_string()).combine_chunks().dictionary_encode()
    except pyarrow.ArrowInvalid:
        # Some cells are pickles.
        objects = numpy.empty(len(array), dtype=object)
        for place, cell in enumerate(array.to_pylist()):
            objects[place] = cell if cell is None else pickle.loads(cell) if cell[:1] == _PICKLED else cell.decode()
        return objects
    # Equal texts are one object, as they mostly were.
    objects = numpy.append(text.dictionary.to_numpy(zero_copy_only=False), numpy.array([None]))
    return objects[text.indices.fill_null(-1).to_numpy()]
