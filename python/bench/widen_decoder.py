"""A wider copy of the exported stories260K decoder, as optimum writes it, with random weights.

The head size is multiplied and every width with it; the 1350 nodes stay what the exporter wrote.
Run as: widen_decoder.py MODEL.onnx TIMES OUT.onnx
"""
import sys

import numpy as np
import onnx
from onnx import numpy_helper


def widen(model, times, seed=0):
    graph, rng, size = model.graph, np.random.default_rng(seed), 8 * times
    for index, tensor in enumerate(graph.initializer):
        dims = [d if d == 512 else d * times for d in tensor.dims]
        values = rng.standard_normal(dims) / np.sqrt(dims[0] if len(dims) == 2 else 25) + (len(dims) == 1)
        graph.initializer[index].CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type != "Constant" or attribute.name != "value":
                continue
            value = numpy_helper.to_array(attribute.t)
            if value.dtype == np.int64 and value.shape == (1,) and value[0] == 8:
                value = np.array([size])
            elif value.shape == (1, 4, 1):  # inverse frequencies
                value = 1e4 ** (-np.arange(size // 2, dtype=np.float32) * 2 / size)[None, :, None]
            elif value.dtype == np.float32 and value.size == 1 and abs(value.item() - 8**-0.25) < 1e-6:
                value = np.array(size**-0.25)
            else:
                continue
            kept = numpy_helper.to_array(attribute.t).dtype
            attribute.t.CopyFrom(numpy_helper.from_array(value.astype(kept)))
    for value in [*graph.input, *graph.output]:
        dims = value.type.tensor_type.shape.dim
        if len(dims) == 4:
            dims[3].dim_value = size
    del graph.value_info[:]
    return model


if __name__ == "__main__":
    onnx.save(widen(onnx.load(sys.argv[1]), int(sys.argv[2])), sys.argv[3])
