"""What is simplest to say in Python: exceptions as plain data and back, stub tracebacks, coroutines, awaiting.

Compiled into the extension module; nothing imports it by name. asyncio takes most of 0.1 s to import, so only those do it who use it.
"""

import _thread
import contextlib
import contextvars
import linecache
import sys
import threading
import traceback
from collections import deque
from itertools import chain
from operator import is_
from types import GetSetDescriptorType, MemberDescriptorType, TracebackType

_MAX_CHAIN = 50


# -- warnings --------------------------------------------------------------------------------------------


def warn(text):
    """Warn at the line of the user's that called Kask."""
    import warnings

    frame, level = sys._getframe(1), 2
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in ("kask", "concurrent"):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, UserWarning, stacklevel=level)


# -- exceptions ------------------------------------------------------------------------------------------


def frames_of(tb):
    """[(file, function, line, source line)], outermost first."""
    frames = []
    while tb is not None:
        code = tb.tb_frame.f_code
        # Through the frame's globals, so that code out of zip files and notebooks has lines as well.
        line = linecache.getline(code.co_filename, tb.tb_lineno, tb.tb_frame.f_globals)
        frames.append((code.co_filename, code.co_name, tb.tb_lineno, line))
        tb = tb.tb_next
    return frames


def format_exception(error):
    """The text that Python would print."""
    try:
        return "".join(traceback.format_exception(error))
    except Exception as problem:
        # A broken __str__ or __notes__ must not hide that the task failed.
        return f"{type(error).__qualname__} (which cannot be printed: {type(problem).__name__})\n"


def text_of(error):
    """``str(error)``, whatever happens."""
    try:
        return str(error)
    except Exception as problem:
        return f"<no text: {type(problem).__name__}>"


def encode_exception(error, dumps):
    """The exception and those it is chained to, each as a tuple of plain values; the first one is ``error``."""
    entries, places = [], {}

    def place_of(error):
        if error is None or len(entries) >= _MAX_CHAIN:
            return -1
        if id(error) in places:
            return places[id(error)]
        place = places[id(error)] = len(entries)
        entries.append(None)
        pending.append((place, error))
        return place

    pending = []
    place_of(error)
    while pending:
        place, one = pending.pop()
        try:
            pickled = dumps(one)
        except BaseException:
            pickled = None
        text = "" if pickled is not None else "".join(traceback.format_exception(one, chain=False))
        entries[place] = (
            pickled,
            type(one).__qualname__,
            text_of(one),
            text,
            frames_of(one.__traceback__),
            place_of(one.__cause__),
            place_of(one.__context__),
            one.__suppress_context__,
        )
    return entries


def decode_exception(entries, loads, whole_text):
    """(exception, traceback): what ``encode_exception`` described, chained as it was."""
    from kask.exceptions import RemoteError

    made = []
    for number, (pickled, type_name, message, text, frames, _, _, _) in enumerate(entries):
        error = None
        if pickled is not None:
            try:
                error = loads(pickled)
            except BaseException as problem:
                # Its class is not here, or cannot be called the way pickle does.
                text = text or (whole_text if number == 0 else "")
                hint = f"the exception could not be unpickled here ({type(problem).__name__}: {text_of(problem)})"
        else:
            hint = "the exception could not be pickled"
        tb = make_traceback(frames)
        if isinstance(error, BaseException):
            error.__traceback__ = tb
        else:
            error = RemoteError(type_name, message, text, hint=hint if pickled is None or error is None else None)
        made.append((error, tb))
    for (error, _), (_, _, _, _, _, cause, context, suppress) in zip(made, entries):
        if cause >= 0:
            error.__cause__ = made[cause][0]
        if context >= 0:
            error.__context__ = made[context][0]
        error.__suppress_context__ = suppress
    return made[0]


def to_raise(error):
    """A copy of an exception: the frames that it passes through when it is raised are the copy's alone. Who keeps the exception would keep
    them otherwise, with all that is in them, such as the future that keeps the exception.

    Its class is not called with arguments that it may not take. An exception that cannot be copied so is given back itself."""
    if isinstance(error, SystemExit):
        return instead_of_exit(error)
    kind = type(error)
    try:
        copy = kind.__new__(kind, *error.args)
        if type(copy) is not kind:
            return error
        for base in kind.__mro__:
            for name, slot in vars(base).items():
                is_slot = isinstance(slot, (MemberDescriptorType, GetSetDescriptorType))
                if is_slot and name not in ("__dict__", "__weakref__") and hasattr(error, name):
                    # What cannot be set, such as the exceptions of a group, came with the arguments.
                    with contextlib.suppress(AttributeError, TypeError):
                        setattr(copy, name, getattr(error, name))
        copy.__dict__.update(error.__dict__)
        # To set the cause has changed it.
        copy.__suppress_context__ = error.__suppress_context__
        is_same = len(copy.args) == len(error.args) and all(map(is_, copy.args, error.args))
        is_same = is_same and text_of(copy) == text_of(error)
    except Exception:
        return error
    return copy if is_same else error


def instead_of_exit(error):
    """What is raised for a task that called ``sys.exit()``. SystemExit itself would end the program that asks for the result, without a word."""
    from kask.exceptions import RemoteError

    told = RemoteError(
        "SystemExit", text_of(error), hint="the task called sys.exit(); to end with a result it returns one"
    )
    told.__cause__ = error
    return told


