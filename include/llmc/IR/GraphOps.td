// The graph of a transformer: weights, linears, norms, rotation, attention, cache; parts of sequences.
#ifndef LLMC_IR_GRAPHOPS_TD
#define LLMC_IR_GRAPHOPS_TD

include "llmc/IR/GraphInterfaces.td"
include "llmc/IR/LLMCAttrs.td"
include "llmc/IR/LLMCTypes.td"
include "mlir/IR/OpAsmInterface.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class LLMC_Op<string mnemonic, list<Trait> traits = []> : Op<LLMC_Dialect, mnemonic, traits>;

def FloatTensor : RankedTensorOf<[F32, F16, BF16, F64]>;
def IdTensor : RankedTensorOf<[I64, I32]>;
def WeightLike : AnyTypeOf<[FloatTensor, CompressedType]>;
class InfersType : DeclareOpInterfaceMethods<InferTypeOpInterface, ["inferReturnTypes"]>;
def InfersResult : InfersType;
def ReadsWeights : DeclareOpInterfaceMethods<WeightUserOpInterface>;
/// Pointwise: a column of the result needs the same column only.
def Pointwise : DeclareOpInterfaceMethods<ColumnOpInterface>;
/// The same of some columns together.
def ByColumns : DeclareOpInterfaceMethods<ColumnOpInterface, ["getColumnGranule"]>;
class HasBody<list<string> methods = []> : DeclareOpInterfaceMethods<LinalgBodyOpInterface, methods>;

def WeightOp : LLMC_Op<"weight", [Pure, DeclareOpInterfaceMethods<OpAsmOpInterface, ["getAsmResultNames"]>]> {
  let summary = "A named parameter of the model";
  let description = [{
    The name is stable: module path plus `.weight` or `.bias`; regular expressions, provenance and reports use it.
    `components` holds the stored data: `values` for a tensor, otherwise what the scheme of the result type asks for.

    * C1: the components are exactly those of the type, with their shapes and element types.
    * C2: the data is valid for the scheme (masks, code ranges, finite scales); floating-point values are finite.

    Example:
    ```mlir
    %g = llmc.weight "model.norm.weight" {values = dense<1.0> : tensor<64xf32>} : tensor<64xf32>
    %w = llmc.weight "model.layers.0.mlp.up_proj.weight"
        {codes = dense<119> : tensor<2x16xui8>, scales = dense<0.5> : tensor<2x1xf16>, zeros = dense<8> : tensor<2x1xui8>}
        : !llmc.compressed<2x32xf32, #llmc.int<4, group = 32, scale = f16>>
    ```
  }];
  let arguments = (ins StrAttr:$weight_name, DictionaryAttr:$components);
  let results = (outs WeightLike:$result);
  let assemblyFormat = "$weight_name $components attr-dict `:` type($result)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The component called `name`, or null.
    ::mlir::ElementsAttr getComponent(::llvm::StringRef name) {
      return ::llvm::dyn_cast_or_null<::mlir::ElementsAttr>(getComponents().get(name));
    }
  }];
}

def DecompressOp : LLMC_Op<"decompress", [Pure, InfersResult]> {
  let summary = "The dense matrix a compressed weight means";
  let description = [{
    `llmc.linear` of a compressed weight means `llmc.linear` of its decompressed matrix.

    Example:
    ```mlir
    %d = llmc.decompress %w : !llmc.compressed<2x32xf32, #llmc.int<4, group = 32, scale = f16>>
    ```
  }];
  let arguments = (ins CompressedType:$weight);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$weight attr-dict `:` type($weight)";
}

def QuantizeOp : LLMC_Op<"quantize", [Pure, ReadsWeights]> {
  let summary = "Rows as codes of bytes and their scales";
  let description = [{
    Rounds each row as the type of the result says: with `#llmc.dynamic` by scales of its own, with `#llmc.static` by `scale`. Any
    number of linears reads the codes; `result = codes * scales` is what they mean. Passes and the importer make one for all readers
    of a value that want the same.

    * C1: the result has the shape and the element type of the input, whose last dimension is static.
    * C2: a static quantization, and no other, has a scale: one positive f32.

    Example:
    ```mlir
    %q = llmc.quantize %x : tensor<?x?x64xf32> -> !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>
    %r = llmc.quantize %x scale %s : tensor<?x?x64xf32>, tensor<1xf32> -> !llmc.quantized<?x?x64xf32, #llmc.static<i8>>
    ```
  }];
  let arguments = (ins FloatTensor:$input, Optional<FloatTensor>:$scale);
  let results = (outs QuantizedType:$result);
  let assemblyFormat = "$input (`scale` $scale^)? attr-dict `:` type(operands) `->` type($result)";
  let hasVerifier = 1;
}

