"""Zarr arrays at URLs: on S3, by a server in a process of its own, and in fsspec's memory."""

from __future__ import annotations

import socket
import subprocess
import sys
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from against_numpy import assert_same, nothing_runs

import kask.array as ka
from kask.distributed import Client

zarr = pytest.importorskip("zarr")
pytest.importorskip("fsspec")

MATRIX = np.arange(42).reshape(6, 7)

SERVER = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(*server.get_host_and_port(), flush=True)
sys.stdin.read()
"""


class S3:
    """A bucket on a server of this machine."""

    def __init__(self, host: str, port: str) -> None:
        import s3fs

        self.options = {"key": "k", "secret": "s", "endpoint_url": f"http://{host}:{port}"}
        self.files = s3fs.S3FileSystem(**self.options)
        self.bucket = f"b{uuid.uuid4().hex[:8]}"
        self.files.mkdir(self.bucket)

    def url(self) -> str:
        """A place where nothing is."""
        return f"s3://{self.bucket}/{uuid.uuid4().hex}.zarr"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3]:
    pytest.importorskip("s3fs")
    pytest.importorskip("moto.server")
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            host, port = process.stdout.readline().split()
            yield S3(host, port)
        finally:
            process.kill()


@pytest.mark.parametrize("form", [2, 3])
def test_there_and_back(s3: S3, form: int) -> None:
    url = s3.url()
    ka.from_array(MATRIX, chunks=(4, 3)).to_zarr(url, storage_options=s3.options, chunks=(2, 3), zarr_format=form)
    np.testing.assert_array_equal(zarr.open_array(url, mode="r", storage_options=s3.options)[:], MATRIX)
    with nothing_runs():
        x = ka.from_zarr(url, storage_options=s3.options)
        part = x[1:, ::-2]
    assert x.chunks == ((2, 2, 2), (3, 3, 1))
    assert_same(part, MATRIX[1:, ::-2])
    names = s3.files.find(url)
    assert len([name for name in names if not name.endswith((".zarray", ".zattrs", "zarr.json"))]) == 9


def test_written_by_others(s3: S3) -> None:
    url = s3.url()
    stored = zarr.create_array(
        store=url, storage_options=s3.options, shape=(6, 7), chunks=(2, 2), shards=(4, 4), dtype="f4", fill_value=5
    )
    stored[:3] = MATRIX[:3]
    x = ka.from_zarr(url, storage_options=s3.options)
    assert x.chunks == ((4, 2), (4, 3))
    assert_same(x, np.concatenate([MATRIX[:3], np.full((3, 7), 5)]).astype("f4"))
    assert_same(ka.from_zarr(zarr.open_array(url, storage_options=s3.options, mode="r")).sum(), x.compute().sum())


def test_modes_appending_regions_and_shards(s3: S3) -> None:
    url, options = s3.url(), s3.options
    x = ka.from_array(MATRIX, chunks=4)
    x.to_zarr(url, component="group/a", storage_options=options, chunks=(2, 2), shards=(4, 4))
    assert zarr.open_array(url, path="group/a", storage_options=options, mode="r").shards == (4, 4)
    with pytest.raises(ValueError, match=r"s3://.*, component 'group/a' already; overwrite=True replaces"):
        x.to_zarr(url, component="group/a", storage_options=options)
    x.to_zarr(url, component="group/a", storage_options=options, append_axis=0)
    (x[:4] * 2).to_zarr(url, component="group/a", storage_options=options, region=(slice(0, 4), slice(0, 7)))
    expected = np.concatenate([MATRIX, MATRIX])
    expected[:4] *= 2
    assert_same(ka.from_zarr(url, component="group/a", storage_options=options), expected)
    (x + 1).to_zarr(url, component="group/a", storage_options=options, overwrite=True)
    assert_same(ka.from_zarr(url, component="group/a", storage_options=options), MATRIX + 1)
    with pytest.raises(ValueError, match="which it would replace"):
        again = ka.from_zarr(url, component="group/a", storage_options=options)
        (again * 2).to_zarr(url, component="group/a", storage_options=options, overwrite=True)
    with pytest.raises(ValueError, match=r"s3://.* is a Zarr group; .*arrays: a"):
        ka.from_zarr(url, component="group", storage_options=options)


def test_errors_say_where(s3: S3) -> None:
    url = s3.url()
    with pytest.raises(FileNotFoundError, match=f"no Zarr array at {url}"):
        ka.from_zarr(url, storage_options=s3.options)
    ka.ones((4, 4), chunks=2).to_zarr(url, storage_options=s3.options)
    x = ka.from_zarr(url, storage_options=s3.options)
    chunk = f"{url}/c/1/0"
    s3.files.pipe_file(chunk, s3.files.cat_file(chunk)[:-3])
    assert_same(x[:2], np.ones((2, 4)))
    with pytest.raises(OSError, match=f"the Zarr array {url}.* cannot be read"):
        x.compute()
    s3.files.pipe_file(f"{url}/zarr.json", b"{")
    with pytest.raises(OSError, match=f"the metadata of the Zarr array at {url}"):
        ka.from_zarr(url, storage_options=s3.options)
    # A chunk that is not there is one of the fill value, as in Zarr.
    ka.ones((4, 4), chunks=2).to_zarr(url, storage_options=s3.options, overwrite=True)
    s3.files.rm_file(f"{url}/c/0/1")
    assert ka.from_zarr(url, storage_options=s3.options).sum().compute() == 12
    with pytest.raises(OSError, match=r"made at s3://nothing-here/x\.zarr: The specified bucket"):
        ka.ones(3).to_zarr("s3://nothing-here/x.zarr", storage_options=s3.options)


def test_servers_that_do_not_answer(s3: S3) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    options = {**s3.options, "endpoint_url": f"http://127.0.0.1:{port}"}
    options["config_kwargs"] = {"retries": {"total_max_attempts": 1}, "connect_timeout": 2}
    with pytest.raises(OSError, match=rf"Zarr array at s3://b/x\.zarr cannot be opened: .*{port}"):
        ka.from_zarr("s3://b/x.zarr", storage_options=options)
    with pytest.raises(OSError, match=rf"no Zarr array can be made at s3://b/x\.zarr: .*{port}"):
        ka.ones(3).to_zarr("s3://b/x.zarr", storage_options=options)
    with pytest.raises(OSError, match=r"Zarr array at nonsense://b/x\.zarr cannot be understood: .*nonsense"):
        ka.from_zarr("nonsense://b/x.zarr")


def test_on_every_engine(client: Client, s3: S3) -> None:
    url = s3.url()
    x = ka.from_array(MATRIX, chunks=(2, 7))
    work = x.to_zarr(url, storage_options=s3.options, compute=False)
    assert ka.from_zarr(url, storage_options=s3.options).sum().compute() == 0
    work.compute()
    assert_same(ka.from_zarr(url, storage_options=s3.options, chunks=5).T, MATRIX.T)


def test_memory() -> None:
    x = ka.from_array(MATRIX, chunks=4)
    for form, shards in ((2, None), (3, None), (3, (4, 4))):
        url = f"memory://{uuid.uuid4().hex}"
        x.to_zarr(url, storage_options={}, chunks=(2, 2), shards=shards, zarr_format=form)
        x.to_zarr(url, storage_options={}, append_axis=1)
        (x[:4, :4] * 2).to_zarr(url, storage_options={}, region=(slice(0, 4), slice(0, 4)))
        expected = np.concatenate([MATRIX, MATRIX], axis=1)
        expected[:4, :4] *= 2
        assert_same(ka.from_zarr(url, storage_options={}), expected)


def test_memory_is_not_another_process_s(client: Client, size: str) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    x = ka.from_array(MATRIX, chunks=4)
    if size == "processes":
        with pytest.raises(ValueError, match="memory of another process"):
            x.to_zarr(url, storage_options={})
    else:
        x.to_zarr(url, storage_options={})
        assert_same(ka.from_zarr(url, storage_options={}), MATRIX)
