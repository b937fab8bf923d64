"""Writes a chain of MatMulNBits as ONNX: the linears of a transformer without the rest.

  python make_chain.py --out=chain.onnx [--inner=2048] [--outer=5632] [--pairs=22] [--group=32]
                       [--level=4] [--seed=0]

input_ids pick rows of a small table; then inner -> outer -> inner, `pairs` times, as the
4-bit quantizer of ONNX Runtime writes it: com.microsoft MatMulNBits, asymmetric, accuracy level 4
(int8 activations per group) or 0 (float). Weights are random codes, one pair repeated under other names.
"""

import argparse
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TABLE_ROWS = 64


def quantized(name, outputs, inputs, group, source):
    """Initializers of one matrix: codes, scales, zero points. Products of a chain stay near 1."""
    groups = inputs // group
    codes = source.integers(0, 256, (outputs, groups, group // 2), dtype=np.uint8)
    scales = np.full((outputs, groups), (12 / 255 / inputs) ** 0.5, np.float32)
    zeros = np.full((outputs, (groups + 1) // 2), 0x88, np.uint8)
    return [numpy_helper.from_array(array, f"{name}.weight_{part}")
            for part, array in (("Q4", codes), ("scales", scales), ("zero_points", zeros))]


def write(path, inner, outer, pairs, group, level, seed=0):
    """Raises ValueError when the group does not divide the rows."""
    if inner % group or outer % group:
        raise ValueError(f"groups of {group} do not divide rows of {inner} and {outer}")
    source = np.random.default_rng(seed)
    table = source.standard_normal((TABLE_ROWS, inner), dtype=np.float32)
    initializers = [numpy_helper.from_array(table, "table")]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["x_0"], "/embed/Gather")]
    first = {kind: quantized(kind, n, k, group, source)
             for kind, n, k in (("up", outer, inner), ("down", inner, outer))}
    value = "x_0"
    for pair in range(pairs):
        for kind, n, k in (("up", outer, inner), ("down", inner, outer)):
            name, result = f"layers.{pair}.{kind}", f"{kind}_{pair + 1}"
            names = []
            for tensor in first[kind]:
                copy = TensorProto()
                copy.CopyFrom(tensor)
                copy.name = tensor.name.replace(kind, name, 1)
                names.append(copy.name)
                initializers.append(copy)
            if (pair, kind) == (pairs - 1, "down"):
                result = "y"
            nodes.append(helper.make_node("MatMulNBits", [value, *names], [result], f"/{name}/MatMul",
                                          domain="com.microsoft", K=k, N=n, bits=4, block_size=group,
                                          accuracy_level=level))
            value = result
    dims = ["batch_size", "sequence_length"]
    inputs = [helper.make_tensor_value_info("input_ids", TensorProto.INT64, dims)]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [*dims, inner])]
    graph = helper.make_graph(nodes, "main_graph", inputs, outputs, initializers)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    for name, default in (("inner", 2048), ("outer", 5632), ("pairs", 22), ("group", 32), ("level", 4), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    try:
        write(options.out, options.inner, options.outer, options.pairs, options.group, options.level, options.seed)
    except (ValueError, OSError) as error:
        sys.exit(f"make_chain: error: {error}")


if __name__ == "__main__":
    main()
