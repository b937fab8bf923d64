"""Exports a checkpoint to the committed demo folder: model.onnx, tokenizer, token rows, prompts.

  python export.py --work=WORK --out=../llmc/demo

The graph is TorchScript's, with the inputs, outputs and symbolic dimensions of optimum's
`text-generation-with-past`. Matrices and norms are f16 initializers with a Cast to f32, so that a
reader computes in f32 on exactly the committed values; the tied head is one initializer used twice.
Prints held-out perplexity of the file under ONNX Runtime and greedy text.
"""

import argparse
import json
import pathlib
import shutil

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer

from model import Config, LlamaForCausalLM
from train import cut_rows

ROW = 256
CALIBRATION_ROWS = 64
HELD_OUT_ROWS = 128
# None ends with a line feed: the tokenizer joins it with the indentation that follows.
PROMPTS = (
    'class Error(Exception):\n    """Base class',
    "    if not isinstance(value, int):\n        raise",
    'def is_empty(self):\n    """Return True if the',
    '    def close(self):\n        """Close the',
    "    def __repr__(self):\n        return",
    "    def __exit__(self, *",
)


class Exported(LlamaForCausalLM):
    """Flat inputs and outputs in optimum's order."""

    def forward(self, input_ids, attention_mask, position_ids, *flat):
        past = list(zip(flat[0::2], flat[1::2]))
        logits, presents = self.step(input_ids, attention_mask, position_ids, past)
        return (logits, *(tensor for pair in presents for tensor in pair))


def trace(model, path):
    config = model.config
    past = torch.zeros(2, config.num_key_value_heads, 3, config.head_dim)
    caches = [torch.randn_like(past) for _ in range(2 * config.num_hidden_layers)]
    kinds = [f"{i}.{kind}" for i in range(config.num_hidden_layers) for kind in ("key", "value")]
    inputs = ["input_ids", "attention_mask", "position_ids"]
    inputs += [f"past_key_values.{kind}" for kind in kinds]
    outputs = ["logits"] + [f"present.{kind}" for kind in kinds]
    batch, seen = "batch_size", "past_sequence_length"
    total = "past_sequence_length + sequence_length"
    dims = {"input_ids": {0: batch, 1: "sequence_length"}, "attention_mask": {0: batch, 1: total}}
    dims["position_ids"] = dims["logits"] = dims["input_ids"]
    for kind in kinds:
        dims[f"past_key_values.{kind}"] = {0: batch, 2: seen}
        dims[f"present.{kind}"] = {0: batch, 2: total}
    ids = torch.arange(8).view(2, 4)
    arguments = (ids, torch.ones(2, 7, dtype=torch.int64), ids % 4 + 3, *caches)
    torch.onnx.export(
        model.eval(), arguments, str(path), input_names=inputs, output_names=outputs,
        dynamic_axes=dims, opset_version=18, dynamo=False, do_constant_folding=True,
    )


def tie_head(graph):
    """Replaces the folded transpose of the head by a Transpose of the embedding."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    head = next(n for n in graph.node if n.op_type == "MatMul" and n.name.startswith("/lm_head/"))
    folded = tensors[head.input[1]]
    embedding = tensors["model.embed_tokens.weight"]
    if not np.array_equal(numpy_helper.to_array(folded), numpy_helper.to_array(embedding).T):
        raise SystemExit(f"{head.name}: its weight is not the embedding")
    transpose = helper.make_node("Transpose", [embedding.name], ["/lm_head/Transpose_output_0"],
                                 "/lm_head/Transpose", perm=[1, 0])
    head.input[1] = transpose.output[0]
    graph.initializer.remove(folded)
    nodes = [transpose, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)


def halve_weights(model):
    """Stores f32 matrices and norm weights as f16 behind a Cast; drops traces of the build."""
    graph, casts = model.graph, []
    tie_head(graph)
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims) < 256:
            continue
        name, values = tensor.name, numpy_helper.to_array(tensor)
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name))
        casts.append(helper.make_node("Cast", [name], [name + "_f32"], f"{name}/Cast",
                                      to=TensorProto.FLOAT))
    widened = {cast.input[0]: cast.output[0] for cast in casts}
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = widened.get(name, name)
    nodes = casts + list(graph.node)
    for node in nodes:
        node.ClearField("doc_string")
        del node.metadata_props[:]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.name = "main_graph"
    graph.ClearField("doc_string")
    del model.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)


def feeds(config, ids, past=None, start=0):
    batch, length = ids.shape
    shape = (batch, config.num_key_value_heads, 0, config.head_dim)
    positions = np.arange(start, start + length, dtype=np.int64)
    result = {
        "input_ids": ids.astype(np.int64),
        "attention_mask": np.ones((batch, start + length), np.int64),
        "position_ids": np.tile(positions, (batch, 1)),
    }
    for i in range(config.num_hidden_layers):
        for j, kind in enumerate(("key", "value")):
            empty = np.zeros(shape, np.float32)
            result[f"past_key_values.{i}.{kind}"] = empty if past is None else past[2 * i + j]
    return result


def perplexity(session, config, rows):
    total = 0.0
    for part in np.array_split(rows, max(1, len(rows) // 8)):
        logits = session.run(["logits"], feeds(config, part))[0][:, :-1].astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        scores = np.take_along_axis(logits, part[:, 1:, None].astype(np.int64), -1)[..., 0]
        total += (np.log(np.exp(logits).sum(-1)) - scores).sum()
    return float(np.exp(total / (rows.shape[0] * (rows.shape[1] - 1))))


def generate(session, config, ids, count):
    ids, past, result = np.array([ids]), None, []
    start = 0
    for _ in range(count):
        logits, *past = session.run(None, feeds(config, ids, past, start))
        start += ids.shape[1]
        ids = logits[:, -1:].argmax(-1)
        result.append(int(ids[0, 0]))
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", required=True, type=pathlib.Path)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    options = parser.parse_args()
    state = torch.load(options.work / "checkpoint.pt", weights_only=True)
    config = Config(**state["config"])
    decoder = Exported(config)
    decoder.load_state_dict(state["model"])

    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "model.onnx"
    trace(decoder, path)
    model = onnx.load(path)
    halve_weights(model)
    onnx.save(model, path)

    shutil.copyfile(options.work / "tokenizer.json", options.out / "tokenizer.json")
    tokenizer = Tokenizer.from_file(str(options.out / "tokenizer.json"))
    calibration = cut_rows(np.load(options.work / "train.npy"), CALIBRATION_ROWS, ROW)
    held_out = cut_rows(np.load(options.work / "heldout_stream.npy"), HELD_OUT_ROWS, ROW)
    np.save(options.out / "calib.npy", calibration.astype(np.int32))
    np.save(options.out / "heldout.npy", held_out.astype(np.int32))
    prompts = [{"text": text, "ids": tokenizer.encode(text).ids} for text in PROMPTS]
    (options.out / "prompts.json").write_text(json.dumps(prompts, indent=1) + "\n")

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    parameters = sum(parameter.numel() for parameter in decoder.parameters())
    value = round(perplexity(session, config, held_out), 6)
    facts = {"parameters": parameters, "step": state["step"], "heldout_perplexity": value}
    (options.out / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(f"step {state['step']}: held-out perplexity {value}")
    for prompt in prompts:
        ids = generate(session, config, prompt["ids"], 96)
        print("-----\n" + tokenizer.decode(prompt["ids"] + ids))


if __name__ == "__main__":
    main()
