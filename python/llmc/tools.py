"""Finds the tools, runs them, and turns their errors into exceptions."""

import logging
import os
import pathlib
import platform
import shutil
import subprocess

from .errors import ToolError, describe_exit

log = logging.getLogger("llmc")


def tool_folders():
    """Folders of tools in the order they are searched, PATH not included."""
    folders = []
    if os.environ.get("LLMC_BIN"):
        folders.append(pathlib.Path(os.environ["LLMC_BIN"]))
    if os.environ.get("LLMC_BUILD"):
        folders.append(pathlib.Path(os.environ["LLMC_BUILD"]) / "bin")
    folders.append(pathlib.Path(__file__).resolve().parents[2] / "build" / "bin")
    return folders


def find_tool(name):
    """The path of a tool: in $LLMC_BIN, $LLMC_BUILD/bin, build/bin of the checkout, or on PATH.

    Raises ToolError when it is in none of them.
    """
    for folder in tool_folders():
        path = folder / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    path = shutil.which(name)
    if path:
        return path
    places = ", ".join(str(folder) for folder in tool_folders())
    raise ToolError(name, f"{name} is neither in {places} nor on PATH; build it, or set LLMC_BIN to its folder")


def run_tool(name, *arguments):
    """Runs a tool to its end and returns its standard output as text; remarks go to the log "llmc".

    Raises ToolError with what it said when its exit code is not 0.
    """
    command = [find_tool(name), *(os.fspath(argument) for argument in arguments)]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace")
    except OSError as error:
        raise ToolError(name, f"{name} cannot be started: {error}", command) from error
    if done.returncode:
        said = done.stderr.strip() or "it said nothing"
        raise ToolError(name, f"{name} {describe_exit(done.returncode)}: {said}", command, done.returncode, done.stderr)
    for line in done.stderr.splitlines():
        log.info("%s: %s", name, line)
    return done.stdout


def host_target():
    """The target triple of this machine, for `compile`. Raises ToolError on machines that llmc does not compile for.

    >>> host_target() in ("x86_64-linux-gnu", "aarch64-linux-gnu")
    True
    """
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    if machine not in ("x86_64", "aarch64"):
        raise ToolError("llmc-compile", f"no target for machines of type '{machine}'")
    return f"{machine}-linux-gnu"


def quote_option(value):
    """The value of a pass's option as MLIR reads it: in quotes where it has spaces, quotes or braces.

    >>> print(quote_option("mlp.*"), quote_option("my ids.npy"), quote_option("bob's.npy"))
    mlp.* 'my ids.npy' "bob's.npy"
    """
    value = os.fspath(value) if isinstance(value, os.PathLike) else str(value)
    if value and not any(character in " \t\n'\"{}" for character in value):
        return value
    for quote in "'\"":
        if quote not in value:
            return quote + value + quote
    raise ValueError(f"an option cannot hold both kinds of quotes: {value}")


def pass_argument(entry):
    """The command-line argument of one pass.

    An entry is the name of a pass, a pair of name and options (a dict), or the argument itself. Values in a dict get
    the quotes they need; an argument is taken as it is.

    >>> pass_argument("sparsify-2-4")
    '--sparsify-2-4'
    >>> pass_argument(("rtn-quantize", {"bits": 4, "symmetric": True, "activations": "i8-token"}))
    '--rtn-quantize=bits=4 symmetric=true activations=i8-token'
    >>> pass_argument("--low-rank-decompose=ratio=0.75")
    '--low-rank-decompose=ratio=0.75'
    """
    name, options = (entry, {}) if isinstance(entry, str) else entry
    flag = name if name.startswith("-") else f"--{name}"
    values = {key: str(value).lower() if isinstance(value, bool) else quote_option(value) for key, value in options.items()}
    return flag + ("=" if values else "") + " ".join(f"{key}={value}" for key, value in values.items())


def import_onnx(model, out, float_activations=False, verify=None):
    """Imports an ONNX model: `out` ends in .mlirbc (bytecode) or .mlir (text). Returns `out` as a string.

    float_activations ignores accuracy_level of MatMulNBits. verify: True compares with the original on a few tokens also
    above 1 GB of weights, False never does, None up to 1 GB. Raises ToolError; exit code 2 names what cannot be imported.
    """
    arguments = [os.fspath(model), "-o", os.fspath(out)]
    if float_activations:
        arguments.append("--float-activations")
    if verify is not None:
        arguments.append("--verify" if verify else "--no-verify")
    run_tool("llmc-import", *arguments)
    return os.fspath(out)


def calibrate_argument(path):
    """--calibrate with the token file at `path`, whatever characters it has: llmc-opt finds quotes for it."""
    return f"--calibrate=tokens={os.fspath(path)}"


def compress(model, passes, calibration=None, out=None, keep_statistics=False):
    """Runs compression passes over a model, in the order given. Returns `out` as a string.

    passes: a list, see `pass_argument`: ["awq-quantize", ("rtn-quantize", {"bits": 4, "group": 32})]; may be empty.
    calibration: .npy of ids, int32 or int64 of shape [n] or [rows, n]; calibrates first. None: with the statistics that
    the model has already, or without. keep_statistics: leave them in the result though a pass used them, for a later
    call. out: .mlirbc or .mlir. Raises ToolError.
    """
    if out is None:
        raise ValueError("compress: where shall the result go? give out=")
    if isinstance(passes, str):
        raise ValueError("compress: passes is a list of passes, not a text")
    arguments = [calibrate_argument(calibration)] if calibration is not None else []
    arguments += ["--keep-statistics"] if keep_statistics else []
    arguments += [pass_argument(entry) for entry in passes]
    run_tool("llmc-opt", *arguments, model, "-o", out)
    return os.fspath(out)


def compile(model, out, target, cpu, features=None, context=None, chunk=None, max_tokens=None, symbol_prefix=None):
    """Compiles a model into out.o, out.so, out.h, out.safetensors and out.json. Returns `out`, as `Model` takes it.

    target: "x86_64-linux-gnu" or "aarch64-linux-gnu" (`host_target` tells this machine's); cpu: as LLVM names it, or
    "native"; features: "+avx512vnni,-amx-int8". context: positions of a sequence; chunk: positions of one pass of
    prefill; max_tokens: batch x length of a model without cache. Raises ToolError.
    """
    arguments = [f"--target={target}", f"--cpu={cpu}"]
    options = {"features": features, "context": context, "chunk": chunk, "max-tokens": max_tokens,
               "symbol-prefix": symbol_prefix}
    arguments += [f"--{key}={value}" for key, value in options.items() if value is not None]
    run_tool("llmc-compile", *arguments, model, "-o", out)
    return os.fspath(out)
