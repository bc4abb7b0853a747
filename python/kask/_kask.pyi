"""The engine, written in Rust. Only ``kask.engine`` imports this module.

Objects here are thin: they hold what is needed to describe work, and hand it to Rust. All waiting
releases the GIL, hears Ctrl-C within 50 ms, and takes a ``timeout`` in seconds (``None``: no limit).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

__version__: str

# -- tokens ------------------------------------------------------------------------------------------

def tokenize(normalize: Callable[[Any], Any], ensure_deterministic: bool, args: tuple, kwargs: dict) -> str:
    """32 hex digits. Plain types (None, bool, int, float, complex, str, bytes, list, tuple, dict, set, Future, Node, ...)
    are hashed here; anything else is handed to ``normalize`` (python/kask/tokens.py), which returns plain types."""

def blob_hash(data: bytes) -> str: ...
def sizeof(object: Any) -> int:
    """Bytes that an object holds, as the engine counts them. Types that are not built in are measured as ``kask.sizeof`` says."""

def sizeof_items(items: list, population: int) -> int:
    """What ``population`` objects hold, of which ``items`` are some."""

def sample_places(len: int, count: int) -> list[int]:
    """Up to ``count`` places in a sequence of ``len`` items that stand for all, in an order without a direction."""

# -- describing work -----------------------------------------------------------------------------------

class Chunks:
    """How an array is cut: chunk sizes for each axis, run-length encoded. Immutable; equal for equal sizes."""

    def __init__(self, sizes: Iterable[Sequence[int] | Chunks]) -> None: ...
    @staticmethod
    def normalize(
        shape: Sequence[int],
        specs: Iterable[Any],
        item_bytes: int,
        limit_bytes: int,
        previous: Chunks | None = None,
    ) -> Chunks:
        """For each axis None (one chunk), "auto", a size, or sizes."""

    @staticmethod
    def whole(shape: Sequence[int]) -> Chunks: ...
    @staticmethod
    def unify(all: Iterable[Any]) -> Chunks:
        """The coarsest chunks of one axis that have a cut wherever one of these has."""

    @staticmethod
    def join(all: Iterable[Chunks]) -> Chunks:
        """The axes of all of these, one after another."""

    @staticmethod
    def of_runs(runs: Sequence[tuple[int, int]]) -> Chunks:
        """Chunks of one axis from runs of equal ones: a size, and how many chunks have it."""

    @staticmethod
    def concat(all: Iterable[Any]) -> Chunks:
        """Chunks of one axis: these, one after another."""
    ndim: int
    shape: tuple[int, ...]
    grid: tuple[int, ...]
    largest: tuple[int, ...]
    nblocks: int
    #: For each axis its runs of equal chunks: their size, and how many there are.
    runs: list[list[tuple[int, int]]]
    is_single: bool
    def axis(self, axis: int) -> Chunks: ...
    def axes(self, axes: Sequence[int]) -> Chunks: ...
    def replace(self, axis: int, sizes: Sequence[int] | Chunks) -> Chunks: ...
    def tuples(self) -> tuple[tuple[int, ...], ...]:
        """All sizes; costs as much as there are chunks."""

    def block_shape(self, position: Sequence[int]) -> tuple[int, ...]: ...
    def block_start(self, position: Sequence[int]) -> tuple[int, ...]: ...
    def assemble(self, out: Any, blocks: list) -> None:
        """Puts all blocks, in C order, into their places in ``out``."""

    def place(self, out: Any, blocks: list, first: int) -> None:
        """The same for some blocks, in C order those from number ``first`` on."""

    def slice(self, taken: Sequence[tuple[int, int, int]]) -> Chunks:
        """What is left when of each axis ``len`` elements are taken, from ``start`` on every ``step``-th."""

    def flat(self) -> Chunks:
        """Chunks of one axis: the blocks of all of these axes in C order."""

    def scaled(self, factors: Sequence[int]) -> Chunks:
        """Each chunk so many times as long: a factor for each axis."""

    def coarsened(self, groups: Sequence[int]) -> Chunks:
        """How many groups of so many neighbours end in each chunk: a size for each axis."""

    def grown(self, before: int, after: int) -> Chunks:
        """The only axis with the first chunk and the last one longer by so many elements."""

    def plus(self, *others: Chunks) -> Chunks:
        """The only axis with each chunk longer by the sizes that others have at its place."""

    def minus(self, *others: Chunks) -> Chunks:
        """The only axis with each chunk shorter by the sizes that others have at its place."""

    def picked(self, blocks: Sequence[int]) -> Chunks:
        """The chunks of the only axis that have these numbers."""

    def first_shared(self, unit: int, start: int, step: int) -> int | None:
        """The first piece of so many places along the only axis that two chunks have elements in, element ``i`` at
        ``start + step * i``."""

    def touched(self, start: int, step: int, len: int, is_one: bool) -> BlockLists:
        """For each chunk of the only axis the next number (or 0, where all are), if one of ``len`` elements is in it, from ``start``
        on every ``step``-th."""

    def ends(self) -> bytes:
        """Where each chunk of the only axis ends, as 64-bit integers in the machine's byte order."""

    def block_shapes(self, first: int, count: int) -> list[tuple[int, ...]]:
        """The shapes of so many blocks from one on, in C order."""

    def plan_rechunk(
        self,
        new: Chunks,
        item_bytes: int,
        task_bytes: int,
        worker_bytes: int,
        workers: int,
        block_bytes: int,
        ways: str,
        threshold: float | None,
    ) -> list[tuple[Chunks, int]]:
        """The cheapest steps: chunks, and the groups of a shuffle or 0; ``ways`` are "all", "direct" or "shuffle". See
        ``kask_graph::chunks::plan_rechunk``."""

    def plan_reshape(self, shape: Sequence[int], most_elements: int) -> tuple[Chunks, Chunks, Chunks, Chunks]:
        """Chunks before, merged, split and after; see ``kask_graph::chunks::plan_reshape``."""

    def __hash__(self) -> int: ...
    def __kask_tokenize__(self) -> Any: ...

