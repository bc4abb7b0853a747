"""Tokens of NumPy, pandas and pyarrow objects: by their content, however it lies in memory."""

from __future__ import annotations

from typing import Any


def register(registry: Any) -> None:
    """Teach ``kask.tokens`` these types, when the first of them is met."""
    registry.register_lazy("numpy", lambda: _register_numpy(registry))
    registry.register_lazy("pandas", lambda: _register_pandas(registry))
    registry.register_lazy("pyarrow", lambda: _register_pyarrow(registry))


def describe_array(array: Any) -> Any:
    """A NumPy array by dtype, shape and bytes in C order; an array of objects element by element."""
    import numpy as np

    from kask.tokens import bytes_hashed

    if array.dtype.hasobject or array.dtype.kind == "T":
        return ("kask:ndarray", describe_dtype(array.dtype), array.shape, array.reshape(-1).tolist())
    contiguous = np.ascontiguousarray(array)
    data = contiguous.reshape(-1).view(np.uint8).data if contiguous.nbytes else memoryview(b"")
    return ("kask:ndarray", describe_dtype(array.dtype), array.shape, bytes_hashed(data))


def describe_dtype(dtype: Any) -> Any:
    """A NumPy dtype; that of a structured array with the names, offsets and types of its fields."""
    if dtype.names is None and dtype.subdtype is None:
        return ("kask:dtype", dtype.str, str(dtype) if dtype.kind in "OTV" else "")
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return ("kask:subdtype", describe_dtype(base), shape)
    return (
        "kask:record",
        dtype.itemsize,
        [(name, dtype.fields[name][1], describe_dtype(dtype.fields[name][0])) for name in dtype.names],
    )


def _describe_masked(array: Any) -> Any:
    import numpy as np

    mask = np.ma.getmaskarray(array)
    return (
        "kask:masked",
        describe_array(array.filled()),
        describe_array(mask),
        describe_array(np.asarray(array.fill_value)),
    )


def _describe_ufunc(ufunc: Any) -> Any:
    import pickle

    from kask.tokens import give_up

    name = str(ufunc.__name__)
    module = pickle.whichmodule(ufunc, name)  # type: ignore[attr-defined]
    if module == "__main__":
        return give_up(f"the ufunc {name} was made in this process")
    return ("kask:ufunc", module, name)


def _register_numpy(registry: Any) -> None:
    import numpy as np

    def of_subclass(array: Any) -> Any:
        return (
            describe_array(array)
            if type(array) in (np.ndarray, np.memmap)
            else ("kask:subclass", type(array), describe_array(np.asarray(array)))
        )

    registry.register(np.ndarray, of_subclass)
    registry.register(np.ma.MaskedArray, _describe_masked)
    registry.register(np.generic, lambda scalar: ("kask:scalar", describe_array(np.asarray(scalar))))
    registry.register(np.dtype, describe_dtype)
    registry.register(np.ufunc, _describe_ufunc)


def _describe_column(values: Any) -> Any:
    """The values of a Series or Index, without its index and name."""
    import numpy as np
    import pandas as pd

    if isinstance(values, np.ndarray):
        return describe_array(values)
    if isinstance(values, pd.Categorical):
        return (
            "kask:categorical",
            describe_array(values.codes),
            _describe_index(values.categories),
            bool(values.ordered),
        )
    if hasattr(values, "asi8"):
        return ("kask:times", str(values.dtype), describe_array(np.asarray(values.asi8)))
    if hasattr(values, "_mask") and hasattr(values, "_data"):
        # What lies under the mask is no content.
        data, mask = np.array(values._data), np.asarray(values._mask)
        data[mask] = data.dtype.type()
        return ("kask:nullable", str(values.dtype), describe_array(data), describe_array(mask))
    if hasattr(values, "__arrow_array__") and isinstance(values.dtype, pd.ArrowDtype | pd.StringDtype):
        storage = getattr(values.dtype, "storage", "pyarrow")
        if storage == "pyarrow":
            return ("kask:arrow column", str(values.dtype), values.__arrow_array__())
    return ("kask:column", str(values.dtype), values.to_numpy(dtype=object, na_value=None).tolist())


def _describe_index(index: Any) -> Any:
    import pandas as pd

    if isinstance(index, pd.RangeIndex):
        return ("kask:rangeindex", index.start, index.stop, index.step, index.name)
    if isinstance(index, pd.MultiIndex):
        return (
            "kask:multiindex",
            [_describe_index(level) for level in index.levels],
            [describe_array(code) for code in index.codes],
            list(index.names),
        )
    return ("kask:index", type(index).__name__, _describe_column(index._values), index.name)


def _describe_frame(frame: Any) -> Any:
    columns = [_describe_column(frame.iloc[:, i]._values) for i in range(frame.shape[1])]
    return (
        "kask:dataframe",
        type(frame).__name__,
        _describe_index(frame.columns),
        _describe_index(frame.index),
        columns,
        dict(frame.attrs),
    )


def _describe_series(series: Any) -> Any:
    return (
        "kask:series",
        type(series).__name__,
        series.name,
        _describe_index(series.index),
        _describe_column(series._values),
        dict(series.attrs),
    )


def _register_pandas(registry: Any) -> None:
    import pandas as pd

    registry.register(pd.DataFrame, _describe_frame)
    registry.register(pd.Series, _describe_series)
    registry.register(pd.Index, _describe_index)
    registry.register(pd.api.extensions.ExtensionArray, lambda array: ("kask:extension", _describe_column(array)))
    registry.register(type(pd.NA), lambda _: ("kask:NA",))
    registry.register(type(pd.NaT), lambda _: ("kask:NaT",))


def _ipc(table: Any) -> Any:
    import pyarrow as pa

    from kask.tokens import bytes_hashed

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes_hashed(memoryview(sink.getvalue()))


def _register_pyarrow(registry: Any) -> None:
    import pyarrow as pa

    def one_column(array: Any) -> Any:
        chunks = array.chunks if isinstance(array, pa.ChunkedArray) else [array]
        # Joined, so that neither chunks nor offsets within larger buffers show.
        whole = pa.concat_arrays(chunks) if chunks else pa.array([], array.type)
        return ("kask:arrow", _ipc(pa.table({"x": whole})))

    registry.register((pa.Array, pa.ChunkedArray), one_column)
    registry.register(pa.Table, lambda table: ("kask:arrow table", _ipc(table.combine_chunks())))
    registry.register(pa.RecordBatch, lambda batch: ("kask:arrow table", _ipc(pa.table(batch).combine_chunks())))
    registry.register(pa.Schema, lambda schema: ("kask:arrow schema", schema.serialize().to_pybytes()))
    registry.register(
        pa.DataType, lambda dtype: ("kask:arrow type", pa.schema([("x", dtype)]).serialize().to_pybytes())
    )
