"""The exports that mutants are made of: the stored fixtures, one of ORT-GenAI's style built here, shared ones where they are."""
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FIXTURES = SOURCE / "test" / "EndToEnd" / "fixtures"
SHARED = SOURCE.parent / "shared" / "models" / "architectures"
OWN = ["gpt2-optimum", "qwen2-optimum", "llama-uncached-optimum", "gpt2-dynamo-18", "qwen2-dynamo-18", "qwen2-dynamo-23",
       "llama-uncached-dynamo-23", "bert-torchscript", "bert-dynamo-23", "llama-genai"]
MORE = ["mistral-window/optimum", "gemma2/dynamo-18", "phi3/optimum", "opt/optimum", "gpt-neox/dynamo-23"]


def genai():
    """A Llama of two layers as ORT-GenAI's builder writes it: GroupQueryAttention with rotary tables."""
    draw, hidden, heads, kv_heads, size, ffn, vocabulary, rows = np.random.default_rng(21), 64, 4, 2, 16, 96, 128, 256
    nodes, weights = [], []

    def weight(name, *shape, scale=None, centre=0.0):
        scale = shape[0] ** -0.5 if scale is None else scale
        values = (centre + scale * draw.standard_normal(shape)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, name))
        return name

    def constant(name, values):
        weights.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def node(kind, name, inputs, outputs, domain="", **attributes):
        nodes.append(helper.make_node(kind, inputs, outputs, name, domain=domain, **attributes))
        return outputs[0]

    microsoft = "com.microsoft"
    angles = np.outer(np.arange(rows), 1000.0 ** (-np.arange(0, size, 2) / size))
    constant("cos_cache", np.cos(angles).astype(np.float32))
    constant("sin_cache", np.sin(angles).astype(np.float32))
    mask = "/model/attn_mask_reformat"
    total = node("ReduceSum", f"{mask}/ReduceSum", ["attention_mask", constant("axis_1", np.int64([1]))], [f"{mask}/sum"])
    less = node("Sub", f"{mask}/Sub", [total, constant("one", np.int64([1]))], [f"{mask}/less"])
    lengths = node("Cast", f"{mask}/Cast", [less], ["seqlens_k"], to=TensorProto.INT32)
    shape = node("Shape", f"{mask}/Shape", ["attention_mask"], [f"{mask}/shape"])
    last = node("Gather", f"{mask}/Gather", [shape, constant("index_1", np.int64(1))], [f"{mask}/last"])
    longest = node("Cast", f"{mask}/Cast_1", [last], ["total_seq_len"], to=TensorProto.INT32)
    embedding = weight("model.embed_tokens.weight", vocabulary, hidden, scale=0.7)
    x = node("Gather", "/model/embed_tokens/Gather", [embedding, "input_ids"], ["/model/embed_tokens/output"])
    residual, branch = x, None

    def norm(path, name):
        nonlocal residual
        scale = weight(name, hidden, scale=0.3, centre=1.0)
        if branch is None:
            return node("SimplifiedLayerNormalization", path, [residual, scale], [f"{path}/output_0"], axis=-1, epsilon=1e-5,
                        stash_type=1)
        node("SkipSimplifiedLayerNormalization", path, [residual, branch, scale], [f"{path}/output_0", "", "", f"{path}/output_3"],
             microsoft, epsilon=1e-5)
        residual = f"{path}/output_3"
        return f"{path}/output_0"

    def linear(path, y, name, k, n, scale=1.0):
        return node("MatMul", path, [y, weight(name, k, n, scale=scale * k ** -0.5)], [f"{path}/output_0"])

    for layer in range(2):
        p, m = f"/model/layers.{layer}", f"model.layers.{layer}"
        y = norm(f"{p}/input_layernorm/LayerNorm", f"{m}.input_layernorm.weight")
        packed = linear(f"{p}/attn/qkv_proj/MatMul", y, f"{m}.attn.qkv_proj.MatMul.weight", hidden, (heads + 2 * kv_heads) * size, 1.6)
        node("GroupQueryAttention", f"{p}/attn/GroupQueryAttention",
             [packed, "", "", f"past_key_values.{layer}.key", f"past_key_values.{layer}.value", lengths, longest, "cos_cache", "sin_cache"],
             [f"{p}/attn/output_0", f"present.{layer}.key", f"present.{layer}.value"], microsoft, num_heads=heads,
             kv_num_heads=kv_heads, scale=size ** -0.5, local_window_size=-1, softcap=0.0, do_rotary=1, rotary_interleaved=0)
        branch = linear(f"{p}/attn/o_proj/MatMul", f"{p}/attn/output_0", f"{m}.attn.o_proj.MatMul.weight", hidden, hidden)
        y = norm(f"{p}/post_attention_layernorm/SkipLayerNorm", f"{m}.post_attention_layernorm.weight")
        gate = linear(f"{p}/mlp/gate_proj/MatMul", y, f"{m}.mlp.gate_proj.MatMul.weight", hidden, ffn)
        up = linear(f"{p}/mlp/up_proj/MatMul", y, f"{m}.mlp.up_proj.MatMul.weight", hidden, ffn)
        bent = node("Sigmoid", f"{p}/mlp/act_fn/Sigmoid", [gate], [f"{p}/mlp/sigmoid"])
        gate = node("Mul", f"{p}/mlp/act_fn/Mul", [gate, bent], [f"{p}/mlp/silu"])
        y = node("Mul", f"{p}/mlp/Mul", [gate, up], [f"{p}/mlp/product"])
        branch = linear(f"{p}/mlp/down_proj/MatMul", y, f"{m}.mlp.down_proj.MatMul.weight", ffn, hidden)
    y = norm("/model/layers.2/final_norm_layernorm/SkipLayerNorm", "model.norm.weight")
    node("MatMul", "/lm_head/MatMul", [y, weight("lm_head.MatMul.weight", hidden, vocabulary)], ["logits"])

    def info(name, kind, *dims):
        return helper.make_tensor_value_info(name, kind, dims)

    inputs = [info("input_ids", TensorProto.INT64, "batch_size", "sequence_length"),
              info("attention_mask", TensorProto.INT64, "batch_size", "total_sequence_length")]
    outputs = [info("logits", TensorProto.FLOAT, "batch_size", "sequence_length", vocabulary)]
    for layer in range(2):
        for kind in ("key", "value"):
            name, rest = f"{layer}.{kind}", ("batch_size", kv_heads)
            inputs.append(info(f"past_key_values.{name}", TensorProto.FLOAT, *rest, "past_sequence_length", size))
            outputs.append(info(f"present.{name}", TensorProto.FLOAT, *rest, "total_sequence_length", size))
    graph = helper.make_graph(nodes, "main_graph", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(microsoft, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


# Heads, head size, longest sequence that the graph's tables reach (None: no end), vocabulary, width of what comes out, hidden width.
SHAPES = {
    "gpt2": (4, 8, 64, 128, 128, 32), "qwen2": (4, 8, None, 128, 128, 32), "llama-uncached": (4, 8, None, 128, 128, 32),
    "bert": (4, 8, 64, 128, 32, 32), "llama-genai": (4, 16, 256, 128, 128, 64), "mistral-window": (4, 16, None, 512, 512, 64),
    "gemma2": (4, 16, None, 512, 512, 64), "phi3": (4, 16, None, 512, 512, 64), "opt": (4, 16, None, 512, 512, 64),
    "gpt-neox": (4, 16, None, 512, 512, 64),
}


class Export:
    """One export: its graph, and what ONNX Runtime (without its optimizer) makes of a graph with the same interface."""

    def __init__(self, name):
        self.name = name
        kind = max((key for key in SHAPES if name.startswith(key)), key=len)
        self.heads, self.head_size, limit, self.vocabulary, self.width, self.hidden = SHAPES[kind]
        self.limit = limit or 6000
        self.encoder = kind == "bert"
        if name == "llama-genai":
            self.model = genai()
        else:
            self.model = onnx.load((SHARED if "/" in name else FIXTURES) / name / "model.onnx")
        if kind == "opt":
            self.limit = next(tensor.dims[0] for tensor in self.model.graph.initializer if "embed_positions" in tensor.name) - 2

    def copy(self):
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        return model

    def ids(self, length):
        return np.random.default_rng(length).integers(0, self.vocabulary, (1, length))

    @staticmethod
    def session(model):
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        data = model if isinstance(model, (bytes, str, pathlib.Path)) else model.SerializeToString()
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])

    def answer(self, session, length, steps=4):
        """Logits of `length` ids, the last `steps` of them one by one through the cache; an encoder's hidden states."""
        ids, known = self.ids(length), {value.name: value for value in session.get_inputs()}
        if self.encoder:
            feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
            return session.run(None, {key: value for key, value in feeds.items() if key in known})[0]
        past = {key: np.zeros((1, value.shape[1], 0, value.shape[3]), np.float32) for key, value in known.items()
                if key.startswith("past_key_values")}
        ends = [*range(length - steps, length + 1)] if past else [length]
        rows, begin = [], 0
        outputs = ["logits"] + [key.replace("past_key_values", "present") for key in past]
        for end in ends:
            feeds = {"input_ids": ids[:, begin:end], "attention_mask": np.ones((1, end), np.int64),
                     "position_ids": np.arange(begin, end, dtype=np.int64)[None]}
            feeds = {key: value for key, value in feeds.items() if key in known}
            logits, *presents = session.run(outputs, {**feeds, **past})
            past, begin = dict(zip(past, presents)), end
            rows.append(logits[0])
        return np.concatenate(rows)


def all_exports(shared=True):
    names = OWN + [name for name in MORE if shared and (SHARED / name / "model.onnx").exists()]
    return [Export(name) for name in names]


