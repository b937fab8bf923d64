"""llmc demo: import, calibrate, compress, compile, run and measure the embedded model, and print what it cost."""

import argparse
import ast
import json
import os
import pathlib
import struct
import sys
import time

from ..errors import Error, ToolError
from ..model import Model
from ..tokenizer import Decoder
from ..tools import compile as compile_model
from ..tools import compress, host_target, import_onnx, run_tool
from .table import LEGEND, format_table, linear_bits
from .variants import VARIANTS

HERE = pathlib.Path(__file__).resolve().parent
SAMPLES = ("full", "awq4")  # the variants that write a text
SAMPLE_PROMPTS = (0, 1)
SAMPLE_IDS = 80
SAMPLING = {"temperature": 0.5, "top_k": 20, "seed": 1}
TIMED_IDS = 256


def say(text, end="\n"):
    print(text, end=end, file=sys.stderr, flush=True)


class Parser(argparse.ArgumentParser):
    """Ends with the exit code that all tools have for wrong usage."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(1, f"{self.prog}: error: {message}\n")


def parse_arguments(arguments):
    parser = Parser(prog="llmc demo", description=__doc__)
    build = os.environ.get("LLMC_BUILD", "build")
    parser.add_argument("--work", default=os.path.join(build, "demo"), help="folder for all files (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=64, help="rows of held-out text to score (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=min(os.cpu_count() or 1, 8),
                        help="threads for scoring; speed is always measured with one (default: %(default)s)")
    parser.add_argument("--only", default="", help="only variants with this in their name, and the uncompressed one")
    parser.add_argument("--json", default="", help="also write the table as JSON to this file")
    options = parser.parse_args(arguments)
    if not 1 <= options.threads <= 1024:
        parser.error(f"--threads: expected 1 to 1024, found {options.threads}")
    return options


def npy_header(shape):
    """The bytes before the data of a little-endian int32 .npy file (format 1.0)."""
    text = str({"descr": "<i4", "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def write_rows(source, rows, rows_path, prompt_path):
    """Writes the first rows of an int32 [rows, n] .npy file, and one row of TIMED_IDS as a prompt. Returns ids scored."""
    content = source.read_bytes()
    start = 10 + struct.unpack("<H", content[8:10])[0]
    total, length = ast.literal_eval(content[10:start].decode())["shape"]
    if not 1 <= rows <= total:
        raise Error("BAD_ARGUMENT", f"--rows: expected 1 to {total}, found {rows}")
    data = content[start:]
    rows_path.write_bytes(npy_header((rows, length)) + data[:4 * rows * length])
    prompt_path.write_bytes(npy_header((TIMED_IDS,)) + data[:4 * TIMED_IDS])
    return rows * (length - 1)


def make_variant(variant, work):
    """Compresses and compiles a variant; returns the base name of its artifact."""
    source = work / f"{variant.source()}.mlirbc"
    if variant.passes:
        source = compress(source, variant.passes, out=work / f"{variant.file}.mlirbc")
    return compile_model(source, work / variant.file, target=host_target(), cpu="native")


def measure_variant(variant, work, parameters, threads):
    """One row of the table."""
    base, info = work / variant.file, json.loads((work / f"{variant.file}.json").read_text())
    size = (work / info["weights"]["file"]).stat().st_size
    row = {"name": variant.name, "command": variant.command(), "bytes": size, "bits": linear_bits(info["layers"]),
           "bits_file": 8 * size / parameters}
    arguments = [f"--perplexity={work / 'heldout.npy'}", f"--threads={threads}", "--json"]
    scored = json.loads(run_tool("llmc-run", base, *arguments, f"--baseline={work / 'full'}"))
    row.update(ppl=scored["ppl"], tokens=scored["tokens"], ratio=scored["ppl_ratio"], kl=scored["kl_mean"],
               ratio_stderr=scored["ppl_ratio_stderr"], kl_99_9=scored["kl_99_9"], top1=scored["same_top1"])
    timed = json.loads(run_tool("llmc-run", base, f"--prompt-ids=@{work / 'prompt.npy'}", f"--generate={TIMED_IDS // 2}", "--stop-ids=none",
                                "--timing", "--repeat=5", "--threads=1", "--json"))
    row.update(prefill=timed["prefill_tokens_per_s"], decode=timed["decode_tokens_per_s"])
    return row


def print_samples(work, present):
    """What the uncompressed and one compressed model write behind the same prompts."""
    decoder = Decoder(HERE / "tokenizer.json")
    prompts = json.loads((HERE / "prompts.json").read_text(encoding="utf-8"))
    for variant in present:
        if variant.file not in SAMPLES:
            continue
        with Model(work / variant.file) as model:
            for index in SAMPLE_PROMPTS:
                ids = model.generate(prompts[index]["ids"], SAMPLE_IDS, **SAMPLING)
                print(f"--- {variant.name} writes, after the first {len(prompts[index]['ids'])} ids, at temperature "
                      f"{SAMPLING['temperature']}:")
                print(decoder.decode(prompts[index]["ids"] + ids) + "\n")


def run_demo(options):
    """Does everything; returns the exit code."""
    begun = time.monotonic()
    work = pathlib.Path(options.work)
    work.mkdir(parents=True, exist_ok=True)
    facts = json.loads((HERE / "facts.json").read_text())
    scored = write_rows(HERE / "heldout.npy", options.rows, work / "heldout.npy", work / "prompt.npy")
    say(f"demo: a model of {facts['parameters']:,} parameters, everything in {work}")
    say("demo: importing")
    model = import_onnx(HERE / "model.onnx", work / "model.mlirbc")
    chosen = [v for v in VARIANTS if options.only in v.name or v is VARIANTS[0]]
    failures = []
    if any(variant.calibrated for variant in chosen):
        say("demo: calibrating")
        compress(model, [], calibration=HERE / "calib.npy", out=work / "calibrated.mlirbc")
    rows, present = [], []
    started = time.monotonic()
    for index, variant in enumerate(chosen):
        say(f"demo: {index + 1}/{len(chosen)} {variant.name}: compressing and compiling", end="")
        try:
            make_variant(variant, work)
            say(", measuring", end="")
            rows.append(measure_variant(variant, work, facts["parameters"], options.threads))
            present.append(variant)
        except ToolError as error:
            if variant is VARIANTS[0]:
                say("")
                raise
            failures.append((variant, error))
        now = time.monotonic()
        left = (now - started) / (index + 1) * (len(chosen) - index - 1)
        say(f" ({now - begun:.0f} s" + (f", about {left:.0f} s left)" if left else ")"))
    print_samples(work, present)
    print(format_table(rows) + "\n")
    print(LEGEND.format(prefill_ids=TIMED_IDS, decode_ids=TIMED_IDS // 2 - 1) + "\n")
    print(f"Scored {scored:,} ids of held-out text ({options.rows} rows); the uncompressed model's perplexity is "
          f"{rows[0]['ppl']:.2f}.\nMade by these commands, in the order of the table:")
    for command in ("llmc-import model.onnx -o model.mlirbc",
                    "llmc-opt --calibrate=tokens=calib.npy model.mlirbc -o calibrated.mlirbc",
                    *(row["command"] for row in rows if row["command"]),
                    f"llmc-compile --target={host_target()} --cpu=native NAME.mlirbc -o NAME    # each",
                    "llmc-run NAME --perplexity=heldout.npy --baseline=full --json              # each"):
        print(f"  {command}")
    if options.json:
        content = {"rows": rows, "scored_ids": scored, "seconds": round(time.monotonic() - begun, 1)}
        pathlib.Path(options.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for variant, error in failures:
        say(f"demo: error: {variant.name}: {error}")
    return 2 if failures else 0


def main(arguments):
    """The command `llmc demo`. Exit code 2 when a variant could not be made or measured."""
    return run_demo(parse_arguments(arguments))
