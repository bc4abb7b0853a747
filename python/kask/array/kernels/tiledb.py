"""TileDB arrays, opened by the tasks that read and write them."""

from __future__ import annotations

from typing import Any

__all__ = ["TileDbArray", "created"]


class TileDbArray:
    """One attribute of a dense array, by where it is."""

    def __init__(self, uri: str, attribute: str | None, config: dict[str, Any] | None, options: dict[str, Any]) -> None:
        self.uri, self.config, self.options = uri, config, options
        with self._opened("r") as array:
            schema = array.schema
            if schema.sparse:
                raise ValueError(f"the TileDB array {uri} is sparse; only dense arrays can be read")
            if attribute is None and schema.nattr != 1:
                raise ValueError(f"the TileDB array {uri} has {schema.nattr} attributes; name one with attribute=")
            self.attribute = attribute if attribute is not None else schema.attr(0).name
            self.shape, self.dtype = tuple(schema.shape), schema.attr(self.attribute).dtype
            dims = [schema.domain.dim(axis) for axis in range(schema.ndim)]
            self.chunks = tuple([int(dim.tile) for dim in dims])

    def _opened(self, mode: str) -> Any:
        import tiledb

        context = None if self.config is None else tiledb.Ctx(self.config)
        try:
            return tiledb.open(self.uri, mode, ctx=context, **self.options)
        except tiledb.TileDBError as error:
            raise OSError(f"the TileDB array {self.uri} cannot be opened: {error}") from error

    def __getitem__(self, index: Any) -> Any:
        with self._opened("r") as array:
            found = array[index]
        return found[self.attribute] if isinstance(found, dict) else found

    def __setitem__(self, index: Any, block: Any) -> None:
        with self._opened("w") as array:
            array[index] = block


def created(uri: str, shape: Any, tiles: Any, dtype: Any, config: dict[str, Any] | None, options: Any) -> None:
    """Makes a dense array without content."""
    import tiledb

    if not shape or 0 in shape:
        raise ValueError(f"TileDB has no arrays of shape {tuple(shape)}")
    context = None if config is None else tiledb.Ctx(config)
    dims = [
        tiledb.Dim(name=f"axis_{axis}", domain=(0, length - 1), tile=tile, dtype="uint64", ctx=context)
        for axis, (length, tile) in enumerate(zip(shape, tiles))
    ]
    domain = tiledb.Domain(*dims, ctx=context)
    schema = tiledb.ArraySchema(domain=domain, attrs=[tiledb.Attr(name="", dtype=dtype, ctx=context)], ctx=context)
    tiledb.Array.create(uri, schema, ctx=context, **options)
