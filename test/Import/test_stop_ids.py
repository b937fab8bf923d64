"""Which ids end a text: from the file's metadata or from JSON beside it, all of it untrusted; then in the artifact and at run."""

import json
import os
import pathlib
import shutil
import subprocess

import pytest

onnx = pytest.importorskip("onnx")
SOURCE = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = SOURCE / "test" / "EndToEnd" / "fixtures"
BIN = pathlib.Path(os.environ.get("LLMC_BUILD") or SOURCE / "build") / "bin"
pytestmark = pytest.mark.skipif(not (BIN / "llmc-import").exists(), reason="llmc-import is not built")


def tool(name, *arguments):
    return subprocess.run([BIN / name, *arguments], capture_output=True, text=True)


@pytest.fixture
def place(tmp_path):
    """place(files, metadata, model) writes a model and JSON files beside it; returns its path."""

    def write(files=None, metadata=None, model="qwen2-optimum", folder="model"):
        target = tmp_path / folder
        target.mkdir(parents=True, exist_ok=True)
        path = target / "model.onnx"
        shutil.copy(FIXTURES / model / "model.onnx", path)
        if metadata:
            proto = onnx.load(path)
            for key, value in metadata.items():
                entry = proto.metadata_props.add()
                entry.key, entry.value = key, value
            onnx.save(proto, path)
        for name, content in (files or {}).items():
            (target / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


def imported(path):
    """(stop ids as the module spells them or None, what was said)."""
    out = path.with_suffix(".mlir")
    done = tool("llmc-import", "--no-verify", path, "-o", out)
    assert done.returncode == 0, done.stderr
    text = out.read_text()
    found = text.partition("llmc.stop_ids = array<i64: ")[2].partition(">")[0]
    return found or None, done.stderr


@pytest.mark.parametrize("files, metadata, expected", [
    ({}, {}, None),
    ({}, {"eos_token_id": "2"}, "2"),
    ({}, {"eos_token_id": "[7, 2, 7]"}, "2, 7"),
    ({}, {"stop_token_ids": "2,3"}, "2, 3"),
    ({"generation_config.json": {"eos_token_id": 5}}, {"eos_token_id": "2"}, "2"),
    ({"config.json": {"eos_token_id": 1}, "generation_config.json": {"eos_token_id": [5, 4]}}, {}, "4, 5"),
    ({"config.json": {"eos_token_id": 1}, "generation_config.json": {"bos_token_id": 5}}, {}, "1"),
    ({"config.json": {"eos_token_id": None, "text_config": {"eos_token_id": [6]}}}, {}, "6"),
    ({"genai_config.json": {"model": {"eos_token_id": [3, 4]}}, "config.json": {"eos_token_id": 9}}, {}, "3, 4"),
    ({"config.json": {"eos_token_id": []}}, {}, None),
])
def test_where_they_come_from(place, files, metadata, expected):
    assert imported(place(files, metadata)) == (expected, "")


@pytest.mark.parametrize("content, words", [
    ("{", "config.json: expected a JSON object"),
    ("", "config.json: expected a JSON object"),
    ("\0\xff", "config.json: expected a JSON object"),
    ("[" * 200000, "config.json: expected a JSON object"),
    ("[" * 200000 + "]" * 200000, "config.json: expected a JSON object"),
    ('{"eos_token_id": ' + "[" * 200000 + "]" * 200000 + "}", None),
    ({"eos_token_id": "two"}, "expected ids of the vocabulary of "),
    ({"eos_token_id": -1}, 'found -1; no stop ids from there'),
    ({"eos_token_id": 1 << 63}, "expected ids of the vocabulary of "),
    ({"eos_token_id": 2.5}, "found 2.5"),
    ({"eos_token_id": True}, "found true"),
    ({"eos_token_id": {"a": 1}}, "found object"),
    ({"eos_token_id": list(range(300))}, "found array"),
    (" " * (5 << 20), "config.json: expected a file of at most 4 MB"),
])
def test_what_cannot_be_used_is_a_remark(place, content, words):
    found, said = imported(place({"config.json": content}))
    assert found is None
    assert said == "" if words is None else words in said and "remark" in said and "config.json" in said


def test_metadata_that_cannot_be_used(place):
    found, said = imported(place({"config.json": {"eos_token_id": 1}}, {"eos_token_id": "</s>"}))
    assert found == "1" and "metadata 'eos_token_id': expected ids of the vocabulary of " in said


def test_a_pipe_is_not_waited_for(place):
    path = place()
    os.mkfifo(path.parent / "config.json")
    found, said = imported(path)
    assert found is None and "config.json: expected a file of at most 4 MB" in said


def test_the_folder_above_onnx(place):
    path = place(folder="hub/onnx")
    (path.parent.parent / "config.json").write_text('{"eos_token_id": 8}')
    assert imported(path)[0] == "8"
    other = place(folder="hub/other")
    assert imported(other)[0] is None


def test_encoders_have_none(place):
    assert imported(place({"config.json": {"eos_token_id": 2}}, model="bert-torchscript")) == (None, "")


def test_from_the_file_to_the_text(place, tmp_path):
    path = place()
    base, prompt = tmp_path / "small", "--prompt-ids=1,5,9"

    def compiled():
        bytecode = tmp_path / "m.mlirbc"
        assert tool("llmc-import", "--no-verify", path, "-o", bytecode).returncode == 0
        # Compression keeps them.
        assert tool("llmc-opt", "--rtn-quantize=bits=8 group=16", bytecode, "-o", tmp_path / "q.mlirbc").returncode == 0
        done = tool("llmc-compile", "--target=x86_64-linux-gnu", "--cpu=x86-64-v2", tmp_path / "q.mlirbc", "-o", base)
        assert done.returncode == 0, done.stderr
        return json.loads(base.with_suffix(".json").read_text())

    if os.uname().machine != "x86_64":
        pytest.skip("compiles for x86-64 and runs that")
    assert "stop_ids" not in compiled()
    ids = tool("llmc-run", base, prompt, "--generate=8").stdout.split()
    assert len(ids) == 8
    stop = ids[2]
    (path.parent / "generation_config.json").write_text('{"eos_token_id": %s}' % stop)
    assert compiled()["stop_ids"] == [int(stop)]
    upto = ids[:ids.index(stop) + 1]
    assert tool("llmc-run", base, prompt, "--generate=8").stdout.split() == upto
    assert tool("llmc-run", base, prompt, "--generate=8", "--stop-ids=none").stdout.split() == ids
    measured = tool("llmc-bench", "model", base, "--tests=tg8", "--threads=1", "--json", "--min-time=0.01", "--repetitions=1")
    if measured.returncode == 0:  # measures as many ids as it says
        assert json.loads(measured.stdout)["benchmarks"][0]["tokens_per_s"] > 0


def test_a_stop_id_outside_the_vocabulary_is_refused_by_the_compiler(tmp_path):
    model = tmp_path / "m.mlir"
    model.write_text("""
module attributes {llmc.stop_ids = array<i64: 2, 8>} {
  func.func @main(%ids: tensor<?x?xi64>) -> tensor<?x?x8xf32> attributes {llmc.role = "step"} {
    %e = llmc.weight "e" {values = dense<0.5> : tensor<8x4xf32>} : tensor<8x4xf32>
    %x = llmc.embedding %e, %ids : tensor<8x4xf32>, tensor<?x?xi64>
    %y = llmc.linear %x, %e : tensor<?x?x4xf32>, tensor<8x4xf32>
    return %y : tensor<?x?x8xf32>
  }
}
""")
    done = tool("llmc-compile", "--target=x86_64-linux-gnu", "--cpu=x86-64-v2", model, "-o", tmp_path / "m")
    assert done.returncode == 2 and "stop id 8 is outside the vocabulary of 8 ids" in done.stderr, done.stderr
