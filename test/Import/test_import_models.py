"""Imports of real exports, by what they must contain; each import also checks itself against the original.

The exports beside the repository (`../shared/models`) are used where present; the committed fixtures always.
"""
import os
import re
import subprocess

import pytest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
BUILD = os.environ.get("LLMC_BUILD", os.path.join(ROOT, "build"))
IMPORT = os.path.join(BUILD, "bin", "llmc-import")
SHARED = os.path.join(ROOT, "..", "shared", "models")
FIXTURES = os.path.join(ROOT, "test", "EndToEnd", "fixtures")


def find(root):
    return [folder for folder, _, files in sorted(os.walk(root)) if "model.onnx" in files]


def label(folder):
    return "-".join(folder.split(os.sep)[-2:])


def import_text(folder, tmp_path, *flags):
    """The module's text without weights' data."""
    out = os.path.join(tmp_path, "model.mlir")
    command = [IMPORT, "--verify", "--outline-layers=false", *flags, os.path.join(folder, "model.onnx"), "-o", out]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    text = open(out).read()
    return text[:text.index("{-#")]


REFUSED = os.path.join(SHARED, "refused")  # test/EndToEnd/test_exports.py says which of these come in
MODELS = [m for m in find(FIXTURES) + find(SHARED) if "qwen3-moe" not in m and not m.startswith(REFUSED)]


@pytest.mark.parametrize("folder", MODELS, ids=[label(m) for m in MODELS])
def test_import_agrees_with_its_original(folder, tmp_path):
    text = import_text(folder, tmp_path)
    encoder = "bert" in label(folder)
    assert f'llmc.role = "{"run" if encoder else "step"}"' in text
    attentions = len(re.findall(r"= llmc\.attention ", text))
    assert attentions >= 1
    assert len(re.findall(r"  llmc\.cache @", text)) == (0 if encoder else attentions)
    assert len(re.findall(r"\bcausal\b", text)) == (0 if encoder else attentions)
    if encoder:
        assert len(re.findall(r"= llmc\.attention .* mask %", text)) == attentions


def weights_of(text):
    return set(re.findall(r'llmc\.weight "([^"]*)"', text))


STYLES = [os.path.join(SHARED, "stories260K", s) for s in ("optimum", "dynamo-18", "dynamo-23")]


@pytest.mark.skipif(not os.path.isdir(STYLES[0]), reason="stories260K is not beside the repository")
def test_styles_give_the_same_model(tmp_path):
    """Three exporters, one graph: the same weights by name, the same frequencies, a tied head."""
    texts = [import_text(folder, tmp_path) for folder in STYLES]
    names = [weights_of(text) for text in texts]
    assert "model.layers.0.self_attn.q_proj.weight" in names[0]
    layers = [{n for n in some if n.startswith("model.layers.")} for some in names]
    assert layers[0] == layers[1] == layers[2]
    assert len(layers[0]) == 5 * 9
    frequencies = [set(re.findall(r"frequencies = array<f64: ([^>]*)>", text)) for text in texts]
    assert frequencies[0] == frequencies[1] == frequencies[2] and len(frequencies[0]) == 1
    for some in names:
        assert ("lm_head.weight" in some) + ("model.embed_tokens.weight" in some) == 1


@pytest.mark.skipif(not os.path.isdir(STYLES[0]), reason="stories260K is not beside the repository")
def test_packed_weights_stay_packed(tmp_path):
    folder = os.path.join(SHARED, "stories260K", "genai-int4")
    text = import_text(folder, tmp_path)
    linears = len(re.findall(r"= llmc\.linear ", text))
    scheme = "#llmc.int<4, group = 32, symmetric, scale = f32>"
    assert len(re.findall(r"llmc\.weight .*" + re.escape(scheme), text)) == linears
    assert len(re.findall(r"= llmc\.linear .*#llmc\.dynamic<i8, per_group<32>>", text)) == linears
    assert re.search(r"= llmc\.embedding .*" + re.escape(scheme), text)
    assert "#llmc.dynamic" not in import_text(folder, tmp_path, "--float-activations")


