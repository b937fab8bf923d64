# How lit runs the .mlir and .test files: tools by name, features for what a machine may lack.
import os
import platform
import shutil
import subprocess

import lit.formats

config.name = "llmc"
config.test_format = lit.formats.ShTest(execute_external=False)
config.suffixes = [".mlir", ".test"]
config.excludes = ["Unit", "fixtures", "Inputs"]
config.test_source_root = os.path.join(config.llmc_source, "test")
config.test_exec_root = os.path.join(config.llmc_build, "test")

tools = os.path.join(config.llmc_build, "bin")
config.environment["PATH"] = os.pathsep.join([tools, config.llvm_tools, os.environ.get("PATH", "")])
config.environment["LLMC_BUILD"] = config.llmc_build
for name in ("TMPDIR", "LANG"):
    if name in os.environ:
        config.environment[name] = os.environ[name]

# The virtual environment of ./run test, or what LLMC_PYTHON names.
venv = os.path.join(config.llmc_source, ".venv", "bin", "python")
python = os.environ.get("LLMC_PYTHON") or (venv if os.path.exists(venv) else "python3")
shared = os.path.normpath(os.path.join(config.llmc_source, "..", "shared"))

# Programs that link what was built with sanitizers need their runtime.
if config.llmc_sanitize:
    config.llmc_cc += " -fsanitize=address,undefined"
    config.available_features.add("sanitizers")

config.substitutions += [
    # %exits 2 llmc-opt ...: must end with exactly this code; stderr goes to stdout.
    ("%exits", f"{python} {config.llmc_source}/test/exit_code.py"),
    ("%python", python),
    ("%cc", config.llmc_cc),
    ("%tblgen", os.path.join(config.llvm_tools, "mlir-tblgen")),
    ("%source", config.llmc_source),
    ("%build", config.llmc_build),
    ("%shared", shared),
    ("%models", os.path.join(shared, "models")),
    ("%fixtures", os.path.join(config.llmc_source, "test", "EndToEnd", "fixtures")),
]

# LLMC_OPT_CHECK_IR_ROUNDTRIP=1 makes the whole suite a round-trip test: each llmc-opt also writes its input as text
# and as bytecode, reads both back and compares.
if os.environ.get("LLMC_OPT_CHECK_IR_ROUNDTRIP"):
    config.substitutions.append((r"(?<![\w/-])llmc-opt(?= )", "llmc-opt --verify-roundtrip"))
    config.available_features.add("check-roundtrip")


def cpu_flags():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("flags"):
                    return set(line.split(":", 1)[1].split())
    except OSError:
        pass
    return set()


def python_has(module):
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec('{module}') is None)"
    return subprocess.run([python, "-c", code], stderr=subprocess.DEVNULL).returncode == 0


def has_assertions():
    """Whether the build says what passes decide (LLVM_DEBUG)."""
    done = subprocess.run([os.path.join(tools, "llmc-opt"), "--help-hidden"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return b"--debug-only=" in done.stdout


flags = cpu_flags()
features = {
    "x86": platform.machine() == "x86_64",
    "x86-avx2": "avx2" in flags and "fma" in flags,
    "avx512vnni": "avx512_vnni" in flags,
    "qemu-aarch64": bool(shutil.which("qemu-aarch64") and shutil.which("aarch64-linux-gnu-gcc")),
    "shared-models": os.path.isdir(os.path.join(shared, "models")),
    "python-onnx": python_has("onnx") and python_has("numpy"),
    "compiler": all(os.path.exists(os.path.join(tools, name)) for name in ("llmc-import", "llmc-compile", "llmc-run")),
    "git": bool(shutil.which("git")),
    "assertions": os.path.exists(os.path.join(tools, "llmc-opt")) and has_assertions(),
    "torch-free": not python_has("torch"),
}
for name, present in features.items():
    if present:
        config.available_features.add(name)
if "shared-models" not in config.available_features:
    lit_config.note("../shared/models is not there: the tests that need its models are skipped")
if "python-onnx" not in config.available_features:
    lit_config.note(f"{python} has no onnx: the tests that make ONNX files are skipped (./run test installs it)")
