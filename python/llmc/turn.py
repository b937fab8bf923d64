"""One call at a time: a turn that is taken without waiting, or not at all."""

import os
import threading
import weakref

from .errors import Error

_turns = weakref.WeakSet()


class Turn:
    """`with turn:` holds it; whoever finds it held gets Error (BUSY) at once, however close the two calls are.

    In a child of fork, threads that held a turn are gone: it is free again, and `broken` says that what they were at was
    left in the middle.
    """

    def __init__(self, what):
        self._what = what
        self._lock = threading.Lock()
        self._holder = None
        self.broken = False
        _turns.add(self)

    def __enter__(self):
        if not self._lock.acquire(blocking=False):
            who = "this" if self._holder == threading.get_ident() else "another"
            raise Error("BUSY", f"{self._what} is busy with a call of {who} thread; give each thread a Model of its own")
        self._holder = threading.get_ident()
        return self

    def __exit__(self, *unused):
        self._holder = None
        self._lock.release()

    def _after_fork(self):
        if self._lock.locked() and self._holder != threading.get_ident():
            self._lock, self._holder, self.broken = threading.Lock(), None, True


def _after_fork():
    for turn in list(_turns):
        turn._after_fork()


os.register_at_fork(after_in_child=_after_fork)
