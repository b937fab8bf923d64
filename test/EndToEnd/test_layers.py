"""Layers that are alike share their code: an object does not grow with depth, and the bits are those of code for each layer."""
import itertools
import re
import struct
import subprocess

import numpy as np
import pytest

from whole_way import HOST, SOURCE, run_tool

WIDTH, FFN, HEADS, KV_HEADS, VOCABULARY = 64, 48, 4, 2, 64
HEAD = WIDTH // HEADS
ROWS = f"tensor<?x?x{WIDTH}xf32>"


class Graph:
    """Text of a decoder with random weights; `layer` says what a layer is made of, by its number."""

    def __init__(self, layers, layer, seed=0):
        self.rng, self.names, self.lines, self.caches = np.random.default_rng(seed), itertools.count(), [], []
        self.embedding = self.weight("embed.weight", VOCABULARY, WIDTH)
        x = self.op(f"llmc.embedding {self.embedding}, %ids : tensor<{VOCABULARY}x{WIDTH}xf32>, tensor<?x?xi64>")
        for number in range(layers):
            x = layer(self, number, x)
        logits = self.linear(self.norm("norm", x, WIDTH), self.embedding, WIDTH, VOCABULARY)
        self.lines.append(f"return {logits} : tensor<?x?x{VOCABULARY}xf32>")

    def text(self):
        body = "\n  ".join(self.lines)
        return "\n".join(self.caches) + f"""
func.func @main(%ids: tensor<?x?xi64> {{llmc.name = "input_ids"}}) -> (tensor<?x?x{VOCABULARY}xf32> {{llmc.name = "logits"}})
    attributes {{llmc.role = "step"}} {{
  {body}
}}
"""

    def op(self, text):
        name = f"%{next(self.names)}"
        self.lines.append(f"{name} = {text}")
        return name

    def weight(self, name, *shape):
        scale = 1 if len(shape) == 1 else shape[1] ** -0.5
        data = (self.rng.standard_normal(shape) * scale).astype("<f4").tobytes().hex().upper()
        kind = f"tensor<{'x'.join(map(str, shape))}xf32>"
        return self.op(f'llmc.weight "{name}" {{values = dense<"0x{data}"> : {kind}}} : {kind}')

    def norm(self, name, x, width):
        scale = self.weight(f"{name}.weight", width)
        return self.op(f"llmc.rms_norm {x}, {scale} {{eps = 1.0e-5 : f64}} : tensor<?x?x{width}xf32>, tensor<{width}xf32>")

    def linear(self, x, matrix, inputs, outputs):
        return self.op(f"llmc.linear {x}, {matrix} : tensor<?x?x{inputs}xf32>, tensor<{outputs}x{inputs}xf32>")

    def add(self, a, b):
        return self.op(f"arith.addf {a}, {b} : {ROWS}")

    def attention(self, name, x, window=0):
        cache = f"@kv.{len(self.caches)}"
        self.caches.append(f"llmc.cache {cache} : tensor<{KV_HEADS}x{HEAD}xf32>")
        keys = KV_HEADS * HEAD
        q, k, v = (self.linear(x, self.weight(f"{name}.{part}.weight", width, WIDTH), WIDTH, width)
                   for part, width in [("q", WIDTH), ("k", keys), ("v", keys)])
        angles = ", ".join(str(1e4 ** (-i / (HEAD // 2))) for i in range(HEAD // 2))
        q, k = (self.op(f"llmc.rope {rows} {{heads = {heads} : i64, frequencies = array<f64: {angles}>, "
                        f"layout = #llmc.rope_layout<half>}} : tensor<?x?x{heads * HEAD}xf32>")
                for rows, heads in [(q, HEADS), (k, KV_HEADS)])
        seen = f", window = {window} : i64" if window else ""
        a = self.op(f"llmc.attention {q}, {k}, {v} cache {cache} {{heads = {HEADS} : i64, kv_heads = {KV_HEADS} : i64, "
                    f"scale = {HEAD ** -0.5} : f64, causal{seen}}} : {ROWS}, tensor<?x?x{keys}xf32>, tensor<?x?x{keys}xf32>")
        return self.linear(a, self.weight(f"{name}.o.weight", WIDTH, WIDTH), WIDTH, WIDTH)

    def gated(self, name, x, ffn=FFN, down=None):
        gate, up = (self.linear(x, self.weight(f"{name}.{part}.weight", ffn, WIDTH), WIDTH, ffn) for part in ["gate", "up"])
        kind = f"tensor<?x?x{ffn}xf32>"
        y = self.op(f"llmc.gated_activation {gate}, {up} {{kind = #llmc.activation_kind<silu>}} : {kind}")
        return self.linear(y, down or self.weight(f"{name}.down.weight", WIDTH, ffn), ffn, WIDTH)


def alike(graph, number, x, window=0, ffn=FFN):
    name = f"layers.{number}"
    x = graph.add(x, graph.attention(name, graph.norm(f"{name}.norm1", x, WIDTH), window))
    return graph.add(x, graph.gated(name, graph.norm(f"{name}.norm2", x, WIDTH), ffn))


def in_turns(graph, number, x):
    """A window in every layer but each third."""
    return alike(graph, number, x, 0 if number % 3 == 2 else 5)


def one_smaller(graph, number, x):
    return alike(graph, number, x, ffn=16 if number == 4 else FFN)


def parallel(graph, number, x):
    """Both halves of a layer from one norm, and their sum last."""
    name = f"layers.{number}"
    n = graph.norm(f"{name}.norm", x, WIDTH)
    return graph.add(x, graph.add(graph.attention(name, n), graph.gated(name, n)))


def norms_behind(graph, number, x):
    name = f"layers.{number}"
    x = graph.norm(f"{name}.norm1", graph.add(x, graph.attention(name, x)), WIDTH)
    return graph.norm(f"{name}.norm2", graph.add(x, graph.gated(name, x)), WIDTH)


def carried(graph, number, x):
    """What the layer before the last one left is added too, so two buffers go from turn to turn."""
    before, graph.before = getattr(graph, "before", x), x
    return graph.add(before, alike(graph, number, x))


def shuffled(graph, number, x):
    """Weights of one kind that lie in the file in no order."""
    if number == 0:
        graph.downs = {n: graph.weight(f"layers.{n}.down.weight", WIDTH, FFN) for n in [3, 0, 5, 2, 7, 6, 1, 4]}
    name = f"layers.{number}"
    x = graph.add(x, graph.attention(name, graph.norm(f"{name}.norm1", x, WIDTH)))
    return graph.add(x, graph.gated(name, graph.norm(f"{name}.norm2", x, WIDTH), down=graph.downs[number]))


def module(way, layers, layer):
    def make(base):
        (path := base.with_suffix(".mlir")).write_text(Graph(layers, layer).text())
        return path
    return way.once(("layers", layers, layer), make)


def turns(path, *passes):
    """Of each repeat, turns and stages."""
    text = run_tool("llmc-opt", path, *passes, "--llmc-lower=target=x86_64-linux-gnu cpu=haswell until=pack context=64",
                    "--mlir-print-debuginfo=false", "--mlir-elide-elementsattrs-if-larger=8",
                    "--mlir-elide-resource-strings-if-larger=8")
    bodies = re.split(r"exec\.repeat (\d+) ", text.split("exec.tail")[0])
    return [(int(count), re.split(r"\n    }\n", body)[0].count("exec.stage")) for count, body in
            zip(bodies[1::2], bodies[2::2])]


def sections(path):
    """Bytes of code, and of the whole object."""
    data = path.read_bytes()
    start, size, count = *struct.unpack_from("<Q", data, 40), *struct.unpack_from("<HH", data, 58)
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, start + i * size) for i in range(count)]
    return sum(header[5] for header in headers if header[2] & 4), len(data)


@pytest.mark.parametrize("cpu", ["haswell", "znver4"])
def test_code_does_not_grow_with_depth(way, cpu):
    options = ["--target=x86_64-linux-gnu", f"--cpu={cpu}", "--until=object", "--context=64"]
    sizes = {}
    for layers in [8, 40]:
        path = way.folder / f"depth{layers}.o"
        run_tool("llmc-compile", *options, module(way, layers, alike), "-o", path)
        sizes[layers] = sections(path)
    # The number of turns and where loops are aligned may differ; the calls of one layer alone are a kilobyte.
    assert abs(sizes[40][0] - sizes[8][0]) <= 256
    assert sizes[40][1] - sizes[8][1] <= 32 * 64


def test_tables_are_integers_in_the_object(way):
    path = way.folder / "shuffled.o"
    run_tool("llmc-compile", "--target=x86_64-linux-gnu", "--cpu=haswell", "--until=object", "--context=64", module(way, 8, shuffled),
             "-o", path)
    listed = subprocess.run(["/usr/lib/llvm-22/bin/llvm-readelf", "-rsW", path], capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r" UND (\w+)", listed)) <= {"memcpy", "memmove", "memset"}
    assert not re.search(r"Relocation section '[.]rela[.](rodata|data)", listed), listed


@pytest.mark.parametrize("layers, layer, expected", [
    # The last layer goes into the tail of the program, but for its keys and values.
    (8, alike, [(7, 5)]), (8, in_turns, [(2, 15)]), (9, one_smaller, [(4, 5), (3, 5)]), (8, parallel, [(7, 3)]),
    (8, norms_behind, [(7, 7)]), (9, carried, [(7, 5)]), (8, shuffled, [(7, 5)])], ids=lambda value: getattr(value, "__name__", None))
def test_bits_are_those_of_code_for_each_layer(way, layers, layer, expected):
    path = module(way, layers, layer)
    assert turns(path) == expected
    ids = np.random.default_rng(1).integers(0, VOCABULARY, 44)
    rolled, unrolled = (way.compiled(path, *HOST, "--context=64", f"--roll-layers={value}") for value in ["true", "false"])
    for threads in [1, 3]:
        want = way.lent_logits(unrolled, ids, 30, threads)
        assert np.ptp(want) > 0.1
        np.testing.assert_array_equal(way.lent_logits(rolled, ids, 30, threads), want)


def test_a_layer_made_different_has_its_own_body(way):
    path = module(way, 9, alike)
    assert turns(path, "--rtn-quantize=group=16 include=layers[.]4[.]up") == [(4, 5), (3, 5)]
    assert turns(path, "--rtn-quantize=group=16 include=layers[.].*") == [(8, 5)]
    quantized = way.passes(path, "--rtn-quantize=group=16 include=layers[.]4[.]up")
    ids = np.random.default_rng(1).integers(0, VOCABULARY, 44)
    rolled, unrolled = (way.logits(way.compiled(quantized, *HOST, "--context=64", f"--roll-layers={value}"), ids, 30)
                        for value in ["true", "false"])
    np.testing.assert_array_equal(rolled, unrolled)


def test_what_is_said_of_layers_stays_per_layer(way):
    options = ["--target=x86_64-linux-gnu", "--cpu=haswell", "--dry-run", "--explain"]
    said = [run_tool("llmc-compile", *options, f"--roll-layers={value}", module(way, 8, alike)) for value in ["true", "false"]]
    assert said[0] == said[1]
    assert re.findall(rf"layers\.(\d)\.up\.weight  {FFN}x{WIDTH}", said[0]) == list("01234567")


@pytest.mark.parametrize("name", ["bert/optimum", "distilbert/optimum", "stories260K/optimum"])
def test_bits_of_exported_models(way, name):
    folder = SOURCE.parent / "shared" / "models" / ("" if "260K" in name else "architectures") / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    path = way.imported(folder / "model.onnx")
    ids = np.random.default_rng(1).integers(1, 500, (2, 22))
    rolled, unrolled = (way.compiled(path, *HOST, f"--roll-layers={value}") for value in ["true", "false"])
    if "bert" in name:
        got, want = (way.hidden(base, ids, np.ones_like(ids)) for base in [rolled, unrolled])
    else:
        got, want = (way.lent_logits(base, ids, 30, 2) for base in [rolled, unrolled])
    np.testing.assert_array_equal(got, want)
