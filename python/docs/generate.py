#!/usr/bin/env python3
"""Writes docs/Reference from TableGen, with examples taken from the lit tests.

usage: generate.py [--check] [--tblgen PATH]      PATH: mlir-tblgen, beside llvm-tblgen

The pages are what mlir-tblgen says, without what only a C++ programmer needs, and:

* a pass whose description has `(* example test/Room/name.mlir [@function] *)`, or else a test test/Room/<flag>.mlir, gets the
  command and the input of that test as its example;
* every line of the examples typed into a dialect's .td files must occur in a test under test/IR or test/Exec, so that none is wrong.

With --check nothing is written: exit code 1 if a page on disk is not what would be written.
"""
import argparse
import json
import os
import re
import subprocess
import sys
import textwrap

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INCLUDE = os.path.join(SOURCE, "include", "llmc")
NOTE = "<!-- Written by python/docs/generate.py from TableGen; do not edit. -->\n\n"
MARKER = re.compile(r"\(\* example (\S+?)(?: @(\w+))? \*\)\n?")
# Options of the test harness that a reader has no use for.
HARNESS = re.compile(r" --?(verify-diagnostics|split-input-file|mlir-print-debuginfo=false|verify-roundtrip)\b")


class Problem(Exception):
    """What is wrong with the sources of the reference, in one line."""


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def tblgen(program, mode, path):
    command = [program, *mode, "-I", os.path.join(SOURCE, "include"), "-I", "/usr/lib/llvm-22/include", path]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def example_of(path, function=None):
    """Command and input of a lit test, as Markdown: the first function, or the one asked for, with what it refers to."""
    full = os.path.join(SOURCE, path)
    if not os.path.exists(full):
        raise Problem(f"the example {path} does not exist")
    run = None
    kept, done, inside, wanted = [], False, False, True
    for line in read(full).split("\n"):
        found = re.match(r"\s*// RUN: (.*)", line)
        if found:
            if not run and "llmc-opt" in found.group(1):
                run = found.group(1)
            continue
        if line.startswith("// -----") or done:
            break
        if re.match(r"\s*// ?(CHECK|REQUIRES:|[A-Z0-9-]+(-NEXT|-SAME|-LABEL|-NOT|-DAG|-COUNT-\d+)?:|expected-)", line):
            continue
        if line.startswith(("func.func", "llvm.func", "exec.program", "module")):
            inside = True
            wanted = function is None or f"@{function}(" in line
        if wanted and (inside or not line.lstrip().startswith("//")):
            kept.append(line)
        if inside and line.startswith("}"):
            inside, done = False, wanted
            wanted = True
    if not run or not done:
        raise Problem(f"{path} has no {'RUN line' if not run else 'function to show'}")
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")
    command = HARNESS.sub("", run.split("|")[0].replace("2>&1", "")).strip().rstrip("\\").strip()
    command = command.replace("%s", os.path.basename(path)).replace("%t.npy", "tokens.npy").replace("2>/dev/null", "")
    command = re.sub(r"\s+", " ", command).strip()
    return f"Example ([{path}](../../{path})):\n\n```\n{command}\n```\n```mlir\n{text}\n```\n"


def tidy(text):
    text = re.sub(r"<!--.*?-->\n", "", text)
    text = text.replace("[TOC]\n", "")
    text = re.sub(r"^(### `\S+`) \(\S+\)$", r"\1", text, flags=re.M)
    text = re.sub(r"^(Traits|Interfaces|Effects): .*\n", "", text, flags=re.M)
    text = re.sub(r"[ \t]+$", "", text, flags=re.M)
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"


def dialect_page(program, dialect, room, ops):
    check_dialect_examples(room)
    path = os.path.join(INCLUDE, room, ops)
    return NOTE + tidy(tblgen(program, ["-gen-dialect-doc", f"-dialect={dialect}"], path))


