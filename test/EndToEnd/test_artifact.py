"""The artifact as users hold it: linked into a C program on two machines, the same bits for any thread count, errors by name."""
import json
import os
import pathlib
import re
import shutil
import subprocess

import numpy as np
import pytest

from whole_way import BUILD, FIXTURES, HOST, SOURCE, run_tool

QWEN2 = FIXTURES / "qwen2-optimum" / "model.onnx"
RUNTIME_IMPORTS = {"memcpy", "memmove", "memset"}


def vocabulary(base):
    return json.loads(pathlib.Path(f"{base}.json").read_text())["vocab"]


def build_program(tmp_path, compiler, base, library, *flags):
    program = tmp_path / "generate"
    subprocess.run([compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", *flags, f"-I{SOURCE}/include", f"-I{tmp_path}",
                    SOURCE / "test/EndToEnd/Inputs/generate.c", f"{base}.o", library, "-pthread", "-o", program], check=True)
    return program


def greedy(base, threads=1):
    return run_tool("llmc-run", base, "--prompt-ids=1,42,7", "--generate=24", f"--threads={threads}")


def compile_named(tmp_path, module, *options):
    base = tmp_path / "model"
    run_tool("llmc-compile", *options, module, "-o", base)
    return base


@pytest.mark.parametrize("flags", [(), ("--rtn-quantize=bits=4 group=32",)])
def test_c_program_generates(way, tmp_path, flags):
    module = way.imported(QWEN2)
    module = way.passes(module, *flags) if flags else module
    base = compile_named(tmp_path, module, *HOST)
    assert vocabulary(base) == 128
    program = build_program(tmp_path, "clang-22", base, BUILD / "lib" / "libllmcrt.a")
    for threads in ("1", "2", "5"):
        out = subprocess.run([program, f"{base}.safetensors", threads], check=True, capture_output=True, text=True)
        assert out.stdout == greedy(base)


def test_embedded_weights(way, tmp_path):
    """One object holds all: the C program passes no weights, llmc-run finds no file of them, and both say what the usual artifact says."""
    module = way.passes(way.imported(QWEN2), "--rtn-quantize=bits=4 group=32")
    expected = greedy(way.compiled(module))
    base = compile_named(tmp_path, module, *HOST, "--embed-weights")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.h", "model.json", "model.o", "model.so"]
    assert greedy(base) == expected
    program = build_program(tmp_path, "clang-22", base, BUILD / "lib" / "libllmcrt.a")
    out = subprocess.run([program, "-", "2"], check=True, capture_output=True, text=True)
    assert out.stdout == expected


@pytest.mark.parametrize("flags", [(), ("--rtn-quantize=bits=4 group=32",), ("--ternarize",),
                                   ("--rtn-quantize=bits=4 group=32 activations=i8-token",),
                                   ("--rtn-quantize=bits=8 group=0 activations=i8-token",),
                                   ("--cache-quantize=products=i8",)])
def test_aarch64_generates_the_same(way, tmp_path, flags):
    library = BUILD / "lib" / "aarch64-linux-gnu" / "libllmcrt.a"
    if not (shutil.which("qemu-aarch64") and shutil.which("aarch64-linux-gnu-gcc") and library.exists()):
        pytest.skip("qemu-aarch64 or the cross compiler is not here")
    module = way.imported(QWEN2)
    module = way.passes(module, *flags) if flags else module
    expected = greedy(way.compiled(module))
    base = compile_named(tmp_path, module, "--target=aarch64-linux-gnu", "--cpu=cortex-a76")
    program = build_program(tmp_path, "aarch64-linux-gnu-gcc", base, library, "-static")
    features = json.loads((tmp_path / "model.json").read_text())["target"]["features"]
    out = subprocess.run(["qemu-aarch64", "-cpu", "cortex-a76", program, f"{base}.safetensors", "2", *features],
                         check=True, capture_output=True, text=True)
    assert out.stdout == expected


def test_object_imports_only_memory_functions(way, tmp_path):
    base = way.compiled(way.imported(QWEN2))
    text = subprocess.run(["nm", "--undefined-only", f"{base}.o"], check=True, capture_output=True, text=True).stdout
    assert set(re.findall(r"U (\w+)", text)) <= RUNTIME_IMPORTS


def test_header_is_cxx17(way, tmp_path):
    base = compile_named(tmp_path, way.imported(QWEN2), *HOST)
    (tmp_path / "use.cpp").write_text('#include "model.h"\nint main() { return model_abi() - LLMC_ABI; }\n')
    program = tmp_path / "use"
    subprocess.run(["clang++-22", "-std=c++17", "-Wall", "-Werror", f"-I{SOURCE}/include", f"-I{tmp_path}", tmp_path / "use.cpp",
                    f"{base}.o", "-o", program], check=True)
    assert subprocess.run([program]).returncode == 0


@pytest.mark.parametrize("flags", [(), ("--rtn-quantize=bits=4 group=32 activations=i8-token",), ("--sparsify-2-4",),
                                   ("--cache-quantize=products=i8",)])
