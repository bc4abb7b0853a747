"""Arrays from and to files and stores."""

from __future__ import annotations

from typing import Any

from kask.array.base import ArrayBase


class StorageMethods(ArrayBase):
    """Arrays from and to files and stores."""

    __slots__ = ()

    def to_delayed(self, optimize_graph: bool = True) -> Any:
        """The blocks as delayed values, in a NumPy array of the grid's shape: tasks of the array's graph, which run once however many read them.

        Examples
        --------
        >>> import kask.array as ka
        >>> ka.arange(4, chunks=2).to_delayed()[1].compute()
        array([2, 3])
        """
        from kask.array.ops.delaying import to_delayed

        return to_delayed(self, optimize_graph)

    def store(
        self,
        targets: Any,
        lock: Any = True,
        regions: Any = None,
        compute: bool = True,
        return_stored: bool = False,
        load_stored: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """See :func:`kask.array.store`; with ``return_stored`` one array is returned."""
        from kask.array.ops.storage import store

        return store(self, targets, lock, regions, compute, return_stored, load_stored, **kwargs)

    def to_zarr(self, *args: Any, **kwargs: Any) -> Any:
        """See :func:`kask.array.to_zarr`."""
        from kask.array.ops.stores import to_zarr

        return to_zarr(self, *args, **kwargs)

    def to_hdf5(self, filename: Any, datapath: str, **kwargs: Any) -> None:
        """See :func:`kask.array.to_hdf5`."""
        from kask.array.ops.stores import to_hdf5

        to_hdf5(filename, datapath, self, **kwargs)

    def to_tiledb(self, uri: Any, *args: Any, **kwargs: Any) -> Any:
        """See :func:`kask.array.to_tiledb`."""
        from kask.array.ops.tiledb import to_tiledb

        return to_tiledb(self, uri, *args, **kwargs)

    def to_dask_dataframe(self, columns: Any = None, index: Any = None, meta: Any = None) -> Any:
        """A data frame of Dask with a partition for each block of rows, which Kask computes when Dask asks for it. Of columns that Dask does not
        need nothing is computed.

        What all partitions need, such as the mean of a whole array, is computed for each of them: :meth:`persist` it before.

        Parameters
        ----------
        columns : list or str, optional
            Names of the columns, by default their numbers or the names of the fields. An array of one axis becomes a series of that name, or with a
            list of one name a frame of one column.
        index : dask.dataframe.Index, optional
            The index, whose partitions are as long as the blocks. By default rows are numbered; where their number is not known yet, in
            each partition anew, and the divisions are unknown.
        meta : pandas.DataFrame, optional
            An empty frame of the kind that partitions shall be.

        Raises
        ------
        ImportError
            Dask is not installed.
        ValueError
            The array has no or more than two axes, or an unknown number of columns, or ``columns`` or ``index`` do not fit.

        Examples
        --------
        >>> import kask.array as ka
        >>> x = ka.arange(6, chunks=6).reshape((3, 2))
        >>> x.to_dask_dataframe(columns=["a", "b"]).compute()  # doctest: +SKIP
           a  b
        0  0  1
        1  2  3
        2  4  5
        """
        from kask.array.ops.dask_frames import to_dask_dataframe

        return to_dask_dataframe(self, columns, index, meta)

    def to_svg(self, size: int = 500) -> str:
        """A picture of the chunks, as SVG.

        Parameters
        ----------
        size : int
            Pixels of the longest axis.

        Examples
        --------
        >>> import kask.array as ka
        >>> ka.ones((4, 4), chunks=2).to_svg()[:4]
        '<svg'
        """
        from kask.array.picture import svg

        return svg(self.expr.chunks, size)

    def _repr_html_(self) -> str:
        from kask.array.picture import html

        return html(self)

    def to_backend(self, backend: str | None = None, **kwargs: Any) -> Any:
        """The array with blocks of another library.

        Parameters
        ----------
        backend : {"numpy", "cupy"}, optional
            By default NumPy's.

        Raises
        ------
        ValueError
            There is no such backend.
        """
        from kask.array.ops.backends import to_backend

        return to_backend(self, backend, **kwargs)