def check_dialect_examples(room):
    """Each statement of an example in the room's .td files must be in one of its tests."""
    squeeze = lambda text: re.sub(r"\s+", " ", text).strip()
    folder = os.path.join(SOURCE, "test", room)
    tests = squeeze("\n".join(read(os.path.join(folder, name)) for name in sorted(os.listdir(folder))
                              if name.endswith(".mlir") and "invalid" not in name))
    for name in sorted(os.listdir(os.path.join(INCLUDE, room))):
        if not name.endswith(".td"):
            continue
        for block in re.findall(r"```mlir\n(.*?)```", read(os.path.join(INCLUDE, room, name)), flags=re.S):
            for statement in re.split(r"\n(?=[^\s}])", textwrap.dedent(block)):
                if re.sub(r"^%.*? = ", "", squeeze(statement)) not in tests:
                    raise Problem(f"{name}: this example is in no test of test/{room}: {squeeze(statement)}")


def defaults_of(program, path):
    """{flag: {option: default}} of the passes in a .td file."""
    generic = os.path.join(os.path.dirname(program), "llvm-tblgen")
    records = json.loads(tblgen(generic, ["-dump-json"], path))
    result = {}
    for name in records["!instanceof"].get("PassBase", []):
        options = [records[option["def"]] for option in records[name]["options"]]
        result[records[name]["argument"]] = {
            option["argument"]: option["defaultValue"].strip('"') for option in options if option["defaultValue"]}
    return result


def add_defaults(text, defaults):
    """Appends its default to the line of each option."""
    def line(found):
        value = defaults.get(found.group(1))
        return found.group(0) + (f" (default: {value})" if value else "")
    return re.sub(r"^-([\w-]+) *: .*$", line, text, flags=re.M)


def pass_page(program, title, rooms):
    """All passes of the rooms in the order of their Passes.td, each with its example."""
    parts = []
    for room in rooms:
        path = os.path.join(INCLUDE, room, "Passes.td")
        if not os.path.exists(path):
            continue
        order = re.findall(r'^def \w+\s*:\s*\w+<\s*"([\w-]+)"', read(path), flags=re.M)
        sections = dict(re.findall(r"^(?=### `-([\w-]+)`)(.*?)(?=^### |\Z)", tidy(tblgen(program, ["-gen-pass-doc"], path)),
                                   flags=re.M | re.S))
        defaults = defaults_of(program, path)
        for flag in sorted(sections, key=order.index):
            text = add_defaults(sections[flag], defaults[flag]).replace(f"### `-{flag}`", f"## `--{flag}`", 1)
            text = re.sub(r"^#### Options$", "### Options", text, flags=re.M)
            found = MARKER.search(text)
            default = f"test/{room}/{flag}.mlir"
            if found:
                example = example_of(found.group(1), found.group(2))
                text = MARKER.sub("", text)
            elif os.path.exists(os.path.join(SOURCE, default)):
                example = example_of(default)
            else:
                raise Problem(f"the pass --{flag} has no example: neither a marker in {room}/Passes.td nor {default}")
            parts.append(text.strip("\n") + "\n\n" + example)
    return NOTE + f"# {title}\n\n" + re.sub(r"\n{3,}", "\n\n", "\n".join(parts)) if parts else None


def main():
    parser = argparse.ArgumentParser(description="write docs/Reference from TableGen")
    parser.add_argument("--check", action="store_true", help="only compare with what is on disk")
    parser.add_argument("--tblgen", default="/usr/lib/llvm-22/bin/mlir-tblgen")
    args = parser.parse_args()
    try:
        pages = {
            "Dialect.md": dialect_page(args.tblgen, "llmc", "IR", "LLMCOps.td"),
            "ExecDialect.md": dialect_page(args.tblgen, "exec", "Exec", "ExecOps.td"),
            "GraphPasses.md": pass_page(args.tblgen, "Passes on the graph", ["IR"]),
            "CompressPasses.md": pass_page(args.tblgen, "Calibration and compression passes", ["Calibrate", "Compress"]),
            "LowerPasses.md": pass_page(args.tblgen, "Lowering passes", ["Pipeline", "Lower", "Lower/Cpu", "Target"]),
        }
    except Problem as problem:
        sys.exit(f"generate.py: error: {problem}")
    stale = False
    for name, text in pages.items():
        path = os.path.join(SOURCE, "docs", "Reference", name)
        if text is None:
            continue
        if args.check:
            if not os.path.exists(path) or read(path) != text:
                print(f"generate.py: docs/Reference/{name} is stale; run python3 python/docs/generate.py", file=sys.stderr)
                stale = True
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
    sys.exit(1 if stale else 0)


if __name__ == "__main__":
    main()
