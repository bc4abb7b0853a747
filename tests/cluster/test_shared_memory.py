"""Worker processes of one machine, and the client, pass large buffers by reference: no copy, no copy left behind."""

from __future__ import annotations

import os
import pickle
import time

import pytest

import kask
from kask.distributed import Client, LocalCluster, wait
from kask.engine import Engine, GraphBuilder, Hole, Parts

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")

MIB = 1 << 20


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(n_workers=2, threads_per_worker=2, memory_limit=0) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        # The tasks below are to find NumPy imported.
        client.run(__import__, "pandas")
        yield client


@pytest.fixture
def workers(client):
    return [worker["name"] for worker in client.scheduler_info()["workers"].values()]


def region(address):
    """The line of /proc/self/maps that an address is in."""
    with open("/proc/self/maps") as maps:
        for line in maps:
            low, high = (int(end, 16) for end in line.split()[0].split("-"))
            if low <= address < high:
                return line
    raise AssertionError("not mapped")


def home(array):
    """Whose memory an array is in: "own" arena, that of "another" process, or "private"."""
    return home_of(array.__array_interface__["data"][0])


def home_of(address):
    line = region(address)
    if "kask-arena" not in line:
        return "private"
    return "own" if line.split()[1].startswith("rw") else "another"


def place(array):
    """Which bytes of which arena."""
    address = array.__array_interface__["data"][0]
    fields = region(address).split()
    return address - int(fields[0].split("-")[0], 16) + int(fields[2], 16), fields[4]


def ones(n):
    return np.ones(n)