# One expression that gives its own frame. Its location table is replaced by one without columns, because those of
# this line would be drawn under another one.
_STUB = compile("frame = get_frame()", "<stub>", "exec")


def _table_without_columns(code):
    left, table = len(code.co_code) // 2, bytearray()
    while left > 0:
        length = min(left, 8)
        table += bytes((0x80 | 13 << 3 | length - 1, 0))
        left -= length
    return bytes(table)


_STUB = _STUB.replace(co_linetable=_table_without_columns(_STUB))


def make_traceback(frames):
    """A traceback object that names these frames; None when there are none."""
    codes, scopes = [], []
    for file, name, line, source in frames:
        if source and not linecache.getline(file, line):
            _remember_line(file, line, source)
        codes.append(_STUB.replace(co_filename=file, co_name=name, co_qualname=name, co_firstlineno=max(line, 1)))
        scopes.append({"__name__": "<remote>", "__file__": file, "get_frame": sys._getframe})
    _run_from_no_frame(codes, scopes)
    tb = None
    for scope, (_, _, line, _) in zip(reversed(scopes), reversed(frames)):
        frame = scope.pop("frame")
        scope.pop("get_frame")
        tb = TracebackType(tb, frame, frame.f_lasti, max(line, 1))
    return tb


def _run_from_no_frame(codes, scopes):
    """Runs each code in its scope, in a thread of its own and from functions that have no frames: a frame keeps the one that it was called
    from, and so all that is in the program that asks for an exception."""
    if not codes:
        return
    done = threading.Lock()
    done.acquire()
    steps = chain(map(exec, codes, scopes), iter(done.release, None))
    try:
        _thread.start_new_thread(deque, (steps, 0))
        done.acquire()
    except RuntimeError:
        # There are no more threads.
        deque(map(exec, codes, scopes), 0)


def _remember_line(file, line, source):
    # The file is not on this machine. An entry without a modification time is never checked against the disk.
    _, _, lines, _ = linecache.cache.get(file, (0, None, [], file)) if _is_ours(file) else (0, None, [], file)
    lines = list(lines)
    lines.extend("\n" for _ in range(line - len(lines)))
    lines[line - 1] = source if source.endswith("\n") else source + "\n"
    linecache.cache[file] = (len(lines), None, lines, file)


def _is_ours(file):
    entry = linecache.cache.get(file)
    return entry is not None and len(entry) == 4 and entry[1] is None


# -- coroutines --------------------------------------------------------------------------------------------

current_task = contextvars.ContextVar("kask_current_task", default=None)
_loop = None
_loop_lock = threading.Lock()


def coroutine_loop():
    """The event loop on which this process's coroutine tasks run, in a thread of its own."""
    import asyncio

    global _loop
    with _loop_lock:
        if _loop is None or not _loop.is_running():
            ready = threading.Event()
            loop = asyncio.new_event_loop()
            loop.call_soon(ready.set)
            threading.Thread(target=loop.run_forever, name="kask-coroutines", daemon=True).start()
            ready.wait()
            _loop = loop
        return _loop


def start_coroutine(awaitable, job, done):
    """Run ``awaitable`` on the loop, with ``job`` as the current task; ``done(task)`` at its end."""
    loop = coroutine_loop()
    context = contextvars.copy_context()
    context.run(current_task.set, job)

    async def run():
        return await awaitable

    def begin():
        loop.create_task(run(), context=context).add_done_callback(done)

    loop.call_soon_threadsafe(begin)


def run_coroutine(awaitable):
    """The result of ``awaitable``, for calls outside of tasks."""
    import asyncio

    async def run():
        return await awaitable

    return asyncio.run_coroutine_threadsafe(run(), coroutine_loop()).result()


# -- awaiting futures --------------------------------------------------------------------------------------


async def until_done(future, timeout):
    """Return when ``future`` has ended, without blocking the event loop."""
    if future.done():
        return
    import asyncio

    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake():
        if not waiter.done():
            waiter.set_result(None)

    def ended(_):
        try:
            loop.call_soon_threadsafe(wake)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            pass

    future.add_done_callback(ended)
    try:
        await asyncio.wait_for(waiter, timeout)
    except TimeoutError:
        raise TimeoutError(f"{future.key} did not end within {timeout:g} s") from None


async def awaited(future, outcome, timeout, fetches):
    """A future's result, exception or traceback once it has ended; off the event loop's thread when it has to be fetched."""
    if future.engine.kind == "sync":
        # Whoever waits runs the tasks.
        return future._now(outcome)
    await until_done(future, timeout)
    if fetches:
        from kask.distributed.aio import in_thread

        return await in_thread(future._now, outcome)
    return future._now(outcome)


# -- threads -------------------------------------------------------------------------------------------------


def start_thread(name, body):
    """A daemon thread that calls ``body``."""
    thread = threading.Thread(target=body, name=name, daemon=True)
    thread.start()
    return thread


# -- results ---------------------------------------------------------------------------------------------


def arrow_copy(columns):
    """A table or record batch with buffers of its own, which hold what it shows."""
    import pyarrow

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, columns.schema) as stream:
        stream.write(columns)
    reader = pyarrow.ipc.open_stream(sink.getvalue())
    return reader.read_next_batch() if isinstance(columns, pyarrow.RecordBatch) else reader.read_all()
