"""The demo's way on the compiled tools: two variants of the embedded model, a few rows. Needs the whole build."""

import json
import os
import subprocess
import sys

import llmc
import numpy as np
import pytest
from llmc.demo.way import SAMPLE_IDS, SAMPLES, SAMPLING
from llmc.tokenizer import Decoder


@pytest.fixture(scope="module")
def demo(package, tmp_path_factory):
    """(folder, standard output, table as JSON) of one short demo."""
    try:
        for tool in ("llmc-import", "llmc-opt", "llmc-compile", "llmc-run"):
            llmc.find_tool(tool)
    except llmc.ToolError as error:
        pytest.skip(str(error))
    work = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-S", "-m", "llmc", "demo", "--rows=2", "--only=awq int4", f"--work={work}",
         f"--json={work / 'table.json'}"], cwd=package.parent, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(package.parent)})
    assert done.returncode == 0, done.stderr
    return work, done.stdout, json.loads((work / "table.json").read_text())


def test_table(demo):
    _, text, table = demo
    rows = {row["name"]: row for row in table["rows"]}
    assert list(rows) == ["f16, as imported", "awq int4", "awq int4, i8 inputs", "awq int4, then 2:4",
                          "2:4, then awq int4"]
    assert table["scored_ids"] == 510 and all(row["tokens"] == 510 for row in table["rows"])
    full, small, both = rows["f16, as imported"], rows["awq int4"], rows["2:4, then awq int4"]
    assert full["ratio"] == 1 and full["kl"] == 0 and full["top1"] == 1 and full["bits"] is None
    assert 4.5 <= small["bits"] <= 5.5 and small["bytes"] < full["bytes"] / 2
    assert 0 < small["kl"] < both["kl"] and 0.5 < small["ratio"] < 2
    assert all(row["prefill"] > 0 and row["decode"] > 0 for row in table["rows"])
    assert max(map(len, text[text.index("variant  "):].splitlines())) <= 100


def test_perplexity_is_that_of_the_exported_model(demo, package):
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(package / "demo" / "model.onnx", providers=["CPUExecutionProvider"])
    rows = np.load(package / "demo" / "heldout.npy")[:2].astype(np.int64)
    feeds = {"input_ids": rows, "attention_mask": np.ones_like(rows), "position_ids": np.ones_like(rows).cumsum(1) - 1}
    for value in session.get_inputs()[3:]:
        feeds[value.name] = np.zeros((2, value.shape[1], 0, value.shape[3]), np.float32)
    logits = session.run(["logits"], feeds)[0][:, :-1].astype(np.float64)
    chosen = np.take_along_axis(logits, rows[:, 1:, None], -1)[..., 0]
    expected = np.exp(np.mean(np.log(np.exp(logits).sum(-1)) - chosen))
    assert demo[2]["rows"][0]["ppl"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("file", ["full", "awq4", "awq4_24"])
def test_package_generates_what_the_runner_does(demo, package, file):
    work, text, _ = demo
    prompts = json.loads((package / "demo" / "prompts.json").read_text())
    with llmc.Model(work / file) as model:
        for prompt in prompts[:2]:
            ids = model.generate(prompt["ids"], 40)
            runner = [llmc.find_tool("llmc-run"), work / file, "--generate=40",
                      "--prompt-ids=" + ",".join(map(str, prompt["ids"]))]
            assert [int(word) for word in subprocess.check_output(runner).split()] == ids
            assert model.generate(prompt["ids"], 40, threads=2) == ids
            logits = np.asarray(model.logits(prompt["ids"] + ids[:5]))
            assert logits.shape == (len(prompt["ids"]) + 5, 2048)
            assert logits[len(prompt["ids"]) - 1:].argmax(-1).tolist() == ids[:6]
            if file in SAMPLES:
                written = prompt["ids"] + model.generate(prompt["ids"], SAMPLE_IDS, **SAMPLING)
                assert Decoder(package / "demo" / "tokenizer.json").decode(written) in text