def shmem():
    """Bytes of shared memory that this process has mapped and touched."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("RssShmem"))


def arena_bytes():
    """Bytes of memory behind this worker's own arena."""
    with open("/proc/self/maps") as maps:
        inode = next(int(line.split()[4]) for line in maps if "kask-arena" in line and line.split()[1].startswith("rw"))
    for name in os.listdir("/proc/self/fd"):
        try:
            stat = os.stat(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if stat.st_ino == inode:
            return stat.st_blocks * 512
    raise AssertionError("the arena is not open")


def until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


class TestArrays:
    def test_results_are_born_in_the_arena(self, client, workers):
        assert client.submit(lambda: home(np.ones(8 * MIB))).result() == "own"
        assert client.submit(lambda: home(np.zeros((100, 1000)))).result() == "own"
        assert client.submit(lambda: home(np.ones(1000))).result() == "private"

    def test_others_see_the_very_same_memory(self, client, workers):
        array = client.submit(ones, 4 * MIB, workers=workers[:1])
        made = client.submit(place, array, workers=workers[:1]).result()
        assert client.submit(home, array, workers=workers[1:]).result() == "another"
        assert client.submit(place, array, workers=workers[1:]).result() == made
        gathered = array.result()
        assert (home(gathered), place(gathered)) == ("another", made)
        assert gathered.sum() == 4 * MIB

    def test_views_and_fortran_order_travel_as_they_are(self, client, workers):
        def make():
            return np.asfortranarray(np.arange(2.0 * MIB).reshape(1024, 2048)), np.arange(3 * MIB)[MIB : 2 * MIB]

        pair = client.submit(make, workers=workers[:1])
        fortran, view = pair.result()
        assert fortran.flags.f_contiguous and home(fortran) == "another"
        assert home(view) == "another"
        assert fortran[3, 4] == 3 * 2048 + 4
        assert view[0] == MIB

    def test_scattered_arrays_are_copied_once(self, client, workers):
        data = np.arange(2.0 * MIB)
        one, other = client.scatter([data, data], workers=workers[:1]), client.scatter(data, workers=workers[1:])
        assert client.submit(home, one[0], workers=workers[:1]).result() == "another"
        assert client.submit(np.sum, other, workers=workers[1:]).result() == data.sum()
        data[:] = 0
        assert client.submit(np.sum, other, workers=workers[1:], pure=False).result() == MIB * (2 * MIB - 1)

    def test_arguments_in_the_graph(self, client):
        data = np.arange(2.0 * MIB)
        assert client.submit(np.sum, data).result() == data.sum()
        # Beside large arguments, functions with large constants.
        assert client.submit(lambda: float(data[-1])).result() == 2 * MIB - 1

    def test_growing_and_shrinking(self, client):
        def change():
            array = np.ones(MIB)
            array.resize(4 * MIB, refcheck=False)
            array[-1] = 5
            grown = (array[MIB - 1], array[MIB], array[-1])
            array.resize(100, refcheck=False)
            return grown, float(array.sum()), float(np.fromiter((i for i in range(300_000)), "f8").sum())

        assert client.submit(change).result() == ((1.0, 0.0, 5.0), 100.0, sum(range(300_000)))

    def test_zeros_are_zeros_also_where_something_was_before(self, client, workers):
        def fill(n):
            return float(np.full(n, 7.0)[0])

        def zeros(n):
            return bool(np.zeros(n).any())

        for n in (20_000, MIB, 40 * MIB):
            for _ in range(5):
                client.submit(fill, n, workers=workers[:1], pure=False).result()
                assert not client.submit(zeros, n, workers=workers[:1], pure=False).result()

    def test_a_chain_through_both_workers(self, client, workers):
        array = client.submit(ones, MIB, workers=workers[:1])
        for step in range(6):
            array = client.submit(np.add, array, 1.0, workers=[workers[step % 2]])
        assert client.submit(np.sum, array).result() == 7 * MIB

    def test_subclasses_and_structures(self, client):
        def make():
            record = np.zeros(100_000, [("a", "i4"), ("b", "f8")])
            record["b"] = 2
            return {
                "masked": np.ma.masked_greater(np.arange(200_000), 5),
                "record": record,
                "text": np.array(["x"] * 50_000, "U8"),
            }

        result = client.submit(make).result()
        assert result["masked"].sum() == 15
        assert result["record"]["b"].sum() == 200_000
        assert (result["text"] == "x").all()


class TestTables:
    def test_frames(self, client, workers):
        def make():
            return pd.DataFrame({"a": np.arange(200_000), "b": np.arange(200_000.0), "c": ["x", "y"] * 100_000})

        def places(frame):
            return place(frame["a"].to_numpy()), place(frame["b"].to_numpy())

        frame = client.submit(make, workers=workers[:1])
        made = client.submit(places, frame, workers=workers[:1]).result()
        assert client.submit(places, frame, workers=workers[1:]).result() == made
        assert places(frame.result()) == made
        assert frame.result().equals(make())

    def test_polars(self, client, workers):
        pl = pytest.importorskip("polars")

        def make():
            import polars

            return polars.DataFrame({"a": range(300_000), "s": [f"number {number}" for number in range(300_000)]})

        def seen(frame):
            return home(frame["a"].to_numpy(allow_copy=False)), frame["s"][-1]

        frame = client.submit(make, workers=workers[0])
        assert client.submit(seen, frame, workers=workers[1]).result() == ("another", "number 299999")
        assert client.submit(seen, client.scatter(frame.result())).result() == ("another", "number 299999")
        assert frame.result().equals(pl.DataFrame(make()))

    def test_arrow(self, client, workers):
        pa = pytest.importorskip("pyarrow")

        def make():
            import pyarrow

            return pyarrow.table({"a": list(range(300_000)), "s": [str(number) for number in range(300_000)]})

        def where(table):
            return region(table["a"].chunk(0).buffers()[1].address).split()[-1:]

        table = client.submit(make, workers=workers[:1])
        assert client.submit(lambda t: t.num_rows, table, workers=workers[1:]).result() == 300_000
        assert table.result().equals(make())
        assert "kask-arena" in region(table.result()["a"].chunk(0).buffers()[1].address)
        assert pa.types.is_int64(table.result().schema.field("a").type)


class TestMemoryIsGivenBack:
    def test_when_nobody_needs_the_values(self, client, workers):
        """Far more data than memory should be used for at any moment goes through; little stays."""
        for _ in range(40):
            array = client.submit(ones, 8 * MIB, workers=workers[:1], pure=False)
            assert client.submit(np.sum, array, workers=workers[1:], pure=False).result() == 8 * MIB
            assert array.result()[5] == 1
            del array
        # What is kept for reuse is bounded; 40 arrays are 2.5 GiB.
        until(lambda: max(client.run(arena_bytes).values()) <= 640 * MIB)

    def test_a_gathered_array_outlives_its_worker(self):
        with LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=0) as cluster, Client(cluster) as client:
            array = client.submit(ones, MIB).result()
            part = array[10:20]
        assert home(array) == "another"
        assert array.sum() == MIB
        del array
        assert part.sum() == 10

    def test_an_array_in_use_is_not_overwritten(self, client, workers):
        """The client's view keeps its memory although the worker has let go of it and makes new arrays."""
        kept = client.submit(np.full, 2 * MIB, 3.0, workers=workers[:1], pure=False).result()
        for _ in range(20):
            wait(client.submit(np.full, 2 * MIB, 9.0, workers=workers[:1], pure=False))
        assert (kept == 3.0).all()


