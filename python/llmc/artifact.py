"""Opens what llmc-compile made: JSON, weights and code, each checked before the next is trusted.

The format is described in docs/Rationale/Artifact.md.
"""

import ctypes
import json
import os
import re
from _ctypes import dlclose

from . import native
from .errors import Error
from .tensors import TYPES
from .tools import host_target

_MAXIMUM = 1 << 40
_STEP = {
    "state_init": [ctypes.c_void_p, ctypes.c_void_p],
    "prefill": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p],
    "prefill_all": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p],
    "decode": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p],
}
_RUN = {"run": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]}
_ALWAYS = {
    "abi": [],
    "info_json": [],
    "sizes": [ctypes.c_int64, ctypes.c_int64, ctypes.c_int32, ctypes.POINTER(ctypes.c_uint64),
              ctypes.POINTER(ctypes.c_uint64)],
    "init": [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p],
}


def _fail(message):
    raise Error("BAD_ARTIFACT", message)


def _check_tensors(info, key, path):
    tensors = info.get(key)
    if not isinstance(tensors, list):
        _fail(f"{path}: the field '{key}' is no list")
    names = set()
    for tensor in tensors:
        name, shape = (tensor.get("name"), tensor.get("shape")) if isinstance(tensor, dict) else (None, None)
        good = isinstance(name, str) and tensor.get("type") in TYPES and isinstance(shape, list) and len(shape) <= 8 and all(
            isinstance(size, str) or type(size) is int and 0 <= size <= _MAXIMUM for size in shape)
        if not good or name in names:
            _fail(f"{path}: the field '{key}' has an entry that is no tensor, or one twice: {json.dumps(tensor)[:80]}")
        names.add(name)


def _check_numbers(info, path):
    """Sizes and ids, which depend on the role."""
    for key in ("vocab", "context", "chunk") if info["role"] == "step" else ():
        if type(info.get(key)) is not int or not 1 <= info[key] <= _MAXIMUM:
            _fail(f"{path}: the field '{key}': expected a whole number of 1 or more, found {info.get(key)!r}")
    if type(info.get("id_limit", 1)) is not int or not 1 <= info.get("id_limit", 1) <= _MAXIMUM:
        _fail(f"{path}: the field 'id_limit': expected a whole number of 1 or more, found {info['id_limit']!r}")
    for key in ("vocab", "max_tokens") if info["role"] == "run" else ():
        if info.get(key) is not None and (type(info[key]) is not int or not 0 <= info[key] <= _MAXIMUM):
            _fail(f"{path}: the field '{key}': expected a whole number, found {info[key]!r}")
    stop = info.get("stop_ids")
    if stop is not None and not (isinstance(stop, list) and info.get("vocab") and all(
            type(value) is int and 0 <= value < info["vocab"] for value in stop)):
        _fail(f"{path}: the field 'stop_ids' is no list of ids of the vocabulary")


def read_info(base):
    """BASE.json as a dict, with every field checked that running relies on. Raises Error (BAD_ARTIFACT)."""
    path = f"{base}.json"
    try:
        with open(path, encoding="utf-8") as file:
            info = json.load(file)
    except OSError as error:
        _fail(f"{path}: {error.strerror}")
    except ValueError as error:
        _fail(f"{path}: is no JSON: {error}")
    if not isinstance(info, dict):
        _fail(f"{path}: is no JSON object")
    for key, expected in (("format", 1), ("abi", native.ABI)):
        if info.get(key) != expected:
            _fail(f"{path}: has {key} {info.get(key)!r}, expected {expected}; compile the model again")
    if not isinstance(info.get("prefix"), str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,199}", info["prefix"]):
        _fail(f"{path}: the field 'prefix' is no C identifier")
    target = info.get("target")
    features = target.get("features") if isinstance(target, dict) else None
    if not isinstance(features, list) or not all(isinstance(name, str) for name in features):
        _fail(f"{path}: the field 'target' has no list of features")
    if info.get("role") not in ("step", "run"):
        _fail(f"{path}: expected role 'step' or 'run', found {info.get('role')!r}")
    _check_numbers(info, path)
    for key in ("inputs", "outputs") if info["role"] == "run" else ():
        _check_tensors(info, key, path)
    weights = info.get("weights")
    if weights is None:
        return info
    name = weights.get("file") if isinstance(weights, dict) else None
    if not isinstance(name, str) or not name or name[0] == "." or "/" in name or "\0" in name:
        _fail(f"{path}: the field 'file' of the weights is no plain file name")
    if type(weights.get("bytes")) is not int or weights["bytes"] < 0:
        _fail(f"{path}: the field 'bytes' of the weights is no size")
    return info