ARCHITECTURES = os.path.join(SHARED, "architectures")


@pytest.mark.skipif(not os.path.isdir(ARCHITECTURES), reason="the architectures are not beside the repository")
@pytest.mark.parametrize("model,pattern,times", [
    ("mistral-window/optimum", r"window = 32 : i64", 2),
    ("mistral-window/dynamo-23", r"window = 32 : i64", 2),
    ("mistral-window/genai", r"window = ", 0),
    ("gemma2/dynamo-18", r"= llmc\.attention .*softcap = 5\.0+e\+01", 2),
    ("gemma2/optimum", r"= llmc\.attention .*softcap", 0),
    ("gemma2/optimum", r"window = 32 : i64", 1),
    ("opt/optimum", r"llmc\.positions .*offset = 2 : i64", 1),
    ("phi/dynamo-18", r"= llmc\.rope ", 4),
    ("qwen3/optimum", r"= llmc\.rms_norm .*groups = 4 : i64", 2),
    ("granite/optimum", r"= llmc\.scale ", 6),
    ("gpt2/optimum", r"kind<gelu_tanh>", 2),
    ("bert/optimum", r"kind<gelu>", 2),
    ("llama3-rope/genai", r"= llmc\.gated_activation .*kind<silu>", 2),
])
def test_what_is_recognised(model, pattern, times, tmp_path):
    text = import_text(os.path.join(ARCHITECTURES, model), tmp_path)
    assert len(re.findall(pattern, text)) == times


@pytest.mark.skipif(not os.path.isdir(ARCHITECTURES), reason="the architectures are not beside the repository")
def test_experts_are_refused_whole():
    path = os.path.join(ARCHITECTURES, "qwen3-moe", "optimum", "model.onnx")
    done = subprocess.run([IMPORT, "--check", path], capture_output=True, text=True)
    assert done.returncode == 2
    for op in ("TopK", "NonZero", "OneHot", "ScatterElements"):
        assert f"ai.onnx.{op} (opset 18)" in done.stderr


FILES = sorted(os.path.join(folder, name) for folder, _, names in os.walk(REFUSED) for name in names if name.endswith(".onnx"))


@pytest.mark.skipif(not FILES, reason="the exports that were refused once are not beside the repository")
@pytest.mark.parametrize("model", FILES, ids=[os.path.relpath(f, REFUSED) for f in FILES])
def test_an_export_comes_in_or_is_refused_in_words(model, tmp_path):
    done = subprocess.run([IMPORT, model, "-o", os.path.join(tmp_path, "model.mlirbc")], capture_output=True, text=True)
    assert done.returncode in (0, 2), done.stderr
    assert (done.returncode == 0) == (os.path.exists(os.path.join(tmp_path, "model.mlirbc")))
    if done.returncode:
        assert "llmc-import: error: " + model in done.stderr and "internal" not in done.stderr


@pytest.mark.parametrize("name, said", [
    ("masked_text", "input_ids"), ("position_mask", "attention_mask"), ("mask_kind", "token_type_ids"),
])
def test_a_name_that_misleads_is_held_against_the_use(name, said, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(os.path.join(FIXTURES, "bert-torchscript", "model.onnx"))
    texts = []
    for path, renamed in (("given", False), ("renamed", True)):
        if renamed:
            for value in model.graph.input:
                value.name = name if value.name == said else value.name
            for node in model.graph.node:
                node.input[:] = [name if i == said else i for i in node.input]
        (tmp_path / path).mkdir()
        onnx.save(model, tmp_path / path / "model.onnx")
        texts.append(import_text(str(tmp_path / path), tmp_path))
    assert f'"{name}"' in texts[1] and f'"{said}"' not in texts[1]
    ops = [[line.split(" loc(")[0].replace(name, said) for line in text.splitlines() if "llmc." in line and "#loc" not in line[:4]]
           for text in texts]
    assert ops[0] == ops[1]
