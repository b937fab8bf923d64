"""Several sequences in one decode: the bits of one by one, whatever their lengths, order and number; errors change nothing."""
import ctypes

import numpy as np
import pytest

from whole_way import FIXTURES, HOST, llmc

from llmc import native

# Rotary positions and grouped heads; a table of positions.
MODELS = {"qwen2": "qwen2-optimum", "gpt2": "gpt2-optimum"}
WAYS = {
    "plain": (),
    "i8-cache": ("--cache-quantize=type=i8",),
    "int4": ("--rtn-quantize=bits=4 group=32 activations=i8-token",),
    "int4-groups": ("--rtn-quantize=bits=4 group=16 activations=i8-group",),
    "int4-floats": ("--rtn-quantize=bits=4 group=32",),
    "int5-floats": ("--rtn-quantize=bits=5 group=0 symmetric=true",),
    "int8": ("--rtn-quantize=bits=8 group=0 symmetric=true activations=i8-token",),
    "nf4": ("--nf4-quantize=activations=i8-token",),
    "nf4-floats": ("--nf4-quantize",),
    "ternary": ("--ternarize=packing=base3",),
    "kept": ("--rtn-quantize=bits=4 group=32 activations=i8-token", "--sparsify-2-4"),
    "kept-floats": ("--rtn-quantize=bits=4 group=32", "--sparsify-2-4"),
}
# The second model has other linears, with biases, and not other formats.
CASES = [("qwen2", way) for way in WAYS] + [("gpt2", way) for way in ("plain", "int4", "int4-floats")]


class Sequences:
    """Sequences of one llmc.Model, whose memory and threads they share."""

    def __init__(self, base, count, threads):
        self.model = llmc.Model(base, threads=threads, exactly=True)
        self.call, self.vocab = self.model._artifact, self.model.vocab
        arena, cache = ctypes.c_uint64(), ctypes.c_uint64()
        self.call.check(self.call.sizes(self.model.context, self.model._chunk, threads, ctypes.byref(arena), ctypes.byref(cache)), "sizes")
        self.caches = [native.PageBuffer(cache.value, "a cache") for _ in range(count)]
        self.states = [native.SequenceState() for _ in range(count)]
        for state, cache in zip(self.states, self.caches):
            self.call.check(self.call.state_init(ctypes.addressof(state), cache.address), "state_init")

    def close(self):
        for cache in self.caches:
            cache.close()
        self.model.close()

    def prefill(self, i, ids):
        ids, logits = np.asarray(ids, np.int32), np.empty(self.vocab, np.float32)
        code = self.call.prefill(ctypes.addressof(self.model._model), ctypes.addressof(self.states[i]), ids.ctypes.data, len(ids),
                                 logits.ctypes.data)
        assert code == 0
        return logits

    def decode(self, which, ids, logits=True):
        """(code, logits [n, vocabulary]) of one id behind each of the sequences."""
        table = (ctypes.c_void_p * len(which))(*(ctypes.addressof(self.states[i]) if i is not None else 0 for i in which))
        ids, out = np.asarray(ids, np.int32), np.full((len(which), self.vocab), np.nan, np.float32)
        code = self.call.decode(ctypes.addressof(self.model._model), ctypes.addressof(table), ids.ctypes.data, len(which),
                                out.ctypes.data if logits else 0)
        return code, out

    def lengths(self):
        return [state.length for state in self.states]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def base(way, request):
    name, kind = request.param
    module = way.passes(way.imported(FIXTURES / MODELS[name] / "model.onnx"), *WAYS[kind]) if WAYS[kind] else way.imported(
        FIXTURES / MODELS[name] / "model.onnx")
    # In chunks of five a decode of eight goes in two steps.
    return way.compiled(module, *HOST, "--chunk=5" if kind == "plain" else "--chunk=8")


@pytest.mark.parametrize("threads", [1, 2])
def test_bits_of_one_by_one(base, threads):
    count, steps = 8, 6
    draw = np.random.default_rng(7)
    prompts = [draw.integers(0, 60, 1 + 3 * i) for i in range(count)]
    tokens = draw.integers(0, 60, (steps, count))
    alone, together = Sequences(base, count, threads), Sequences(base, count, threads)
    for i, prompt in enumerate(prompts):
        for at in range(0, len(prompt), 5):
            alone.prefill(i, prompt[at:at + 5]), together.prefill(i, prompt[at:at + 5])
    want = np.stack([[alone.decode([i], [tokens[step, i]])[1][0] for i in range(count)] for step in range(steps)])
    assert np.isfinite(want).all() and np.abs(want[:, 0] - want[:, 1]).max() > 1e-3
    for step, who in enumerate([range(8), [7, 0, 5, 2, 1, 3, 6, 4], [0, 1], [2, 3, 4, 5, 6], [7, 1, 4], range(8)]):
        # Whoever is left out of a decode takes the step alone.
        for group in [list(who), *([i] for i in range(count) if i not in who)]:
            code, got = together.decode(group, tokens[step, group])
            assert code == 0 and np.array_equal(got, want[step, group]), (step, group)
    assert together.lengths() == alone.lengths()
    alone.close()
    together.close()


def test_without_logits(base):
    two = Sequences(base, 2, 1)
    assert two.decode([0, 1], [3, 4], logits=False)[0] == 0 and two.lengths() == [1, 1]
    code, after = two.decode([0, 1], [5, 6])
    assert code == 0
    alone = Sequences(base, 2, 1)
    for i, ids in enumerate([(3, 5), (4, 6)]):
        alone.decode([i], [ids[0]])
        assert np.array_equal(alone.decode([i], [ids[1]])[1][0], after[i])
    two.close()
    alone.close()


def test_errors_change_nothing(base):
    three = Sequences(base, 3, 1)
    three.decode([0, 1, 2], [1, 2, 3])
    for i, context in enumerate([20, 1, 20]):
        three.states[i].context = context
    for which, ids, code in [([0, 1], [1, 1], 3), ([0, 2, 0], [1, 1, 1], 1), ([0, None], [1, 1], 1), ([None, 0], [1, 1], 1),
                             ([0, 2], [1, three.model.info.get("id_limit", three.vocab)], 2), ([0, 2], [-1, 1], 2)]:
        got, out = three.decode(which, ids)
        assert got == code and np.isnan(out).all(), (which, ids, got)
        assert three.lengths() == [1, 1, 1]
    kv = three.states[2].kv
    for wrong in (0, kv + 4, three.states[0].kv):
        three.states[2].kv = wrong
        assert three.decode([0, 2], [1, 1])[0] == 1 and three.lengths() == [1, 1, 1]
    three.states[2].kv = kv
    assert three.decode([0, 2], [1, 1])[0] == 0 and three.lengths() == [2, 1, 2]
    three.close()