class Interval:
    """Which elements of an input the blocks of an output need, along one axis. Immutable."""

    def __init__(
        self, input: Any, output: Any, start: int = 0, step: int = 1, before: int = 0, after: int = 0
    ) -> None: ...
    def pieces(self, block: int) -> list[tuple[int, int, int, int]]:
        """For each input block that an output block reads: (start, step, len) there, and where in the output."""

    def length(self, block: int) -> int: ...
    def margin(self, block: int) -> int:
        """How many elements before the block's own there are."""

    def margins(self) -> tuple[Chunks, Chunks]:
        """How many elements more each output block has before its own and after them, as chunks of one axis."""

    def __kask_tokenize__(self) -> Any: ...

class BlockLists:
    """Blocks for each position along an axis. Immutable."""

    def __init__(self, blocks: Sequence[int], ends: Sequence[int]) -> None:
        """The blocks, list after list, and where each list ends."""

    def __hash__(self) -> int: ...

def merge_groups(outputs: int) -> int:
    """How many merges of a shuffle make so many outputs."""

def fitting_outputs(total_bytes: int, limit_bytes: int) -> int:
    """How many outputs a shuffle of so many bytes needs so that no merge takes more than the limit."""

def usable_bytes(limit_bytes: int) -> int:
    """What one task may take of the memory of a worker with this limit."""

def block_names(name: str, grid: Sequence[int]) -> list[str]:
    """The printed keys of all blocks of a layer, in C order."""

class Options:
    """How tasks are run. Immutable."""

    def __init__(
        self,
        *,
        retries: int = 0,
        priority: int = 0,
        workers: Sequence[str] | None = None,
        allow_other_workers: bool = False,
        resources: dict[str, float] | None = None,
        memory_bytes: int = 0,
        result_bytes: int = 0,
    ) -> None: ...
    retries: int
    priority: int
    workers: tuple[str, ...] | None
    allow_other_workers: bool
    resources: dict[str, float]
    memory_bytes: int
    result_bytes: int

class Node:
    """One call of a delayed graph: ``func(*args, **kwargs)``, where any Node or Future inside lists, tuples, dicts,
    sets and dataclasses of the arguments is replaced by its result. ``func is None``: the value ``args[0]`` itself.
    Immutable. ``key`` is the printed key; inputs are found once, at construction, in Rust."""

    def __init__(
        self, func: Any, args: tuple, kwargs: dict, key: str, family: str, options: Options | None
    ) -> None: ...
    key: str
    family: str
    func: Any
    args: tuple
    kwargs: dict
    options: Options | None
    def inputs(self) -> list[Node | Future]: ...

