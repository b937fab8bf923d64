"""The artifact as users hold it: linked into a C program on two machines, the same bits for any thread count, errors by name."""
import ctypes
import json
import os
import pathlib
import platform
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
    out = subprocess.run(["qemu-aarch64", "-cpu", "cortex-a76", program, f"{base}.safetensors", "2"],
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
    (("--target=aarch64-linux-gnu" if platform.machine() == "x86_64" else "--target=x86_64-linux-gnu", "--cpu=native"), "is for this machine"),
    (("--target=arm64-apple-darwin", "--cpu=apple-m1"), "the system 'darwin' is not supported"),
    (("--target=x86_64-pc-windows-msvc", "--cpu=haswell"), "the system 'windows' is not supported"),
    (("--target=x86_64-linux-gnux32", "--cpu=haswell"), "the environment 'gnux32' is not supported"),
    (("--target=i686-linux-gnu", "--cpu=pentium4"), "the processor 'i686' is not compiled for"),
    (("--target=x86_64-linux-gnu", "--cpu=i386"), "cpu 'i386' has no 64-bit mode"),
    (("--target=x86_64-linux-gnu", "--cpu=cortex-a76"), "there is one for --target=aarch64-linux-gnu"),
    (("--target=x86_64-linux-gnu", "--cpu=haswell", "--features=+movrs"), "cannot be checked by the loader"),
])
def test_target_is_checked(way, tmp_path, options, message):
    said = run_tool("llmc-compile", *options, way.imported(QWEN2), "-o", tmp_path / "new" / "x", expect=2)
    assert message in said and said.startswith("llmc-compile: error: "), said
    assert not list(tmp_path.iterdir())


def test_without_a_processor_a_warning(way, tmp_path):
    for triple, slow in (("x86_64-linux-gnu", "SSE2"), ("aarch64-linux-gnu", "NEON without dot products")):
        said = subprocess.run([BUILD / "bin" / "llmc-compile", f"--target={triple}", way.imported(QWEN2), "-o", tmp_path / "x"],
                              check=True, capture_output=True, text=True).stderr
        assert f"warning: no --cpu: the code uses {slow} only" in said and "--cpu=native" in said, said


def test_output_equal_to_input_is_refused(way, tmp_path):
    module = tmp_path / "m.json"
    shutil.copy(way.imported(QWEN2), module)
    before = module.read_bytes()
    assert "is the input" in run_tool("llmc-compile", *HOST, module, "-o", tmp_path / "m", expect=1)
    assert module.read_bytes() == before


def known_features():
    """The processor's features in the runtime's table: {name: whether this machine has it}."""
    library = ctypes.CDLL(str(BUILD / "lib" / "libllmcrt.so"))
    names = re.findall(r'^    \{"([\w.-]+)", [A-Z]', (SOURCE / "lib/Runtime/CpuFeatures.c").read_text(), re.M)
    return {name: library.llmcrt_cpu_has(name.encode()) == 1 for name in names}


def missing_feature():
    """One that is asked for by itself and that this machine lacks, whatever it is."""
    return next(name for name, present in known_features().items() if not present and name.split("-")[0] != "amx")


def refusals(tmp_path, base, *runner, compiler="clang-22", flags=()):
    """What P_check_cpu, P_sizes and P_init answer in a program without a library, and why."""
    program = tmp_path / "refuse"
    subprocess.run([compiler, "-std=c99", "-Wall", "-Wextra", "-Werror", *flags, f"-I{SOURCE}/include", f"-I{tmp_path}",
                    SOURCE / "test/EndToEnd/Inputs/refuse.c", f"{base}.o", "-o", program], check=True)
    out = subprocess.run([*runner, program], check=True, capture_output=True, text=True).stdout
    checked, sized, begun, guard, why = out.rstrip("\n").split(" ", 4)
    assert sized == "0" and guard == "!", out
    return int(checked), int(begun), why


