"""What computing would take, told before it runs, and the refusal of what can never fit."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest

import kask
import kask.array as ka
from kask.base import Work
from kask.distributed import Client, LocalCluster
from kask.engine import Engine, GraphBuilder, Hole, Options
from kask.engine.local import memory_limit_bytes
from kask.exceptions import OutOfMemoryError, UnknownKeywordError
from kask.explain import Explanation
from kask.units import format_bytes, parse_bytes

MIB = 2**20


@kask.delayed(result_bytes="10MiB")
def load(i):
    return i


@kask.delayed
def total(items):
    return sum(items)


def small():
    return total([load(i) for i in range(8)])


def test_families_in_the_order_in_which_they_run():
    found = small().explain()
    assert [(family.prefix, family.kind, family.tasks, family.edges) for family in found.families] == [
        ("load", "tasks", 8, 0),
        ("total", "tasks", 1, 8),
    ]
    assert [(family.result_bytes, family.unknown) for family in found.families] == [(80 * MIB, 0), (0, 1)]
    assert (found.tasks, found.edges, found.produced_bytes, found.unknown) == (9, 8, 80 * MIB, 1)
    assert (found.peak_bytes, found.peak_family, found.peak_values) == (80 * MIB, "load", 9)
    assert found.largest is not None
    assert (found.largest.family, found.largest.inputs, found.largest.inputs_bytes) == ("total", 8, 80 * MIB)
    assert found.largest.own_bytes == 0


def test_nothing_runs():
    ran = []
    kask.explain([kask.delayed(ran.append)(1)], {"other": kask.delayed(ran.append)(2)})
    assert ran == []


def test_verdicts():
    assert small().explain(memory_limit=0).verdict == "fits"
    assert small().explain(memory_limit="200MiB").verdict == "fits"
    spills = kask.explain([load(i) for i in range(8)], memory_limit="30MiB")
    assert (spills.verdict, spills.usable_bytes, spills.spilled_bytes) == ("spills", 15 * MIB, 65 * MIB)
    cannot = small().explain(memory_limit="40MiB")
    assert cannot.verdict == "cannot fit"
    assert cannot.hint == (
        "chunks of 'load' of at most 2.50 MiB instead of 10.00 MiB (and no more than 8 of them for one task) would fit, "
        "or workers with a memory_limit of at least 142.23 MiB"
    )
    assert small().explain(memory_limit="142.22MiB").verdict == "cannot fit"
    assert small().explain(memory_limit="142.23MiB").verdict == "fits"
    unknown = total([1]).explain()
    assert unknown.verdict == "unknown" and "result_bytes" in str(unknown.hint)


def test_sizes_can_be_given_by_family():
    found = kask.explain(total([kask.delayed(abs)(i) for i in range(4)]), sizes={"abs": "1MiB", "total": 5})
    assert (found.produced_bytes, found.unknown) == (4 * MIB + 5, 0)
    # What is annotated counts.
    assert kask.explain(load(1), sizes={"load": 1}).produced_bytes == 10 * MIB


def test_what_a_task_needs_while_it_runs():
    with kask.annotate(memory_bytes="1GiB", result_bytes=1000):
        sort = kask.delayed(sorted)([3, 1])
    found = sort.explain(memory_limit="512MiB")
    assert found.largest is not None and found.verdict == "cannot fit"
    assert (found.largest.own_bytes, found.largest.largest_bytes) == (2**30, 1000)
    # It is not the size of its result that keeps it from running.
    assert found.hint == "less work for one task, or workers with a memory_limit of at least 1.17 GiB"
    # It needs no more than an annotation around it says, where it says nothing itself.
    with kask.annotate(memory_bytes="2MiB", retries=3):
        inside = kask.delayed(abs, result_bytes=7)(1)
    options = inside._lowered().options
    assert (options.memory_bytes, options.result_bytes, options.retries) == (2 * MIB, 7, 3)


def test_calls_share_their_options():
    first, second = load(1)._lowered(), load(2)._lowered()
    assert first.options is second.options


def test_it_prints():
    found = kask.explain([small(), kask.delayed("<b>")], memory_limit="30MiB")
    lines = repr(found).splitlines()
    assert lines[0].split() == ["family", "kind", "tasks", "edges", "each", "all"]
    assert [line.split() for line in lines if line.startswith("load")] == [
        ["load", "tasks", "8", "0", "10.00", "MiB", "80.00", "MiB"]
    ]
    assert "verdict: cannot fit" in repr(found) and "hint: chunks of 'load' of at most" in repr(found)
    html = found._repr_html_()
    assert html.count("<tr>") == 1 + len(found.families) and "<td>load</td>" in html


def test_very_many_families_are_counted():
    def call(number):
        func = lambda: number  # noqa: E731
        func.__name__ = f"kind{number}"
        return kask.delayed(func)()

    found = kask.explain(*map(call, range(70)))
    assert len(found.families) == 70
    assert "\n... and 10 more families\n" in repr(found)
    assert found._repr_html_().endswith("</ul>")
    assert "<td>... and 10 more families</td>" in found._repr_html_()


def test_grids_trees_and_shuffles():
    builder = GraphBuilder()
    x, s, t = (f"{name}-{i:032x}" for i, name in enumerate(("x", "s", "t"), 1))
    sized = Options(result_bytes=MIB)
    builder.add_blockwise(x, abs, (Hole(0),), [10, 10], [], wants_position=True, options=sized)
    builder.add_shuffle(s, abs, abs, abs, (Hole(0),), (Hole(0),), (Hole(0),), x, [10, 10], [50], 5, options=sized)
    builder.add_tree_reduce(t, sum, sum, (Hole(0),), s, [50], {0: 10}, options=sized)
    rows = builder.explain([f"('{t}', 0)"], 1, 1, 0)["layers"]
    assert [row[:5] for row in rows] == [
        ("x", "blockwise", 100, 0, 100 * MIB),
        ("s-split", "shuffle", 100, 100, 50 * MIB // 100 * 100),
        ("s-merge", "shuffle", 5, 500, 50 * MIB),
        ("s", "shuffle", 50, 50, 50 * MIB),
        ("t", "tree", 6, 55, 6 * MIB),
    ]
    one = builder.explain([f"('{s}', 0)"], 1, 1, 0)["layers"]
    assert [row[2] for row in one] == [100, 100, 1, 1]


def test_a_million_tasks_in_no_time():
    builder = GraphBuilder()
    x, y, s = (f"{name}-{i:032x}" for i, name in enumerate("xys", 1))
    grid = [1000, 430]
    sized = Options(result_bytes=MIB)
    builder.add_blockwise(x, abs, (Hole(0),), grid, [], wants_position=True, options=sized)
    builder.add_blockwise(y, abs, (Hole(0),), grid, [(x, grid, [0, 1])], options=sized)
    builder.add_tree_reduce(s, sum, sum, (Hole(0),), y, grid, {0: 2, 1: 2}, options=sized)
    start = time.perf_counter()
    found = Explanation(builder.explain([f"('{s}', 0)"], 8, 1, 2**30), 8, 1, 2**30)
    took = time.perf_counter() - start
    assert found.tasks > 1_000_000 and found.verdict == "fits"
    assert found.peak_values < 60
    # It takes less than one second on two busy cores.
    assert took < 10


@pytest.fixture(scope="module")
def limited():
    cluster = LocalCluster(n_workers=1, threads_per_worker=1, memory_limit="256MiB", processes=True)
    with cluster, Client(cluster) as client:
        yield client


def test_what_cannot_fit_is_refused_before_anything_is_submitted(limited, tmp_path):
    ran = tmp_path / "ran"
    with kask.annotate(result_bytes="100MiB"):
        parts = [kask.delayed(ran.write_text)(str(i)) for i in range(6)]
        whole = kask.delayed(len)(parts)
    assert whole.explain().verdict == "cannot fit"
    before = limited._engine.counters()["submitted"]
    for run in (whole.compute, lambda: kask.compute(whole, 1), lambda: limited.compute(whole), whole.persist):
        with pytest.raises(
            OutOfMemoryError,
            match=r"task of 'len' needs 700.00 MiB \(600.00 MiB for its 6 inputs.* workers have 182.40 MiB of their 256.00 MiB",
        ) as error:
            run()
        assert isinstance(error.value, MemoryError)
        assert (
            "chunks of 'len' of at most 26.05 MiB instead of 100.00 MiB (and no more than 6 of them for one task) would fit"
            in error.value.hint
        )
    assert limited._engine.counters()["submitted"] == before
    assert not ran.exists()


def test_a_blockwise_layer_that_cannot_fit_is_refused_by_name(limited):
    builder = GraphBuilder()
    x, y = (f"{name}-{i:032x}" for i, name in enumerate(("load", "stack"), 1))
    builder.add_blockwise(x, abs, (Hole(0),), [4, 4], [], wants_position=True, options=Options(result_bytes=100 * MIB))
    stacked = [(x, [4, 4], [0, ("window", 1, 1, 1)])]
    builder.add_blockwise(y, len, (Hole(0),), [4, 4], stacked, options=Options(result_bytes=20 * MIB))
    with pytest.raises(
        OutOfMemoryError, match=r"task of 'stack' needs 320.00 MiB \(300.00 MiB for its 3 inputs"
    ) as error:
        limited._engine.submit_graph(builder, [f"('{y}', 0, 1)"])
    assert error.value.hint == (
        "chunks of 'load' of at most 56.99 MiB instead of 100.00 MiB (and no more than 3 of them for one task) would fit, "
        "or workers with a memory_limit of at least 408.89 MiB"
    )


def shuffled(total_bytes, npartitions):
    inputs = [kask.delayed(abs)(i) for i in range(200)]
    with kask.annotate(result_bytes=total_bytes // npartitions):
        return kask.shuffle.shuffle(inputs, "key", npartitions)


@pytest.mark.parametrize(
    ("total", "npartitions", "number", "merge"), [(2000, 10, 22, 200), (36_000, 400, 39_204, 180)], ids=["few", "many"]
)
def test_a_shuffle_that_cannot_fit_says_how_many_outputs_would(limited, total, npartitions, number, merge):
    outputs = shuffled(total * MIB, npartitions)
    limit = {200: "497.78", 180: "453.34"}[merge]
    with pytest.raises(
        OutOfMemoryError, match=rf"task of 'shuffle-merge' needs {2 * merge}.00 MiB \({merge}.00 MiB for its 200 inputs"
    ) as error:
        limited.compute(outputs)
    assert error.value.hint == (
        f"{number:,} outputs of the shuffle, of at most {format_bytes(total * MIB // number)}, would fit "
        f"instead of {npartitions} of {total // npartitions}.00 MiB, or workers with a memory_limit of at least {limit} MiB"
    )
    # What it says is right, and no more than is needed.
    assert kask.explain(shuffled(total * MIB, number), memory_limit="256MiB").verdict != "cannot fit"
    fewer = number - 1 if number < 64 else number // 2
    assert kask.explain(shuffled(total * MIB, fewer), memory_limit="256MiB").verdict == "cannot fit"


def test_what_fits_is_computed(limited):
    with kask.annotate(result_bytes="80MiB"):
        pair = kask.delayed(max)(kask.delayed(abs)(-3), 2)
    assert pair.compute() == 3
    assert kask.compute(load(4), result_bytes=5) == (4,)


def test_what_just_fits_does_not_end_its_worker(limited):
    """A worker has less than its limit for values; what it is said to have is there."""
    most = small().explain(memory_limit="256MiB").usable_bytes
    assert 180 * MIB < most < 185 * MIB
    for nbytes, verdict in ((most, "fits"), (most + 1, "cannot fit")):
        ones = kask.delayed(np.ones, result_bytes=nbytes)(nbytes // 8)
        ends = kask.delayed(lambda array: float(array[0] + array[-1]))(ones)
        assert ends.explain().verdict == verdict
        if verdict == "fits":
            assert ends.compute() == 2
    assert limited.counters()["memory_deaths"] == 0


def test_limits_are_written_as_for_clusters():
    load_one = load(1)
    assert load_one.explain(memory_limit="auto").limit_bytes == memory_limit_bytes("auto", 1, False)
    assert load_one.explain(memory_limit="50%").limit_bytes == load_one.explain(memory_limit=0.5).limit_bytes > 2**20
    assert load_one.explain(memory_limit="0").limit_bytes == 0
    for value in ("1.5", -1, "150%", "many", float("nan")):
        with pytest.raises(ValueError, match="memory_limit="):
            load_one.explain(memory_limit=value)


def test_an_engine_with_processes_has_its_own_auto_limit(limited):
    assert load(1).explain(memory_limit="auto").limit_bytes == memory_limit_bytes("auto", 1, True)


CALLS = {
    "sum": lambda x: x.sum(),
    "mean": lambda x: (x + 1).mean(axis=0),
    "sort": lambda x: ka.sort(x, axis=0),
    "two": lambda x: (ka.sort(x, axis=0) + x).max(),
}


class TestArrays:
    """Hints name the chunk that is too large, wherever in a task it is made, and are right."""

    SIDE = 20_000

    def normal(self, rows, columns=10_000):
        return ka.random.default_rng(1).normal(size=(self.SIDE, self.SIDE), chunks=(rows, columns))

    @pytest.mark.parametrize("name", CALLS)
    def test_the_chunk_is_named(self, name):
        call = CALLS[name]
        found = call(self.normal(self.SIDE)).explain(memory_limit="1GiB")
        assert found.verdict == "cannot fit"
        hint = re.fullmatch(
            r"chunks of '(\w+)' of at most (\S+ MiB) instead of 1.49 GiB with the shape \(20000, 10000\) would fit, "
            r"or workers with a memory_limit of at least (\S+ GiB)",
            found.hint,
        )
        assert hint is not None, found.hint
        assert hint[1] in ("normal", "sort")
        # What is said to fit does, and a little more does not.
        columns = parse_bytes(hint[2]) // (8 * self.SIDE)
        assert call(self.normal(self.SIDE, columns)).explain(memory_limit="1GiB").verdict != "cannot fit"
        assert (
            call(self.normal(self.SIDE, columns + columns // 20)).explain(memory_limit="1GiB").verdict == "cannot fit"
        )
        assert call(self.normal(self.SIDE)).explain(memory_limit=hint[3]).verdict != "cannot fit"

    def test_ones_are_made_as_well(self):
        found = ka.ones((self.SIDE, self.SIDE), chunks=self.SIDE).sum().explain(memory_limit="1GiB")
        assert "chunks of 'full' of at most 873" in found.hint and "with the shape (20000, 20000)" in found.hint
        assert "all of it for itself" in repr(found)

    def test_it_is_refused_with_the_hint(self, limited):
        x = ka.random.default_rng(1).normal(size=80 * MIB // 8, chunks=-1)
        y = ka.random.default_rng(2).normal(size=80 * MIB // 8, chunks=-1)
        with pytest.raises(OutOfMemoryError, match=r"needs 240.00 MiB \(all of it for itself\)") as error:
            (ka.sort(x) + ka.sort(y)).max().compute()
        assert error.value.hint.startswith(
            "chunks of 'normal' of at most 60.79 MiB instead of 80.00 MiB with the shape (10485760,)"
        )
        assert x.max().explain().verdict == "fits"


def test_a_limit_is_needed_to_refuse_anything():
    with kask.annotate(result_bytes="100PiB"):
        assert kask.delayed(abs)(-1).compute(scheduler="sync") == 1


@pytest.mark.parametrize("value", [True, "many", -1, [1], "1 parsec", float("nan"), float("inf")])
def test_sizes_that_are_none(value):
    with pytest.raises((TypeError, ValueError), match=r"result_bytes= must be"):
        kask.delayed(abs, result_bytes=value)
    with pytest.raises((TypeError, ValueError), match=r"memory_bytes= must be"), kask.annotate(memory_bytes=value):
        pass


def test_misspelt_annotations_are_refused():
    with pytest.raises(UnknownKeywordError), kask.annotate(result_byte=1):
        pass
    with pytest.raises(TypeError, match="no lazy collection"):
        kask.explain(1, 2)


def test_a_graph_with_a_cycle_is_said_to_have_one():
    builder = GraphBuilder()
    x, y = (f"{name}-{i:032x}" for i, name in enumerate("xy", 1))
    builder.add_blockwise(x, abs, (Hole(0),), [2], [(y, [2], [0])])
    builder.add_blockwise(y, abs, (Hole(0),), [2], [(x, [2], [0])])
    with pytest.raises(ValueError, match="cycle"):
        builder.explain([f"('{x}', 0)"], 1, 1, 0)


def test_a_builder_can_be_submitted_after_it_was_explained():
    engine = Engine.synchronous()
    work = Work((small(),), True, None)
    (keys,) = work.outputs
    assert work.builder.explain(keys, 1, 1, 0)["layers"]
    (future,) = engine.submit_graph(work.builder, keys)
    assert future.result(timeout=10) == sum(range(8))
    engine.close(timeout=2.0)
