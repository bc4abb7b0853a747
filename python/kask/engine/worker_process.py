"""Body of a worker process: ``python -m kask.engine.worker_process``, started by the supervisor.

Its configuration is the JSON in the variable ``KASK_WORKER_CONFIG``, or in the file that it names. The process always leaves through
``os._exit``: runner threads may be inside user code, and the supervisor wants the exit code, not a tidy interpreter.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys

# sysexits.h: EX_USAGE and EX_CONFIG.
BAD_CONFIG = 64
BAD_PRELOAD = 78


def read_config(value: str | None) -> str:
    """The JSON text itself; ``value`` is that text or the path of a file that holds it."""
    if not value:
        raise ValueError(
            "the variable KASK_WORKER_CONFIG is not set; worker processes are started by `kask worker` or a LocalCluster"
        )
    if value.lstrip().startswith("{"):
        return value
    with open(value, encoding="utf-8") as file:
        return file.read()


def preload(modules: list[str]) -> str | None:
    """Import modules, or files that end in ``.py``; the sentence that says why one cannot be imported, or None."""
    for name in modules:
        try:
            if name.endswith(".py"):
                _import_file(name)
            else:
                importlib.import_module(name)
        except (Exception, SystemExit) as error:
            return f"cannot import the preload module {name}: {type(error).__name__}: {error}"
    return None


def _import_file(path: str) -> None:
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)


def run() -> int:
    """Run the worker; returns the exit code."""
    try:
        # Not inherited by processes that tasks start.
        text = read_config(os.environ.pop("KASK_WORKER_CONFIG", None))
        settings = json.loads(text)
    except (OSError, ValueError) as error:
        print(f"kask worker: {error}", file=sys.stderr)
        return BAD_CONFIG
    problem = preload(settings.get("preload") or [])
    if problem is not None:
        print(f"kask worker: {problem}", file=sys.stderr)
        return BAD_PRELOAD
    from kask.engine import worker_process_main

    return worker_process_main(text)


def main() -> None:
    """Run the worker and leave."""
    try:
        code = run()
    except KeyboardInterrupt:
        code = 130
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(code)


if __name__ == "__main__":
    main()
