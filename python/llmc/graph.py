"""Calls a plain graph (role `run`): inputs by name, checked and completed as llmc-run does, outputs by name."""

import array

from .errors import Error
from .native import TensorState
from .tensors import TYPES, Tensor, is_array, take


def _names(tensors):
    return ", ".join(tensor["name"] for tensor in tensors)


def _shape_text(shape):
    return "[" + ", ".join(map(str, shape)) + "]"


def _bind(tensor, shape, sizes):
    """Compares a shape with what the model takes, and learns the named dimensions."""
    def fail(what):
        raise Error("BAD_ARGUMENT", f"input '{tensor['name']}': {what}")

    fixed = [wanted for wanted, found in zip(tensor["shape"], shape) if isinstance(wanted, int) and wanted != found]
    if len(shape) != len(tensor["shape"]) or fixed:
        fail(f"expected shape {_shape_text(tensor['shape'])}, found {_shape_text(shape)}")
    for wanted, found in zip(tensor["shape"], shape):
        if isinstance(wanted, int):
            continue
        if found < 1:
            fail(f"dimension '{wanted}' is 0")
        if sizes.setdefault(wanted, found) != found:
            fail(f"dimension '{wanted}' is {found}, but another input has {sizes[wanted]}")


def _resolve(tensor, sizes, what):
    for dimension in tensor["shape"]:
        if isinstance(dimension, str) and dimension not in sizes:
            raise Error("BAD_ARGUMENT", f"{what}: no input says how large its dimension '{dimension}' is")
    return [sizes.get(dimension, dimension) for dimension in tensor["shape"]]


def _default(tensor, sizes):
    """Token types are 0, masks 1, positions count."""
    name = tensor["name"]
    if name not in ("token_type_ids", "attention_mask", "position_ids"):
        raise Error("BAD_ARGUMENT", f"input '{name}' is missing")
    shape = _resolve(tensor, sizes, f"input '{name}'")
    count = 1
    for size in shape:
        count *= size
    last = max(shape[-1], 1) if shape else 1
    values = [0] * count if name == "token_type_ids" else [1] * count if name == "attention_mask" else [
        i % last for i in range(count)]
    return shape, memoryview(array.array(TYPES[tensor["type"]][1], values)).cast("B")


def _check_tokens(info, tensor, shape, content):
    name, tokens = tensor["name"], 1
    for wanted, found in zip(tensor["shape"], shape):
        tokens *= found if isinstance(wanted, str) else 1
    longest = info.get("longest_sequence")
    if longest and len(shape) == 2 and shape[1] > longest:
        raise Error("BAD_ARGUMENT", f"input '{name}': has sequences of {shape[1]} positions, but the model's context is {longest}")
    most = info.get("max_tokens")
    if most and tokens > most:
        raise Error("BAD_ARGUMENT", f"input '{name}': has {tokens} tokens, but the model was compiled for at most {most} "
                    "(llmc-compile --max-tokens=)")
    if name != "input_ids" or not info.get("vocab"):
        return
    ids = content.cast(TYPES[tensor["type"]][1])
    if len(ids) and not 0 <= min(ids) <= max(ids) < info["vocab"]:
        position = next(i for i, value in enumerate(ids) if not 0 <= value < info["vocab"])
        raise Error("BAD_TOKEN", f"input '{name}': id {ids[position]} at position {position} is outside the vocabulary of "
                    f"{info['vocab']} ids")


def bind_inputs(info, given, sizes):
    """Shape and bytes of each input in the order of the artifact; `sizes` gets the dimensions by name."""
    for name in given:
        if not any(tensor["name"] == name for tensor in info["inputs"]):
            raise Error("BAD_ARGUMENT", f"the model has no input '{name}', only {_names(info['inputs'])}")
    taken = {}
    for tensor in info["inputs"]:
        if tensor["name"] in given:
            shape, content = take(tensor["name"], given[tensor["name"]], tensor["type"])
            _bind(tensor, shape, sizes)
            _check_tokens(info, tensor, shape, content)
            taken[tensor["name"]] = shape, content
    return [taken.get(tensor["name"]) or _default(tensor, sizes) for tensor in info["inputs"]]


def run_graph(info, given, outputs, call):
    """Runs the graph once. `call` gets the arrays of inputs and outputs as the C interface takes them. Returns
    {name: value} of the outputs asked for (None: all), as numpy arrays where an input was one.
    """
    for name in outputs or ():
        if not any(tensor["name"] == name for tensor in info["outputs"]):
            raise Error("BAD_ARGUMENT", f"the model has no output '{name}', only {_names(info['outputs'])}")
    sizes = {}
    bound = bind_inputs(info, given, sizes)
    inputs = [Tensor(tensor["name"], tensor["type"], shape).fill(content)
              for tensor, (shape, content) in zip(info["inputs"], bound)]
    results = [Tensor(tensor["name"], tensor["type"], _resolve(tensor, sizes, f"output '{tensor['name']}'"))
               for tensor in info["outputs"]]
    out = (TensorState * len(results))(*(tensor.described for tensor in results))
    call((TensorState * len(inputs))(*(tensor.described for tensor in inputs)), out)
    as_array = any(is_array(value) for value in given.values())
    return {tensor["name"]: result.value(described, as_array)
            for tensor, result, described in zip(info["outputs"], results, out)
            if outputs is None or tensor["name"] in outputs}
