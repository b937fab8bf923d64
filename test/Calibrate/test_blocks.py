"""Calibration block by block: the bits of the whole model at once, and runs that are killed and begun again."""
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import numpy
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "python" / "llmc" / "demo"
ARCHITECTURES = ROOT.parent / "shared" / "models" / "architectures"
# Steps with caches, windows, norms behind sums, and graphs without a cache, with masks and types of tokens.
KINDS = ("bert/optimum", "distilbert/optimum", "gemma2/optimum", "gpt-neox/optimum", "gpt2/dynamo-23", "mistral-window/genai",
         "phi/dynamo-18", "qwen3/optimum")


def run(*command, **more):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, **more)


def checked(*command):
    done = run(*command)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blocks")
    checked("llmc-import", "--no-verify", DEMO / "model.onnx", "-o", folder / "model.mlirbc")
    return folder / "model.mlirbc"


def calibrated(model, tokens, output, more=""):
    """Statistics of the model as bytes, and the number of blocks."""
    done = checked("llmc-opt", "--pass-statistics", f"--calibrate=tokens={tokens} {more}", model, "-o", output)
    blocks = re.search(r"(\d+) calibrate +- Blocks that were run", done.stdout + done.stderr)
    return output.with_suffix(".stats").read_bytes(), int(blocks.group(1))


def layers(model):
    text = checked("llmc-opt", "--inline-layers", "--mlir-elide-resource-strings-if-larger=16", model).stdout
    return len(re.findall(r"llmc\.attention ", text))


def test_demo_has_the_bits_of_the_whole_model(demo, tmp_path):
    stats, blocks = calibrated(demo, DEMO / "calib.npy", tmp_path / "blocks.mlirbc")
    whole, one = calibrated(demo, DEMO / "calib.npy", tmp_path / "whole.mlirbc", "blocks=false")
    assert one == 1 and blocks == layers(demo) + 2  # ids to rows, layers, head
    assert stats == whole
    two, _ = calibrated(demo, DEMO / "calib.npy", tmp_path / "two.mlirbc", "threads=2")
    assert stats == two


@pytest.mark.parametrize("kind", KINDS)
def test_architectures_have_the_bits_of_the_whole_model(kind, tmp_path):
    folder = ARCHITECTURES / kind
    if not folder.is_dir():
        pytest.skip("../shared/models/architectures is not here")
    checked("llmc-import", "--no-verify", folder / "model.onnx", "-o", tmp_path / "model.mlirbc")
    tokens = tmp_path / "ids.npy"
    numpy.save(tokens, numpy.random.default_rng(1).integers(3, 60, (3, 40)).astype(numpy.int32))
    stats, blocks = calibrated(tmp_path / "model.mlirbc", tokens, tmp_path / "blocks.mlirbc")
    whole, _ = calibrated(tmp_path / "model.mlirbc", tokens, tmp_path / "whole.mlirbc", "blocks=false")
    assert stats == whole
    assert blocks >= layers(tmp_path / "model.mlirbc")


BY_BLOCKS = "--compress-blocks=tokens={} propagate={} passes={{awq-quantize{{group=32}},sparsify-2-4}}"


def test_blocks_that_see_the_dense_model_give_the_bytes_of_one_pass_after_another(demo, tmp_path):
    tokens = DEMO / "calib.npy"
    checked("llmc-opt", f"--calibrate=tokens={tokens}", "--awq-quantize=group=32", "--sparsify-2-4", demo, "-o", tmp_path / "one.mlirbc")
    checked("llmc-opt", BY_BLOCKS.format(tokens, "dense"), demo, "-o", tmp_path / "two.mlirbc")
    assert (tmp_path / "one.mlirbc").read_bytes() == (tmp_path / "two.mlirbc").read_bytes()
    assert not (tmp_path / "two.stats").exists()


def weights(model, folder):
    """What the model is to code: the bytes of its packed weights."""
    checked("llmc-compile", "--target=x86_64-linux-gnu", "--cpu=haswell", model, "-o", folder / model.stem)
    return (folder / (model.stem + ".safetensors")).read_bytes()


