"""Blocking calls of the engine as awaitables: each runs in a thread of its own, which ends with it."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import asyncio

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Await ``function(*args, **kwargs)``, run in a daemon thread.

    Not ``asyncio.to_thread``: its few threads could all be waiting for tasks that a further call would have to submit, and the
    interpreter would wait for them at exit.
    """
    import asyncio

    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def body() -> None:
        try:
            result = context.run(function, *args, **kwargs)
        except BaseException as error:
            _tell(loop, future, None, error)
        else:
            _tell(loop, future, result, None)

    threading.Thread(target=body, name="kask-call", daemon=True).start()
    return await future


def _tell(loop: asyncio.AbstractEventLoop, future: asyncio.Future, result: Any, error: BaseException | None) -> None:
    def set_it() -> None:
        if not future.cancelled():
            if error is None:
                future.set_result(result)
            elif isinstance(error, StopIteration):
                future.set_exception(RuntimeError(str(error)))
            else:
                future.set_exception(error)

    try:
        loop.call_soon_threadsafe(set_it)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return
