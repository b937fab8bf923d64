//===- LinearKernels.h - kernels of linear and embedding --------------------------------===//
//
// One generator for every code format. All kernels are in upstream dialects, target-neutral but for
// the vector shape. A few rows are multiplied with codes decoded in registers (decode); more rows
// with panels of the weight decompressed to f32 in the thread's scratch (prefill). Tiles of output
// rows are split statically among threads, and the order of every sum depends on neither the
// partition nor the other rows. Panels round scaled weights, which the decode path does not have,
// so of float inputs and codes any number of rows that are sequences by themselves goes by decode.
//
// With quantized activations each thread quantizes the input into its scratch: scale = absmax /
// 127, code = x / scale rounded half to even, scale 0 for a block of zeros. Products of codes are
// exact: by llmc.dot_i8, where the target has an instruction for it and codes of four inputs meet
// under one scale; else as f32, of which at most 256 are summed before they go to i32 or, at the
// end of a scale's range, to the scaled sum. Both give the same integers, so the same floats.
//
#ifndef LLMC_LOWER_CPU_LINEARKERNELS_H
#define LLMC_LOWER_CPU_LINEARKERNELS_H

#include "llmc/Lower/Cpu/PackedLinear.h"

#include <optional>

namespace llmc {

/// Kernel for y = x W^T (+ bias) (+ residual), W of n x k packed by packLinear.
/// Offsets: x (arena), packed weight (weights), bias (weights, packedBiasBytes long; if hasBias),
/// residual (arena; if any), y (arena). y may be the residual's buffer but must not overlap x. All
/// of y's tiles are stored, so its stride must be at least n rounded up to linearTileRows.
Kernel getLinearKernel(KernelBuilder &builder, const CodeFormat &format, int64_t n, int64_t k,
                       RowBuffer x, RowBuffer y, bool hasBias, std::optional<RowBuffer> residual);

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