class GraphBuilder:
    """Layers to be submitted together. Layer names are ``prefix-<32 hex digits>``."""

    def __init__(self) -> None: ...
    def add_nodes(self, nodes: Sequence[Node]) -> None: ...
    def add_blockwise(
        self,
        name: str,
        func: Any,
        template: tuple,
        grid: Sequence[int],
        inputs: Sequence[
            tuple[str | tuple[int, Sequence[str], Sequence[int]], Sequence[int], Sequence[int | str | tuple]]
        ],
        items: Sequence[Any] | None = None,
        wants_position: bool = False,
        options: Options | None = None,
        made: Sequence[tuple[int, Sequence[int], str]] = (),
    ) -> None:
        """``template``: positional arguments, with ``Hole(i)`` for input ``i``. Each input: (layer name, its grid, axes), where (axis, names,
        ends) in place of the name are layers whose grids lie one after another along an axis, and where each one ends there; an axis is
        an output axis number, ``"all"``, ``("fixed", i)``, ``("window", axis, before, after)``, ``("interval", axis, Interval)`` or
        ``("listed", axis, blocks, ends)``: the blocks for each position, list after list, and where each list ends; or
        ``("listed", axis, BlockLists)``. ``made``, for hints: bytes, shape and maker of the largest result and, if it is larger, of the
        largest block that is made on the way."""
    def add_tree_reduce(
        self,
        name: str,
        combine: Any,
        aggregate: Any,
        template: tuple,
        input: str | tuple[int, Sequence[str], Sequence[int]],
        input_grid: Sequence[int],
        split_every: dict[int, int],
        options: Options | None = None,
    ) -> None:
        """``template``: ``Hole(0)`` is the list of what a node combines. The results are the layer's first tasks: ``('name', i)`` is
        result ``i`` in C order, and a layer that reads them, in this graph or a later one, names the grid of the results. ``input`` may
        be several layers, as those of ``add_blockwise``."""
    def add_shuffle(
        self,
        name: str,
        split: Any,
        merge: Any,
        take: Any,
        split_template: tuple,
        merge_template: tuple,
        take_template: tuple,
        input: str | tuple[int, Sequence[str], Sequence[int]],
        input_grid: Sequence[int],
        outputs: Sequence[int],
        groups: int | Sequence[int],
        wants_position: bool = False,
        options: Options | None = None,
    ) -> None:
        """New blocks, each made of all blocks of ``input``. ``split`` gives one part of its block (``Hole(0)``; ``Hole(1)`` is its
        position, if wanted) for each group of outputs; ``merge`` puts the parts of a group together (``Hole(0)``: their list;
        ``Hole(1)``: the group's number, in a tuple); ``take`` makes an output of its merged group (``Hole(0)``; ``Hole(1)``: the
        output's number in the group, in a tuple). ``outputs`` is a grid, ``groups`` how many groups there are or the number of
        outputs of each. ``input`` may be several layers, as those of ``add_blockwise``. Families: ``<prefix>-split``, ``<prefix>-merge``, ``<prefix>``."""
    def ntasks(self) -> int: ...
    def tasks(self, outputs: Sequence[str | Future]) -> GraphTasks:
        """The tasks of the layers, to be looked at."""

    def explain(
        self,
        outputs: Sequence[str],
        runners: int,
        workers: int,
        limit_bytes: int,
        learned: dict[str, int] | None = None,
    ) -> dict[str, Any]:
        """What running the graph for ``outputs`` would take with so many runners on so many workers of ``limit_bytes`` each (0: no
        limit): "layers" (prefix, kind, tasks, edges, result bytes, tasks of unknown size), "produced_bytes", "unknown", "peak_bytes",
        "peak_family", "peak_values", "largest" (of one task: "family", "task", "inputs", "inputs_bytes", "own_bytes", "largest_bytes",
        "largest_family", "largest_shape", "shuffled", "fitting_limit"), "usable_bytes" (of a worker, for one task), "verdict" ("fits", "spills",
        "cannot fit"), "spilled_bytes". ``learned``: bytes of a result by family, where no annotation says."""

