// The kernels of stages.
#ifndef LLMC_EXEC_KERNELS_TD
#define LLMC_EXEC_KERNELS_TD

include "llmc/Exec/ProgramOps.td"

class Kernel<string mnemonic, list<string> methods = [], list<Trait> traits = []> : Exec_Op<mnemonic, traits # [
    HasParent<"StageOp">, DeclareOpInterfaceMethods<KernelOpInterface, methods>]>;
/// Can be shared out by columns.
class ColumnKernel<string mnemonic, list<string> methods = [], list<Trait> traits = []>
    : Kernel<mnemonic, ["getColumnReads"] # methods, traits>;

def EmbeddingOp : Kernel<"embedding"> {
  let summary = "Rows of a table by id";
  let description = [{
    As `llmc.embedding`. A table that products read too is stored as these want it.

    * C1: a row of the table is as wide as one of the result.

    Example:
    ```mlir
    exec.embedding %p, %ids to %a : !exec.packed<linear, tensor<172x64xf32>>, !exec.buffer<?x1xi32>, !exec.buffer<?x64xf32>
    ```
  }];
  let arguments = (ins PackedTable:$table, IdBuffer:$ids, F32Buffer:$output);
  let assemblyFormat = "$table `,` $ids `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def PositionsOp : Kernel<"positions"> {
  let summary = "Position of each row in its sequence";
  let description = [{
    As `llmc.positions`.

    Example:
    ```mlir
    exec.positions to %1 {offset = 2 : i64} : !exec.buffer<?x1xi32>
    ```
  }];
  let arguments = (ins IdBuffer:$output, DefaultValuedAttr<I64Attr, "0">:$offset);
  let assemblyFormat = "`to` $output attr-dict `:` type($output)";
}

def RMSNormOp : ColumnKernel<"rms_norm", ["getGranule"]> {
  let summary = "Root-mean-square normalisation of each row, or of each slice of it";
  let description = [{
    As `llmc.rms_norm`.

    * C1: input and result are equally wide, the groups divide them, and the scale has as many elements as a group.
    * C2: a share needs groups: the norm of a row is a row's.

    Example:
    ```mlir
    exec.rms_norm %x, %scale to %n {eps = 1.0e-5 : f64} : !exec.buffer<?x64xf32>, !exec.packed<vector, tensor<64xf32>>, !exec.buffer<?x64xf32, private>
    ```
  }];
  let arguments = (ins F32Buffer:$input, PackedAs<"Vector">:$scale, F32Buffer:$output, F64Attr:$eps,
                       DefaultValuedAttr<I64Attr, "1">:$groups, OptionalAttr<ShareAttr>:$share);
  let assemblyFormat = "$input `,` $scale `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def LayerNormOp : Kernel<"layer_norm"> {
  let summary = "Layer normalisation of each row";
  let description = [{
    As `llmc.layer_norm`.

    * C1: input and result are as wide as scale and bias have elements.

    Example:
    ```mlir
    exec.layer_norm %x, %scale, %scale to %y {eps = 1.0e-5 : f64} : !exec.buffer<?x64xf32>, !exec.packed<vector, tensor<64xf32>>,
        !exec.packed<vector, tensor<64xf32>>, !exec.buffer<?x64xf32>
    ```
  }];
  let arguments = (ins F32Buffer:$input, PackedAs<"Vector">:$scale, Optional<PackedAs<"Vector">>:$bias, F32Buffer:$output,
                       F64Attr:$eps);
  let assemblyFormat = "$input `,` $scale (`,` $bias^)? `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def QuantizeOp : Kernel<"quantize", ["getDestination", "getWrites", "getReads", "getColumns"]> {
  let summary = "Rows as codes of bytes and their scales";
  let description = [{
    As `llmc.quantize`: a scale for each `group` columns, or for the row where that is 0, and with `by` the one that is given, for each row.
    A worker that has the codes for itself has their scales, too.

    * C1: codes are as wide as the input, and scales are as many as groups.
    * C2: codes and scales are in the same space, which is not the caller's.
    * C3: a given scale is one, of whole rows.

    Example:
    ```mlir
    exec.quantize %n to %c, %s : !exec.buffer<?x64xf32, private>, !exec.buffer<?x64xi8, private>, !exec.buffer<?x1xf32, private>
    exec.quantize %n by %one to %c, %s : !exec.buffer<?x64xf32, private>, !exec.packed<vector, tensor<1xf32>>, !exec.buffer<?x64xi8, private>,
        !exec.buffer<?x1xf32, private>
    ```
  }];
  let arguments = (ins F32Buffer:$input, Optional<PackedAs<"Vector">>:$scale, CodeBuffer:$codes, F32Buffer:$scales,
                       DefaultValuedAttr<I64Attr, "0">:$group);
  let assemblyFormat = "$input (`by` $scale^)? `to` $codes `,` $scales attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def LinearOp : ColumnKernel<"linear", [], [AttrSizedOperandSegments]> {
  let summary = "Product of each row with a weight matrix, plus bias and residual";
  let description = [{
    As `llmc.linear`; the `residual` is added to its result, column by column. It may be the memory of the result, the input may not. An input
    of codes has `scales`, one for each `group` columns, or for the row where that is 0.

    * C1: input, bias, residual and result fit the matrix.
    * C2: codes, and nothing else, have scales, as many as groups; a group is none without them.

    Example:
    ```mlir
    exec.linear %n, %p bias %bias_file residual %r to %z {share = #exec.share<unit = 32, total = 172, first = 0, width = 172, column = 0>}
        : !exec.buffer<?x64xf32, private>, !exec.packed<linear, tensor<172x64xf32>>, !exec.packed<bias, tensor<172xf32>>,
          !exec.buffer<?x172xf32, stride = 192>, !exec.buffer<?x172xf32, stride = 192>
    exec.linear %c scales %s, %p to %z : !exec.buffer<?x64xi8, private>, !exec.buffer<?x1xf32, private>,
        !exec.packed<linear, tensor<172x64xf32>>, !exec.buffer<?x172xf32, stride = 192>
    ```
  }];
  let arguments = (ins AnyTypeOf<[F32Buffer, CodeBuffer]>:$input, Optional<F32Buffer>:$scales, PackedAs<"Linear">:$weight,
                       Optional<PackedAs<"Bias">>:$bias, Optional<F32Buffer>:$residual, F32Buffer:$output,
                       DefaultValuedAttr<I64Attr, "0">:$group, OptionalAttr<ShareAttr>:$share);
  let assemblyFormat = [{
    $input (`scales` $scales^)? `,` $weight (`bias` $bias^)? (`residual` $residual^)? `to` $output attr-dict `:` type(operands)
  }];
  let hasVerifier = 1;
}