@pytest.mark.skipif(platform.machine() != "x86_64", reason="this is no x86-64 machine")
def test_missing_feature_is_named(way, tmp_path):
    feature = missing_feature()
    base = compile_named(tmp_path, way.imported(QWEN2), "--target=x86_64-linux-gnu", "--cpu=haswell", f"--features=+{feature}")
    named = json.loads((tmp_path / "model.json").read_text())["target"]["features"]
    lacked = min(name for name in named if not known_features()[name])  # what it brings along may be missing, too
    message = run_tool("llmc-run", base, "--prompt-ids=1", "--generate=1", expect=2)
    assert f"this machine lacks the processor feature '{lacked}'" in message
    assert refusals(tmp_path, base) == (6, 6, f"this machine lacks the processor feature '{lacked}'")


def test_this_machine_is_accepted(way, tmp_path):
    assert refusals(tmp_path, compile_named(tmp_path, way.imported(QWEN2), *HOST)) == (0, 0, "")


@pytest.mark.parametrize("cpu,machine,answer", [
    ("cortex-a76", "cortex-a76", (0, 0, "")),
    ("neoverse-v1", "cortex-a76", (0, 0, "")),  # I8MM is used by no kernel, so it is not asked for.
    ("neoverse-v1", "cortex-a53", (6, 6, "this machine lacks the processor feature 'dotprod'")),
])
def test_aarch64_asks_the_auxiliary_vector(way, tmp_path, cpu, machine, answer):
    if not (shutil.which("qemu-aarch64") and shutil.which("aarch64-linux-gnu-gcc")):
        pytest.skip("qemu-aarch64 or the cross compiler is not here")
    base = compile_named(tmp_path, way.imported(QWEN2), "--target=aarch64-linux-gnu", f"--cpu={cpu}")
    text = subprocess.run(["nm", "--undefined-only", f"{base}.o"], check=True, capture_output=True, text=True).stdout
    assert set(re.findall(r"U (\w+)", text)) <= RUNTIME_IMPORTS
    assert refusals(tmp_path, base, "qemu-aarch64", "-cpu", machine, compiler="aarch64-linux-gnu-gcc",
                    flags=["-static"]) == answer


@pytest.mark.skipif(platform.machine() != "x86_64", reason="this is no x86-64 machine")
def test_tile_registers_are_needed_where_used(way, tmp_path):
    def features(name, *options):
        run_tool("llmc-compile", "--target=x86_64-linux-gnu", "--cpu=sapphirerapids", *options, way.imported(QWEN2), "-o", tmp_path / name)
        return {f for f in json.loads((tmp_path / f"{name}.json").read_text())["target"]["features"] if f.startswith("amx")}

    assert features("off", "--features=-amx-int8") == set()
    assert features("model") == {"amx-int8", "amx-tile"}
    if known_features()["amx-int8"]:
        return  # test_a_program_uses_tile_registers runs it.
    message = run_tool("llmc-run", tmp_path / "model", "--prompt-ids=1", "--generate=1", expect=2)
    assert re.search("this machine lacks the processor feature '(amx|avx)", message)
    checked, begun, why = refusals(tmp_path, tmp_path / "model")
    assert (checked, begun) == (6, 6) and re.match("this machine lacks the processor feature '(amx|avx)", why)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="this is no x86-64 machine")
def test_a_program_uses_tile_registers(way, tmp_path):
    """A natural program asks P_check_cpu, which asks Linux: without that the first instruction on a tile ends it."""
    if not known_features()["amx-int8"]:
        pytest.skip("this processor has no tile registers, or the system keeps them")
    module = way.passes(way.imported(QWEN2), "--rtn-quantize=bits=8 group=0 activations=i8-token")
    base = compile_named(tmp_path, module, "--target=x86_64-linux-gnu", "--cpu=sapphirerapids")
    code = subprocess.run(["objdump", "-d", f"{base}.o"], check=True, capture_output=True, text=True).stdout
    assert "tdpb" in code
    program = build_program(tmp_path, "clang-22", base, BUILD / "lib" / "libllmcrt.a")
    expected = greedy(base)
    for threads in ("1", "3"):
        out = subprocess.run([program, f"{base}.safetensors", threads], check=True, capture_output=True, text=True)
        assert out.stdout == expected


