#!/usr/bin/env python3
"""Mutants of small exports: each is an ONNX file with one change that ONNX Runtime runs and whose answer differs.

  python3 python/mutants/make_mutants.py --count=200 --out=build/mutants            # writes NAME.onnx and mutants.json
  python3 python/mutants/make_mutants.py --count=200 --out=build/mutants --run      # and takes each the whole way

With --run each mutant must be imported as what it is (the values of ONNX Runtime, its optimizer off, before and past the length where
the change tells) or be refused with exit code 2; the exit code is 1 if any is wrong in silence or ends a tool by a signal.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import zlib

import numpy as np

import angles
import others
import scores
from editor import Editor
from exports import SOURCE, all_exports

KINDS = [*scores.KINDS, *angles.KINDS, *others.KINDS]
BUILD = pathlib.Path(os.environ.get("LLMC_BUILD") or SOURCE / "build")
# A right answer is as near to ONNX Runtime's as this (share of the largest value); past a thousand positions f32 angles are coarser.
NEAR, NEAR_FAR = 3e-4, 3e-3


def near(length):
    return NEAR if length < 900 else NEAR_FAR


def apart(got, want):
    return float(np.abs(got - want).max() / np.abs(want).max())


class Mutant:
    def __init__(self, name, export, kind, change, length, model):
        self.name, self.export, self.kind, self.change, self.length, self.model = name, export, kind, change, length, model


def attempt(export, kind, seed, originals):
    """A mutant, or None where the kind does not apply, ONNX Runtime refuses the graph, or the answer stays as it was."""
    draw = np.random.default_rng([seed, zlib.crc32(f"{export.name} {kind.__name__}".encode())])
    editor = Editor(export)
    made = kind(editor, draw)
    if made is None:
        return None
    change, length = made
    if length > export.limit:
        return None
    model = editor.finish()
    try:
        answer = export.answer(export.session(model), length)
    except Exception as error:  # ONNX Runtime raises many types; a graph that it does not run is no mutant.
        if os.environ.get("MUTANTS_VERBOSE"):
            print(f"{export.name} {kind.__name__}: {str(error)[:300]}", file=sys.stderr)
        return None
    if (export.name, length) not in originals:
        originals[export.name, length] = export.answer(export.session(export.model), length)
    if not np.isfinite(answer).all() or apart(answer, originals[export.name, length]) < 10 * near(length):
        return None
    return Mutant("", export, kind.__name__, change, length, model)


def make(count, seed=1, shared=True, far=True):
    """Yields `count` mutants: kinds in turn over the exports, so that a few already span both."""
    exports, originals, seen, made, index = all_exports(shared), {}, set(), 0, 0
    kinds = list(KINDS)
    np.random.default_rng(seed).shuffle(kinds)
    rounds = 6 * len(kinds) * len(exports)
    while made < count and index < rounds:
        # Each turn takes the next kind and the next export; both come round to every pair.
        kind = kinds[index % len(kinds)]
        export = exports[(index + index // len(kinds)) % len(exports)]
        turn = index // (len(kinds) * len(exports))
        index += 1
        mutant = attempt(export, kind, seed + turn, originals)
        if mutant is None or (export.name, mutant.change) in seen or (mutant.length > 2000 and not far):
            continue
        seen.add((export.name, mutant.change))
        made += 1
        mutant.name = f"m{made:03}-{export.name.replace('/', '-')}-{mutant.kind.replace('_', '-')}"
        yield mutant
    if made < count:
        raise RuntimeError(f"only {made} mutants of {count}")


def tool(name, *arguments):
    try:
        result = subprocess.run([BUILD / "bin" / name, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=600)
    except subprocess.TimeoutExpired:
        return 124, f"{name} took more than 600 seconds"
    return result.returncode, " ".join(result.stderr.split())


def outcome(mutant, folder, flags=(), cpu="native"):
    """(verdict, detail): right, refused, wrong, or fault (a signal, or an exit code that is neither 0 nor 2)."""
    folder = pathlib.Path(folder)
    base, onnx_file, length = folder / "mutant", folder / f"{mutant.name}.onnx", mutant.length
    onnx_file.write_bytes(mutant.model.SerializeToString())
    code, said = tool("llmc-import", *flags, onnx_file, "-o", f"{base}.mlirbc")
    if code:
        return ("refused" if code == 2 else "fault"), f"import exit {code}: {said[-300:]}"
    room = ["--max-tokens=64"] if mutant.export.encoder else [f"--context={length}"] if length > 2000 else []
    code, said = tool("llmc-compile", "--target=x86_64-linux-gnu", f"--cpu={cpu}", *room, f"{base}.mlirbc", "-o", base)
    if code:
        return ("refused" if code == 2 else "fault"), f"compile exit {code}: {said[-300:]}"
    session, worst = mutant.export.session(mutant.model), 0.0
    # First where the change does not tell yet, then past it.
    for at in sorted({min(24, length), length}):
        want, ids = mutant.export.answer(session, at), mutant.export.ids(at)
        np.save(folder / "ids.npy", ids if mutant.export.encoder else ids[0])
        if mutant.export.encoder:
            np.save(folder / "mask.npy", np.ones_like(ids))
            code, said = tool("llmc-run", base, f"--input=input_ids={folder}/ids.npy", f"--input=attention_mask={folder}/mask.npy",
                              f"--output=last_hidden_state={folder}/out.npy")
        else:
            code, said = tool("llmc-run", base, f"--prompt-ids=@{folder}/ids.npy", f"--prefill={at - 4}", f"--logits={folder}/out.npy")
        if code:
            # Past the context that the importer found is a refusal; anything else that the artifact says is not.
            bounded = code == 2 and any(words in said for words in ("context", "sizes over what was compiled"))
            return ("refused" if bounded else "fault"), f"run exit {code}: {said[-300:]}"
        got = np.load(folder / "out.npy")
        if got.shape != want.shape:
            return "wrong", f"shape {got.shape}, expected {want.shape}"
        worst = apart(got, want)
        if not worst <= near(at):
            return "wrong", f"apart by {worst:.1e} at {at} positions"
    return "right", f"apart by {worst:.1e} at {length} positions"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--own", action="store_true", help="only exports of this repository")
    parser.add_argument("--run", action="store_true", help="import, compile and run each; report")
    parser.add_argument("--no-verify", action="store_true", help="import without the check")
    parser.add_argument("--cpu", default="native", help="what --run compiles for")
    parser.add_argument("--only", default="", help="only mutants with this in their name")
    parser.add_argument("--keep", action="store_true", help="keep files of right and refused ones with --run")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    listed, counts = [], {}
    for mutant in make(options.count, options.seed, not options.own):
        if options.only not in mutant.name:
            continue
        entry = {"name": mutant.name, "change": mutant.change, "length": mutant.length}
        if options.run:
            verdict, detail = outcome(mutant, options.out, ("--no-verify",) if options.no_verify else (), options.cpu)
            entry.update(verdict=verdict, detail=detail)
            counts[verdict] = counts.get(verdict, 0) + 1
            print(f"{verdict:8} {mutant.name:50} {mutant.change}: {detail}", flush=True)
            if verdict in ("right", "refused") and not options.keep:
                (options.out / f"{mutant.name}.onnx").unlink()
        else:
            (options.out / f"{mutant.name}.onnx").write_bytes(mutant.model.SerializeToString())
        listed.append(entry)
    (options.out / "mutants.json").write_text(json.dumps(listed, indent=1) + "\n")
    print(", ".join(f"{number} {verdict}" for verdict, number in sorted(counts.items())) or f"{len(listed)} mutants written")
    return 1 if counts.get("wrong") or counts.get("fault") else 0


if __name__ == "__main__":
    sys.exit(main())
