#!/usr/bin/env python3
"""Runs the commands of Markdown pages, so that none of them is wrong.

usage: run_commands.py [--list] FOLDER PAGE...

Every block fenced as ```sh is run, in the order of the page, by one shell that stops at the first failure; blocks
fenced as ```python are programs of their own, run in their place. It starts in
FOLDER/<page>, where model.onnx, calib.npy, heldout.npy and ids.npy are those of the embedded demo model. A block whose
commands all start with ./run is not run, because ./run is what runs this; but it must be a command that ./run knows.
Blocks that are not commands to try are fenced as ```console or without a language.
"""
import os
import re
import shutil
import subprocess
import sys

SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEMO = os.path.join(SOURCE, "python", "llmc", "demo")


def commands_of(path):
    """(the script of a page, the lines that call ./run)"""
    with open(path, encoding="utf-8") as file:
        blocks = re.findall(r"^```(sh|python)\n(.*?)^```", file.read(), flags=re.M | re.S)
    script, runs = [], []
    for language, block in blocks:
        if language == "python":
            script.append(f"python3 - <<'END'\n{block}END\n")
            continue
        lines = [line for line in block.split("\n") if line.strip() and not line.strip().startswith("#")]
        if lines and all(line.startswith("./run") for line in lines):
            runs += lines
        else:
            script.append(block)
    return "".join(script), runs


def prepare(folder):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(os.path.join(folder, "build"))
    for name in ("model.onnx", "calib.npy", "heldout.npy"):
        shutil.copy(os.path.join(DEMO, name), folder)
    import numpy
    ids = numpy.load(os.path.join(folder, "heldout.npy")).reshape(-1)[:64]
    numpy.save(os.path.join(folder, "ids.npy"), ids)


def main():
    arguments = sys.argv[1:]
    only_list = arguments[:1] == ["--list"]
    folder, *pages = arguments[only_list:]
    failed = False
    with open(os.path.join(SOURCE, "run"), encoding="utf-8") as file:
        known = set(re.findall(r"^(\w+)\)", file.read(), flags=re.M)) | {"help", "build"}
    for page in pages:
        script, runs = commands_of(page)
        for line in runs:
            if (line.split() + ["help"])[1] not in known:
                print(f"{page}: ./run does not know this: {line}", file=sys.stderr)
                failed = True
        if only_list:
            print(script, end="")
            continue
        if not script:
            continue
        place = os.path.join(os.path.abspath(folder), os.path.splitext(os.path.basename(page))[0])
        prepare(place)
        print(f"== {page}", flush=True)
        env = dict(os.environ, PYTHONPATH=os.path.join(SOURCE, "python"), PYTHONDONTWRITEBYTECODE="1")
        code = subprocess.run(["sh", "-euxc", script], cwd=place, env=env).returncode
        if code:
            print(f"{page}: a command ended with code {code}", file=sys.stderr)
            failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
