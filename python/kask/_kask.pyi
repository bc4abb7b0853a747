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
    """Bytes that an object holds, as the engine counts them."""

# -- describing work -----------------------------------------------------------------------------------

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
    ) -> None: ...
    retries: int
    priority: int
    workers: tuple[str, ...] | None
    allow_other_workers: bool
    resources: dict[str, float]

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

def graph_of(nodes: Sequence[Node]) -> list[tuple[str, str, list[str]]]:
    """(key, family, input keys) of all calls below ``nodes``, in the order in which they would run. For visualize()."""

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
        inputs: Sequence[tuple[str, Sequence[int], Sequence[int | str | tuple]]],
        items: Sequence[Any] | None = None,
        wants_position: bool = False,
        options: Options | None = None,
    ) -> None:
        """``template``: positional arguments, with ``Hole(i)`` for input ``i``. Each input: (layer name, its grid, axes); an axis is
        an output axis number, ``"all"``, ``("fixed", i)`` or ``("window", axis, before, after)``."""
    def add_tree_reduce(
        self,
        name: str,
        combine: Any,
        aggregate: Any,
        template: tuple,
        input: str,
        input_grid: Sequence[int],
        split_every: dict[int, int],
        input_offset: int = 0,
        options: Options | None = None,
    ) -> None: ...
    def ntasks(self) -> int: ...

class Hole:
    """Stands in a template for the result of an input. After the inputs' holes comes that of a block's item, then that of its
    position (a tuple)."""

    def __init__(self, index: int) -> None: ...
    index: int

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
    def embedded(nthreads: int, *, name: str = "embedded", resources: dict[str, float] | None = None) -> Engine: ...
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
    ) -> Cluster:
        """``host=None``: Unix sockets in a private directory; else ``tcp://host`` on loopback with the token."""
    address: str
    token_file: str
    workers: list[dict]  # {"name", "pid", "address", "status", "deaths"}
    def engine(self, name: str) -> Engine:
        """A client in this process, without a socket."""
    def scale(self, n: int) -> None: ...
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

# -- processes ---------------------------------------------------------------------------------------------

def cli_main(argv: list[str], python: str) -> int:
    """The ``kask`` command."""

def worker_process_main(config: str) -> int:
    """Body of a worker process: ``config`` is the JSON the supervisor passes. Returns the exit code."""

def shutdown_all() -> None:
    """Called at interpreter exit."""
