"""Caches of f16, bf16 and i8: how many bytes they save, and that prefill, decode and any number of threads agree on them."""
import json

import numpy as np
import pytest

from whole_way import FIXTURES

QWEN2 = FIXTURES / "qwen2-optimum" / "model.onnx"
IDS = np.arange(1, 61, dtype=np.int64)[None] * 7 % 128


def info(base):
    return json.loads(base.with_name(base.name + ".json").read_text())


# A head is 8 elements here: i8 stores 8 codes and 4 bytes of scale.
@pytest.mark.parametrize("element, share, bound", [("f16", 1 / 2, 4e-3), ("bf16", 1 / 2, 3e-2), ("i8", 12 / 32, 3e-2),
                                                   ("i8 products=i8", 12 / 32, 8e-2)])
def test_narrow_cache(way, element, share, bound):
    module = way.imported(QWEN2)
    full = way.compiled(module)
    narrow = way.compiled(way.passes(module, f"--cache-quantize=type={element}"))
    assert info(narrow)["kv_bytes_per_position"] == info(full)["kv_bytes_per_position"] * share
    expected, got = way.logits(full, IDS, 60), way.logits(narrow, IDS, 60)
    error = np.abs(got - expected).max() / np.abs(expected).max()
    assert 0 < error < bound
    # Keys of the prompt go through the cache too, so it does not matter where prefill ends.
    np.testing.assert_allclose(way.logits(narrow, IDS, 44), got, rtol=0, atol=1e-5 * np.abs(got).max())
    assert np.array_equal(way.lent_logits(narrow, IDS, 44, threads=3), way.logits(narrow, IDS, 44))
