"""What each method loses on a real model: the figures two independent implementations agree on, and the orders between methods."""
import numpy as np
import pytest


@pytest.fixture(scope="module")
def lab(way, stories):
    """loss(flags...) of the calibrated stories260K against the float model, on the first 256 rows of its text."""
    model = way.imported(stories / "optimum" / "model.onnx")
    calibrated = way.passes(model, f"--calibrate=tokens={stories}/calib.npy")
    full = way.compiled(model)
    text = np.load(stories / "val.npy")[:256]
    results = {}

    def loss(*flags, statistics=True):
        key = (flags, statistics)
        if key not in results:
            base = way.compiled(way.passes(calibrated if statistics else model, *flags))
            results[key] = way.perplexity(base, text, baseline=full)
        return results[key]

    return loss


def test_rtn_int4(lab):
    result = lab("--rtn-quantize=bits=4 group=32")
    assert abs(result["ppl_ratio"] - 1.09) <= 0.01
    assert abs(result["kl_mean"] - 0.108) <= 0.003


def test_awq_int4(lab):
    assert lab("--awq-quantize=bits=4 group=32")["kl_mean"] <= 0.095


@pytest.mark.parametrize("activations,bound", [("float", 5e-4), ("i8-token", 2e-3)])
def test_int8(lab, activations, bound):
    result = lab(f"--rtn-quantize=bits=8 group=32 activations={activations}")
    assert result["ppl_ratio"] < 1.003
    assert result["kl_mean"] < bound


def test_static_scales(lab):
    """One scale for all tokens costs more than one for each; a scale that is wrong costs everything."""
    result = lab("--rtn-quantize=bits=8 group=32 activations=i8-static")
    assert result["ppl_ratio"] < 1.03
    assert lab("--rtn-quantize=bits=8 group=32 activations=i8-token")["kl_mean"] < result["kl_mean"] < 0.03


def test_kl_falls_with_bits(lab):
    kl = [lab(f"--rtn-quantize=bits={bits} group=32")["kl_mean"] for bits in (2, 3, 4, 5, 6, 8)]
    assert kl == sorted(kl, reverse=True)


def test_whitened_svd_beats_plain(lab):
    plain = lab("--low-rank-decompose=ratio=0.75", statistics=False)["kl_mean"]
    whitened = lab("--low-rank-decompose=ratio=0.75")["kl_mean"]
    assert abs(plain - 4.3) < 0.1 and abs(whitened - 2.5) < 0.1


def test_wanda_beats_magnitude(lab):
    magnitude = lab("--sparsify-2-4", statistics=False)["kl_mean"]
    wanda = lab("--sparsify-2-4")["kl_mean"]
    assert abs(magnitude - 3.3) < 0.1 and abs(wanda - 2.8) < 0.1


def test_both_orders_run(lab):
    sparse_first = lab("--sparsify-2-4", "--awq-quantize")
    quantized_first = lab("--awq-quantize", "--sparsify-2-4")
    assert sparse_first["tokens"] == quantized_first["tokens"] == 65280
    assert np.isfinite([sparse_first["kl_mean"], quantized_first["kl_mean"]]).all()


def test_ternary_loses_visibly(lab):
    assert lab("--ternarize")["kl_mean"] > lab("--rtn-quantize=bits=2 group=32")["kl_mean"] / 10


def test_cache_of_bytes(lab):
    stored, multiplied = (lab(f"--cache-quantize=products={products}", statistics=False) for products in ("f32", "i8"))
    assert 1e-4 < stored["kl_mean"] < multiplied["kl_mean"] < 4e-3
    assert multiplied["kl_mean"] < 1.25 * stored["kl_mean"]
