// The compression passes, in the order that loses least: prune, decompose, quantize.
#ifndef LLMC_COMPRESS_PASSES_TD
#define LLMC_COMPRESS_PASSES_TD

include "mlir/Pass/PassBase.td"

// Options of every compression pass: which weights.
class CompressPass<string flag, list<Option> own> : Pass<flag, "::mlir::ModuleOp"> {
  let options = own # [
    Option<"include", "include", "std::string", /*default=*/"\"\"",
           "compress the weights whose name contains a match of this regular expression (.* takes all) instead of "
           "all linears but the head">,
    Option<"exclude", "exclude", "std::string", /*default=*/"\"\"",
           "leave out weights whose name contains a match of this regular expression">,
  ];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

def CompressBlocks : Pass<"compress-blocks", "::mlir::ModuleOp"> {
  let summary = "Calibrate and compress block by block";
  let description = [{
    For each block of the model, in order: collects the statistics of its inputs on the token file as `--calibrate` does, runs `passes` on its weights,
    and runs the block again as it has become, so that the next block's statistics are those of what it will see (`propagate=compressed`). With
    `propagate=dense` every block sees what it does in the model as it came in, and the bytes are those of `--calibrate` and the passes one after another.

    Memory is that of one block and the hidden states, and statistics are dropped with their block. The passes keep their options; they record what they
    did as if they had run once. A weight that several blocks read is compressed with the last of them.

    Example:
    ```
    llmc-opt --compress-blocks="tokens=calib.npy passes={awq-quantize{bits=3},sparsify-2-4}" model.mlirbc -o small.mlirbc
    ```
  }];
  let options = [
    Option<"tokens", "tokens", "std::string", /*default=*/"\"\"", "the token file (.npy); required">,
    Option<"passes", "passes", "std::string", /*default=*/"\"\"", "the passes, as in --pass-pipeline; required">,
    Option<"propagate", "propagate", "std::string", /*default=*/"\"compressed\"",
           "what the next block sees: compressed (this one as it has become) or dense (as it came in)">,
    Option<"hessian", "hessian", "bool", /*default=*/"true", "also keep the sum of x x^T while a block is at work">,
    Option<"maxMemory", "max-memory", "int64_t", /*default=*/"8192", "most MiB that the statistics of a block may take">,
    Option<"threads", "threads", "int64_t", /*default=*/"0", "threads to run on; 0: one for each processor">,
  ];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

def BitsOption : Option<"bits", "bits", "int64_t", /*default=*/"4", "bits per weight, 2 to 8">;
def GroupOption : Option<"group", "group", "int64_t", /*default=*/"32",
    "inputs that share a scale; 0: all inputs of an output (per channel)">;
def SymmetricOption : Option<"symmetric", "symmetric", "bool", /*default=*/"false",
    "no zero points: the grid lies around 0">;
def ScaleOption : Option<"scale", "scale", "std::string", /*default=*/"\"f16\"", "type of the scales: f16 or f32">;
class ActivationsOption<string value> : Option<"activations", "activations", "std::string", "\"" # value # "\"",
    "how the inputs of linears are quantized while running: float, i8-token (one scale for each token), i8-group (one for "
    "each group of channels) or i8-static (one for all, from calibration)">;

def MagnitudePrune : CompressPass<"magnitude-prune", [
    Option<"sparsity", "sparsity", "double", /*default=*/"0.5", "share of each matrix that is pruned, 0 to 1">,
    Option<"pattern", "pattern", "std::string", /*default=*/"\"\"",
           "N:M keeps N of each M consecutive inputs instead, such as 2:4">]> {
  let summary = "Prune the smallest weights";
  let description = [{
    Removes the weights of least magnitude: exactly floor(size * sparsity) of each matrix, or all but N of each M
    consecutive inputs of each output with `pattern=N:M`. Of equal magnitudes the first is removed.

    It needs no data, and shows what pruning costs without any; Wanda (`--sparsify-2-4` on a calibrated model) is
    better at the same pattern on most models.

    A pruned weight becomes `#llmc.mask` or `#llmc.nm` over its former scheme. Codes and scales of weights that survive
    stay as they are. A weight that was pruned stays pruned: a pass that would give up an N:M mask is refused.
  }];
}

def Sparsify24 : CompressPass<"sparsify-2-4", []> {
  let summary = "Keep 2 of each 4 consecutive inputs";
  let description = [{
    Keeps the 2 of each 4 consecutive inputs of an output that score highest: |w| times the norm of its input (Wanda,
    arXiv 2306.11695) where calibration has left statistics, |w| otherwise, which a remark says.

    The pattern halves the values and fits hardware and kernels that expand it in registers. On a quantized weight the
    surviving codes and scales stay; pruning before quantizing loses less, because groups are then fitted to the weights
    that stay, and a remark says so.
  }];
}

def LowRankDecompose : CompressPass<"low-rank-decompose", [
    Option<"ratio", "ratio", "double", /*default=*/"0.75", "share of the parameters that is kept, 0 to 1">,
    Option<"rank", "rank", "int64_t", /*default=*/"0", "rank of every layer, instead of a ratio">]> {
  let summary = "Two thin linears for one";
  let description = [{
    Replaces a linear by two: W ~ A B with A outputs x rank, B rank x inputs, the bias on the second. With a Hessian from
    calibration the decomposition minimises the error of the layer's output (SVD-LLM, arXiv 2403.07378); without one
    it is the plain singular value decomposition, which a remark says. So it is for a linear whose input was always 0.

    The factors are called `<module>.lowrank_b.weight` (applied first) and `<module>.lowrank_a.weight`. They are f16 or bf16
    where the matrix was, if their values fit, else f32. The first keeps
    the statistics of the input; the second has none. A rank that saves nothing is refused, as is a weight with a mask,
    which would be lost.
  }];
}

def RTNQuantize : CompressPass<"rtn-quantize", [
    BitsOption, GroupOption, SymmetricOption, ScaleOption, ActivationsOption<"float">]> {
  let summary = "Quantize weights to integers, round to nearest";
  let description = [{
    Gives each group of consecutive inputs of an output an affine grid of 2^bits values over its range and rounds each
    weight to the nearest (half to even). It needs no data; at 8 bits nothing is lost, at 4 bits AWQ is better, at 2
    bits little of a model is left.

    A mask stays: the kept weights are quantized. A weight that is quantized already is decompressed and quantized
    again, which adds errors; a remark says so.
  }];
}

def Nf4Quantize : CompressPass<"nf4-quantize", [
    Option<"group", "group", "int64_t", /*default=*/"64",
           "inputs that share a scale; 0: all inputs of an output (per channel)">,
    ScaleOption,
    Option<"table", "table", "std::string", /*default=*/"\"\"",
           "nf4, or nf4_i8, whose levels are multiples of 1/127; by default nf4 with activations=float, else nf4_i8">,
    ActivationsOption<"float">]> {
  let summary = "Quantize weights to the 16 levels of NF4";
  let description = [{
    Divides each group of consecutive inputs of an output by its largest magnitude and takes, of the 16 levels of NF4
    (QLoRA, arXiv 2305.14314), the nearest; midpoints go to the lower level. The levels are quantiles of a normal
    distribution, so on weights of that shape 4 bits lose less than an even grid with a group as long: 20.7 dB at 64
    inputs. It needs no data.

    Quantized activations are multiplied by integers: their levels are those of `nf4_i8`, which are rounded to multiples of
    1/127; a remark says so. It costs 0.02 dB. `table=nf4` keeps the exact levels and multiplies in f32.

    A mask stays: the kept weights are quantized. A weight that is quantized already is decompressed and quantized
    again, which adds errors; a remark says so.
  }];
}

def SchemeQuantize : CompressPass<"scheme-quantize", [
    Option<"scheme", "scheme", "std::string", /*default=*/"\"\"",
           "how weights are stored: a scheme as types print it, #llmc. may be left out">,
    ActivationsOption<"float">]> {
  let summary = "Round weights to any scheme that can be rounded to";
  let description = [{
    Stores each weight as the nearest that `scheme` can say, by the scheme's own rule: `scheme=int<4,group=32>` does what
    `--rtn-quantize` does. Every scheme with codes can be named, so a new one needs no pass of its own. It needs no data.

    With `activations=i8-group` groups of inputs are as long as those of the scheme's scales. A scheme that kernels cannot
    follow is decoded when weights are packed; `llmc-compile --explain` says so.

    A mask stays: the kept weights are rounded. A weight that is quantized already is decompressed and rounded again, which
    adds errors; a remark says so.
  }];
}

def AWQQuantize : CompressPass<"awq-quantize", [
    BitsOption, GroupOption, SymmetricOption, ScaleOption, ActivationsOption<"float">]> {
  let summary = "Quantize weights to integers, protecting the channels that matter";
  let description = [{
    Activation-aware weight quantization (arXiv 2306.00978): input channels with large activations are scaled up before
    rounding, and whatever produces them is scaled down, so that the float model is unchanged. 20 strengths are tried
    for each site and measured with the calibration Hessian. Then each group's range is clipped where that lowers the
    error, except for queries and keys.

    Sites: norm to the linears that read it; value projection to output projection (grouped heads share scales); up to
    down projection through a gated activation. Slices of fused projections count as projections. A site whose producer
    cannot be scaled is skipped with a remark, and its linears are still clipped.

    Needs `--calibrate` with `hessian=true`. Statistics of scaled channels are rescaled.
  }];
}

def Ternarize : CompressPass<"ternarize", [
    Option<"packing", "packing", "std::string", /*default=*/"\"2bit\"",
           "2bit, or base3: five weights to a byte (1.6 bits each)">,
    ActivationsOption<"i8-token">]> {
  let summary = "Weights of -s, 0 and s";
  let description = [{
    BitNet b1.58 (arXiv 2402.17764): one scale s = mean |w| per matrix, each weight rounded to -1, 0 or 1 times s, input
    quantized to 8 bits for each token. Meant for models trained that way, which it stores without loss; others
    lose most of what they know.

    `packing=base3` stores five weights in a byte: 20 % fewer bytes with the same numbers. Codes in 2 bits are faster to
    unpack, so that is for models that memory or its bandwidth limits. A ternary weight is repacked without a remark.
  }];
}

def Decompress : Pass<"decompress", "::mlir::ModuleOp"> {
  let summary = "Store compressed weights dense again";
  let description = [{
    Replaces every compressed weight by the f32 matrix it means: codes times scales, zeros where it was pruned. What the
    model computes stays the same up to the order of sums, so this shows what a method does to a model apart from how
    its weights are stored, and gives tools that know no compression the compressed model.

    Heads and embeddings are taken too. How linears quantize their input stays as it is. Masks are given up: a pass that
    prunes or quantizes afterwards starts from dense weights. A weight that means f16 or bf16 is stored as
    `#llmc.dense<f32>`, because products of codes and scales need not fit its type.
  }];
  let options = [
    Option<"include", "include", "std::string", /*default=*/"\"\"",
           "decompress only the weights whose name contains a match of this regular expression">,
    Option<"exclude", "exclude", "std::string", /*default=*/"\"\"",
           "leave out weights whose name contains a match of this regular expression">,
  ];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

def CacheQuantize : Pass<"cache-quantize", "::mlir::ModuleOp"> {
  let summary = "Store keys and values in fewer bits";
  let description = [{
    Sets the element type of every `llmc.cache`. `f16` and `bf16` round each element; `i8` stores one head of one position
    with the scale absmax / 127 and codes rounded half to even. Reading long contexts is bound by the bytes of the
    cache, so decode gets faster there; `llmc-run --perplexity --baseline` says what it costs. The prompt goes through the
    cache too, so prefill and decode see the same numbers.

    `products=i8` also multiplies codes of an i8 cache as they are (`byte_products` of `llmc.cache`): queries become bytes
    for each head, and weights of values 7 bits for each 64 keys, which costs a little more accuracy. Attention takes a third
    fewer instructions on AVX2, and more than that where VNNI multiplies.

    (* example test/Compress/cache-quantize.mlir *)
  }];
  let options = [Option<"type", "type", "std::string", /*default=*/"\"i8\"", "f32, f16, bf16 or i8">,
                 Option<"products", "products", "std::string", /*default=*/"\"f32\"", "f32, or i8 with type i8">];
  let dependentDialects = ["::llmc::LLMCDialect"];
}

#endif // LLMC_COMPRESS_PASSES_TD