class GraphTasks:
    """The tasks of a graph, by layer. Calls of one family are in a layer of their own. A task is (printed key, family, printed keys of
    its inputs in hole order)."""

    def layers(self) -> list[tuple[str, str, str, list[int], int]]:
        """Of each layer its name, kind ("blockwise", "tree", "shuffle", "tasks"), family, the grid by whose positions its first tasks are
        called, and the number of its tasks."""

    def reads(self, layer: int) -> list[int]:
        """The numbers of the layers that a layer reads."""

    def keys(self, layer: int, start: int, count: int) -> list[str]:
        """The printed keys of up to ``count`` tasks of a layer, from number ``start`` on."""

    def task(self, layer: int, index: int) -> tuple[str, str, list[str]]: ...
    def find(self, key: str) -> tuple[int, tuple[str, str, list[str]]] | None:
        """The number of the layer of the task that has a printed key, and the task."""

    def needed(self, limit: int) -> list[tuple[str, str, list[str]]] | None:
        """The tasks that run for the outputs, inputs before what reads them; None if they are more than ``limit``."""

class Hole:
    """Stands in a template for the result of an input. After the inputs' holes comes that of a block's item, then that of its
    position (a tuple)."""

    def __init__(self, index: int) -> None: ...
    index: int

class Parts:
    """A result that consists of parts, each of which another task may read alone. ``payloads``: contiguous memory (bytes, arrays,
    memoryviews), kept without a copy; ``parts[i]`` is a read-only memoryview."""

    def __init__(self, payloads: Iterable[Any]) -> None: ...
    nbytes: int
    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> memoryview: ...

class Layers:
    """What a Node has as ``func`` if it is no call, but stands for a block of a layer: ``add(builder, options)`` adds the layer. The
    node's key is ``<prefix>-<block_key(layer, block)>``; what the layer reads of nodes is in the node's arguments."""

    def __init__(self, add: Callable[[GraphBuilder, Options | None], Any]) -> None: ...
    add: Callable[[GraphBuilder, Options | None], Any]

def block_key(layer: str, block: int) -> str:
    """32 hex digits of the key of a block (its number in C order) of the layer ``prefix-<32 hex digits>``."""

# -- kernels ---------------------------------------------------------------------------------------------

def split_table(table: Any, by: tuple, outputs: int, groups: int | Sequence[int], keys: Any | None = None) -> Parts:
    """The rows of a table (with ``__arrow_c_stream__``) in one part for each group of outputs. ``by``: ``("hash", names)``,
    ``("range", [(name, descending, nulls_first), ...], table of boundaries)`` or ``("column", name)``, which are columns of ``keys``,
    another table of as many rows, if there is one."""

def merge_tables(parts: Iterable[Any]) -> list[Any]:
    """The pyarrow tables of a group's outputs, from the same part of every split, in the order of the splits."""

def split_block(
    block: Any, start: Sequence[int], chunks: Chunks | Sequence[Sequence[int]], groups: int | Sequence[int], note: bytes
) -> Parts:
    """A block (with the buffer protocol) that begins at ``start`` of its array, in one part for each group of the blocks that the
    chunk sizes ``chunks`` make. ``note`` travels with the parts."""

def assemble_block(target: Any, output: int, parts: Iterable[Any]) -> None:
    """Fills ``target`` with output number ``output`` of the group, from the same part of every split."""

def block_note(part: Any) -> bytes: ...

class FusedKernel:
    """Elementwise steps, and perhaps a reduction, in one pass over memory: see ``kask.expr.fused``, which makes it."""

    def __new__(
        cls,
        inputs: Sequence[str],
        constants: Sequence[tuple[str, bytes]],
        steps: Sequence[tuple[str, str, Sequence[tuple[str, int]], Any]],
        reduction: str | None,
    ) -> FusedKernel: ...
    def run(
        self, arrays: Sequence[Any], outputs: Sequence[Any], axes: Sequence[int], watched: tuple[bool, ...]
    ) -> bool:
        """Fills the outputs. False when a flag that is watched (divide, over, under, invalid) was raised."""

# -- running work --------------------------------------------------------------------------------------