class TestForks:
    def test_a_child_reads_and_writes_its_own_copy(self, client):
        def fork():
            shared = np.ones(MIB)
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                try:
                    before = float(shared.sum())
                    shared[:] = 5
                    fresh = np.full(MIB, 2.0)
                    shared.resize(2 * MIB, refcheck=False)
                    told = f"{before} {home(fresh)} {float(shared[:MIB].sum())}"
                    del fresh, shared
                    os.write(writing, told.encode())
                finally:
                    os._exit(0)
            os.close(writing)
            told = os.read(reading, 1000).decode()
            os.close(reading)
            os.waitpid(child, 0)
            return told, float(shared.sum()), home(np.ones(MIB))

        told, here, still = client.submit(fork).result()
        assert told == f"{float(MIB)} private {5.0 * MIB}"
        assert (here, still) == (float(MIB), "own")

    def test_processes_that_tasks_fork(self, client):
        def work():
            import multiprocessing

            data = np.ones(MIB)
            with multiprocessing.get_context("fork").Pool(2) as pool:
                return sum(pool.map(np.sum, [data, data, data])), float(data.sum())

        assert client.submit(work).result() == (3.0 * MIB, float(MIB))


class TestParts:
    @pytest.mark.parametrize("kind", ["processes", "embedded"])
    def test_each_reader_gets_its_part(self, client, kind):
        """A shuffle: two splits of three parts each, of which merge ``g`` gets the ``g``-th as read-only memory."""
        builder = GraphBuilder()
        blocks, shuffle = (f"{name}-{number:032x}" for number, name in enumerate(("blocks", "shuffle"), 77))

        def split(block):
            return Parts([block[group::3].copy() for group in range(3)])

        def merge(parts):
            assert all(isinstance(part, memoryview) and part.readonly for part in parts)
            return np.concatenate([np.frombuffer(part) for part in parts])

        def block(at):
            return np.arange(MIB, dtype=float) + at[0]

        builder.add_blockwise(blocks, block, (Hole(0),), [2], [], wants_position=True)
        builder.add_shuffle(shuffle, split, merge, np.asarray, (Hole(0),), (Hole(0),), (Hole(0),), blocks, [2], [3], 3)
        engine = client.__kask_engine__() if kind == "processes" else Engine.embedded(2)
        outputs = engine.submit_graph(builder, [f"('{shuffle}', {output})" for output in range(3)])
        for output, got in enumerate(engine.gather(outputs, timeout=30)):
            expected = [np.arange(MIB, dtype=float)[output::3] + number for number in range(2)]
            assert np.array_equal(got, np.concatenate(expected))
        del outputs
        if kind == "embedded":
            engine.close()

    def test_what_parts_are(self):
        parts = Parts(iter([b"one", bytearray(3), np.arange(1000.0), memoryview(b"x" * 5000)]))
        assert len(parts) == 4
        assert parts.nbytes == 3 + 3 + 8000 + 5000
        assert [len(part) for part in parts] == [3, 3, 8000, 5000]
        assert repr(parts) == "Parts(4 parts, 13006 bytes)"
        copies = [pickle.loads(pickle.dumps(parts, protocol)) for protocol in range(2, 6)]
        assert all([bytes(part) for part in copy] == [bytes(part) for part in parts] for copy in copies)
        with pytest.raises(IndexError, match="part 4 of 4"):
            parts[4]
        with pytest.raises(TypeError, match="part 1 must be contiguous memory, got int"):
            Parts([b"", 1])
        with pytest.raises(TypeError, match="part 0 must be contiguous memory, got ndarray"):
            Parts([np.arange(100.0)[::2]])
        assert len(Parts([])) == 0

    def test_no_parts_at_all(self, client):
        assert len(client.submit(Parts, []).result()) == 0

    def test_whole(self, client, workers):
        def split(n):
            return Parts([np.full(n, float(part)) for part in range(4)] + [b"end"])

        parts = client.submit(split, 100_000, workers=workers[:1])
        for gathered in (parts.result(), client.submit(lambda p: p, parts, workers=workers[1:]).result()):
            assert isinstance(gathered, Parts)
            assert (len(gathered), gathered.nbytes) == (5, 4 * 800_000 + 3)
            assert bytes(gathered[-1]) == b"end"
            assert gathered[2].readonly
            assert (np.frombuffer(gathered[2]) == 2.0).all()
        assert home(np.frombuffer(parts.result()[1])) == "another"


