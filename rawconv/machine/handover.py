"""Work handed to threads that wait awake, from one compiled loop to another: under a microsecond.

A helper of threads.py that is handed a Python function must be woken and then wants the
interpreter's lock, which takes 10 to 50 microseconds.  Here the work is a compiled loop over a range,
the address of its machine code and its arguments lie in a box, an array of int64 that all threads
see, and nobody needs the interpreter.  A helper watches the box for a bounded time, then goes to sleep.

    run = ranges(function)     function(first, last, thread, *arguments), compiled by @loop
    run(box, total, size, arguments, shared, after)    calls it for all pieces of `size` of range(total)
    watch(box, thread, calls, most)                    what a helper does meanwhile

The box is one caller's at a time; who finds it taken does the work alone.  The number of the
GENERATION is odd while work is to be had.  A helper counts itself INSIDE before it looks again
whether it still is, and the caller returns when nobody is inside: so work that is over is never
begun, and the arguments outlive those who use them.

Pieces are taken in their order.  Where one needs others, it waits until as many are FINISHED as `after`
says: work in several steps is then handed over once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .atomics import add, call, let_others_run, look, matrix_at, on_stack, pause, swap, task_of
from .numba_cache import loop

# places in the box, a cache line apart where several threads write
GENERATION, NEXT, INSIDE, AWAKE, OWNED, CALLS, FAILED, FINISHED = range(0, 64, 8)
TASK, ARGUMENTS, TOTAL, SIZE, AFTER = range(64, 69)
BOX = 72
DONE, TAKEN = 0, -1  # what a run returns; or 1 + the first of a piece that raised
PATIENCE = 2000  # looks at what others have yet to do, before a thread lets other programs run


def ranges(function: Any) -> Callable[..., int]:
    """Compile run(box, total, size, arguments, shared, after) for a loop function(first, last, thread, *arguments).

    after: empty, or for each piece, of size 1, how many from the first on must be done before it begins.
    """
    address = task_of(function)

    def run(box, total, size, arguments, shared, after):  # type: ignore[no-untyped-def]
        task, values = address(arguments), on_stack(arguments)
        if not shared:
            for first in range(0, total, size):
                failed = call(task, values, first, min(first + size, total), 0)
                if failed:
                    return failed
            return DONE
        return share(box, task, values, total, size, after)

    return loop(run, origin=function.py_func)


@loop
def share(box, task, values, total, size, after):  # type: ignore[no-untyped-def]
    """Do the pieces with the help of all who watch the box; returns as run does."""
    if not swap(box, OWNED, 0, 1):
        return TAKEN
    box[TASK], box[ARGUMENTS], box[TOTAL], box[SIZE] = task, values, total, size
    box[AFTER] = after.ctypes.data if len(after) else 0
    box[NEXT], box[FAILED], box[FINISHED] = 0, 0, 0
    add(box, GENERATION, 1)
    take(box, 0)
    add(box, GENERATION, 1)
    looks = 0
    while look(box, INSIDE):
        looks = wait(looks)
    failed = box[FAILED]
    swap(box, OWNED, 1, 0)
    return failed


@loop
def wait(looks):  # type: ignore[no-untyped-def]
    """Wait a little, after so many looks; returns how many there are now."""
    if looks < PATIENCE:
        pause()
    else:  # the system gave the others' processor to other programs
        let_others_run()
    return looks + 1


@loop
def watch(box, thread, calls, most):  # type: ignore[no-untyped-def]
    """Help with all that is handed over, until `most` looks in a row found nothing, or somebody calls."""
    add(box, AWAKE, 1)
    latest, left = 0, most
    while left > 0 and look(box, CALLS) == calls:
        generation = look(box, GENERATION)
        if generation != latest and generation % 2:
            add(box, INSIDE, 1)
            if look(box, GENERATION) == generation:
                take(box, thread)
            add(box, INSIDE, -1)
            latest, left = generation, most
        pause()
        left -= 1
    add(box, AWAKE, -1)


@loop
def take(box, thread):  # type: ignore[no-untyped-def]
    """Do the pieces that no other thread has taken."""
    while True:
        first = add(box, NEXT, box[SIZE])
        if first >= box[TOTAL]:
            return
        if box[AFTER]:
            wait_for(box, matrix_at(box[AFTER], (box[TOTAL],), box)[first])
        last = min(first + box[SIZE], box[TOTAL])
        failed = call(box[TASK], box[ARGUMENTS], first, last, thread)
        if failed:
            swap(box, FAILED, 0, failed)
        if box[AFTER]:
            add(box, FINISHED, 1)


@loop
def wait_for(box, count):  # type: ignore[no-untyped-def]
    """Wait until so many pieces are finished: those before, since none that waits for them can be."""
    looks = 0
    while look(box, FINISHED) < count:
        looks = wait(looks)