class Future:
    """A result that is being computed. Counted: the engine keeps the result while any Future of its key lives.
    ``kask.distributed.Future`` is this class."""

    def __init__(self, key: str, client: Any = None) -> None: ...
    key: str
    client: Any  # the kask.distributed.Client, or None
    engine: Engine
    status: str  # "pending" | "finished" | "error" | "cancelled" | "lost"
    type: Any
    def result(self, timeout: float | str | None = None) -> Any: ...
    def exception(self, timeout: float | str | None = None) -> BaseException | None: ...
    def traceback(self, timeout: float | str | None = None) -> Any: ...
    def done(self) -> bool: ...
    def cancelled(self) -> bool: ...
    def add_done_callback(self, fn: Callable[[Future], Any]) -> None: ...
    def cancel(self, reason: str | None = None, msg: str | None = None, force: bool = False) -> Any: ...
    def retry(self) -> Any: ...
    def release(self) -> None: ...
    def __await__(self) -> Any: ...

class Engine:
    """This process's end of a connection to a scheduler: embedded in the process, or elsewhere."""

    @staticmethod
    def embedded(
        nthreads: int,
        *,
        name: str = "embedded",
        resources: dict[str, float] | None = None,
        memory_limit: int = 0,
        spill: dict[str, Any] | None = None,
    ) -> Engine:
        """``memory_limit``: bytes that the process may use; 0 is no limit. ``spill``: as for ``Cluster.start``."""
    @staticmethod
    def synchronous() -> Engine:
        """Tasks run in the thread that waits for them, one after another."""
    @staticmethod
    def connect(
        address: str,
        *,
        timeout: float,
        token: str | None = None,
        tls_ca: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        name: str | None = None,
    ) -> Engine:
        """Raises OSError (one sentence) on a wrong address, a closed port, a refused handshake, a timeout."""

    kind: str  # "embedded" | "sync" | "remote"
    address: str
    id: str  # hex incarnation of this client
    closed: bool
    owner: Any  # settable: the kask.distributed.Client that futures report as .client
    def submit(
        self, func: Any, args: tuple, kwargs: dict, *, key: str | None, pure: bool, options: Options | None
    ) -> Future: ...
    def map(
        self,
        func: Any,
        iterables: Sequence[Iterable],
        kwargs: dict,
        *,
        keys: list[str] | str | None,
        pure: bool,
        options: Options | None,
        batch_size: int | None,
    ) -> list[Future]: ...
    def submit_graph(self, graph: GraphBuilder, outputs: Sequence[str]) -> list[Future]:
        """``outputs``: printed keys: of Nodes, or ``"('name', i, j)"`` of a grid layer's blocks."""
    def submit_nodes(self, nodes: Sequence[Node]) -> list[Future]: ...
    def gather(self, futures: Sequence[Future], errors: str = "raise", timeout: float | None = None) -> list: ...
    def gather_in_steps(self, futures: list, step: int, place: Callable[[int, list], object]) -> None:
        """``place(first, results)`` for ``step`` results at a time, in order; each future's place in the list becomes ``None``."""
    def resolve(self, template: Any, futures_only: bool = True) -> Any:
        """``template`` with every Future inside lists, tuples, sets, dicts and dataclasses replaced by its result."""
    def wait(self, futures: Sequence[Future], timeout: float | None, first: bool) -> tuple[list[Future], list[Future]]:
        """(done, not done). Raises TimeoutError unless the condition was met."""
    def scatter(
        self, values: list, keys: list[str], *, workers: Sequence[str] | None, broadcast: bool, timeout: float | None
    ) -> list[Future]: ...
    def cancel(self, futures: Sequence[Future], *, force: bool, reason: str) -> None: ...
    def retry(self, futures: Sequence[Future]) -> None: ...
    def detach(self, futures: Sequence[Future]) -> None: ...
    def replicate(
        self, futures: Sequence[Future], copies: int, workers: Sequence[str] | None, timeout: float | None
    ) -> None: ...
    def who_has(self, futures: Sequence[Future] | None) -> dict[str, tuple[str, ...]]: ...
    def has_what(self, workers: Sequence[str] | None) -> dict[str, tuple[str, ...]]: ...
    def processing(self, workers: Sequence[str] | None) -> dict[str, tuple[str, ...]]: ...
    def scheduler_info(self) -> dict: ...
    def counters(self) -> dict[str, int]: ...
    def unrunnable(self) -> list[dict[str, Any]]:
        """{"workers", "resources", "tasks", "example"} of the tasks that are waited for and that no worker may run."""
    def families(self) -> dict[str, dict[str, int]]:
        """Family -> {"waiting", "queued", "running", "memory", "failed", "released"} -> number of tasks."""
    def wait_for_workers(self, n: int, timeout: float | None) -> None: ...
    def run(
        self, func: Any, args: tuple, kwargs: dict, workers: Sequence[str] | None, timeout: float | None
    ) -> dict[str, Any]:
        """Worker address -> result, or the exception instance that the call raised there."""
    def restart(self, timeout: float) -> None: ...
    def retire_workers(self, workers: Sequence[str], timeout: float | None) -> None: ...
    def shutdown(self) -> None: ...
    def close(self, timeout: float = 10.0) -> None:
        """Idempotent, quiet. An embedded engine lets running tasks end (up to ``timeout``) and drops queued ones."""

