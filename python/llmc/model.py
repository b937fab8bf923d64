"""A compiled model with a cache, called through its C interface (llmc/Runtime/llmc.h)."""

import array
import ctypes
import heapq
import math
import operator
import os
import random

from . import native
from .artifact import Artifact
from .errors import Error


class Model:
    """A compiled model: `Model("build/small")` opens build/small.json, .safetensors and .so.

    One object holds one sequence; it is for one thread of Python at a time. Usable in a `with` statement.

    threads: how many work on each call, which results do not depend on; at most as many as this process has processors,
    since more wait for each other, unless exactly=True. context: positions of the sequence, at most what was compiled,
    which is the default. map_weights: leave weights in the pages of their file, which processes share, instead of moving
    them into huge pages while the model runs. `info` is the JSON of the artifact; `vocab` and `context` are numbers.
    Raises Error: BAD_ARTIFACT for files that are missing, do not belong together or are for another machine;
    UNSUPPORTED for a model without a cache, which llmc-run runs; BAD_ARGUMENT for a context that was not compiled.
    """

    def __init__(self, base, threads=1, context=None, map_weights=False, exactly=False):
        self._artifact = None
        self._buffers = []
        self._round = 0
        self._exactly = exactly
        self._artifact = Artifact(base, map_weights)
        self.info = self._artifact.info
        try:
            if self.info["role"] != "step":
                raise Error("UNSUPPORTED", f"{os.fspath(base)}: has no cache (role 'run'); llmc-run takes its inputs")
            self.vocab, self._chunk = self.info["vocab"], self.info["chunk"]
            self.context = self.info["context"] if context is None else operator.index(context)
            if not 1 <= self.context <= self.info["context"]:
                limit = self.info["context"]
                raise Error("BAD_ARGUMENT", f"{os.fspath(base)}: expected a context of 1 to {limit}, found {self.context}")
            self._start(threads)
        except BaseException:
            self.close()
            raise

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
        code = call.sizes(self.context, self._chunk, pool.count, ctypes.byref(arena), ctypes.byref(cache))
        call.check(code, "sizes")
        for size, purpose in ((arena.value, "arena"), (cache.value, "cache")):
            self._buffers.append(native.PageBuffer(size, f"the {purpose} of {base}"))
        self._model, self._state = native.ModelState(), native.SequenceState()
        _, memory, kv = self._buffers
        call.check(call.init(ctypes.addressof(self._model), memory.address, call.weights, pool.pointer), "init")
        call.check(call.state_init(ctypes.addressof(self._state), kv.address), "state_init")
        self._state.context = self.context
        self._threads = threads
        self._logits = array.array("f", bytes(4 * self.vocab))
        self._round += 1

    def _release(self):
        while self._buffers:
            self._buffers.pop().close()

    def close(self):
        """Gives back memory, threads, weights and code. The object cannot be used afterwards; closing twice is fine."""
        self._release()
        if self._artifact is not None:
            self._artifact.close()
        self._artifact = None

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
        self._opened()
        self._state.length = 0
        self._round += 1

    def _opened(self):
        if self._artifact is None:
            raise Error("BAD_ARGUMENT", "the model is closed")

    def _checked(self, ids, more=0):
        """The ids as a C array, when they and `more` new ones fit behind the sequence."""
        self._opened()
        ids = [operator.index(value) for value in ids]
        if not ids:
            raise Error("BAD_ARGUMENT", "expected at least one id")
        for position, value in enumerate(ids):
            if not 0 <= value < self.vocab:
                raise Error("BAD_TOKEN", f"id {value} at position {position} is outside the vocabulary of {self.vocab} ids")
        needed = self._state.length + len(ids) + more
        if needed > self.context:
            raise Error("CONTEXT_FULL", f"{needed} positions are needed, but the context has {self.context}")
        return (ctypes.c_int32 * len(ids))(*ids)

    def _feed(self, ids, logits, row=None):
        """Feeds the ids in chunks. row: bytes between rows of logits for all ids; None keeps those of the last."""
        call, name = (self._artifact.prefill, "prefill") if row is None else (self._artifact.prefill_all, "prefill_all")
        before, target = self._state.length, logits.buffer_info()[0]
        for start in range(0, len(ids), self._chunk):
            count = min(self._chunk, len(ids) - start)
            code = call(ctypes.addressof(self._model), ctypes.addressof(self._state), ctypes.addressof(ids) + 4 * start,
                        count, target + (row or 0) * start)
            if code:
                self._state.length = before
                self._artifact.check(code, name)

    def prefill(self, ids):
        """Feeds ids behind the sequence. Returns the logits of the last: a memoryview of f32 [vocab], which the next call
        overwrites. Raises Error: BAD_TOKEN, CONTEXT_FULL, BAD_ARGUMENT (no ids); the sequence is unchanged then.
        """
        ids = self._checked(ids)
        self._round += 1
        self._feed(ids, self._logits)
        return memoryview(self._logits)

    def decode(self, token):
        """Feeds one id through the cache. Returns and raises as `prefill`."""
        ids = self._checked([token])
        self._round += 1
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
        self.reset()
        ids = self._checked(ids)
        result = array.array("f", bytes(4 * self.vocab * len(ids)))
        self._feed(ids, result, row=4 * self.vocab)
        return memoryview(result).cast("B").cast("f", [len(ids), self.vocab])

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

    def stream(self, ids, n, temperature=0.0, top_k=0, seed=0):
        """Begins anew with these ids. Returns an iterator over n new ids; no id stops it.

        temperature: 0 takes the likeliest id each time, the lowest of equals; above it ids are drawn by
        softmax(logits / temperature). top_k: only among so many likeliest, 0: among all. seed: the same gives the same ids.
        Raises as `prefill`, before the first id, and BAD_ARGUMENT for a negative or infinite option; and BAD_ARGUMENT in
        the iterator when the sequence was changed by another call meanwhile.
        """
        n, top_k, temperature = operator.index(n), operator.index(top_k), float(temperature)
        if n < 0:
            raise Error("BAD_ARGUMENT", f"expected 0 or more new ids, found {n}")
        if not 0 <= temperature < math.inf:
            raise Error("BAD_ARGUMENT", f"expected a temperature of 0 or more, found {temperature}")
        if top_k < 0:
            raise Error("BAD_ARGUMENT", f"expected top_k of 0 or more, found {top_k}")
        self.reset()
        ids = self._checked(ids, more=max(n - 1, 0))
        self._feed(ids, self._logits)
        return self._continue(n, self._round, (temperature, top_k, random.Random(seed)))

    def _continue(self, n, begun, choice):
        for index in range(n):
            self._opened()
            if self._round != begun:
                raise Error("BAD_ARGUMENT", "the sequence was changed while new ids were read from it")
            token = self._choose(*choice)
            yield token
            if index + 1 < n and self._round == begun:
                self._decode((ctypes.c_int32 * 1)(token))

    def generate(self, ids, n, threads=None, temperature=0.0, top_k=0, seed=0):
        """Begins anew with these ids and returns a list of n new ones, greedy unless there is a temperature; see `stream`.

        threads: changes how many work from now on, which results do not depend on.
        """
        self._opened()
        if threads is not None and threads != self._threads:
            self._start(threads)
        return list(self.stream(ids, n, temperature, top_k, seed))
