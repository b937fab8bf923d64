// The compression schemes: one attribute each, all behind SchemeAttrInterface.
#ifndef LLMC_IR_SCHEMES_TD
#define LLMC_IR_SCHEMES_TD

include "llmc/IR/LLMCDialect.td"
include "llmc/IR/SchemeInterface.td"
include "mlir/IR/AttrTypeBase.td"

// `own` names the methods with a default that the scheme answers itself.
class LLMC_Scheme<string name, string mnemonic_, list<string> own = ["encode"]>
    : AttrDef<LLMC_Dialect, name, [DeclareAttrInterfaceMethods<SchemeAttrInterface, own>]> {
  let mnemonic = mnemonic_;
}

def DenseSchemeAttr : LLMC_Scheme<"DenseScheme", "dense", []> {
  let summary = "floating-point storage";
  let description = [{
    Every weight as f32, f16 or bf16. Component: `values` (rows x columns).

    Example:
    ```mlir
    !llmc.compressed<64x64xf32, #llmc.dense<f16>>
    ```
  }];
  let parameters = (ins "::mlir::Type":$elementType);
  let assemblyFormat = "`<` $elementType `>`";
  let genVerifyDecl = 1;
}

def IntSchemeAttr : LLMC_Scheme<"IntScheme", "int"> {
  let summary = "affine integers, per group or per channel";
  let description = [{
    `bits` (2 to 8) per weight, and per row and group of `group` consecutive inputs a scale (f16 or f32) and, unless
    `symmetric`, a zero point. `group = 0` is one group per row (per channel); a short last group is legal.

    `weight = (code - zero) * scale`, code in 0 .. 2^bits - 1; zero is 2^(bits-1) when symmetric. With `zero = f16` or `f32`
    zero points are no codes but floats, as HQQ has them: the grid then need not hold 0.

    Components: `codes` (rows x ceil(columns * bits / 8) bytes: a little-endian bit stream per row), `scales`
    (rows x groups), and `zeros` (rows x groups bytes, or floats) unless symmetric.

    Example:
    ```mlir
    !llmc.compressed<64x172xf32, #llmc.int<4, group = 32, scale = f16>>
    !llmc.compressed<64x64xf32, #llmc.int<8, group = 0, symmetric, scale = f32>>
    !llmc.compressed<64x128xf32, #llmc.int<4, group = 64, scale = f16, zero = f16>>
    ```
  }];
  let parameters = (ins "int64_t":$bits, "int64_t":$group, "bool":$symmetric, "::mlir::Type":$scale,
                    "::mlir::Type":$zero);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def TableSchemeAttr : LLMC_Scheme<"TableScheme", "table"> {
  let summary = "codes of 4 bits into a table of levels, one scale per group";
  let description = [{
    `weight = table[code] * scale`: 4 bits per weight, and per row and group of `group` consecutive inputs a scale (f16 or
    f32), the largest magnitude of the group. `group = 0` is one group per row (per channel); a short last group is
    legal. Tables:

    * `nf4`: 16 quantiles of a normal distribution between -1 and 1, 0 among them (arXiv 2305.14314, as bitsandbytes has
      them).
    * `nf4_i8`: each of those rounded to a multiple of 1/127, so that integer dot products are exact with it.
    * `bnb_fp4`: the float of 4 bits of bitsandbytes: a sign and 0, 1/16, 8, 12, 4, 6, 2 or 3 twelfths, in the order of
      codes 0 to 7.

    Components: `codes` (rows x ceil(columns / 2) bytes: a little-endian bit stream per row) and `scales` (rows x groups).

    Example:
    ```mlir
    !llmc.compressed<64x172xf32, #llmc.table<nf4, group = 64, scale = f16>>
    !llmc.compressed<64x64xf32, #llmc.table<nf4_i8, group = 0, scale = f32>>
    !llmc.compressed<64x64xf32, #llmc.table<bnb_fp4, group = 64, scale = f32>>
    ```
  }];
  let parameters = (ins "::llmc::CodeTable":$table, "int64_t":$group, "::mlir::Type":$scale);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def FloatSchemeAttr : LLMC_Scheme<"FloatScheme", "float"> {
  let summary = "floats of 8 bits, one scale per matrix, row or block";
  let description = [{
    `weight = float(code) * scale`: 8 bits per weight in one of the formats of OFP8, and a scale (f16 or f32) for the
    whole matrix, each row (output) or each block of 128 outputs by 128 inputs; short last blocks are legal. Formats:

    * `e4m3`: 4 bits of exponent, 3 of mantissa, up to 448; no infinities.
    * `e5m2`: 5 bits of exponent, 2 of mantissa, up to 57344.

    Codes that mean no number are refused. Components: `codes` (rows x columns bytes) and `scales` (one; rows x 1; or
    ceil(rows / 128) x ceil(columns / 128)).

    Example:
    ```mlir
    !llmc.compressed<64x172xf32, #llmc.float<e4m3, per = row, scale = f32>>
    !llmc.compressed<200x172xf32, #llmc.float<e4m3, per = block, scale = f16>>
    !llmc.compressed<64x64xf32, #llmc.float<e5m2, per = matrix, scale = f32>>
    ```
  }];
  let parameters = (ins "::llmc::Float8Type":$format, "::llmc::Float8Blocks":$per, "::mlir::Type":$scale);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def NVFP4SchemeAttr : LLMC_Scheme<"NVFP4Scheme", "nvfp4"> {
  let summary = "floats of 4 bits, scales of 8 bits, and one scale of the scales";
  let description = [{
    `weight = float(code) * (float(scale) * super)`: codes of 4 bits in the format e2m1 (0, 1/2, 1, 3/2, 2, 3, 4, 6, and a
    sign), per row and group of 16 consecutive inputs a scale of 8 bits in the format e4m3, and one f32 that scales the
    scales of the matrix. A short last group is legal. It is the NVFP4 of Nvidia's TensorRT Model Optimizer.

    Components: `codes` (rows x ceil(columns / 2) bytes: a little-endian bit stream per row), `scales` (rows x groups
    bytes) and `super_scales` (one f32).

    Example:
    ```mlir
    !llmc.compressed<64x172xf32, #llmc.nvfp4>
    ```
  }];
}

def LevelsSchemeAttr : LLMC_Scheme<"LevelsScheme", "levels"> {
  let summary = "codes of 4 bits into 16 levels that each group of rows has for itself";
  let description = [{
    `weight = levels[row / rows][code]`: 4 bits per weight, and for each `rows` consecutive rows (outputs) 16 levels (f16 or
    f32), which are whatever fits the weights; there are no scales. `rows = 0` is one table for the whole matrix; a
    short last group is legal. Rounding to this scheme finds the levels by k-means.

    Components: `codes` (rows x ceil(columns / 2) bytes: a little-endian bit stream per row) and `levels` (tables x 16).

    Example:
    ```mlir
    !llmc.compressed<64x172xf32, #llmc.levels<rows = 16, type = f16>>
    !llmc.compressed<64x64xf32, #llmc.levels<rows = 0, type = f32>>
    ```
  }];
  let parameters = (ins "int64_t":$rows, "::mlir::Type":$type);
  let assemblyFormat = "`<` struct(params) `>`";
  let genVerifyDecl = 1;
}

def TernarySchemeAttr : LLMC_Scheme<"TernaryScheme", "ternary"> {
  let summary = "weights -s, 0, s with one scale per matrix (BitNet b1.58)";
  let description = [{
    `weight = (code - 1) * scale`, code in 0 .. 2 (arXiv 2402.17764). Components: `codes` (2 bits each, rows x
    ceil(columns / 4) bytes) and `scales` (one f32).

    With `base3` a byte holds five codes, 1.6 bits each: `codes` is rows x ceil(columns / 5) bytes, where codes c0 .. c4
    are the byte ceil(256 / 243 * (81 c0 + 27 c1 + 9 c2 + 3 c3 + c4)). The first code is `3 * byte / 256` rounded down, and
    three times the byte, modulo 256, is the byte of those after it. Codes behind the last are 1.

    Example:
    ```mlir
    !llmc.compressed<64x64xf32, #llmc.ternary>
    !llmc.compressed<64x64xf32, #llmc.ternary<base3>>
    ```
  }];
  let parameters = (ins "bool":$base3);
  let hasCustomAssemblyFormat = 1;
}

def NMSchemeAttr : LLMC_Scheme<"NMScheme", "nm", ["keptScheme"]> {
  let summary = "at most N of each M consecutive inputs are kept";
  let description = [{
    Exactly `n` of each `m` consecutive inputs of a row are stored, with the inner scheme over the kept weights of the
    row; a short last group of r inputs stores min(n, r). Groups of an inner `int` count inputs of the dense row, so
    scales keep their meaning whichever pass ran first.

    Components: `mask` (rows x ceil(columns / 8) bytes, bit i%8 of byte i/8 is input i), then those of the inner scheme
    with `codes` or `values` of the kept weights only.

    Example:
    ```mlir
    !llmc.compressed<64x64xf32, #llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>>
    ```
  }];
  let parameters = (ins "int64_t":$n, "int64_t":$m, "::mlir::Attribute":$inner);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
}

def MaskSchemeAttr : LLMC_Scheme<"MaskScheme", "mask", ["keptScheme"]> {
  let summary = "unstructured sparsity";
  let description = [{
    The kept weights, in row-major order over the whole matrix, stored with the inner scheme, and one bit for each weight
    that says which are kept.

    Components: `mask` (rows x ceil(columns / 8) bytes), then those of the inner scheme, where `codes` is one bit stream
    (or `values` one vector) of all kept weights.

    Example:
    ```mlir
    !llmc.compressed<64x64xf32, #llmc.mask<#llmc.dense<f32>>>
    ```
  }];
  let parameters = (ins "::mlir::Attribute":$inner);
  let assemblyFormat = "`<` $inner `>`";
  let genVerifyDecl = 1;
}

#endif // LLMC_IR_SCHEMES_TD