def RopeOp : ColumnKernel<"rope", ["getGranule"]> {
  let summary = "Rotary position embedding";
  let description = [{
    As `llmc.rope`, with angles from a table: from `long` in calls behind which a sequence has more than `original_context` positions.

    * C1: heads divide the row, and the table rotates at most a head. C2: a long table has the other's type and comes with an
      `original_context` of at least 1.

    Example:
    ```mlir
    exec.rope %h, %t to %hr {heads = 2 : i64, layout = #llmc.rope_layout<half>}
        : !exec.buffer<?x8xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.buffer<?x8xf32>
    exec.rope %h, %t long %l to %hr {heads = 2 : i64, layout = #llmc.rope_layout<half>, original_context = 8 : i64}
        : !exec.buffer<?x8xf32>, !exec.packed<rope, tensor<16x4xf32>>, !exec.packed<rope, tensor<16x4xf32>>, !exec.buffer<?x8xf32>
    ```
  }];
  let arguments = (ins F32Buffer:$input, PackedAs<"Rope">:$table, Optional<PackedAs<"Rope">>:$long_table, F32Buffer:$output,
                       I64Attr:$heads, RopeLayoutAttr:$layout, DefaultValuedAttr<I64Attr, "0">:$original_context,
                       OptionalAttr<ShareAttr>:$share);
  let assemblyFormat = "$input `,` $table (`long` $long_table^)? `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def CacheStoreOp : ColumnKernel<"cache_store", ["getDestination", "getColumns", "getGranule"],
                                [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Append keys or values to a cache";
  let description = [{
    As `llmc.cache_store`.

    * C1: heads divide the row. C2: the cache exists and has the heads and their size.

    Example:
    ```mlir
    exec.cache_store %k in @kv {heads = 4 : i64, part = #llmc.cache_part<keys>} : !exec.buffer<?x32xf32>
    ```
  }];
  let arguments = (ins F32Buffer:$input, FlatSymbolRefAttr:$cache, I64Attr:$heads, CachePartAttr:$part,
                       OptionalAttr<ShareAttr>:$share);
  let assemblyFormat = "$input `in` $cache attr-dict `:` type($input)";
  let hasVerifier = 1;
}

def AttentionOp : Kernel<"attention"> {
  let summary = "Scaled dot-product attention within each sequence of a call";
  let description = [{
    As `llmc.attention` without a cache. A row of the mask is one of the keys.

    * C1: heads divide the query's rows, kv_heads those of key and value, and heads is a multiple of kv_heads.
    * C2: query and key heads have one size, and a head of the result has that of the values. C3: a window needs `causal`.

    Example:
    ```mlir
    exec.attention %x, %k, %k mask %m to %y {heads = 8 : i64, kv_heads = 4 : i64, scale = 0.353553385 : f64}
        : !exec.buffer<?x64xf32>, !exec.buffer<?x32xf32>, !exec.buffer<?x32xf32>, !exec.buffer<?x1xi32>, !exec.buffer<?x64xf32>
    ```
  }];
  let arguments = (ins F32Buffer:$query, F32Buffer:$key, F32Buffer:$value, Optional<IdBuffer>:$mask, F32Buffer:$output,
                       I64Attr:$heads, I64Attr:$kv_heads, F64Attr:$scale, UnitAttr:$causal,
                       DefaultValuedAttr<I64Attr, "0">:$window, DefaultValuedAttr<F64Attr, "0.0">:$softcap);
  let assemblyFormat = "$query `,` $key `,` $value (`mask` $mask^)? `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def CachedAttentionOp : Kernel<"cached_attention", [], [DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "Scaled dot-product attention over a cache";
  let description = [{
    As `llmc.attention` with a cache, to which the rows of the call have been stored.

    * C1: heads divide the query's rows, and heads is a multiple of kv_heads. C2: the cache exists, has the kv_heads and the size of a head of query
      and result. C3: a window needs `causal`.

    Example:
    ```mlir
    exec.cached_attention %x in @kv to %y {causal, heads = 8 : i64, kv_heads = 4 : i64, scale = 0.353553385 : f64}
        : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    ```
  }];
  let arguments = (ins F32Buffer:$query, FlatSymbolRefAttr:$cache, F32Buffer:$output, I64Attr:$heads, I64Attr:$kv_heads,
                       F64Attr:$scale, UnitAttr:$causal, DefaultValuedAttr<I64Attr, "0">:$window,
                       DefaultValuedAttr<F64Attr, "0.0">:$softcap);
  let assemblyFormat = "$query `in` $cache `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def GateOp : ColumnKernel<"gate"> {
  let summary = "Pointwise nonlinearity of a gate, times a value";
  let description = [{
    As `llmc.gated_activation`.

    * C1: all are equally wide.

    Example:
    ```mlir
    exec.gate %a, %b to %y {kind = #llmc.activation_kind<silu>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    ```
  }];
  let arguments = (ins F32Buffer:$gate, F32Buffer:$up, F32Buffer:$output, ActivationKindAttr:$kind,
                       OptionalAttr<ShareAttr>:$share);
  let assemblyFormat = "$gate `,` $up `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def ActivationOp : ColumnKernel<"activation"> {
  let summary = "Pointwise nonlinearity";
  let description = [{
    As `llmc.activation`.

    * C1: both are equally wide.

    Example:
    ```mlir
    exec.activation %x to %y {kind = #llmc.activation_kind<gelu>} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    ```
  }];
  let arguments = (ins F32Buffer:$input, F32Buffer:$output, ActivationKindAttr:$kind, OptionalAttr<ShareAttr>:$share);
  let assemblyFormat = "$input `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def ScaleOp : ColumnKernel<"scale"> {
  let summary = "Product with a constant";
  let description = [{
    As `llmc.scale`.

    * C1: both are equally wide.

    Example:
    ```mlir
    exec.scale %x to %y {factor = 8.0 : f64} : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    ```
  }];
  let arguments = (ins F32Buffer:$input, F32Buffer:$output, F64Attr:$factor, OptionalAttr<ShareAttr>:$share);
  let assemblyFormat = "$input `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def SoftmaxOp : Kernel<"softmax"> {
  let summary = "Softmax over each row";
  let description = [{
    As `llmc.softmax`.

    * C1: both are equally wide.

    Example:
    ```mlir
    exec.softmax %x to %y : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    ```
  }];
  let arguments = (ins F32Buffer:$input, F32Buffer:$output);
  let assemblyFormat = "$input `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def BinaryOp : ColumnKernel<"binary"> {
  let summary = "Sum, difference, product, quotient, maximum or minimum";
  let description = [{
    As `arith.addf` and its like; maximum and minimum keep NaN.

    * C1: all are equally wide.

    Example:
    ```mlir
    exec.binary add %a, %b to %y : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32>
    ```
  }];
  let arguments = (ins BinaryKindAttr:$kind, F32Buffer:$lhs, F32Buffer:$rhs, F32Buffer:$output,
                       OptionalAttr<ShareAttr>:$share);
  let assemblyFormat = "custom<Word>($kind) $lhs `,` $rhs `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def CopyOp : ColumnKernel<"copy"> {
  let summary = "Copy rows";
  let description = [{
    From a buffer to the caller's memory (logits), or from the weight file to a buffer (rows that a test starts from).

    * C1: both are equally wide. C2: it goes from a buffer to the caller, or from the weight file to the arena.

    Example:
    ```mlir
    exec.copy %5 to %logits : !exec.buffer<?x64xf32>, !exec.buffer<?x64xf32, caller>
    exec.copy %rows to %x : !exec.packed<rows, tensor<2x64xf32>>, !exec.buffer<?x64xf32>
    ```
  }];
  let arguments = (ins RowsLike:$input, F32Buffer:$output, OptionalAttr<ShareAttr>:$share);
  let assemblyFormat = "$input `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def ExpectOp : Kernel<"expect"> {
  let summary = "Compare rows, and say where they differ first";
  let description = [{
    As `llmc.expect_close`, or with `exact` as `llmc.expect_eq`. The outcome is what `#exec.check` says.

    * C1: both are equally wide. C2: no tolerance is negative, and an exact comparison has none. C3: it is in a run.

    Example:
    ```mlir
    exec.expect %x, %rows to %outcome {atol = 1.0e-6 : f64, rtol = 1.0e-5 : f64}
        : !exec.buffer<?x64xf32>, !exec.packed<rows, tensor<2x64xf32>>, !exec.buffer<1x3xi32, stride = 16>
    ```
  }];
  let arguments = (ins F32Buffer:$actual, RowsLike:$expected, OutcomeBuffer:$output,
                       DefaultValuedAttr<F64Attr, "0.0">:$atol, DefaultValuedAttr<F64Attr, "0.0">:$rtol, UnitAttr:$exact);
  let assemblyFormat = "$actual `,` $expected `to` $output attr-dict `:` type(operands)";
  let hasVerifier = 1;
}

def GenericOp : Kernel<"generic", ["getDestination", "getWrites", "getReads", "getColumns"], [IsolatedFromAbove, AttrSizedOperandSegments,
                                                                                          SingleBlock]> {
  let summary = "What has no kernel of its own: a body, once for each row or sequence";
  let description = [{
    Workers share the rows of the results, or with `each sequence` the sequences. The body gets one of them: an argument for each input, a tensor of
    1 x rows x width (`each row`: of one row), without the middle where there is one row, without the last where the width is 1; or a whole table of
    the weight file. It yields a tensor for each output. `--lower-bodies` turns tensors into memory and loops: the arguments are then inputs, outputs and `scratch_bytes` bytes of
    memory that a worker has to itself, and nothing is yielded. `index_limits` says of which inputs the numbers are indices, and what they must stay
    below where the caller gives them: -1 stands for the length of the sequence, 0 for no indices.

    * C1: there is an output. C2: arguments and what is yielded are as above. C3: limits are as many as inputs.
    * C4: a body for each row reads and writes rows of one kind, a body for each sequence belongs to a run.

    Example:
    ```mlir
    exec.generic "llmc.gather" each sequence (%x) to (%p) : (!exec.buffer<?x64xf32>) to (!exec.buffer<?x64xf32, sequences>) {
    ^bb0(%rows: tensor<1x?x64xf32>):
      %first = tensor.extract_slice %rows[0, 0, 0] [1, 1, 64] [1, 1, 1] : tensor<1x?x64xf32> to tensor<1x1x64xf32>
      exec.yield %first : tensor<1x1x64xf32>
    }
    ```
  }];
  let arguments = (ins Variadic<AnyTypeOf<[AnyBuffer, PackedAs<"Rows">]>>:$inputs, Variadic<AnyBuffer>:$outputs, StrAttr:$source,
                       EachAttr:$each, OptionalAttr<DenseI64ArrayAttr>:$index_limits, DefaultValuedAttr<I64Attr, "0">:$scratch_bytes);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $source `each` custom<Word>($each) `(` $inputs `)` `to` `(` $outputs `)` attr-dict `:` `(` type($inputs) `)` `to` `(` type($outputs) `)` $body
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// Whether the body is in memory, as --lower-bodies leaves it.
    bool isLowered() { return getBody().getNumArguments() > getInputs().size(); }
  }];
}

def YieldOp : Exec_Op<"yield", [Pure, Terminator, HasParent<"GenericOp">]> {
  let summary = "What a body computes";
  let description = [{
    Example:
    ```mlir
    exec.yield %first : tensor<1x1x64xf32>
    ```
  }];
  let arguments = (ins Variadic<AnyRankedTensor>:$results);
  let assemblyFormat = "attr-dict ($results^ `:` type($results))?";
}

#endif // LLMC_EXEC_KERNELS_TD
