"""Writes the same decoder as make_onnx.py as GGUF, for llama.cpp.

  python make_gguf.py 24m --type=Q4_0 --out=24m-q4_0.gguf [--layers=N] [--vocab=N] [--seed=0]

All matrices, embedding and head included, have the type that is asked for (what llama-quantize calls
--pure), so that bytes per token are those of the format; norms and biases are f32. Q4_K_M is llama.cpp's
own mixture of Q4_K and Q6_K, which llama-cpp-python makes from a file in f16. The vocabulary is
made up. BitNet's shape is written as a plain Llama without its two additional norms, because
llama.cpp knows the architecture under several names; the matrices, which are the work, are the same.
Needs the package gguf.
"""

import argparse
import os
import sys

import gguf
import numpy as np

from shapes import SHAPES, get_shape
from random_weights import matrix, row_blocks, vector

TYPES = ("Q4_0", "Q8_0", "F32", "F16", "IQ4_NL", "TQ2_0", "TQ1_0", "Q4_K_M")
NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def interleaved(rows, heads):
    """Rows of q or k in the order that llama.cpp's `llama` architecture rotates: pairs side by side,
    where the checkpoint has halves."""
    parts = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return parts.swapaxes(1, 2).reshape(rows.shape)


def quantize(rows, kind):
    """Rows as bytes of a type. The package reads IQ4_NL but does not write it: here each block of 32 has the
    scale that puts its extreme value on the table's largest, and takes the nearest entries."""
    if kind != gguf.GGMLQuantizationType.IQ4_NL:
        return gguf.quantize(rows, kind)
    levels = np.array(gguf.quants.IQ4_NL.kvalues, np.float32)
    blocks = rows.astype(np.float32).reshape(-1, 32)
    extreme = np.take_along_axis(blocks, np.abs(blocks).argmax(1)[:, None], 1)
    scales = (extreme / levels[0]).astype(np.float16)
    inverse = np.divide(1, scales.astype(np.float32), out=np.zeros(scales.shape, np.float32), where=scales != 0)
    codes = np.searchsorted((levels[1:] + levels[:-1]) / 2, blocks * inverse).astype(np.uint8)
    packed = np.concatenate([scales.view(np.uint8), codes[:, :16] | codes[:, 16:] << 4], axis=1)
    return packed.reshape(rows.shape[0], -1)


def matrix_blocks(shape, name, rows, columns, seed, heads):
    ternary = shape.ternary and ".layers." in name
    if heads:
        yield interleaved(matrix(name, rows, columns, seed, ternary), heads)
    else:
        yield from row_blocks(name, rows, columns, seed, ternary)


def tensors(shape, arch, seed):
    """Yields (name, dimensions, function that yields blocks of f32 rows)."""
    def rows_of(target, source, outputs, inputs, heads=0):
        return (f"{target}.weight", (outputs, inputs),
                lambda: matrix_blocks(shape, f"{source}.weight", outputs, inputs, seed, heads))

    def values_of(target, source, size, around):
        return target, (size,), lambda: [vector(source, size, seed, around)]

    yield rows_of("token_embd", "model.embed_tokens", shape.vocab, shape.hidden)
    yield values_of("output_norm.weight", "model.norm.weight", shape.hidden, 1.0)
    if not shape.tied:
        yield rows_of("output", "lm_head", shape.vocab, shape.hidden)
    counts = {"self_attn.q_proj": shape.heads, "self_attn.k_proj": shape.kv_heads}
    for layer in range(shape.layers):
        target, source = f"blk.{layer}.", f"model.layers.{layer}."
        for name, outputs, inputs in shape.matrices():
            heads = counts.get(name, 0) if arch == "llama" else 0
            yield rows_of(target + NAMES[name], source + name, outputs, inputs, heads)
            if shape.qkv_bias and name[-6:] in ("q_proj", "k_proj", "v_proj"):
                yield values_of(f"{target}{NAMES[name]}.bias", f"{source}{name}.bias", outputs, 0.0)
        for name, size in shape.norms()[:2]:
            yield values_of(f"{target}{NAMES[name]}.weight", f"{source}{name}.weight", size, 1.0)


def add_vocabulary(writer, size):
    """Three special pieces, the bytes, and made-up words."""
    kinds = gguf.TokenType
    pieces = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL] + [kinds.BYTE] * 256
    pieces += [f"word{number}" for number in range(size - len(pieces))]
    types += [kinds.NORMAL] * (size - len(types))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores([0.0] * size)
    writer.add_token_types([int(kind) for kind in types])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def write(shape, path, kind, seed=0):
    """Writes `path`. Raises ValueError when a matrix does not divide into the type's blocks."""
    quantized = gguf.GGMLQuantizationType[kind]
    block, _ = gguf.GGML_QUANT_SIZES[quantized]
    arch = "qwen2" if shape.qkv_bias else "llama"
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name(shape.name)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_vocab_size(shape.vocab)
    add_vocabulary(writer, shape.vocab)
    listed = list(tensors(shape, arch, seed))
    for name, dims, _ in listed:
        if len(dims) == 2 and dims[1] % block:
            raise ValueError(f"{name}: {kind} has blocks of {block}, found rows of {dims[1]}")
        own = quantized if len(dims) == 2 else gguf.GGMLQuantizationType.F32
        stored = gguf.quant_shape_to_byte_shape(dims, own) if len(dims) == 2 else (dims[0] * 4,)
        if own == gguf.GGMLQuantizationType.F32:
            writer.add_tensor_info(name, dims, np.dtype(np.float32), int(np.prod(dims)) * 4)
        else:
            writer.add_tensor_info(name, stored, np.dtype(np.uint8), int(np.prod(stored)), own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, dims, blocks in listed:
        parts = [quantize(rows, quantized) if len(dims) == 2 else rows for rows in blocks()]
        writer.write_tensor_data(np.concatenate(parts))
    writer.close()


def write_mixture(shape, path, kind, seed=0):
    """Writes `path` in a mixture of types. Raises ImportError without llama-cpp-python, and ValueError when it refuses."""
    import llama_cpp
    whole = f"{path}.f16"
    try:
        write(shape, whole, "F16", seed)
        params = llama_cpp.llama_model_quantize_default_params()
        params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{kind}")
        if llama_cpp.llama_model_quantize(os.fsencode(whole), os.fsencode(path), params):
            raise ValueError(f"{path}: llama.cpp cannot quantize to {kind}; what it says is above")
    finally:
        if os.path.exists(whole):
            os.remove(whole)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", help=", ".join(SHAPES))
    parser.add_argument("--out", required=True, help="the .gguf file")
    parser.add_argument("--type", required=True, choices=TYPES)
    parser.add_argument("--layers", type=int, help="cut the depth (for tests)")
    parser.add_argument("--vocab", type=int, help="cut the vocabulary (for tests)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    try:
        shape = get_shape(options.shape, options.layers, options.vocab)
        make = write_mixture if options.type == "Q4_K_M" else write
        make(shape, options.out, options.type, options.seed)
    except (ValueError, OSError, ImportError) as error:
        sys.exit(f"make_gguf: error: {error}")
    print(f"{options.out}: {shape.name}, {shape.layers} layers, {options.type}")


if __name__ == "__main__":
    main()
