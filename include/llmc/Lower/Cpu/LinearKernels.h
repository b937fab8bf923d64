//===- LinearKernels.h - kernels of linear and embedding --------------------------------===//
//
// One generator for every code format. All kernels are in upstream dialects, target-neutral but for
// the vector shape. A few rows are multiplied with codes decoded in registers (decode); more rows
// with panels of the weight decompressed to f32 in the thread's scratch (prefill). Tiles of output
// rows are split statically among threads, and the order of every sum depends on neither the
// partition nor the other rows. Panels round scaled weights, which the decode path does not have,
// so of float inputs and codes any number of rows that are sequences by themselves goes by decode.
//
// Quantized activations are codes and scales that a kernel of their own has made, once for all that
// read them: scale = absmax / 127, code = x / scale rounded half to even, scale 0 for a block of
// zeros. A linear brings them into the form that its products want. Products of codes are exact: by
// llmc.dot_i8, where the target has an instruction for it and codes of four inputs meet under one
// scale; else as f32, of which at most 256 are summed before they go to i32 or, at the end of a
// scale's range, to the scaled sum. Both give the same integers, so the same floats.
//
#ifndef LLMC_LOWER_CPU_LINEARKERNELS_H
#define LLMC_LOWER_CPU_LINEARKERNELS_H

#include "llmc/Lower/Cpu/PackedLinear.h"

#include <optional>

namespace llmc {

/// Kernel for y = x W^T (+ bias) (+ residual), W of n x k packed by packLinear.
/// Offsets: x (arena), packed weight (weights), bias (weights, packedBiasBytes long; if hasBias),
/// residual (arena; if any), y (arena), scales (arena; if the format has quantized activations, of
/// which x then has the codes). y may be the residual's buffer but must not overlap x. All of y's
/// tiles are stored, so its stride must be at least n rounded up to linearTileRows.
Kernel getLinearKernel(KernelBuilder &builder, const CodeFormat &format, int64_t n, int64_t k,
                       RowBuffer x, RowBuffer y, bool hasBias, std::optional<RowBuffer> residual,
                       RowBuffer scales = {});

/// Bytes of which rows of codes are whole lines, so that kernels need no loop for a rest.
constexpr int64_t kCodeLine = 64;

/// Kernel for codes (i8) and scales of x, a scale for each `group` columns (0: for the row), or the
/// one that is given (`isStatic`) for each row. Offsets: x (arena), the given scale (weights; if
/// isStatic), codes (arena; its stride a multiple of kCodeLine), scales (arena).
Kernel getQuantizeKernel(KernelBuilder &builder, RowBuffer x, RowBuffer codes, RowBuffer scales,
                         int64_t group, bool isStatic);

/// Kernel for y[r, :] = table[ids[r], :], the table packed by packEmbedding. Offsets: ids (arena,
/// i32), table (weights), y (arena). Ids must be in range.
Kernel getEmbeddingKernel(KernelBuilder &builder, const CodeFormat &format, int64_t rows,
                          int64_t columns, RowBuffer y);

/// The same for a table packed by packLinear, so that a matrix tied to the output layer is stored
/// once. Activations of the format are ignored.
Kernel getPackedEmbeddingKernel(KernelBuilder &builder, const CodeFormat &format, int64_t rows,
                                int64_t columns, RowBuffer y);

} // namespace llmc

#endif // LLMC_LOWER_CPU_LINEARKERNELS_H
