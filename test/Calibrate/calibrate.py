"""calibrate.py make DIR: models and token files. calibrate.py check DIR OUT TOKENS: the statistics of OUT against NumPy."""
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "Compress"))
from weights import Module, dense  # noqa: E402

folder = sys.argv[2]
rng = np.random.default_rng(3)
table = rng.standard_normal((10, 6)).astype(np.float32)
first = rng.standard_normal((2, 4, 6)).astype(np.float32)
head = rng.standard_normal((10, 4)).astype(np.float32)


def model(role, context=""):
    """ids -> rows of the table -> two linears of one input -> their sum -> the head."""
    return f"""
module {context} {{
func.func @main(%ids: tensor<?x?xi64> {{llmc.name = "input_ids"}}) -> (tensor<?x?x10xf32> {{llmc.name = "logits"}}) attributes {{llmc.role = "{role}"}} {{
  %e = llmc.weight "e.weight" {{values = {dense(table)}}} : tensor<10x6xf32>
  %a = llmc.weight "a.weight" {{values = {dense(first[0])}}} : tensor<4x6xf32>
  %b = llmc.weight "b.weight" {{values = {dense(first[1])}}} : tensor<4x6xf32>
  %h = llmc.weight "h.weight" {{values = {dense(head)}}} : tensor<10x4xf32>
  %x = llmc.embedding %e, %ids : tensor<10x6xf32>, tensor<?x?xi64>
  %y = llmc.linear %x, %a : tensor<?x?x6xf32>, tensor<4x6xf32>
  %z = llmc.linear %x, %b : tensor<?x?x6xf32>, tensor<4x6xf32>
  %s = arith.addf %y, %z : tensor<?x?x4xf32>
  %l = llmc.linear %s, %h : tensor<?x?x4xf32>, tensor<10x4xf32>
  return %l : tensor<?x?x10xf32>
}}
}}"""


def make():
    def write(name, text):
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)

    def save(name, ids, dtype=np.int64):
        np.save(os.path.join(folder, name), np.asarray(ids).astype(dtype))

    write("step.mlir", model("step", "attributes {llmc.context = 16 : i64}"))
    write("run.mlir", model("run"))
    write("wide.mlir", """
func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x1xf32> attributes {llmc.role = "run"} {
  %e = llmc.weight "e.weight" {values = dense<1.0> : tensor<10x1024xf32>} : tensor<10x1024xf32>
  %x = llmc.embedding %e, %ids : tensor<10x1024xf32>, tensor<?x?xi64>
  %w = llmc.weight "w.weight" {values = dense<1.0> : tensor<1x1024xf32>} : tensor<1x1024xf32>
  %y = llmc.linear %x, %w : tensor<?x?x1024xf32>, tensor<1x1024xf32>
  return %y : tensor<?x?x1xf32>
}""")
    ids = rng.integers(0, 10, (3, 6))
    save("rows.npy", ids, np.int32)
    save("stream.npy", rng.integers(0, 10, 40))
    save("float.npy", ids, np.float32)
    save("long.npy", rng.integers(0, 10, (2, 40)))
    ids[1, 2] = 10
    save("outside.npy", ids)
    with open(os.path.join(folder, "rows.npy"), "rb") as file, open(os.path.join(folder, "cut.npy"), "wb") as cut:
        cut.write(file.read()[:-4])


def check():
    ids = np.load(os.path.join(folder, sys.argv[4] + ".npy")).reshape(-1)
    with open(os.path.join(folder, sys.argv[3])) as file:
        module = Module(file.read())
    x = table[ids].astype(np.float64)
    inputs = {"a.weight.input": x, "h.weight.input": (x @ first[0].T + x @ first[1].T)}
    for name, values in inputs.items():
        want = {"mean": values.mean(0), "mean_abs": np.abs(values).mean(0), "max_abs": np.abs(values).max(0),
                "sum_squares": (values ** 2).sum(0)}
        for entry, expected in want.items():
            found = np.frombuffer(module.blobs[f"{name}.{entry}"], np.float64)
            assert np.allclose(found, expected, rtol=1e-4, atol=1e-5), (name, entry, found, expected)
        hessian = module.blobs.get(f"{name}.hessian")
        assert (hessian is None) == (sys.argv[4] == "stream")
        if hessian is not None:
            found = np.frombuffer(hessian, np.float32)
            assert np.allclose(found, (values.T @ values)[np.triu_indices(values.shape[1])], rtol=1e-4, atol=1e-4)


{"make": make, "check": check}[sys.argv[1]]()