def test_threads_give_the_same_bits(way, flags):
    module = way.imported(QWEN2)
    base = way.compiled(way.passes(module, *flags) if flags else module)
    ids = (np.arange(60, dtype=np.int32) * 37 + 5) % 128
    one = way.logits(base, ids, 50, threads=1)
    assert (one == way.logits(base, ids, 50, threads=2)).all()
    for threads in (1, 3, 7):
        assert (one == way.lent_logits(base, ids, 50, threads)).all()


def test_chunks_and_cache_agree(way):
    """Prefill in one chunk, in chunks of 7, and one id at a time are the same sequence."""
    module = way.imported(QWEN2)
    ids = (np.arange(100, dtype=np.int32) * 37 + 5) % 128
    whole = way.logits(way.compiled(module), ids, 100)
    chunked = way.logits(way.compiled(module, *HOST, "--chunk=7"), ids, 100)
    stepped = way.logits(way.compiled(module), ids, 1)
    scale = np.abs(whole).max()
    assert np.abs(whole - chunked).max() < 1e-5 * scale
    assert np.abs(whole - stepped).max() < 1e-5 * scale


def test_same_input_same_bytes(way, tmp_path):
    module = way.imported(QWEN2)
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run_tool("llmc-opt", "--rtn-quantize", "--sparsify-2-4", module, "-o", tmp_path / name / "m.mlirbc")
        run_tool("llmc-compile", *HOST, tmp_path / name / "m.mlirbc", "-o", tmp_path / name / "model")
    for suffix in ("m.mlirbc", "model.o", "model.so", "model.h", "model.safetensors", "model.json"):
        assert (tmp_path / "a" / suffix).read_bytes() == (tmp_path / "b" / suffix).read_bytes(), suffix


def test_token_out_of_range(way):
    base = way.compiled(way.imported(QWEN2))
    assert "128" in run_tool("llmc-run", base, "--prompt-ids=1,128", "--generate=1", expect=2)


def test_prompt_past_context(way):
    base = way.compiled(way.imported(QWEN2), *HOST, "--context=16")
    run_tool("llmc-run", base, "--prompt-ids=1,2,3", "--generate=13")
    assert "16" in run_tool("llmc-run", base, "--prompt-ids=1,2,3", "--generate=15", expect=2)


@pytest.mark.parametrize("options,message", [
    (("--target=riscv64-linux-gnu", "--cpu=generic"), "unknown target"),
    (("--target=x86_64-linux-gnu", "--cpu=pentagon"), "unknown cpu 'pentagon'"),
    (("--target=x86_64-linux-gnu", "--cpu=znver4", "--features=+telepathy"), "unknown feature '+telepathy'"),
    (("--target=aarch64-linux-gnu", "--cpu=native"), "is for this machine"),
])
def test_target_is_checked(way, tmp_path, options, message):
    assert message in run_tool("llmc-compile", *options, way.imported(QWEN2), "-o", tmp_path / "x", expect=2)
    assert not list(tmp_path.iterdir())


def test_output_equal_to_input_is_refused(way, tmp_path):
    module = tmp_path / "m.json"
    shutil.copy(way.imported(QWEN2), module)
    before = module.read_bytes()
    assert "is the input" in run_tool("llmc-compile", *HOST, module, "-o", tmp_path / "m", expect=1)
    assert module.read_bytes() == before


def test_missing_feature_is_named(way, tmp_path):
    base = tmp_path / "wide"
    run_tool("llmc-compile", "--target=x86_64-linux-gnu", "--cpu=haswell", "--features=+amx-int8,+avx512fp16",
             way.imported(QWEN2), "-o", base)
    message = run_tool("llmc-run", base, "--prompt-ids=1", "--generate=1", expect=2)
    assert "feature" in message and ("amx" in message or "avx512" in message)


def test_tile_registers_are_needed_where_used(way, tmp_path):
    def features(name, *options):
        run_tool("llmc-compile", "--target=x86_64-linux-gnu", "--cpu=sapphirerapids", *options, way.imported(QWEN2), "-o", tmp_path / name)
        return {f for f in json.loads((tmp_path / f"{name}.json").read_text())["target"]["features"] if f.startswith("amx")}

    assert features("off", "--features=-amx-int8") == set()
    assert features("tiles") == {"amx-int8", "amx-tile"}
    if "amx_int8" in pathlib.Path("/proc/cpuinfo").read_text():
        pytest.skip("this processor has tile registers")
    message = run_tool("llmc-run", tmp_path / "tiles", "--prompt-ids=1", "--generate=1", expect=2)
    assert "this machine lacks the processor feature 'amx-int8'" in message


def test_peak_memory_of_packed_run(way):
    """Resident memory stays under packed weights + cache + 64 MB."""
    module = way.passes(way.imported(SOURCE / "python/llmc/demo/model.onnx"), "--rtn-quantize=bits=4 group=32")
    base = way.compiled(module)
    out = json.loads(run_tool("llmc-run", base, "--prompt-ids=1,2,3", "--generate=64", "--timing", "--json"))
    assert out["peak_rss_bytes"] < out["weights_bytes"] + out["kv_bytes"] + (64 << 20)