class Artifact:
    """Loaded code and mapped weights. `info` is the JSON, `weights` the address of the weights or None."""

    def __init__(self, base, map_weights=False):
        self.base = os.fspath(base)
        self._library = self._weights = self._weights_path = None
        self._other_weights = ""  # what is there instead of the weights that the JSON states
        self.info = read_info(self.base)
        try:
            self._check_machine()
            self._open_weights()
            self._open_code()
            if self._weights and not map_weights:
                self._weights.settle()
        except BaseException:
            self.close()
            raise

    def _check_machine(self):
        path, target = f"{self.base}.json", self.info["target"]
        if str(target.get("triple")).split("-")[0] != host_target().split("-")[0]:
            _fail(f"{path}: compiled for '{target.get('triple')}', but this machine is {host_target()}")
        native.check_features(target["features"], path)

    def _open_weights(self):
        self.weights = None
        stated = self.info.get("weights")
        if stated is None:
            return
        path = os.path.join(os.path.dirname(self.base), stated["file"])
        self._weights = native.MappedWeights(path)
        self._weights_path = path
        self.weights = self._weights.data
        if self._weights.bytes != stated["bytes"]:
            self._other_weights = f"{self.base}.json states {stated['bytes']} bytes of weights, found {self._weights.bytes}"
        elif not self._has_weights(self.info):
            self._other_weights = (f"{self.base}.json states weights with hash {stated['hash']}, found "
                                   f"{self._weights.hash()}")

    def _has_weights(self, info):
        stated = info.get("weights") if isinstance(info, dict) else None
        return isinstance(stated, dict) and self._weights is not None and stated.get("bytes") == self._weights.bytes and (
            stated.get("hash") is None or stated["hash"] == self._weights.hash())

    def _check_together(self):
        """Of three files two may go together: then it is the third that is off."""
        try:
            own = json.loads(self.info_json() or b"null")
        except ValueError:
            own = None
        if own == self.info and not self._other_weights:
            return
        stated, code, weights = f"{self.base}.json", os.path.realpath(f"{self.base}.so"), self._weights_path
        keys = sorted({*self.info, *own}) if isinstance(own, dict) else []
        field = next((key for key in keys if self.info.get(key) != own.get(key)), None)
        why = f": {self._other_weights}" if self._other_weights else f": they differ in '{field}'" if field else ""
        why += "; compile the model again, or bring the files of one compile"
        if own == self.info:
            _fail(f"{weights}: is of another compile than {stated} and {code}{why}")
        if self._other_weights and self._has_weights(own):
            _fail(f"{stated}: is of another compile than {code} and {weights}{why}")
        if self._other_weights:
            _fail(f"{stated}, {code} and {weights} are of different compiles{why}")
        if weights and not self._has_weights(own):
            _fail(f"{code}: is of another compile than {stated} and {weights}{why}")
        _fail(f"{code}: was not made together with {stated}{why}")

    def _open_code(self):
        path = os.path.realpath(f"{self.base}.so")
        try:
            self._library = ctypes.CDLL(path)
        except OSError as error:
            _fail(f"{path}: cannot be loaded: {error}")
        for name, arguments in {**_ALWAYS, **(_STEP if self.info["role"] == "step" else _RUN)}.items():
            symbol = f"{self.info['prefix']}_{name}"
            try:
                function = getattr(self._library, symbol)
            except AttributeError:
                _fail(f"{path}: the function '{symbol}' is missing")
            function.argtypes = arguments
            function.restype = ctypes.c_char_p if name == "info_json" else ctypes.c_int32
            setattr(self, name, function)
            if name == "abi" and function() != native.ABI:
                _fail(f"{path}: has ABI {function()}, this package has {native.ABI}; compile the model again")
        self._check_together()

    def check(self, code, function):
        """Raises Error with the name of a result code that is not OK."""
        if code:
            name = native.CODES.get(code, f"CODE_{code}")
            raise Error(name, f"{self.base}: {self.info['prefix']}_{function} refused the call")

    def close(self):
        """Unloads the code and unmaps the weights; nothing may be called afterwards."""
        if self._library is not None:
            for name in (*_ALWAYS, *_STEP, *_RUN):
                self.__dict__.pop(name, None)
            dlclose(self._library._handle)
        if self._weights is not None:
            self._weights.close()
        self._library = self._weights = self.weights = None
