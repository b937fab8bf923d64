"""One other engine with one model, as a process that measures when it is told to.

  python engines.py ENGINE FILE THREADS POSITIONS

Writes "ready NAME VERSION", then for each line "TEST SECONDS" on standard input (TEST as llmc-bench
names it: pp512, tg128, tg128@1024) the tokens per second of the fastest of the runs that fit into
SECONDS, at least one behind a run that is not counted. A process of its own, so that neither threads
nor memory of the engines meet. Ends with code 3 when the engine is not installed.
"""

import json
import os
import signal
import subprocess
import sys
import time

NOT_INSTALLED = 3
FEWEST_IDS = 64  # what graphs without a cache are fed: llmc-bench does the same


def parse_test(name):
    """("pp", "tg" or "run", count, depth)"""
    kind = "run" if name.startswith("run") else name[:2]
    count, _, depth = name[len(kind) :].partition("@")
    return kind, int(count), int(depth or 0)


def describe_end(code, said):
    """How a process ended and the last lines of what it said on standard error.

    >>> describe_end(-11, "loading\\nmodel\\n")
    'ended by signal 11 (SIGSEGV); it said:\\n  loading\\n  model'
    >>> describe_end(2, "")
    'ended with code 2 and said nothing'
    """
    if code < 0:
        names = {number.value: number.name for number in signal.Signals}
        how = f"ended by signal {-code} ({names.get(-code, 'unknown')})"
    else:
        how = f"ended with code {code}"
    lines = said.strip().splitlines()[-20:]
    return how + ("; it said:" + "".join(f"\n  {line}" for line in lines) if lines else " and said nothing")


def make_ids(count, vocab):
    return [(7919 * i + 13) % vocab for i in range(count)]


class Engine:
    """A sequence that grows: clear(), feed(ids) at once, step(id) one by one."""

    def run(self, kind, count, depth):
        """Seconds of one test."""
        ids = make_ids(depth + count, self.vocab)
        self.clear()
        if depth:
            self.feed(ids[:depth])
        begin = time.perf_counter()
        if kind != "tg":
            self.feed(ids)
        else:
            for token in ids[depth:]:
                self.step(token)
        return time.perf_counter() - begin

    def measure(self, test, seconds):
        """Tokens per second."""
        kind, count, depth = parse_test(test)
        self.run(kind, count, depth)
        end = time.perf_counter() + seconds
        best = self.run(kind, count, depth)
        while time.perf_counter() < end:
            best = min(best, self.run(kind, count, depth))
        return count / best


class LlamaCpp(Engine):
    """llama.cpp through the C interface of llama-cpp-python; batches of 512 as llama-bench."""

    CHUNK = 512

    def __init__(self, path, threads, positions):
        import llama_cpp

        self.api = api = llama_cpp
        self.version = f"(llama-cpp-python {api.__version__})"
        self.silence = api.llama_log_callback(lambda level, text, data: None)
        api.llama_log_set(self.silence, None)
        api.llama_backend_init()
        self.model = api.llama_model_load_from_file(path.encode(), api.llama_model_default_params())
        if not self.model:
            sys.exit(f"engines: error: llama.cpp cannot load {path}")
        options = api.llama_context_default_params()
        options.n_ctx = positions
        options.n_batch = options.n_ubatch = self.CHUNK
        options.n_threads = options.n_threads_batch = threads
        self.choose_cache(options)
        self.context = api.llama_init_from_model(self.model, options)
        if not self.context:
            sys.exit(f"engines: error: llama.cpp has no memory for {positions} positions")
        self.vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))

    def choose_cache(self, options):
        """f16 unless told otherwise."""

    def clear(self):
        self.api.llama_memory_clear(self.api.llama_get_memory(self.context), True)

    def feed(self, ids):
        for first in range(0, len(ids), self.CHUNK):
            part = ids[first : first + self.CHUNK]
            array = (self.api.llama_token * len(part))(*part)
            batch = self.api.llama_batch_get_one(array, len(part))
            if self.api.llama_decode(self.context, batch):
                sys.exit("engines: error: llama_decode failed")
        self.api.llama_synchronize(self.context)

    def step(self, token):
        self.feed([token])


class LlamaCppNarrowCache(LlamaCpp):
    """The same with its cache in q8_0, which wants its flash attention."""

    def choose_cache(self, options):
        options.type_k = options.type_v = self.api.GGML_TYPE_Q8_0
        options.flash_attn_type = self.api.LLAMA_FLASH_ATTN_TYPE_ENABLED


class LlamaBench:
    """llama.cpp through its own llama-bench, which $LLAMA_BENCH names."""

    CACHE = []

    def __init__(self, path, threads, positions):
        self.command = [os.environ["LLAMA_BENCH"], "-m", path, "-t", str(threads), "-o", "json", "-r", "3", *self.CACHE]
        self.version = "(llama-bench)"

    def measure(self, test, seconds):
        kind, count, depth = parse_test(test)
        sizes = ["-p", str(count), "-n", "0"] if kind == "pp" else ["-p", "0", "-n", str(count)]
        result = subprocess.run(self.command + sizes + ["-d", str(depth)], capture_output=True, text=True, errors="replace")
        if result.returncode:
            sys.exit(f"engines: error: llama-bench {describe_end(result.returncode, result.stderr)}")
        return max(json.loads(result.stdout)[0]["samples_ts"])