def LinearOp : LLMC_Op<"linear", [Pure, InfersResult, ReadsWeights]> {
  let summary = "Product of each row with a weight matrix, plus bias";
  let description = [{
    `result[..., n] = sum_k input[..., k] * weight[n, k] + bias[n]`, accumulated in f32. Of an input that `llmc.quantize` made, the
    product of integers is exact, and scales are applied to it.

    `activations` is the older form of the same: the linear means the one that reads an `llmc.quantize` of its input. Passes, the importer
    and `--canonicalize` write it as that; a file of version 3 or before is read so.

    * C1: the last dimension of the input is the number of columns of the weight.
    * C2: the bias has one element for each row of the weight.
    * C3: what is quantized already has no `activations`.

    Example:
    ```mlir
    %y = llmc.linear %x, %w : tensor<?x?x64xf32>, tensor<172x64xf32>
    %z = llmc.linear %q, %w bias %b
        : !llmc.quantized<?x?x64xf32, #llmc.dynamic<i8, per_token>>, tensor<172x64xf32>, tensor<172xf32>
    ```
  }];
  let arguments = (ins AnyTypeOf<[FloatTensor, QuantizedType]>:$input, WeightLike:$weight, Optional<FloatTensor>:$bias,
                       OptionalAttr<DynamicQuantAttr>:$activations);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$input `,` $weight (`bias` $bias^)? attr-dict `:` type(operands)";
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
  let extraClassDeclaration = [{
    /// The rows before they are quantized, if they are.
    ::mlir::Value getRows();
    /// How they are quantized (`#llmc.dynamic`, `#llmc.static`), or null.
    ::mlir::Attribute getQuantization();
  }];
}

