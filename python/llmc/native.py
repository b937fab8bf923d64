"""The types of llmc/Runtime/llmc.h for ctypes, and libllmcrt.so: threads, mapped weights, the processor's features."""

import ctypes
import mmap
import os
import pathlib

from .errors import Error
from .tools import tool_folders

ABI = 1
CODES = {1: "BAD_ARGUMENT", 2: "BAD_TOKEN", 3: "CONTEXT_FULL", 4: "UNSUPPORTED", 5: "CHECK_FAILED", 6: "BAD_CPU"}
ERROR_BYTES = 512
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)


class Threads(ctypes.Structure):
    """llmc_threads: a pool lent to a model."""
    _fields_ = [("count", ctypes.c_int32), ("context", ctypes.c_void_p), ("parallel", ctypes.c_void_p),
                ("barrier", ctypes.c_void_p)]


class ModelState(ctypes.Structure):
    """llmc_model: filled by P_init."""
    _fields_ = [("arena", ctypes.c_void_p), ("weights", ctypes.c_void_p), ("threads", ctypes.c_void_p),
                ("reserved", ctypes.c_int64 * 5)]


class SequenceState(ctypes.Structure):
    """llmc_state: one sequence and its cache."""
    _fields_ = [("kv", ctypes.c_void_p), ("length", ctypes.c_int64), ("context", ctypes.c_int64),
                ("announced", ctypes.c_int64), ("reserved", ctypes.c_int64 * 4)]


class TensorState(ctypes.Structure):
    """llmc_tensor: an input or output of P_run."""
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_uint64), ("type", ctypes.c_int32), ("rank", ctypes.c_int32),
                ("shape", ctypes.c_int64 * 8)]


class Weights(ctypes.Structure):
    """llmcrt_weights: a mapped .safetensors file."""
    _fields_ = [("data", ctypes.c_void_p), ("bytes", ctypes.c_uint64), ("map", ctypes.c_void_p),
                ("map_bytes", ctypes.c_uint64), ("mover", ctypes.c_void_p)]


class PageBuffer:
    """Zeroed memory that starts at a page, hence at a multiple of 64 bytes; pages that are not touched cost nothing."""

    def __init__(self, size, purpose):
        try:
            flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
            self._pages = mmap.mmap(-1, max(size, 1), flags=flags)
        except (OSError, OverflowError, ValueError) as error:
            raise Error("NO_MEMORY", f"cannot reserve {size} bytes for {purpose}: {error}") from error
        anchor = ctypes.c_char.from_buffer(self._pages)
        self.address = ctypes.addressof(anchor)
        del anchor  # a mapping with a live view could not be closed

    def view(self):
        """The bytes; the memory cannot be closed while somebody holds them, and lives until nobody does."""
        return memoryview(self._pages)

    def close(self):
        self._pages.close()


def _runtime_candidates():
    yield pathlib.Path(__file__).resolve().parent / "libllmcrt.so"
    for folder in tool_folders():
        yield folder.parent / "lib" / "libllmcrt.so"


_runtime = None


def runtime():
    """libllmcrt.so: beside this package, in lib/ next to the tools' folder, or where the system looks for libraries."""
    global _runtime
    if _runtime is not None:
        return _runtime
    name = next((str(path) for path in _runtime_candidates() if path.is_file()), "libllmcrt.so")
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        places = ", ".join(str(path) for path in _runtime_candidates())
        raise Error("NO_RUNTIME", f"libllmcrt.so cannot be loaded ({error}); looked for {places}") from error
    for function, result, arguments in (
            ("llmcrt_pool_create", ctypes.c_void_p, [ctypes.c_int32, ctypes.POINTER(Threads)]),
            ("llmcrt_pool_create_exactly", ctypes.c_void_p, [ctypes.c_int32, ctypes.POINTER(Threads)]),
            ("llmcrt_pool_destroy", None, [ctypes.c_void_p]),
            ("llmcrt_weights_open", ctypes.c_int32, [ctypes.c_char_p, ctypes.POINTER(Weights), ctypes.c_char_p]),
            ("llmcrt_weights_settle", ctypes.c_int32, [ctypes.POINTER(Weights), ctypes.c_char_p]),
            ("llmcrt_weights_close", None, [ctypes.POINTER(Weights)]),
            ("llmcrt_hash", ctypes.c_uint64, [ctypes.c_void_p, ctypes.c_uint64]),
            ("llmcrt_cpu_check", ctypes.c_int32, [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int32, ctypes.c_char_p])):
        try:
            getattr(library, function).restype = result
            getattr(library, function).argtypes = arguments
        except AttributeError as error:
            raise Error("NO_RUNTIME", f"{name}: the function '{function}' is missing") from error
    _runtime = library
    return library


class MappedWeights:
    """The weights of an artifact, checked whole and mapped read-only. `data` is the address of their data section."""

    def __init__(self, path):
        self._weights = Weights()
        why = ctypes.create_string_buffer(ERROR_BYTES)
        if runtime().llmcrt_weights_open(os.fsencode(path), ctypes.byref(self._weights), why):
            raise Error("BAD_ARTIFACT", why.value.decode(errors="replace"))
        self.data, self.bytes = self._weights.data, self._weights.bytes

    def hash(self):
        """XXH64 of the data section as 16 hexadecimal digits."""
        return f"{runtime().llmcrt_hash(self.data, self.bytes):016x}"

    def settle(self):
        """Begins to move them into huge pages of this process, where there are such; see llmcrt.h."""
        runtime().llmcrt_weights_settle(ctypes.byref(self._weights), None)

    def close(self):
        runtime().llmcrt_weights_close(ctypes.byref(self._weights))


class ThreadPool:
    """At most `count` threads, the caller being one, or exactly so many; `self.count` says how many. `pointer` is what
    P_init takes (None for one thread)."""

    def __init__(self, count, exactly):
        self._pool, self.pointer, self.count = None, None, 1
        if count == 1:
            return
        self._threads = Threads()
        create = runtime().llmcrt_pool_create_exactly if exactly else runtime().llmcrt_pool_create
        self._pool = create(count, ctypes.byref(self._threads))
        if not self._pool:
            raise Error("NO_MEMORY", f"cannot start {count} threads")
        self.pointer, self.count = ctypes.addressof(self._threads), self._threads.count

    def close(self):
        if self._pool:
            runtime().llmcrt_pool_destroy(self._pool)
        self._pool = None


def check_features(features, path):
    """Raises Error (BAD_ARTIFACT) with the name of the first feature that this machine lacks."""
    names = (ctypes.c_char_p * len(features))(*(name.encode() for name in features))
    why = ctypes.create_string_buffer(ERROR_BYTES)
    if runtime().llmcrt_cpu_check(names, len(features), why):
        said = why.value.decode(errors="replace")
        raise Error("BAD_ARTIFACT", f"{path}: {said}; compile the model for this machine")