class LlamaBenchNarrowCache(LlamaBench):
    CACHE = ["-ctk", "q8_0", "-ctv", "q8_0", "-fa", "1"]


class OnnxRuntime(Engine):
    """ONNX Runtime on the exported graph; the cache goes around as its own tensors, uncopied."""

    def __init__(self, path, threads, positions):
        import numpy
        import onnxruntime

        self.numpy, self.value = numpy, onnxruntime.OrtValue.ortvalue_from_numpy
        self.version = onnxruntime.__version__
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        shapes = {value.name: value.shape for value in self.session.get_inputs()}
        self.pasts = [name for name in shapes if name.startswith("past")]
        self.others = [name for name in shapes if name not in self.pasts]
        self.empty = {name: numpy.zeros((1, shapes[name][1], 0, shapes[name][3]), numpy.float32)
                      for name in self.pasts}
        outputs = [value.name for value in self.session.get_outputs()]
        self.presents = [name.replace("past_key_values", "present") for name in self.pasts]
        self.logits = next(name for name in outputs if name not in self.presents)
        vocab = next(value.shape[-1] for value in self.session.get_outputs() if value.name == self.logits)
        self.vocab = vocab if self.pasts else FEWEST_IDS

    def clear(self):
        self.length = 0
        self.cache = {name: self.value(value) for name, value in self.empty.items()}

    def feed(self, ids):
        array = self.numpy.array([ids], self.numpy.int64)
        total = self.length + len(ids)
        feeds = {"input_ids": self.value(array), **self.cache}
        if "attention_mask" in self.others:
            feeds["attention_mask"] = self.value(self.numpy.ones((1, total), self.numpy.int64))
        if "position_ids" in self.others:
            feeds["position_ids"] = self.value(self.numpy.arange(self.length, total)[None])
        results = self.session.run_with_ort_values([self.logits, *self.presents], feeds)
        self.cache = dict(zip(self.pasts, results[1:]))
        self.length = total

    def step(self, token):
        self.feed([token])


class OpenVino(Engine):
    """OpenVINO on the exported graph, in f32; the cache goes around as its own tensors."""

    def __init__(self, path, threads, positions):
        import numpy
        import openvino

        self.numpy, self.tensor = numpy, openvino.Tensor
        self.version = openvino.__version__.split("-")[0]
        settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY",
                    "INFERENCE_PRECISION_HINT": "f32"}
        self.model = openvino.Core().compile_model(path, "CPU", settings)
        self.request = self.model.create_infer_request()
        names = [port.get_any_name() for port in self.model.inputs]
        self.pasts = [name for name in names if name.startswith("past")]
        self.others = [name for name in names if name not in self.pasts]
        shapes = {port.get_any_name(): port.partial_shape for port in self.model.inputs}
        self.empty = {name: numpy.zeros((1, shapes[name][1].get_length(), 0, shapes[name][3].get_length()),
                                        numpy.float32) for name in self.pasts}
        logits = next((port for port in self.model.outputs if "logits" in port.get_names()), None)
        self.vocab = logits.partial_shape[2].get_length() if logits else FEWEST_IDS

    def clear(self):
        self.length = 0
        self.cache = {name: self.tensor(value) for name, value in self.empty.items()}

    def feed(self, ids):
        total = self.length + len(ids)
        feeds = {"input_ids": self.numpy.array([ids], self.numpy.int64), **self.cache}
        if "attention_mask" in self.others:
            feeds["attention_mask"] = self.numpy.ones((1, total), self.numpy.int64)
        if "position_ids" in self.others:
            feeds["position_ids"] = self.numpy.arange(self.length, total)[None]
        self.request.infer(feeds, share_inputs=True)
        # The request writes into the same outputs again: what goes around is a copy.
        self.cache = {name: self.numpy.array(self.request.get_tensor(name.replace("past_key_values", "present")).data)
                      for name in self.pasts}
        self.length = total

    def step(self, token):
        self.feed([token])


ENGINES = {"llama.cpp": LlamaCpp, "llama.cpp-q8cache": LlamaCppNarrowCache, "onnxruntime": OnnxRuntime, "openvino": OpenVino}
LLAMA_BENCHES = {"llama.cpp": LlamaBench, "llama.cpp-q8cache": LlamaBenchNarrowCache}


def main():
    name, path, threads, positions = sys.argv[1:]
    kind = ENGINES[name]
    if os.environ.get("LLAMA_BENCH"):
        kind = LLAMA_BENCHES.get(name, kind)
    try:
        engine = kind(path, int(threads), int(positions))
    except ImportError as error:
        print(f"engines: {name} is not installed: {error}", file=sys.stderr)
        sys.exit(NOT_INSTALLED)
    print("ready", name, engine.version, flush=True)
    for line in sys.stdin:
        test, seconds = line.split()
        print(engine.measure(test, float(seconds)), flush=True)


if __name__ == "__main__":
    main()
