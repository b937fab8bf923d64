#!/usr/bin/env python3
"""Wall time and peak memory of each step from an ONNX file to native code.

  python steps.py 1b.onnx --work=WORK --tokens=calib.npy            # import, calibrate, AWQ, compile, first token
  python steps.py 1b.onnx --work=WORK --passes='--rtn-quantize=bits=4 group=128'    # without calibration

A row for each command: seconds, peak resident memory, bytes read and written, and the peak over the larger of the two. Memory is
what the kernel says of the process when it ends (getrusage), mapped files included. Tools are found beside $LLMC_BUILD/bin or
in PATH. Needs nothing but Python. Exit code 1 with the tool's message when a step fails.
"""

import argparse
import os
import pathlib
import sys
import time

HEADER = f"{'step':<12}{'seconds':>9}{'peak MB':>9}{'in MB':>8}{'out MB':>8}{'peak/larger':>13}"


def tool(name):
    build = os.environ.get("LLMC_BUILD")
    return os.path.join(build, "bin", name) if build else name


def size(paths):
    return sum(path.stat().st_size for path in paths if path.exists())


def run(command):
    """(seconds, peak bytes) of a command; its standard output is dropped."""
    begin = time.monotonic()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            os.execvp(command[0], command)
        except OSError as error:
            print(f"steps: cannot run {command[0]}: {error.strerror}", file=sys.stderr)
            os._exit(127)
    _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"steps: {' '.join(command)} failed")
    return time.monotonic() - begin, usage.ru_maxrss * 1024


def steps(options):
    """(name, command, files read, files written) of each step."""
    work = options.work
    model, calibrated, small, base = (work / name for name in ("model.mlirbc", "calibrated.mlirbc", "small.mlirbc", "small"))
    weights = base.with_suffix(".safetensors")
    data = [options.model, options.model.with_name(options.model.name + "_data")]
    yield "import", [tool("llmc-import"), "--no-verify", str(options.model), "-o", str(model)], data, [model]
    source = model
    if options.tokens:
        yield ("calibrate", [tool("llmc-opt"), f"--calibrate=tokens={options.tokens}", str(model), "-o", str(calibrated)],
               [model], [calibrated])
        source = calibrated
    yield "compress", [tool("llmc-opt"), *options.passes, str(source), "-o", str(small)], [source], [small]
    yield ("compile", [tool("llmc-compile"), f"--cpu={options.cpu}", str(small), "-o", str(base)], [small], [weights])
    yield ("first token", [tool("llmc-run"), str(base), "--prompt-ids=1", "--generate=1"], [weights], [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder for what the steps write")
    parser.add_argument("--tokens", help="token file (.npy) to calibrate with; without it there is no calibration")
    parser.add_argument("--passes", action="append", help="a pass of the compression, in order; default: --awq-quantize with "
                        "tokens, else --rtn-quantize")
    parser.add_argument("--cpu", default="native")
    options = parser.parse_args()
    options.passes = options.passes or ["--awq-quantize" if options.tokens else "--rtn-quantize"]
    options.work.mkdir(parents=True, exist_ok=True)
    print(HEADER)
    for name, command, read, written in steps(options):
        seconds, peak = run(command)
        before, after = size(read), size(written)
        print(f"{name:<12}{seconds:>9.3f}{peak / 1e6:>9.0f}{before / 1e6:>8.0f}{after / 1e6:>8.0f}"
              f"{peak / max(before, after):>13.2f}", flush=True)


if __name__ == "__main__":
    main()
