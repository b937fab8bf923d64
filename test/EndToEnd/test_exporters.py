"""What five exporters write runs as ONNX Runtime, or float64, says: our fixtures, and the shared models where they are."""
import numpy as np
import pytest

from whole_way import FIXTURES, run_tool

STYLES = ["optimum", "dynamo-18", "dynamo-23", "genai"]
OWN = sorted(path.parent.name for path in FIXTURES.glob("*/model.onnx"))
ARCHITECTURES = [
    ("bert", "dynamo-18"), ("bert", "dynamo-23"), ("bert", "optimum"), ("gpt2", "dynamo-18"), ("gpt2", "dynamo-23"),
    ("gpt2", "optimum"), ("llama3-rope", "dynamo-18"), ("llama3-rope", "dynamo-23"), ("llama3-rope", "genai"),
    ("llama3-rope", "optimum"), ("qwen2", "dynamo-18"), ("qwen2", "genai"), ("qwen2", "optimum"),
    ("mistral-window", "optimum"), ("gemma2", "dynamo-18"), ("phi3", "optimum"), ("gpt-neox", "dynamo-23"),
    ("opt", "optimum"), ("distilbert", "optimum"), ("qwen3", "optimum"), ("granite", "optimum"), ("phi", "dynamo-18"),
]


def test_fixtures_are_there():
    assert len(OWN) >= 6


@pytest.mark.parametrize("name", OWN)
def test_own_fixture(way, name):
    base = way.compiled(way.imported(FIXTURES / name / "model.onnx"))
    assert way.error_to_oracle(base, np.load(FIXTURES / name / "oracle.npz")) < 1e-4


@pytest.mark.parametrize("name,style", ARCHITECTURES)
def test_architecture(way, architectures, name, style):
    folder = architectures / name / style
    base = way.compiled(way.imported(folder / "model.onnx"))
    assert way.error_to_oracle(base, np.load(folder / "oracle.npz")) < 1e-4


@pytest.mark.parametrize("name", ["llama3-rope", "qwen2"])
@pytest.mark.parametrize("oracle,options,bound", [("oracle_float", ("--float-activations",), 1e-4), ("oracle", (), 5e-3)])
def test_genai_int4(way, architectures, name, oracle, options, bound):
    folder = architectures / name / "genai-int4"
    base = way.compiled(way.imported(folder / "model.onnx", *options))
    assert way.error_to_oracle(base, np.load(folder / f"{oracle}.npz")) < bound


@pytest.mark.parametrize("style", STYLES)
def test_stories_greedy(way, stories, style):
    base = way.compiled(way.imported(stories / style / "model.onnx"))
    expected = (stories / "expected.txt").read_text().split()
    assert run_tool("llmc-run", base, "--prompt-ids=1", "--generate=200").split() == expected


def test_stories_greedy_int4(way, stories):
    base = way.compiled(way.imported(stories / "genai-int4" / "model.onnx", "--float-activations"))
    expected = (stories / "expected.int4.txt").read_text().split()[:30]
    assert run_tool("llmc-run", base, "--prompt-ids=1", "--generate=30").split() == expected


@pytest.mark.parametrize("style", STYLES)
def test_stories_perplexity(way, stories, style):
    base = way.compiled(way.imported(stories / style / "model.onnx"))
    result = way.perplexity(base, np.load(stories / "val.npy"))
    assert result["tokens"] == 196350
    assert abs(result["ppl"] - 5.876544) < 1e-3


@pytest.mark.parametrize("options,bound", [(("--float-activations",), 1e-2), ((), 0.02 * 6.579702)])
def test_stories_perplexity_int4(way, stories, options, bound):
    base = way.compiled(way.imported(stories / "genai-int4" / "model.onnx", *options))
    result = way.perplexity(base, np.load(stories / "val.npy"))
    assert abs(result["ppl"] - 6.579702) < bound
