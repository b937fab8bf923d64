"""Graphs as torch writes them for a model of f32, f16 or bf16, and their files with external data."""
import os
import pathlib
import sys

import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto, helper

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from onnx_graph import Graph  # noqa: E402

TYPES = {
    "f32": (np.float32, TensorProto.FLOAT),
    "f16": (np.float16, TensorProto.FLOAT16),
    "bf16": (ml_dtypes.bfloat16, TensorProto.BFLOAT16),
}
ALIGNMENT = 64


class TypedGraph(Graph):
    """A Graph whose floating constants have the model's type, except in scopes that compute in f32."""

    def __init__(self, kind, wide_scopes=()):
        super().__init__()
        self.kind, self.wide_scopes = kind, wide_scopes
        self.dtype, self.onnx_type = TYPES[kind]
        self.wide = False  # in an RMS norm

    def is_wide(self, scope):
        return self.wide or scope in self.wide_scopes

    def constant(self, scope, value, dtype=np.int64):
        if dtype == np.float32 and not self.is_wide(scope):
            dtype = self.dtype
            if self.kind == "f16":  # finfo.min of the model's type, not that of f32
                value = np.maximum(value, np.finfo(np.float16).min)
            elif self.kind == "bf16":
                value = np.maximum(value, np.float32(ml_dtypes.finfo(ml_dtypes.bfloat16).min))
        return super().constant(scope, value, dtype)

    def op(self, kind, scope, *inputs, output=None, **attributes):
        made = super().op(kind, scope, *inputs, output=output, **attributes)
        if kind in ("Cos", "Sin") and self.kind != "f32":
            return super().op("Cast", scope, made, to=self.onnx_type)
        return made

    def rms_norm(self, scope, x, name, epsilon):
        """LlamaRMSNorm: in f32, back to the model's type, then times the weight."""
        if self.kind == "f32":
            return super().rms_norm(scope, x, name, epsilon)
        self.wide = True
        x = self.op("Cast", scope, x, to=TensorProto.FLOAT)
        square = self.op("Pow", scope, x, self.constant(scope, 2.0, np.float32))
        mean = self.op("ReduceMean", scope, square, self.constant(scope, [-1]), keepdims=1)
        root = self.op("Sqrt", scope, self.op("Add", scope, mean, self.constant(scope, epsilon, np.float32)))
        unit = self.op("Mul", scope, x, self.op("Div", scope, self.constant(scope, 1.0, np.float32), root))
        self.wide = False
        unit = self.op("Cast", scope, unit, to=self.onnx_type)
        return self.op("Mul", scope, self.weight(f"{name}.weight"), unit)


def write(graph, values, path, inputs, outputs, rounded=None):
    """Writes `path` and `path`_data; `values(name)` gives a weight as f32. `rounded`: weights pass through that type."""
    path = str(path)
    tensors, through = [], TYPES[rounded][0] if rounded else None
    with open(path + "_data", "wb") as file:
        for stored, name, transposed in graph.weights:
            value = np.asarray(values(name), np.float32)
            if through is not None:
                value = value.astype(through).astype(np.float32)
            value = np.ascontiguousarray(value.T if transposed else value).astype(graph.dtype)
            file.write(bytes(-file.tell() % ALIGNMENT))
            offset = file.tell()
            file.write(value.tobytes())
            tensor = TensorProto(name=stored, data_location=TensorProto.EXTERNAL, data_type=graph.onnx_type)
            tensor.dims.extend(value.shape)
            for key, entry in (("location", os.path.basename(path) + "_data"), ("offset", offset), ("length", value.nbytes)):
                tensor.external_data.add(key=key, value=str(entry))
            tensors.append(tensor)
    for info in (*inputs, *outputs):  # floats of the interface have the model's type
        if info.type.tensor_type.elem_type == TensorProto.FLOAT:
            info.type.tensor_type.elem_type = graph.onnx_type
    body = helper.make_graph(graph.nodes, "main_graph", inputs, outputs, tensors)
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=8, producer_name="llmc-trained")
    onnx.save(model, path)