def EmbeddingOp : LLMC_Op<"embedding", [Pure, InfersResult, ReadsWeights]> {
  let summary = "Rows of a weight picked by id";
  let description = [{
    `result[b, s, :] = weight[ids[b, s], :]`. An id outside the weight's rows is an error at run time.

    Example:
    ```mlir
    %x = llmc.embedding %w, %ids : tensor<512x64xf32>, tensor<?x?xi64>
    ```
  }];
  let arguments = (ins WeightLike:$weight, IdTensor:$ids);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$weight `,` $ids attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def PositionsOp : LLMC_Op<"positions", [Pure, SameOperandsAndResultType]> {
  let summary = "Position of each id in its sequence";
  let description = [{
    `result[b, s] = cache length + s + offset`; the cache length is 0 in a function without cache.

    Example:
    ```mlir
    %p = llmc.positions %ids {offset = 2 : i64} : tensor<?x?xi64>
    ```
  }];
  let arguments = (ins IdTensor:$ids, DefaultValuedAttr<I64Attr, "0">:$offset);
  let results = (outs IdTensor:$result);
  let assemblyFormat = "$ids attr-dict `:` type($ids)";
}

def RMSNormOp : LLMC_Op<"rms_norm", [Pure, InfersResult, ReadsWeights, ByColumns]> {
  let summary = "Root-mean-square normalisation (arXiv 1910.07467)";
  let description = [{
    `y = x / sqrt(mean(x^2) + eps) * scale` over each of `groups` equal slices of the last dimension (heads, where
    queries and keys are normalised each by itself).

    * C1: the scale has as many elements as a slice.

    Example:
    ```mlir
    %y = llmc.rms_norm %x, %g {eps = 1.0e-5 : f64} : tensor<?x?x64xf32>, tensor<64xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$input, FloatTensor:$scale, F64Attr:$eps, DefaultValuedAttr<I64Attr, "1">:$groups);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$input `,` $scale attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def LayerNormOp : LLMC_Op<"layer_norm", [Pure, InfersResult, ReadsWeights]> {
  let summary = "Layer normalisation (arXiv 1607.06450)";
  let description = [{
    `y = (x - mean(x)) / sqrt(var(x) + eps) * scale + bias` over the last dimension.

    * C1: scale and bias have as many elements as a row.

    Example:
    ```mlir
    %y = llmc.layer_norm %x, %g, %b {eps = 1.0e-5 : f64} : tensor<?x?x64xf32>, tensor<64xf32>, tensor<64xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$input, FloatTensor:$scale, Optional<FloatTensor>:$bias, F64Attr:$eps);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$input `,` $scale (`,` $bias^)? attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def RopeOp : LLMC_Op<"rope", [Pure, SameOperandsAndResultType, ByColumns]> {
  let summary = "Rotary position embedding (arXiv 2104.09864)";
  let description = [{
    In each of `heads` equal slices of the last dimension, the first 2 * F elements (F = number of `frequencies`) are
    rotated in pairs: pair i of the token at position p by the angle p * frequencies[i], the result scaled by
    `attention_factor`. `half` pairs elements i and i + F, `interleaved` 2i and 2i + 1. The rest of the head passes
    through. Positions are cache length plus index.

    `long_frequencies` take the place of `frequencies` in every call behind which the sequence is longer than
    `original_context` (LongRoPE, arXiv 2402.13753); keys that are in the cache already stay as they were turned.

    * C1: heads divide the last dimension. C2: 2 * F is at most the head size. C3: `long_frequencies`, of the same
      number, and an `original_context` of at least 1 come together.

    Example:
    ```mlir
    %y = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 1.0, 0.01>, layout = #llmc.rope_layout<half>}
        : tensor<?x?x8xf32>
    %z = llmc.rope %x {heads = 2 : i64, frequencies = array<f64: 1.0>, long_frequencies = array<f64: 0.25>,
                       original_context = 64 : i64, layout = #llmc.rope_layout<half>} : tensor<?x?x8xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$input, I64Attr:$heads, DenseF64ArrayAttr:$frequencies, RopeLayoutAttr:$layout,
                       DefaultValuedAttr<F64Attr, "1.0">:$attention_factor,
                       OptionalAttr<DenseF64ArrayAttr>:$long_frequencies,
                       DefaultValuedAttr<I64Attr, "0">:$original_context);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasVerifier = 1;
  // Files of before version 3 have no long frequencies.
  let useCustomPropertiesEncoding = 1;
}

def AttentionOp : LLMC_Op<"attention", [InfersResult,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>,
    DeclareOpInterfaceMethods<MemoryEffectsOpInterface>]> {
  let summary = "Scaled dot-product attention with grouped heads and an optional cache";
  let description = [{
    Query, key and value hold `heads`, `kv_heads` and `kv_heads` equal slices; query head h reads key/value head
    h / (heads / kv_heads). Scores are `scale * q.k`, then `softcap * tanh(score / softcap)` where softcap is not 0,
    then masked, then softmax. `causal` hides later positions, `window` w > 0 also those w or more positions back.
    `mask` [batch, keys] hides keys where it is 0. With `cache`, keys and values are appended to it and the whole
    sequence so far is read from it.

    * C1: heads divide the query's width, kv_heads that of key and value, and heads is a multiple of kv_heads.
    * C2: query and key heads have the same size. C3: a window needs `causal`. C4: the cache exists and fits.

    Example:
    ```mlir
    llmc.cache @kv.0 : tensor<4x8xf32>
    %a = llmc.attention %q, %k, %v cache @kv.0 {heads = 8 : i64, kv_heads = 4 : i64, scale = 0.353553385 : f64, causal}
        : tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$query, FloatTensor:$key, FloatTensor:$value, Optional<IdTensor>:$mask,
                       OptionalAttr<FlatSymbolRefAttr>:$cache, I64Attr:$heads, I64Attr:$kv_heads, F64Attr:$scale,
                       UnitAttr:$causal, DefaultValuedAttr<I64Attr, "0">:$window,
                       DefaultValuedAttr<F64Attr, "0.0">:$softcap);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = [{
    $query `,` $key `,` $value (`mask` $mask^)? (`cache` $cache^)? attr-dict `:` type(operands)
  }];
  let hasVerifier = 1;
}

def CacheStoreOp : LLMC_Op<"cache_store", [DeclareOpInterfaceMethods<SymbolUserOpInterface>, ByColumns]> {
  let summary = "Append keys or values to a cache";
  let description = [{
    What `llmc.attention` with a cache does before it reads, as a step of its own: `--fuse-stages` takes it out, so that a
    head is stored by the thread that has just computed it. `heads` equal slices of the rows go behind the positions that
    are in the cache already.

    * C1: heads divide the width. C2: the cache exists and has the heads and their size.

    Example:
    ```mlir
    llmc.cache_store %k in @kv.store {heads = 4 : i64, part = #llmc.cache_part<keys>} : tensor<?x?x32xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$input, FlatSymbolRefAttr:$cache, I64Attr:$heads, CachePartAttr:$part);
  let assemblyFormat = "$input `in` $cache attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def CacheOp : LLMC_Op<"cache", [Symbol]> {
  let summary = "Keys and values of the positions so far, as state";
  let description = [{
    The type is kv heads x head size and the element type; the number of positions is chosen when compiling. The value
    heads have the same shape.

    With `byte_products` attention multiplies what is stored as it is: each head of a query becomes bytes with the scale
    absmax / 127, and the weights of each 64 keys (probability times scale of the value) codes of 0 to 127 of their largest.

    * C1: the type has two static dimensions. C2: `byte_products` needs i8.

    Example:
    ```mlir
    llmc.cache @kv.0 : tensor<4x8xf32>
    llmc.cache @kv.1 {byte_products} : tensor<4x8xi8>
    ```
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttrOf<RankedTensorOf<[F32, F16, BF16, I8]>>:$type,
                       UnitAttr:$byte_products);
  let assemblyFormat = "$sym_name attr-dict `:` $type";
  let useCustomPropertiesEncoding = 1; // Files of version 1 have no byte_products.
  let hasVerifier = 1;
}

def ActivationOp : LLMC_Op<"activation", [Pure, SameOperandsAndResultType, Pointwise]> {
  let summary = "Pointwise nonlinearity";
  let description = [{
    `gelu` is x * Phi(x) by erf, `gelu_tanh` its tanh form, `quick_gelu` x * sigmoid(1.702 x), `silu` x * sigmoid(x),
    `relu2` max(x, 0)^2.

    Example:
    ```mlir
    %y = llmc.activation %x {kind = #llmc.activation_kind<gelu>} : tensor<?x?x64xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$input, ActivationKindAttr:$kind);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasFolder = 1;
}

def GatedActivationOp : LLMC_Op<"gated_activation", [Pure, SameOperandsAndResultType, Pointwise]> {
  let summary = "Pointwise nonlinearity of a gate, times a value (GLU, arXiv 2002.05202)";
  let description = [{
    `result = kind(gate) * up`.

    Example:
    ```mlir
    %y = llmc.gated_activation %gate, %up {kind = #llmc.activation_kind<silu>} : tensor<?x?x172xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$gate, FloatTensor:$up, ActivationKindAttr:$kind);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$gate `,` $up attr-dict `:` type($gate)";
}

def SoftmaxOp : LLMC_Op<"softmax", [Pure, SameOperandsAndResultType]> {
  let summary = "Softmax over the last dimension";
  let description = [{
    `y = exp(x - max(x)) / sum(exp(x - max(x)))`.

    Example:
    ```mlir
    %y = llmc.softmax %x : tensor<?x?x64xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$input);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
}

def ScaleOp : LLMC_Op<"scale", [Pure, SameOperandsAndResultType, Pointwise]> {
  let summary = "Product with a constant";
  let description = [{
    Embedding, residual and logit multipliers of some architectures.

    Example:
    ```mlir
    %y = llmc.scale %x {factor = 8.0 : f64} : tensor<?x?x64xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$input, F64Attr:$factor);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input)";
  let hasFolder = 1;
  let hasCanonicalizer = 1;
}

def SplitOp : LLMC_Op<"split", [Pure]> {
  let summary = "Slices of the last dimension, as views";
  let description = [{
    Result i holds the columns behind those of the results before it; together they are the whole row. Fused query/key/
    value and gate/up matrices stay one linear this way.

    * C1: the last dimensions of the results sum to that of the input; the others are equal.

    Example:
    ```mlir
    %q, %k, %v = llmc.split %qkv : tensor<?x?x128xf32> -> tensor<?x?x64xf32>, tensor<?x?x32xf32>, tensor<?x?x32xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$input);
  let results = (outs Variadic<FloatTensor>:$results);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($results)";
  let hasVerifier = 1;
  let hasCanonicalizer = 1;
}

def ReduceOp : LLMC_Op<"reduce", [Pure, InfersResult, HasBody<>]> {
  let summary = "Sum, mean, maximum, minimum or product over dimensions";
  let description = [{
    Each dimension of `axes` becomes 1: the result over the sequence has one row for each sequence, that over the last dimension one element in each
    row. `mask` [batch, sequence] leaves out tokens where it is 0. Elements are taken in order, in f32; the mean is the sum divided by their
    number, and 0 where there is none. Maximum and minimum keep NaN.

    * C1: axes are ascending, and dimensions of the input behind the first: sequences of a batch know nothing of each other.
    * C2: a mask comes with a sequence to reduce: the input has three dimensions, and 1 is among the axes.

    Example:
    ```mlir
    %p = llmc.reduce %x mask %m {kind = #llmc.reduce_kind<mean>, axes = array<i64: 1>} : tensor<?x?x64xf32>, tensor<?x?xi64>
    %n = llmc.reduce %x {kind = #llmc.reduce_kind<max>, axes = array<i64: 2>} : tensor<?x?x64xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$input, Optional<IdTensor>:$mask, ReduceKindAttr:$kind, DenseI64ArrayAttr:$axes);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$input (`mask` $mask^)? attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def GatherOp : LLMC_Op<"gather", [Pure, InfersResult, ReadsWeights, HasBody<["getIndexLimit"]>]> {
  let summary = "Rows of a table, or of each sequence, by index";
  let description = [{
    Of a sequence, `result[b, i, :] = input[b, index[b, i], :]`; of a table, `result[b, i, :] = input[index[b, i], :]`. Without an index it is the row
    at `position` of each sequence, from the end if negative. An index outside is an error at run time where the caller gave it; else it is taken
    for the nearest row.

    * C1: there is an index or a position, and not both. C2: the input has three dimensions, or is a table of two with an index.
    * C3: the index is [batch, rows].

    Example:
    ```mlir
    %c = llmc.gather %x {position = 0 : i64} : tensor<?x?x64xf32>
    %g = llmc.gather %x at %i : tensor<?x?x64xf32>, tensor<?x?xi64>
    %t = llmc.gather %w at %i : tensor<512x64xf32>, tensor<?x?xi64>
    ```
  }];
  let arguments = (ins FloatTensor:$input, Optional<IdTensor>:$index, OptionalAttr<I64Attr>:$position);
  let results = (outs FloatTensor:$result);
  let assemblyFormat = "$input (`at` $index^)? attr-dict `:` type(operands)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether rows come from one table for all sequences.
    bool isOfTable() { return getInput().getType().getRank() == 2; }
  }];
}

def TopKOp : LLMC_Op<"top_k", [Pure, InfersResult, HasBody<>]> {
  let summary = "The largest elements of each row, and where they are";
  let description = [{
    The `k` largest elements in descending order, and their indices in the row. Of equal elements the one with the lower index comes first; NaN counts
    as larger than any number.

    * C1: k is at least 1 and at most the last dimension.

    Example:
    ```mlir
    %values, %indices = llmc.top_k %x {k = 4 : i64} : tensor<?x?x64xf32>
    ```
  }];
  let arguments = (ins FloatTensor:$input, I64Attr:$k);
  let results = (outs FloatTensor:$values, IdTensor:$indices);
  let assemblyFormat = "$input attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def ObserveOp : LLMC_Op<"observe", [MemoryEffects<[MemWrite]>]> {
  let summary = "Show a value to whoever runs the function";
  let description = [{
    Calibration puts one on each distinct input of linears. The compiled code keeps the rows until the call ends, where the executor
    finds them by name.

    Example:
    ```mlir
    llmc.observe "model.layers.0.self_attn.q_proj" %x : tensor<?x?x64xf32>
    ```
  }];
  let arguments = (ins StrAttr:$observer, FloatTensor:$input);
  let assemblyFormat = "$observer $input attr-dict `:` type($input)";
}

#endif // LLMC_IR_GRAPHOPS_TD
