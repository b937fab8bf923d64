"""The whole way as functions: import, passes, compile, run. Equal requests are done once."""
import itertools
import json
import os
import pathlib
import subprocess
import sys

import numpy as np

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("LLMC_BUILD") or SOURCE / "build")
FIXTURES = SOURCE / "test" / "EndToEnd" / "fixtures"
MODELS = SOURCE.parent / "shared" / "models"
sys.path.insert(0, str(SOURCE / "python"))
import llmc  # noqa: E402

HOST = ("--target=x86_64-linux-gnu", "--cpu=native")


def run_tool(tool, *arguments, expect=0):
    """Runs a tool of the build; returns its standard output. The exit code must be `expect`."""
    result = subprocess.run([BUILD / "bin" / tool, *map(str, arguments)], capture_output=True, text=True)
    assert result.returncode == expect, f"{tool} {arguments} exited {result.returncode}\n{result.stderr[-3000:]}"
    return result.stdout if expect == 0 else result.stderr


class Way:
    """Takes models the whole way inside one folder; equal requests are done once."""

    def __init__(self, folder):
        self.folder, self.done, self.names = folder, {}, itertools.count()

    def once(self, key, make):
        if key not in self.done:
            self.done[key] = make(self.folder / f"a{next(self.names)}")
        return self.done[key]

    def imported(self, onnx, *options):
        def make(base):
            run_tool("llmc-import", *options, onnx, "-o", f"{base}.mlirbc")
            return f"{base}.mlirbc"
        return self.once(("import", str(onnx), options), make)

    def passes(self, module, *flags):
        def make(base):
            run_tool("llmc-opt", *flags, module, "-o", f"{base}.mlirbc")
            return f"{base}.mlirbc"
        return self.once(("opt", module, flags), make)

    def compiled(self, module, *options):
        def make(base):
            run_tool("llmc-compile", *(options or HOST), module, "-o", base)
            return base
        return self.once(("compile", module, options), make)

    def logits(self, base, ids, prefill, threads=1):
        np.save(self.folder / "ids.npy", ids)
        run_tool("llmc-run", base, f"--prompt-ids=@{self.folder}/ids.npy", f"--prefill={prefill}",
                 f"--logits={self.folder}/logits.npy", f"--threads={threads}")
        return np.load(self.folder / "logits.npy")

    def lent_logits(self, base, ids, prefill, threads):
        """As `logits`, on threads that are lent: as many as are asked for, also on fewer processors."""
        ids = np.ravel(ids)
        with llmc.Model(base, threads=threads, exactly=True) as model:
            rows = [np.array(model.logits(ids[:prefill]))]
            rows += [np.array(model.decode(token))[None] for token in ids[prefill:]]
        return np.concatenate(rows)

    def hidden(self, base, ids, mask):
        np.save(self.folder / "ids.npy", ids)
        np.save(self.folder / "mask.npy", mask)
        run_tool("llmc-run", base, f"--input=input_ids={self.folder}/ids.npy",
                 f"--input=attention_mask={self.folder}/mask.npy",
                 f"--output=last_hidden_state={self.folder}/hidden.npy")
        return np.load(self.folder / "hidden.npy")

    def perplexity(self, base, ids, baseline=None, window=256, threads=2):
        np.save(self.folder / "text.npy", ids)
        extra = [f"--baseline={baseline}"] if baseline else []
        return json.loads(run_tool("llmc-run", base, f"--perplexity={self.folder}/text.npy", f"--window={window}",
                                   f"--threads={threads}", "--json", *extra))

    def error_to_oracle(self, base, oracle):
        """Largest difference to a stored answer, as a share of its largest value."""
        if "logits" in oracle:
            got, want = self.logits(base, oracle["ids"], 44), oracle["logits"]
        else:
            kept = oracle["mask"].astype(bool)
            got, want = self.hidden(base, oracle["ids"], oracle["mask"])[kept], oracle["hidden"][kept]
        assert got.shape == want.shape
        return np.abs(got - want).max() / np.abs(want).max()
