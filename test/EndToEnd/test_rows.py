"""Graphs and steps that take rows of floats in place of ids: parts of a model."""
import ctypes
import subprocess

import llmc
import numpy as np
import pytest

RNG = np.random.default_rng(5)
WIDTH, OUT = 40, 24  # not a whole number of vectors or cache lines
W = RNG.standard_normal((OUT, WIDTH)).astype(np.float32)
G = RNG.standard_normal(WIDTH).astype(np.float32)


def literal(values):
    return "dense<" + str(np.asarray(values, np.float64).tolist()) + ">"


def module(role, context=""):
    return f"""module {context} {{
llmc.cache @kv.0 : tensor<1x{OUT}xf32>
func.func @main(%x: tensor<?x?x{WIDTH}xf32> {{llmc.name = "rows"}}) -> (tensor<?x?x{OUT}xf32> {{llmc.name = "y"}})
    attributes {{llmc.role = "{role}"}} {{
  %g = llmc.weight "g" {{values = {literal(G)} : tensor<{WIDTH}xf32>}} : tensor<{WIDTH}xf32>
  %w = llmc.weight "w" {{values = {literal(W)} : tensor<{OUT}x{WIDTH}xf32>}} : tensor<{OUT}x{WIDTH}xf32>
  %n = llmc.rms_norm %x, %g {{eps = 1.0e-5 : f64}} : tensor<?x?x{WIDTH}xf32>, tensor<{WIDTH}xf32>
  %y = llmc.linear %n, %w : tensor<?x?x{WIDTH}xf32>, tensor<{OUT}x{WIDTH}xf32>
  %a = llmc.attention %y, %y, %y {'cache @kv.0' if role == 'step' else ''}
      {{heads = 1 : i64, kv_heads = 1 : i64, scale = 0.2 : f64, causal}}
      : tensor<?x?x{OUT}xf32>, tensor<?x?x{OUT}xf32>, tensor<?x?x{OUT}xf32>
  return %a : tensor<?x?x{OUT}xf32>
}}
}}"""


def expected(x):
    """In float64, of rows [sequence, width]."""
    x = x.astype(np.float64)
    y = (x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * G) @ W.T.astype(np.float64)
    scores = y @ y.T * 0.2
    scores[np.triu_indices(len(x), 1)] = -np.inf
    p = np.exp(scores - scores.max(-1, keepdims=True))
    return (p / p.sum(-1, keepdims=True)) @ y


def compiled(folder, role, *more):
    source = folder / f"{role}.mlir"
    source.write_text(module(role, "attributes {llmc.context = 64 : i64}"))
    base = folder / role
    done = subprocess.run(["llmc-compile", "--target=x86_64-linux-gnu", "--cpu=native", *more, str(source), "-o", str(base)],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return base


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("rows")


@pytest.mark.parametrize("threads", (1, 2))
def test_graph(folder, threads):
    with llmc.Model(compiled(folder, "run"), threads=threads) as model:
        for batch, length in ((1, 1), (3, 7), (1, 64)):
            x = RNG.standard_normal((batch, length, WIDTH)).astype(np.float32)
            got = model.run(rows=x)["y"]
            assert got.shape == (batch, length, OUT)
            np.testing.assert_allclose(got, [expected(sequence) for sequence in x], rtol=0, atol=2e-4)
        for wrong in (np.zeros((1, 3, WIDTH + 1), np.float32), np.zeros((3, WIDTH), np.float32), np.zeros((1, 2, WIDTH), np.int64)):
            with pytest.raises(llmc.Error):
                model.run(rows=wrong)
        x = np.full((1, 2, WIDTH), np.nan, np.float32)  # what is no number is no number
        assert np.isnan(model.run(rows=x)["y"]).all()


def test_step(folder):
    base = compiled(folder, "step", "--chunk=16")
    header = (folder / "step.h").read_text()
    assert "step_prefill(llmc_model *model, llmc_state *state, const float *rows, int64_t n, float *logits);" in header
    artifact = llmc.artifact.Artifact(str(base))
    arena, cache = ctypes.c_uint64(), ctypes.c_uint64()
    assert artifact.sizes(64, 16, 1, ctypes.byref(arena), ctypes.byref(cache)) == 0

    def memory(size):
        block = np.zeros(size + 64, np.uint8)
        return block, block.ctypes.data + -block.ctypes.data % 64

    held, at = memory(arena.value)
    keys, kv = memory(cache.value)
    state, other, model = (np.zeros(16, np.int64) for _ in range(3))
    assert artifact.init(model.ctypes.data, at, artifact.weights, None) == 0
    x = RNG.standard_normal((37, WIDTH)).astype(np.float32)
    got = np.zeros((37, OUT), np.float32)
    assert artifact.state_init(state.ctypes.data, kv) == 0
    assert artifact.prefill_all(model.ctypes.data, state.ctypes.data, x.ctypes.data, 30, got.ctypes.data) == 0
    for i in range(30, 37):  # one by one
        states = (ctypes.c_void_p * 1)(state.ctypes.data)
        assert artifact.decode(model.ctypes.data, ctypes.addressof(states), x[i:].ctypes.data, 1, got[i:].ctypes.data) == 0
    np.testing.assert_allclose(got, expected(x), rtol=0, atol=2e-4)
    # Two sequences at once, with the same bits.
    more, second = memory(cache.value)
    assert artifact.state_init(state.ctypes.data, kv) == 0 and artifact.state_init(other.ctypes.data, second) == 0
    pair = np.zeros((2, OUT), np.float32)
    states = (ctypes.c_void_p * 2)(state.ctypes.data, other.ctypes.data)
    for i in range(3):
        two = np.stack([x[i], x[i]])
        assert artifact.decode(model.ctypes.data, ctypes.addressof(states), two.ctypes.data, 2, pair.ctypes.data) == 0
    assert (pair[0] == pair[1]).all()
    np.testing.assert_allclose(pair[0], expected(x[:3])[2], rtol=0, atol=2e-4)
    assert held.size and keys.size and more.size


def test_ids_for_a_step_over_rows_are_refused(tmp_path):
    base = compiled(tmp_path, "step")
    done = subprocess.run(["llmc-run", str(base), "--prompt-ids=1,2", "--generate=2"], capture_output=True, text=True)
    assert done.returncode == 2 and "takes rows of floats, not ids" in done.stderr
    with llmc.Model(base) as model, pytest.raises(llmc.Error, match="takes rows of floats, not ids"):
        model.prefill([1, 2])