class CompletionQueue:
    """Futures in the order in which they end; each added future comes out once."""

    def __init__(self, engine: Engine) -> None: ...
    engine: Engine
    def add(self, futures: Sequence[Future]) -> None: ...
    def count(self) -> int: ...
    def pop(self, timeout: float | None) -> Future:
        """Raises TimeoutError; StopIteration when nothing was left to wait for."""
    def pop_ready(self, limit: int | None = None) -> list[Future]: ...
    def notify(self, callback: Callable[[], Any]) -> None:
        """Calls ``callback`` once, from some thread, when something is ready (at once if it is)."""

class Cluster:
    """A scheduler in this process and supervised worker processes (or in-process workers with threads)."""

    @staticmethod
    def start(
        *,
        n_workers: int,
        threads_per_worker: int,
        memory_limit: int,
        python: str,
        local_directory: str | None,
        resources: dict[str, float] | None,
        host: str | None,
        port: int,
        processes: bool,
        heartbeat_timeout: float,
        worker_env: dict[str, str],
        preload: list[str],
        allowed_deaths: int,
        name: str,
        startup_timeout: float,
        spill: dict[str, Any] | None = None,
    ) -> Cluster:
        """``memory_limit``: bytes of each worker, 0 for no limit. ``spill``: {"target", "directory", "setting" (that names the directory),
        "limit", "reserve", "compression"}, see the settings ``memory.*``. ``host=None``: Unix sockets in a private directory; else ``tcp://host`` on loopback with the token."""
    address: str
    token_file: str
    workers: list[dict]  # {"name", "pid", "address", "status", "deaths"}
    def engine(self, name: str) -> Engine:
        """A client in this process, without a socket."""
    def scale(self, n: int, memory_limit: int | None = None) -> None:
        """``memory_limit``: bytes of each worker process or thread that starts from now on; by default as before."""
    def close(self, timeout: float) -> None: ...

# -- inside a task ---------------------------------------------------------------------------------------

def current_task() -> dict | None:
    """{"key", "worker", "address", "local_directory"} of the task that this thread (or coroutine) runs."""

def task_engine() -> Engine | None:
    """Inside a worker: an engine connected to the worker's scheduler, made at first use."""

def set_default_engine_hook(hook: Callable[[], Engine]) -> None:
    """``hook`` gives the engine of futures that come out of a pickle in a client's process."""

def secede() -> None: ...
def rejoin() -> None: ...

# -- the machine -------------------------------------------------------------------------------------------

def memory_limit_bytes() -> int:
    """Bytes that this process may use: the least of the machine's, the control groups' and the resource limits; 0 if unknown."""

def auto_memory_limit(workers: int, processes: bool) -> int:
    """What ``memory_limit="auto"`` gives each of ``workers``: an equal part after a reserve for everybody else."""

def parse_size(text: str) -> int:
    """Bytes in a text such as ``"4GiB"``; kask.units is what Python calls."""

def parse_memory(value: object) -> str | int | float:
    """What a text or a float says of an amount of memory: ``"auto"``, bytes as an integer (0 is no limit), or a share as a float."""

# -- processes ---------------------------------------------------------------------------------------------

def cli_main(argv: list[str], python: str) -> int:
    """The ``kask`` command."""

def worker_process_main(config: str) -> int:
    """Body of a worker process: ``config`` is the JSON the supervisor passes. Returns the exit code."""

def shutdown_all() -> None:
    """Called at interpreter exit."""
