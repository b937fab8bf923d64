"""A model on standard input is what the file is: bytecode, wherever the bytes come to lie, and text."""
import subprocess

import pytest


def piped(tools, data, *command, cwd):
    """Through a real pipe, in pieces."""
    process = subprocess.Popen([tools.bin / command[0], *command[1:]], cwd=cwd, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    said = process.communicate(data)[1]
    assert process.returncode == 0, said


@pytest.mark.parametrize("attempt", range(6))
def test_bytecode(tools, model, tmp_path, attempt):
    # A name of another length moves what the heap hands out.
    output = "o" * (1 + 7 * attempt) + ".mlirbc"
    tools.ok("llmc-opt", "--rtn-quantize=include=.*", model, "-o", "file.mlirbc", cwd=tmp_path)
    piped(tools, model.read_bytes(), "llmc-opt", "--rtn-quantize=include=.*", "-", "-o", output, cwd=tmp_path)
    assert (tmp_path / output).read_bytes() == (tmp_path / "file.mlirbc").read_bytes()


def test_compile(tools, model, artifact, tmp_path):
    piped(tools, model.read_bytes(), "llmc-compile", *tools.target, "-", "-o", "art", cwd=tmp_path)
    for suffix in (".o", ".so", ".h", ".json", ".safetensors"):
        assert (tmp_path / f"art{suffix}").read_bytes() == artifact.with_suffix(suffix).read_bytes(), suffix


def test_a_named_pipe_and_a_tool_behind_another(tools, model, tmp_path):
    command = (f"'{tools.bin}/llmc-opt' --rtn-quantize '{model}' --emit-bytecode | '{tools.bin}/llmc-opt' --cse - -o piped.mlirbc; "
               f"'{tools.bin}/llmc-opt' --rtn-quantize --cse '{model}' -o direct.mlirbc; "
               f"mkfifo fifo; cat '{model}' > fifo & '{tools.bin}/llmc-opt' fifo -o fifo.mlirbc; wait; "
               f"'{tools.bin}/llmc-opt' '{model}' -o file.mlirbc")
    subprocess.run(["sh", "-e", "-c", command], cwd=tmp_path, check=True)
    assert (tmp_path / "fifo.mlirbc").read_bytes() == (tmp_path / "file.mlirbc").read_bytes()
    assert b"#llmc.int" in subprocess.run([tools.bin / "llmc-opt", tmp_path / "piped.mlirbc", "--mlir-elide-resource-strings-if-larger=16"],
                                          check=True, capture_output=True).stdout
    assert (tmp_path / "piped.mlirbc").stat().st_size == (tmp_path / "direct.mlirbc").stat().st_size


def test_text(tools, tmp_path):
    text = b"func.func @f(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {\n  return %x : tensor<?x4xf32>\n}\n"
    piped(tools, text, "llmc-opt", "-", "-o", "out.mlir", cwd=tmp_path)
    assert "func.func @f" in (tmp_path / "out.mlir").read_text()