def test_what_comes_before_the_check_runs_anywhere(way, tmp_path):
    """The functions called before it is known what the machine has use no instruction that it may lack."""
    base = compile_named(tmp_path, way.imported(QWEN2), "--target=x86_64-linux-gnu", "--cpu=sapphirerapids")
    for name in ("check_cpu", "abi", "info_json", "sizes", "init", "state_init"):
        code = subprocess.run(["objdump", "-d", f"--disassemble=model_{name}", f"{base}.o"], check=True, capture_output=True, text=True).stdout
        mnemonics = set(re.findall(r"^\s+\w+:\t[0-9a-f ]+\t(\w+)", code, re.M))
        assert "ret" in mnemonics and not {m for m in mnemonics if re.match(r"v|shlx|shrx|sarx|mulx|rorx|andn|bzhi", m)}, (name, mnemonics)


def test_example_of_the_documentation(way, tmp_path):
    text = (SOURCE / "docs/Rationale/Artifact.md").read_text()
    program, = re.findall(r"```c\n(.*?)```", text, re.S)
    module = way.imported(QWEN2)
    run_tool("llmc-compile", *HOST, module, "-o", tmp_path / "small")
    (tmp_path / "hello.c").write_text(program)
    shutil.copy(tmp_path / "hello.c", tmp_path / "hello.cpp")
    for compiler, standard, source in (("clang-22", "c99", "hello.c"), ("clang++-22", "c++17", "hello.cpp")):
        subprocess.run([compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror", "-pthread", f"-I{SOURCE}/include", f"-I{tmp_path}",
                        tmp_path / source, tmp_path / "small.o", BUILD / "lib" / "libllmcrt.a", "-o", tmp_path / "hello"], check=True)
        out = subprocess.run([tmp_path / "hello"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        assert out == run_tool("llmc-run", tmp_path / "small", "--prompt-ids=1,42,7", "--generate=8")


def test_header_states_numbers(way, tmp_path):
    def macros(name, module, *options):
        run_tool("llmc-compile", *HOST, *options, module, "-o", tmp_path / name)
        return dict(re.findall(r"^#define (\w+) (\d+)", (tmp_path / f"{name}.h").read_text(), re.M))

    assert macros("small", way.imported(QWEN2), "--context=96", "--chunk=32") == {
        "SMALL_VOCABULARY": "128", "SMALL_WIDTH": "128", "SMALL_WIDTH_0": "128", "SMALL_CONTEXT": "96", "SMALL_CHUNK": "32"}
    found = macros("encoder", way.imported(FIXTURES / "bert-torchscript" / "model.onnx"), "--max-tokens=64")
    outputs = json.loads((tmp_path / "encoder.json").read_text())["outputs"]
    widths = {f"ENCODER_WIDTH_{i}": str(output["shape"][-1]) for i, output in enumerate(outputs)}
    assert found == {"ENCODER_VOCABULARY": found["ENCODER_VOCABULARY"], "ENCODER_WIDTH": widths["ENCODER_WIDTH_0"], **widths,
                     "ENCODER_MAX_TOKENS": "64"}
    assert int(found["ENCODER_VOCABULARY"]) > 0


def test_peak_memory_of_packed_run(way):
    """Resident memory stays under packed weights + cache + 64 MB."""
    module = way.passes(way.imported(SOURCE / "python/llmc/demo/model.onnx"), "--rtn-quantize=bits=4 group=32")
    base = way.compiled(module)
    out = json.loads(run_tool("llmc-run", base, "--prompt-ids=1,2,3", "--generate=64", "--timing", "--json"))
    assert out["peak_rss_bytes"] < out["weights_bytes"] + out["kv_bytes"] + (64 << 20)