def test_blocks_see_what_came_out_of_compressed_ones(demo, tmp_path):
    """As by hand: each layer calibrated on the model whose layers in front of it are compressed."""
    tokens = DEMO / "calib.npy"
    checked("llmc-opt", BY_BLOCKS.format(tokens, "compressed"), demo, "-o", tmp_path / "blocks.mlirbc")
    checked("llmc-opt", BY_BLOCKS.format(tokens, "dense"), demo, "-o", tmp_path / "dense.mlirbc")
    text = checked("llmc-opt", "--mlir-elide-resource-strings-if-larger=16", demo).stdout
    layer = sorted({int(number) for number in re.findall(r'llmc\.weight "[^"]*layers\.(\d+)\.', text)})
    assert len(layer) == layers(demo)
    model = demo
    for number in layer:
        include = rf"include=layers[.]{number}[.]"
        following = tmp_path / f"hand{number}.mlirbc"
        checked("llmc-opt", f"--calibrate=tokens={tokens}", f"--awq-quantize=group=32 {include}", f"--sparsify-2-4={include}", model, "-o",
                following)
        model = following
    blocks = weights(tmp_path / "blocks.mlirbc", tmp_path)
    assert blocks == weights(model, tmp_path)
    assert blocks != weights(tmp_path / "dense.mlirbc", tmp_path)


def test_what_is_no_list_of_passes_is_refused(demo, tmp_path):
    tokens = DEMO / "calib.npy"
    for options, words in ((f"tokens={tokens}", "passes= is no list of passes"),
                           (f"tokens={tokens} passes=awq", "passes=awq is no list of passes"),
                           (f"tokens={tokens} passes=rtn-quantize propagate=both", "propagate=both, expected dense or compressed"),
                           ("passes=rtn-quantize", "tokens=<file.npy> is missing")):
        done = run("llmc-opt", f"--compress-blocks={options}", demo, "-o", tmp_path / "bad.mlirbc")
        assert done.returncode == 2 and "compress-blocks: " + words in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("how", ("passes", "blocks"))
def test_killed_runs_are_resumed_to_the_same_bytes(demo, tmp_path, how):
    def command(output):
        tokens = DEMO / "calib.npy"
        passes = [f"--calibrate=tokens={tokens}", "--awq-quantize=group=32", "--sparsify-2-4"]
        if how == "blocks":
            passes = [BY_BLOCKS.format(tokens, "compressed")]
        return ["llmc-opt", "--checkpoint-after=0", *passes, str(demo), "-o", str(output)]

    begin = time.monotonic()
    checked(*command(tmp_path / "reference.mlirbc"))
    whole = time.monotonic() - begin
    output = tmp_path / "out.mlirbc"
    kept = tmp_path / "out.mlirbc.resume"
    chance = random.Random(7)
    killed = 0
    for _ in range(50 if os.environ.get("LLMC_SLOW") else 4):
        process = subprocess.Popen(command(output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(chance.uniform(0, whole))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            killed += 1
            assert not output.exists()
            continue
        # Ended before it was killed: from there on all is done anew.
        assert output.read_bytes() == (tmp_path / "reference.mlirbc").read_bytes()
        assert not kept.exists()
        output.unlink()
    assert killed
    # Whatever the last left: at least what one run to the middle keeps.
    while not kept.exists() or not list(kept.iterdir()):
        process = subprocess.Popen(command(output), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (kept.exists() and list(kept.iterdir())):
            time.sleep(0.01)
        process.kill()
        process.wait()
        output.unlink(missing_ok=True)
    torn = max(kept.iterdir(), key=lambda path: path.stat().st_size)
    torn.write_bytes(torn.read_bytes()[:-1])  # by a crash of the system
    done = checked(*command(output))
    assert output.read_bytes() == (tmp_path / "reference.mlirbc").read_bytes()
    assert not kept.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith((".", "out"))] == ["out.mlirbc"]
    assert done.returncode == 0


def test_other_options_take_nothing_over(demo, tmp_path):
    def command(group, after=0):
        return ["llmc-opt", f"--checkpoint-after={after}", f"--calibrate=tokens={DEMO / 'calib.npy'}", f"--awq-quantize=group={group}",
                str(demo), "-o", str(tmp_path / "out.mlirbc")]

    kept = tmp_path / "out.mlirbc.resume"
    checked(*command(64))
    reference = (tmp_path / "out.mlirbc").read_bytes()
    (tmp_path / "out.mlirbc").unlink()
    process = subprocess.Popen(command(32), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (kept.exists() and len(list(kept.iterdir())) > 9):
        time.sleep(0.005)
    process.kill()
    process.wait()
    (tmp_path / "out.mlirbc").unlink(missing_ok=True)
    done = checked(*command(64))
    assert (tmp_path / "out.mlirbc").read_bytes() == reference
    if kept.exists():
        assert "pieces of work were taken" in done.stderr  # of the calibration, which is the same
    checked(*command(64, after=-1))
    assert (tmp_path / "out.mlirbc").read_bytes() == reference
