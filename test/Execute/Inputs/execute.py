"""execute.py BASE: runs a compiled function without inputs and prints the code of P_run: 0, or 5 when a check in it failed."""
import ctypes
import json
import pathlib
import sys

base = pathlib.Path(sys.argv[1])
prefix = json.loads(base.with_name(base.name + ".json").read_text())["prefix"]
library = ctypes.CDLL(str(base.with_name(base.name + ".so")))


def aligned(size):
    """A buffer of `size` bytes that starts at a multiple of 64."""
    buffer = ctypes.create_string_buffer(size + 64)
    return buffer, ctypes.c_void_p((ctypes.addressof(buffer) + 63) // 64 * 64)


def call(name, *arguments):
    return getattr(library, f"{prefix}_{name}")(*arguments)


file = base.with_name(base.name + ".safetensors").read_bytes()
data = file[8 + int.from_bytes(file[:8], "little"):]
keep, weights = aligned(len(data))
ctypes.memmove(weights, data, len(data))
arena_bytes, kv_bytes = ctypes.c_uint64(), ctypes.c_uint64()
assert call("sizes", ctypes.c_int64(0), ctypes.c_int64(0), 1, ctypes.byref(arena_bytes), ctypes.byref(kv_bytes)) == 0
memory, arena = aligned(arena_bytes.value)
model = ctypes.create_string_buffer(64)
assert call("init", model, arena, weights, None) == 0
print(call("run", model, None, None))