def test_values_read_back_from_disk_may_be_written_to():
    """They are private copies of what is on disk, so a task finds them as it would have without a limit."""

    def write(array):
        before = float(array[0])
        array[0] = -1
        return before, float(array[1])

    with LocalCluster(n_workers=1, threads_per_worker=1, memory_limit="400MiB") as cluster, Client(cluster) as client:
        arrays = [client.submit(np.full, 6 * MIB, float(number)) for number in range(10)]
        wait(arrays)

        def spilled():
            return sum(worker["metrics"]["spilled"] for worker in client.scheduler_info()["workers"].values())

        # Half of the 480 MiB do not fit.
        until(lambda: spilled() > 200 * MIB)
        for number, array in enumerate(arrays):
            assert client.submit(write, array).result() == (number, number)
        (worker,) = client.scheduler_info()["workers"].values()
        assert (worker["memory_limit"], worker["pressure"] in ("comfortable", "tight", "full")) == (400 * MIB, True)


class TestForeignAllocators:
    """Buffers of Arrow and Polars are made by their own allocators, so a worker copies them to lend them, within bounds."""

    @pytest.mark.parametrize("library", ["pyarrow", "polars", "pandas"])
    @pytest.mark.parametrize("memory_limit", [0, "700MiB"])
    def test_others_see_them_and_a_limit_bounds_the_copies(self, library, memory_limit):
        pa = pytest.importorskip("pyarrow")
        pytest.importorskip(library)

        def table(millions, library):
            import pandas as pd
            import pyarrow as pa

            numbers = pa.chunked_array([pa.array(range(1_000_000))] * millions)
            if library == "polars":
                import polars as pl

                return pl.DataFrame({"n": pl.from_arrow(numbers)})
            # Of text, since pandas keeps numbers in arrays of NumPy, which lie in the arena.
            return (
                pa.table({"n": numbers}) if library == "pyarrow" else pd.DataFrame({"t": ["t"] * millions * 1_000_000})
            )

        def is_lent(frame):
            assert len(frame) == 4_000_000
            table = frame.to_arrow() if library == "polars" else frame if library == "pyarrow" else pa.table(frame)
            buffers = [buffer for chunk in table.column(0).chunks for buffer in chunk.buffers() if buffer]
            return {home_of(buffer.address) for buffer in buffers if buffer.size >= MIB} == {"another"}

        with LocalCluster(1, threads_per_worker=1, memory_limit=memory_limit) as cluster, Client(cluster) as client:
            # The first may be sent before the worker's memory was measured.
            client.submit(table, 1, library).result()
            time.sleep(0.3)
            frames = [client.submit(table, 4, library, pure=False).result() for _ in range(4)]
            # Each has 30 to 35 MiB, and the limit leaves 77 for copies.
            assert list(map(is_lent, frames)) == ([True] * 4 if memory_limit == 0 else [True, True, False, False])


def test_workers_on_threads_use_ordinary_memory():
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        assert client.submit(lambda: home(np.ones(MIB))).result() == "private"
    assert kask.delayed(lambda: home(np.ones(MIB)))().compute(scheduler="embedded") == "private"


def test_nothing_is_left_behind_by_a_worker_that_is_killed():
    import signal

    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0) as cluster, Client(cluster) as client:
        names = [worker["name"] for worker in client.scheduler_info()["workers"].values()]
        array = client.submit(ones, 8 * MIB, workers=names[:1])
        seen = array.result()
        (pid,) = {worker["pid"] for worker in client.scheduler_info()["workers"].values() if worker["name"] == names[0]}
        os.kill(pid, signal.SIGKILL)
        # The mapping stays as long as somebody looks at it.
        assert seen.sum() == 8 * MIB
        client.wait_for_workers(2)
        assert client.submit(np.sum, array).result() == 8 * MIB
        del seen, array
        until(lambda: shmem() < 600 * MIB)
    assert not [name for name in os.listdir("/dev/shm") if "kask" in name]
