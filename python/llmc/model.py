"""A compiled model, called through its C interface (llmc/Runtime/llmc.h)."""

import array
import ctypes
import heapq
import math
import operator
import os
import random
import threading
import weakref

from . import native
from .artifact import Artifact
from .errors import Error
from .graph import run_graph
from .turn import Turn


class Model:
    """A compiled model: `Model("build/small")` opens build/small.json, .safetensors and .so.

    One object holds one sequence (or, without a cache, none: `run`). Usable in a `with` statement. It may be called from any
    thread of Python, by one at a time: a call while another one runs raises Error (BUSY) instead of waiting, and so does a
    call that would go on with a sequence that another thread began. Threads that work at the same time take a Model each;
    their weights are shared with map_weights=True. In a child of fork it works on, with threads of the child's own.

    threads: how many work on each call, which results do not depend on; at most as many as this process has processors,
    since more wait for each other, unless exactly=True. context: positions of the sequence, at most what was compiled,
    which is the default. map_weights: leave weights in the pages of their file, which processes share, instead of moving
    them into huge pages while the model runs. `info` is the JSON of the artifact; `vocab`, `context` are numbers (None for
    models without), `stop_ids` the ids that end a text.
    Raises Error: BAD_ARTIFACT for files that are missing, do not belong together or are for another machine;
    BAD_ARGUMENT for a context that was not compiled.
    """

    def __init__(self, base, threads=1, context=None, map_weights=False, exactly=False):
        self._artifact = None
        self._buffers = []
        self._round = 0
        self._owner = None  # the thread that began the sequence
        self._stream = None  # a weak reference to the stream that reads from it
        self._exactly = exactly
        self._turn = Turn(os.fspath(base))
        self._artifact = Artifact(base, map_weights)
        self.info = self._artifact.info
        self._steps = self.info["role"] == "step"
        try:
            self.vocab = self.info.get("vocab")
            self._chunk = self.info["chunk"] if self._steps else self.info.get("max_tokens") or 0
            self.stop_ids = tuple(self.info.get("stop_ids") or ())
            self.context = self._checked_context(context)
            self._start(threads)
        except BaseException:
            self.close()
            raise

    def _checked_context(self, context):
        base, limit = self._artifact.base, self.info.get("context")
        if not self._steps:
            if context is not None:
                raise Error("BAD_ARGUMENT", f"{base}: has no cache (role 'run'), so no context")
            return None
        context = limit if context is None else operator.index(context)
        if not 1 <= context <= limit:
            raise Error("BAD_ARGUMENT", f"{base}: expected a context of 1 to {limit}, found {context}")
        return context

    def _start(self, threads):
        """Plans memory for so many threads and begins an empty sequence."""
        threads = operator.index(threads)
        if not 1 <= threads <= 1024:
            raise Error("BAD_ARGUMENT", f"expected 1 to 1024 threads, found {threads}")
        self._release()
        pool = native.ThreadPool(threads, self._exactly)
        self._buffers.append(pool)
        call, base = self._artifact, self._artifact.base
        arena, cache = ctypes.c_uint64(), ctypes.c_uint64()
        code = call.sizes(self.context or 0, self._chunk, pool.count, ctypes.byref(arena), ctypes.byref(cache))
        call.check(code, "sizes")
        for size, purpose in ((arena.value, "arena"), (cache.value, "cache")):
            self._buffers.append(native.PageBuffer(size, f"the {purpose} of {base}"))
        self._model, self._state = native.ModelState(), native.SequenceState()
        _, memory, kv = self._buffers
        call.check(call.init(ctypes.addressof(self._model), memory.address, call.weights, pool.pointer), "init")
        self._threads = threads
        if self._steps:
            call.check(call.state_init(ctypes.addressof(self._state), kv.address), "state_init")
            self._state.context = self.context
            self._logits = array.array("f", bytes(4 * self.vocab))
        self._round += 1

    def _release(self):
        while self._buffers:
            self._buffers.pop().close()

    def close(self):
        """Gives back memory, threads, weights and code. The object cannot be used afterwards; closing twice is fine. Raises
        Error (BUSY) while another thread's call runs.
        """
        with self._turn:
            artifact, self._artifact = self._artifact, None
            if not self._turn.broken:
                self._release()
            if artifact is not None:
                artifact.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def __del__(self):
        if getattr(self, "_artifact", None) is not None:
            self.close()

    @property
    def length(self):
        """Positions that the sequence holds."""
        self._opened()
        return self._state.length

    def reset(self):
        """Forgets the sequence."""
        with self._turn:
            self._ready("step")
            self._begin()

    def take_over(self):
        """Makes the sequence this thread's, which may then go on with it; for programs that hand one from thread to thread."""
        with self._turn:
            self._ready("step")
            self._own()

    def _opened(self):
        if self._artifact is None:
            raise Error("BAD_ARGUMENT", "the model is closed")

    def _ready(self, role):
        """What each call asks first, in its turn."""
        self._opened()
        if self._turn.broken:
            # A thread that fork left behind was at work: what it was at is given up, and nothing of it is touched.
            self._turn.broken, self._buffers, self._stream = False, [], None
            self._start(self._threads)
        if self._steps == (role == "step"):
            return
        raise Error("UNSUPPORTED", f"{self._artifact.base}: " + (
            "has a cache (role 'step'): use generate, stream, logits, prefill or decode" if self._steps else
            "has no cache (role 'run'): use run"))

    def _own(self):
        me = threading.get_ident()
        stream = self._stream and self._stream()
        if stream is not None and stream.holder not in (None, me):
            raise Error("BUSY", f"{self._artifact.base} is read by a stream of another thread; finish or close() it, or give "
                        "each thread a Model of its own")
        if self._owner != me:
            # What another thread was given of the old logits stays as it was.
            self._owner, self._logits = me, array.array("f", bytes(4 * self.vocab))
        self._round += 1

    def _begin(self):
        """An empty sequence of this thread."""
        self._own()
        self._state.length = 0

    def _go_on(self):
        """This thread may add to the sequence: it is its own, or empty."""
        if self._state.length and self._owner != threading.get_ident():
            raise Error("BUSY", f"{self._artifact.base}: the sequence was begun by another thread; reset() it, take_over(), or "
                        "give each thread a Model of its own")
        self._own()

    def _checked(self, ids, more=0):
        """The ids as a C array, when they and `more` new ones fit behind the sequence."""
        if self.info["inputs"][0]["type"] == "f32":
            raise Error("UNSUPPORTED", f"{self._artifact.base}: takes rows of floats, not ids")
        ids = [operator.index(value) for value in ids]
        if not ids:
            raise Error("BAD_ARGUMENT", "expected at least one id")
        limit = self.info.get("id_limit", self.vocab)
        for position, value in enumerate(ids):
            if not 0 <= value < limit:
                raise Error("BAD_TOKEN", f"id {value} at position {position} is outside the vocabulary of {limit} ids")
        needed = self._state.length + len(ids) + more
        if needed > self.context:
            raise Error("CONTEXT_FULL", f"{needed} positions are needed, but the context has {self.context}")
        return (ctypes.c_int32 * len(ids))(*ids)

    def _feed(self, ids, logits, row=None):
        """Feeds the ids in chunks. row: bytes between rows of logits for all ids; None keeps those of the last."""
        call, name = (self._artifact.prefill, "prefill") if row is None else (self._artifact.prefill_all, "prefill_all")
        before, target = self._state.length, logits.buffer_info()[0]
        self._state.announced = before + len(ids)  # as if it were one call
        for start in range(0, len(ids), self._chunk):
            count = min(self._chunk, len(ids) - start)
            code = call(ctypes.addressof(self._model), ctypes.addressof(self._state), ctypes.addressof(ids) + 4 * start,
                        count, target + (row or 0) * start)
            if code:
                self._state.length, self._state.announced = before, 0
                self._artifact.check(code, name)
        self._state.announced = 0

    def prefill(self, ids):
        """Feeds ids behind the sequence. Returns the logits of the last: a memoryview of f32 [vocab], which the next call
        overwrites. Raises Error: BAD_TOKEN, CONTEXT_FULL, BAD_ARGUMENT (no ids); the sequence is unchanged then.
        """
        with self._turn:
            self._ready("step")
            ids = self._checked(ids)
            self._go_on()
            self._feed(ids, self._logits)
            return memoryview(self._logits)

    def decode(self, token):
        """Feeds one id through the cache. Returns and raises as `prefill`."""
        with self._turn:
            self._ready("step")
            ids = self._checked([token])
            self._go_on()
            return self._decode(ids)

    def _decode(self, ids):
        states = (ctypes.c_void_p * 1)(ctypes.addressof(self._state))
        code = self._artifact.decode(ctypes.addressof(self._model), ctypes.addressof(states), ctypes.addressof(ids), 1,
                                     self._logits.buffer_info()[0])
        self._artifact.check(code, "decode")
        return memoryview(self._logits)

    def logits(self, ids):
        """Begins anew with these ids. Returns the logits of each: a memoryview of f32 [len(ids), vocab] (numpy.asarray
        takes it without a copy). Raises as `prefill`.
        """
        with self._turn:
            self._ready("step")
            self._begin()
            ids = self._checked(ids)
            result = array.array("f", bytes(4 * self.vocab * len(ids)))
            self._feed(ids, result, row=4 * self.vocab)
            return memoryview(result).cast("B").cast("f", [len(ids), self.vocab])

    def run(self, inputs=None, outputs=None, **more):
        """Runs a model without a cache (an encoder, say) once. Inputs by name, in a dict or as keywords:

            hidden = model.run(input_ids=ids, attention_mask=mask)["last_hidden_state"]

        Each is a numpy array (or what numpy reads), a buffer, or nested lists of numbers. Integers of any width and booleans
        go where integers are wanted, when they fit; a float must be one of at most 32 bits, but that numbers in lists are
        rounded to it; a mask of integers or booleans may feed one of floats. Dimensions of one name are equal in all inputs;
        a batch is its first. Not given: token_type_ids are 0, attention_mask is 1, position_ids count.

        Returns {name: value} of all outputs, or of those named in `outputs`: numpy arrays when an input is one, else
        memoryviews with a shape (`.tolist()` makes lists). They are the caller's, and no later call writes into them. Raises
        Error with the input at fault: BAD_ARGUMENT, BAD_TOKEN.
        """
        given = {**(inputs or {}), **more}
        with self._turn:
            self._ready("run")

            def call(arguments, results):
                code = self._artifact.run(ctypes.addressof(self._model), ctypes.addressof(arguments), ctypes.addressof(results))
                self._artifact.check(code, "run")

            return run_graph(self.info, given, outputs, call)

    def _choose(self, temperature, top_k, generator):
        """An id by the logits: the likeliest, the lowest of equals, at temperature 0; else one of the `top_k` likeliest by
        their probabilities.
        """
        if not math.isfinite(sum(self._logits)):
            raise Error("NOT_FINITE", f"{self._artifact.base}: logits that are not finite at position {self.length - 1}")
        largest = max(self._logits)
        if temperature == 0 or top_k == 1:
            return self._logits.index(largest)
        ids = range(self.vocab)
        if top_k:
            ids = heapq.nsmallest(top_k, ids, key=lambda i: (-self._logits[i], i))
        return generator.choices(ids, [math.exp((self._logits[i] - largest) / temperature) for i in ids])[0]

    def _checked_stop(self, stop_ids):
        if stop_ids is None:
            return frozenset(self.stop_ids)
        stop = frozenset(operator.index(value) for value in stop_ids)
        for value in sorted(stop):
            if not 0 <= value < self.vocab:
                raise Error("BAD_TOKEN", f"stop id {value} is outside the vocabulary of {self.vocab} ids")
        return stop

    def _begin_text(self, ids, n, temperature, top_k, seed, stop_ids):
        """Checks the arguments of `stream` and feeds the ids. Returns n, how ids are chosen, and which stop."""
        n, top_k, temperature = operator.index(n), operator.index(top_k), float(temperature)
        if n < 0:
            raise Error("BAD_ARGUMENT", f"expected 0 or more new ids, found {n}")
        if not 0 <= temperature < math.inf:
            raise Error("BAD_ARGUMENT", f"expected a temperature of 0 or more, found {temperature}")
        if top_k < 0:
            raise Error("BAD_ARGUMENT", f"expected top_k of 0 or more, found {top_k}")
        stop = self._checked_stop(stop_ids)
        self._begin()
        ids = self._checked(ids, more=max(n - 1, 0))
        self._feed(ids, self._logits)
        return n, (temperature, top_k, random.Random(seed)), stop

    def stream(self, ids, n, temperature=0.0, top_k=0, seed=0, stop_ids=None):
        """Begins anew with these ids. Returns an iterator over at most n new ids, which ends behind the first stop id: that is
        the last one it gives.

        temperature: 0 takes the likeliest id each time, the lowest of equals; above it ids are drawn by
        softmax(logits / temperature). top_k: only among so many likeliest, 0: among all. seed: the same gives the same ids.
        stop_ids: the ids that stop it; None: those of the model (`Model.stop_ids`), (): none.

        The model is that iterator's until it ends, is closed or dropped: other threads get Error (BUSY). A call of the thread
        that read from it last goes before it; the iterator then raises BAD_ARGUMENT.
        Raises as `prefill`, before the first id, and BAD_ARGUMENT for a negative or infinite option.
        """
        with self._turn:
            self._ready("step")
            stream = Stream(self, *self._begin_text(ids, n, temperature, top_k, seed, stop_ids))
            self._stream = weakref.ref(stream)
            return stream

    def generate(self, ids, n, threads=None, temperature=0.0, top_k=0, seed=0, stop_ids=None):
        """Begins anew with these ids and returns a list of at most n new ones, greedy unless there is a temperature; a stop id
        is the last of them. See `stream`.

        threads: changes how many work from now on, which results do not depend on.
        """
        with self._turn:
            self._ready("step")
            if threads is not None and threads != self._threads:
                self._own()
                self._start(threads)
            n, choice, stop = self._begin_text(ids, n, temperature, top_k, seed, stop_ids)
            result = []
            while len(result) < n and not (result and result[-1] in stop):
                if result:
                    self._decode((ctypes.c_int32 * 1)(result[-1]))
                result.append(self._choose(*choice))
            return result


class Stream:
    """New ids one by one; made by `Model.stream`."""

    def __init__(self, model, n, choice, stop):
        self._model, self._left, self._choice, self._stop = model, n, choice, stop
        self._begun, self._last, self._ended = model._round, None, n == 0
        self.holder = None if self._ended else threading.get_ident()

    def __iter__(self):
        return self

    def __next__(self):
        if self._ended:
            raise StopIteration
        with self._model._turn:
            if self._ended:
                raise StopIteration
            try:
                return self._advance()
            except BaseException:
                self._end()
                raise

    def _advance(self):
        model = self._model
        model._ready("step")
        if model._round != self._begun:
            raise Error("BAD_ARGUMENT", "the sequence was changed while new ids were read from it")
        if self._last is not None:
            model._decode((ctypes.c_int32 * 1)(self._last))
        self._last, self._left = model._choose(*self._choice), self._left - 1
        self.holder = threading.get_ident()
        if not self._left or self._last in self._stop:
            self._end()
        return self._last

    def _end(self):
        self._ended, self.holder = True, None

    def close(self):
        """Ends it; the model is free for others. Raises Error (BUSY) while another thread reads from it."""
        with self._model._turn:
            self._end()
