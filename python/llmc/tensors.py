"""Inputs and outputs of plain graphs: what Python programs hold (numpy arrays, buffers, lists) to dense bytes and back.

numpy is used where the caller has brought it, and never imported.
"""

import array
import ctypes
import operator
import sys

from . import native
from .errors import Error

# Name in the artifact: number of the type, code for array and memoryview, bytes, name for people.
TYPES = {"f32": (0, "f", 4, "float32"), "i32": (1, "i", 4, "int32"), "i64": (2, "q", 8, "int64")}
_INTEGERS = "bBhHiIlLqQnN"
_MAXIMUM_RANK = 8


def _fail(name, what, code="BAD_ARGUMENT"):
    raise Error(code, f"input '{name}': {what}")


def _takes_integers(name, kind):
    """Floats are floats; but a mask of integers may feed one of floats."""
    return kind != "f32" or "mask" in name


def _expected(name, kind, found):
    _fail(name, f"expected {TYPES[kind][3]}, found {found}")


def _from_numpy(name, value, kind, numpy):
    try:
        given = numpy.asarray(value)
    except Exception as error:
        raise Error("BAD_ARGUMENT", f"input '{name}': numpy cannot read it: {error}") from error
    _, code, size, wanted = TYPES[kind]
    exact = given.dtype.kind == "b" or (
        given.dtype.kind in "iu" and _takes_integers(name, kind) or kind == "f32" and given.dtype.name in ("float16", "float32"))
    if not exact:
        _expected(name, kind, given.dtype.name)
    if kind != "f32" and given.size and given.dtype.kind != "b":
        for end in (int(given.min()), int(given.max())):
            if not -(1 << 8 * size - 1) <= end < 1 << 8 * size - 1:
                _fail(name, f"{end} does not fit {wanted}")
    dense = numpy.ascontiguousarray(given.astype(wanted, copy=False)).reshape(given.shape)
    return list(given.shape), memoryview(dense.reshape(-1).view(numpy.uint8))


def _flatten(name, value, flat, depth=0):
    """Appends the numbers of nested lists to `flat`; returns the shape."""
    if not isinstance(value, (list, tuple, range)):
        flat.append(value)
        return []
    if depth == _MAXIMUM_RANK:
        _fail(name, f"has more than {_MAXIMUM_RANK} dimensions")
    inner = None
    for index, part in enumerate(value):
        shape = _flatten(name, part, flat, depth + 1)
        if inner is not None and shape != inner:
            _fail(name, f"expected parts of one shape, found {inner} and {shape} (the part at {index})")
        inner = shape
    return [len(value), *(inner or [])]


def _number(name, value, kind, position):
    """A number as the type takes it; booleans are 0 and 1."""
    if isinstance(value, float) and kind == "f32":
        return value
    try:
        whole = operator.index(value)
    except TypeError:
        _fail(name, f"expected {TYPES[kind][3]}, found {type(value).__name__} at position {position}")
    if not isinstance(value, bool) and not _takes_integers(name, kind):
        # Whole numbers among floats are floats; numbers that only integers can hold are not.
        if abs(whole) > 1 << 24:
            _fail(name, f"{whole} at position {position} does not fit float32")
    return whole


def _from_numbers(name, flat, kind):
    _, code, _, wanted = TYPES[kind]
    numbers = [_number(name, value, kind, position) for position, value in enumerate(flat)]
    try:
        return array.array(code, numbers)
    except OverflowError:
        lowest = -(1 << 8 * array.array(code).itemsize - 1)
        position = next((i for i, v in enumerate(numbers) if kind == "f32" or not lowest <= v < -lowest), 0)
        _fail(name, f"{numbers[position]} at position {position} does not fit {wanted}")


def _from_buffer(name, view, kind):
    code = view.format.lstrip("@=<") if sys.byteorder == "little" else view.format.lstrip("@=>")
    wanted = TYPES[kind]
    if len(code) != 1 or code not in _INTEGERS + "?efd":
        _expected(name, kind, f"a buffer of format '{view.format}'")
    if code in _INTEGERS and not _takes_integers(name, kind) or code in "efd" and kind != "f32" or code == "d":
        _expected(name, kind, "int%d" % (8 * view.itemsize) if code in _INTEGERS else "float%d" % (8 * view.itemsize))
    same = code == "f" if kind == "f32" else code in "ilqn" and view.itemsize == wanted[2]
    if same:
        return list(view.shape), memoryview(view.tobytes())
    flat = []
    shape = _flatten(name, view.tolist(), flat) if view.ndim else [_flatten(name, view[()], flat)][0]
    return shape, memoryview(_from_numbers(name, flat, kind)).cast("B")


def is_array(value):
    """Whether a value is numpy's, or one that numpy reads (a tensor of torch), in a program that has numpy."""
    return sys.modules.get("numpy") is not None and hasattr(value, "__array__")


def take(name, value, kind):
    """The shape of an input and its bytes in the type the model takes. Raises Error with its name."""
    if is_array(value):
        return _from_numpy(name, value, kind, sys.modules["numpy"])
    if isinstance(value, (list, tuple, range, int, float)):
        flat = []
        shape = _flatten(name, value, flat)
        flat = [item.item() if is_array(item) and getattr(item, "ndim", 1) == 0 else item for item in flat]
        return shape, memoryview(_from_numbers(name, flat, kind)).cast("B")
    try:
        view = memoryview(value)
    except TypeError:
        _fail(name, f"expected an array, a buffer or a list of numbers, found {type(value).__name__}")
    return _from_buffer(name, view, kind)


class Tensor:
    """An llmc_tensor over pages of its own."""

    def __init__(self, name, kind, shape):
        number, _, size, _ = TYPES[kind]
        self.kind, self.bytes = kind, size
        for dimension in shape:
            self.bytes *= dimension
        self.pages = native.PageBuffer(self.bytes, f"'{name}'")
        padded = (ctypes.c_int64 * _MAXIMUM_RANK)(*shape)
        self.described = native.TensorState(self.pages.address, self.bytes, number, len(shape), padded)

    def fill(self, content):
        self.pages.view()[:len(content)] = content
        return self

    def value(self, described, as_array):
        """What the model wrote, with the shape it wrote: a numpy array, or a memoryview."""
        shape = list(described.shape[:max(described.rank, 0)])
        _, code, size, wanted = TYPES[self.kind]
        count = 1
        for dimension in shape:
            count *= dimension
        if not 0 <= described.rank <= _MAXIMUM_RANK or min(shape, default=1) < 0 or count * size > self.bytes:
            raise Error("BAD_ARTIFACT", f"the model wrote a shape of {shape}, more than its output has room for")
        view = self.pages.view()[:count * size]
        if as_array:
            return sys.modules["numpy"].frombuffer(view, wanted).reshape(shape)
        return view.cast(code, shape)
