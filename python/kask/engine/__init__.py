"""The one door to the engine in Rust: nothing else imports ``kask._kask``.

``embedded`` and ``processes`` hold the engines that computations use when nobody made a client; ``current`` knows
which client is the default one; ``exits`` closes what is open at interpreter exit.
"""

from kask._kask import (
    Cluster,
    CompletionQueue,
    Engine,
    Future,
    GraphBuilder,
    Hole,
    Node,
    Options,
    __version__,
    blob_hash,
    cli_main,
    current_task,
    graph_of,
    rejoin,
    secede,
    set_default_engine_hook,
    shutdown_all,
    task_engine,
    tokenize,
    worker_process_main,
)

__all__ = [
    "Cluster",
    "CompletionQueue",
    "Engine",
    "Future",
    "GraphBuilder",
    "Hole",
    "Node",
    "Options",
    "__version__",
    "blob_hash",
    "cli_main",
    "current_task",
    "graph_of",
    "rejoin",
    "secede",
    "set_default_engine_hook",
    "shutdown_all",
    "task_engine",
    "tokenize",
    "worker_process_main",
]
