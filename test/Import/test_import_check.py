"""The import check finds modules that are wrong on purpose: scales, masks, windows off by one, exchanged weights, one row of
one weight. llmc-damage breaks a module in each way and says what the check made of it.
"""
import os
import subprocess
import sys

import pytest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.environ.get("LLMC_BUILD", os.path.join(ROOT, "build"))
DAMAGE = os.path.join(BUILD, "bin", "llmc-damage")
IMPORT = os.path.join(BUILD, "bin", "llmc-import")
FIXTURES = os.path.join(ROOT, "test", "EndToEnd", "fixtures")
SHARED = os.path.join(ROOT, "..", "shared")


def damages(model, *names):
    """{damage: what the check said}, the undamaged module's first."""
    done = subprocess.run([DAMAGE, model, *names], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    result = {}
    for line in done.stdout.splitlines():
        name, said = line.split(": ", 1)
        result[name] = said
    assert result.pop("undamaged") == "passes", done.stdout
    return result


def unseen(found):
    return [name for name, said in found.items() if said == "NOT SEEN"]


MODELS = sorted(m for m in os.listdir(FIXTURES)
                if os.path.exists(os.path.join(FIXTURES, m, "model.onnx")))


@pytest.mark.parametrize("name", MODELS)
def test_every_damage_of_a_small_model_is_seen(name):
    found = damages(os.path.join(FIXTURES, name, "model.onnx"))
    assert len(found) > 10
    assert not unseen(found), found


def test_the_node_at_fault_is_named():
    """Damages of one layer are found in that layer, behind all that is right."""
    found = damages(os.path.join(FIXTURES, "qwen2-optimum", "model.onnx"), "scale of attention")
    assert len(found) >= 2
    for number, said in enumerate(found.values()):
        assert f"layers.{number}/self_attn" in said, said


def test_windows_are_exact():
    model = os.path.join(SHARED, "cases", "window-no-cache", "model.onnx")
    if not os.path.exists(model):
        pytest.skip("../shared/cases/window-no-cache is not beside the repository")
    found = damages(model, "window")
    assert len(found) >= 2
    assert not unseen(found), found


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """135M parameters in f32."""
    pytest.importorskip("onnx")
    path = str(tmp_path_factory.mktemp("large") / "model.onnx")
    subprocess.run([sys.executable, os.path.join(ROOT, "python", "bench", "make_onnx.py"),
                    "smollm2-135m", "--store=f32", f"--out={path}"], check=True)
    return path


# Frequencies are not among them: they are measured far out before the check.
LARGE = ["scale of attention 29", "causal of attention 0", "a row of model.layers.29.mlp", "a row of model.embed_tokens",
         "model.layers.0.self_attn.k_proj.weight and"]


def test_damages_of_a_large_model_are_seen(large):
    found = damages(large, *LARGE)
    assert len(found) >= len(LARGE)
    assert not unseen(found), found


def test_faults_by_design_are_not_named():
    model = os.path.join(SHARED, "cases", "check-names-right-node", "base.onnx")
    if not os.path.exists(model):
        pytest.skip("../shared/cases/check-names-right-node is not beside the repository")
    done = subprocess.run([IMPORT, model, "-o", os.devnull], capture_output=True, text=True)
    assert "node 'gather" not in done.stderr, done.stderr
