"""The part of ``Client`` that asks about, and looks after, scheduler and workers."""

from __future__ import annotations

import logging
import os
import platform
import sys
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from kask import config
from kask.annotations import named_workers
from kask.distributed.client_base import ClientBase
from kask.distributed.security import write_scheduler_file
from kask.engine import __version__
from kask.exceptions import ClusterError, VersionMismatchError
from kask.keywords import check_function_keywords, refuse_unknown
from kask.units import parse_seconds

if TYPE_CHECKING:
    from kask.distributed.client import Client

_PACKAGES = ("kask", "cloudpickle", "numpy", "pandas", "pyarrow", "polars")


class ClientInfo(ClientBase):
    """Scheduler and workers."""

    def scheduler_info(self, n_workers: int = -1, **kwargs: Any) -> Any:
        """The scheduler and its workers.

        Parameters
        ----------
        n_workers : int
            How many workers are described at most; -1 is all.

        Returns
        -------
        dict
            With ``"address"``, ``"workers"`` (address -> dict with ``"name"``, ``"nthreads"``, ``"memory_limit"``, ...) and more.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     len(client.scheduler_info()["workers"])
        1
        """
        refuse_unknown("scheduler_info", kwargs, ("n_workers",))

        def work() -> dict:
            info = self._engine.scheduler_info()
            if n_workers >= 0:
                info["workers"] = dict(list(info["workers"].items())[:n_workers])
            return info

        return self._call(work)

    def nthreads(self, workers: str | Iterable[str] | None = None, **kwargs: Any) -> Any:
        """Number of threads of each worker.

        Parameters
        ----------
        workers : str or list of str, optional
            Names or addresses; by default all.

        Returns
        -------
        dict
            Worker address -> number of threads.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded", threads_per_worker=3) as client:
        ...     list(client.nthreads().values())
        [3]
        """
        refuse_unknown("nthreads", kwargs, ("workers",))
        return self._call(
            lambda: {address: worker["nthreads"] for address, worker in self._some_workers(workers).items()}
        )

    def ncores(self, workers: str | Iterable[str] | None = None, **kwargs: Any) -> Any:
        """The same as :meth:`nthreads`.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded", threads_per_worker=3) as client:
        ...     list(client.ncores().values())
        [3]
        """
        refuse_unknown("ncores", kwargs, ("workers",))
        return self.nthreads(workers)

    def _some_workers(self, workers: str | Iterable[str] | None) -> dict[str, dict]:
        wanted = named_workers(workers)
        found = self._engine.scheduler_info()["workers"]
        if wanted is None:
            return found
        return {address: worker for address, worker in found.items() if address in wanted or worker["name"] in wanted}

    def processing(self, workers: str | Iterable[str] | None = None) -> Any:
        """Keys of the tasks that each worker is working on.

        Parameters
        ----------
        workers : str or list of str, optional
            Names or addresses; by default all.

        Returns
        -------
        dict
            Worker address -> tuple of keys.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     list(client.processing().values())
        [()]
        """
        where = named_workers(workers)
        return self._call(lambda: self._engine.processing(where))

    def unrunnable(self) -> Any:
        """Tasks that this client waits for and that no worker may run: what they ask for is not there.

        They run once such a worker joins. Who waits for their results gets a warning after some seconds.

        Returns
        -------
        list of dict
            For each demand ``"workers"`` (a tuple of names or ``None``), ``"resources"`` (amounts by name), ``"tasks"`` (how many wait) and
            ``"example"`` (the key of one of them).

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("inproc", n_workers=1) as client:
        ...     x = client.submit(abs, -1, key="x", workers="nobody")
        ...     client.unrunnable()
        [{'workers': ('nobody',), 'resources': {}, 'tasks': 1, 'example': 'x'}]
        """
        return self._call(lambda: self._engine.unrunnable())

    def counters(self) -> Any:
        """Totals since the scheduler's start: tasks submitted, finished, failed, recomputed, stolen, bytes moved, workers lost.

        Returns
        -------
        dict

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     x = client.submit(abs, -1).result()
        ...     client.counters()["finished"]
        1
        """
        return self._call(lambda: self._engine.counters())

    def wait_for_workers(self, n_workers: int, timeout: float | str | None = None) -> Any:
        """Wait until there are so many workers.

        Parameters
        ----------
        n_workers : int
        timeout : float or str, optional

        Raises
        ------
        TimeoutError
            There are fewer after ``timeout``.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     client.wait_for_workers(1, timeout=5)
        """
        if isinstance(n_workers, bool) or not isinstance(n_workers, int) or n_workers < 1:
            raise ValueError(f"n_workers must be a whole number of at least 1, got {n_workers!r}")
        limit = None if timeout is None else parse_seconds(timeout)

        def work() -> None:
            try:
                self._engine.wait_for_workers(n_workers, limit)
            except TimeoutError:
                here = len(self._engine.scheduler_info()["workers"])
                raise TimeoutError(f"only {here} of {n_workers} workers were there after {limit:g} s") from None

        return self._call(work)

    def run(
        self,
        function: Callable[..., Any],
        *args: Any,
        workers: str | Iterable[str] | None = None,
        wait: bool = True,
        nanny: bool = False,
        on_error: str = "raise",
        **kwargs: Any,
    ) -> Any:
        """Call a function on workers at once, outside of any task.

        Parameters
        ----------
        function : callable
        *args, **kwargs
            Its arguments.
        workers : str or list of str, optional
            Names or addresses; by default all.
        wait : bool
            Whether to wait for the answers.
        nanny : bool
            Must be False: supervisors run no Python.
        on_error : {"raise", "return", "ignore"}
            Whether a failure is raised, given in place of the result, or left out.

        Returns
        -------
        dict
            Worker address -> result. None with ``wait=False``.

        Examples
        --------
        >>> import os
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     list(client.run(os.getpid).values()) == [os.getpid()]
        True
        """
        if on_error not in ("raise", "return", "ignore"):
            raise ValueError(f"on_error= must be 'raise', 'return' or 'ignore', got {on_error!r}")
        if nanny:
            raise NotImplementedError(
                "nanny=True is not possible: the supervisors of workers are written in Rust and run no Python"
            )
        if not callable(function):
            raise TypeError(f"the first argument of run() must be callable, got {function!r}")
        check_function_keywords("run", function, kwargs, ("workers", "wait", "nanny", "on_error"))
        where = named_workers(workers)
        if not wait:
            _in_background(self._engine.run, function, args, kwargs, where, None)
            return self._call(lambda: None)

        def work() -> dict[str, Any]:
            answers = self._engine.run(function, args, kwargs, where, None)
            failures = {address for address, answer in answers.items() if isinstance(answer, BaseException)}
            if on_error == "raise":
                for address in failures:
                    raise answers[address]
            return {
                address: answer
                for address, answer in answers.items()
                if on_error != "ignore" or address not in failures
            }

        return self._call(work)

    def run_on_scheduler(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Not possible: the scheduler is written in Rust and runs no Python.

        Raises
        ------
        ClusterError
            Always.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     client.run_on_scheduler(print)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        kask.exceptions.ClusterError: the scheduler is written in Rust and runs no Python, so nothing can be run on it...
        """
        raise ClusterError(
            "the scheduler is written in Rust and runs no Python, so nothing can be run on it",
            hint="client.run(function) runs it on the workers; scheduler_info(), who_has(), processing() and counters() ask the scheduler",
        )

    def restart(self, timeout: float | str | None = None, wait_for_workers: bool = True) -> Any:
        """Forget all tasks of all clients, and restart the workers.

        Parameters
        ----------
        timeout : float or str, optional
            How long it may take; the default is the setting ``cluster.restart_timeout_s``.
        wait_for_workers : bool
            Whether to wait until as many workers are back.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     client.restart()
        """
        limit = config.get("cluster.restart_timeout_s") if timeout is None else parse_seconds(timeout)
        if not wait_for_workers:
            _in_background(self._engine.restart, limit)
            return self._call(lambda: None)
        return self._call(lambda: self._engine.restart(limit))

    def retire_workers(
        self, workers: str | Iterable[str] | None = None, close_workers: bool = True, **kwargs: Any
    ) -> Any:
        """Let workers go, after what only they hold has been moved to others.

        Parameters
        ----------
        workers : str or list of str
            Names or addresses.
        close_workers : bool
            Must be True: a retired worker ends.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("inproc", n_workers=2, threads_per_worker=1) as client:
        ...     address = next(iter(client.nthreads()))
        ...     client.retire_workers([address])
        ...     address in client.nthreads()
        False
        """
        refuse_unknown("retire_workers", kwargs, ("workers", "close_workers"))
        where = named_workers(workers)
        if where is None:
            raise TypeError("retire_workers() needs the names or addresses of workers; client.shutdown() ends all")
        if not close_workers:
            raise NotImplementedError("close_workers=False is not possible: a retired worker ends")
        return self._call(lambda: self._engine.retire_workers(where, None))

    def nbytes(self, keys: Any = None, summary: bool = True, **kwargs: Any) -> Any:
        """Bytes that results take on the workers.

        Parameters
        ----------
        keys : optional
            Must be None: sizes of single results are not told yet.
        summary : bool
            Must be True.

        Returns
        -------
        dict
            Worker address -> bytes held.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     list(client.nbytes().values())
        [0]
        """
        refuse_unknown("nbytes", kwargs, ("keys", "summary"))
        if keys is not None or not summary:
            raise NotImplementedError("only the totals of workers are known: leave out keys= and summary=")
        return self._call(
            lambda: {
                address: worker["held_bytes"] for address, worker in self._engine.scheduler_info()["workers"].items()
            }
        )

    def get_versions(self, check: bool = False, packages: Sequence[str] | None = None) -> Any:
        """Versions of Python and packages, here and on the workers.

        Parameters
        ----------
        check : bool
            Whether to raise when Python or Kask differ.
        packages : list of str, optional
            Further packages.

        Returns
        -------
        dict
            ``{"client": ..., "scheduler": ..., "workers": {address: ...}}``

        Raises
        ------
        VersionMismatchError
            With ``check=True``; the message says what differs.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     versions = client.get_versions(check=True)
        >>> sorted(versions)
        ['client', 'scheduler', 'workers']
        """
        names = list(dict.fromkeys([*_PACKAGES, *(packages or ())]))

        def work() -> dict[str, Any]:
            here = _versions(names)
            scheduler = {"kask": self._engine.scheduler_info().get("version", __version__)}
            there = self._engine.run(_versions, (names,), {}, None, None)
            if check:
                _compare(here, scheduler, there)
            return {"client": here, "scheduler": scheduler, "workers": there}

        return self._call(work)

    def get_executor(self, **kwargs: Any) -> Any:
        """A ``concurrent.futures.Executor`` that runs on this client's workers.

        Parameters
        ----------
        **kwargs
            Options for every call: ``pure`` (False by default), ``workers``, ``retries``, ``resources``, ``priority``, ``allow_other_workers``.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client, client.get_executor() as executor:
        ...     list(executor.map(abs, [-1, -2]))
        [1, 2]
        """
        from kask.distributed.executor import ClientExecutor

        return ClientExecutor(cast("Client", self), **kwargs)

    def write_scheduler_file(self, scheduler_file: str | os.PathLike) -> None:
        """Write a file that other processes hand to ``Client(scheduler_file=...)``. Only its owner can read it, for it names the token.

        Parameters
        ----------
        scheduler_file : path

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("inproc") as client:
        ...     client.write_scheduler_file("scheduler.json")
        Traceback (most recent call last):
        kask.exceptions.ClusterError: no other process can reach a scheduler whose workers are threads of this process
        """
        if self.cluster is not None:
            self.cluster.write_scheduler_file(scheduler_file)
        else:
            write_scheduler_file(scheduler_file, self._engine.address, self._security)


def _in_background(function: Callable[..., Any], *args: Any) -> None:
    """Call without waiting; nobody is there to hear of a failure."""

    def body() -> None:
        try:
            function(*args)
        except Exception as error:
            logging.getLogger("kask").info("a call that nobody waits for failed: %s", error)

    threading.Thread(target=body, name="kask-call", daemon=True).start()


def _versions(packages: Sequence[str]) -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version(), "platform": sys.platform}
    for name in packages:
        try:
            found[name] = __version__ if name == "kask" else version(name)
        except PackageNotFoundError:
            continue
    return found


def _compare(here: dict[str, str], scheduler: dict[str, str], workers: dict[str, Any]) -> None:
    differences = []
    ends = {
        "the scheduler": scheduler,
        **{f"worker {address}": found for address, found in workers.items() if isinstance(found, dict)},
    }
    for end, found in ends.items():
        for name, version in found.items():
            mine = here.get(name)
            if name == "python":
                mine, version = ".".join((mine or "").split(".")[:2]), ".".join(version.split(".")[:2])
            if mine is not None and mine != version:
                differences.append(f"{name} is {version} on {end} and {mine} here")
    if differences:
        raise VersionMismatchError("; ".join(differences), hint="install the same versions on all machines")
