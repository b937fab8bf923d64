//===- RowKernels.h - norms, rotation, pointwise kernels and checks ---------------------===//
//
// Kernels whose rows do not see each other. Each result element is computed by exactly one thread,
// reductions run in a fixed order, so results do not depend on the number of threads. Inputs may be
// views; no kernel reads or writes outside the width of a row. "In place" means the same offset and
// the same buffer for input and result.
//
#ifndef LLMC_LOWER_CPU_ROWKERNELS_H
#define LLMC_LOWER_CPU_ROWKERNELS_H

#include "llmc/Lower/Cpu/KernelBuilder.h"

namespace llmc {

/// llmc.rms_norm over `groups` slices of each row. Offsets {x, scale (weights, f32), y}. In place
/// allowed.
Kernel getRMSNormKernel(KernelBuilder &builder, RowBuffer x, RowBuffer y, int64_t groups,
                        double eps);

/// llmc.layer_norm. Offsets {x, scale (weights, f32), [bias (weights, f32)], y}. In place allowed.
Kernel getLayerNormKernel(KernelBuilder &builder, RowBuffer x, RowBuffer y, double eps,
                          bool hasBias);

/// llmc.softmax over each row. Offsets {x, y}. In place allowed.
Kernel getSoftmaxKernel(KernelBuilder &builder, RowBuffer x, RowBuffer y);

/// llmc.rope. Offsets {x, table (weights), y}; the table is that of makeRopeTable. In place
/// allowed.
Kernel getRopeKernel(KernelBuilder &builder, RowBuffer x, RowBuffer y, int64_t heads, int64_t pairs,
                     RopeLayout layout);

/// f32 [context][2 * frequencies]: of each position the cosines, then the sines, of
/// position * frequency (a product in f32, as exporters compute it), times `attentionFactor`.
std::vector<float> makeRopeTable(ArrayRef<double> frequencies, double attentionFactor,
                                 int64_t context);

/// llmc.positions. Offset {y (arena, i32 [rows])}.
Kernel getPositionsKernel(KernelBuilder &builder, int64_t offset);

/// llmc.activation. Offsets {x, y}. In place allowed.
Kernel getActivationKernel(KernelBuilder &builder, ActivationKind kind, RowBuffer x, RowBuffer y);

/// llmc.gated_activation. Offsets {gate, up, y}. In place of either input allowed.
Kernel getGatedActivationKernel(KernelBuilder &builder, ActivationKind kind, RowBuffer gate,
                                RowBuffer up, RowBuffer y);

/// y = a `kind` b with kind one of add, sub, mul, div, max, min (max and min keep NaN). A stride of
/// 0 repeats one row. Offsets {a, b, y}. In place of either input allowed.
Kernel getBinaryKernel(KernelBuilder &builder, StringRef kind, RowBuffer a, RowBuffer b,
                       RowBuffer y);

/// llmc.scale. Offsets {x, y}. In place allowed.
Kernel getScaleKernel(KernelBuilder &builder, double factor, RowBuffer x, RowBuffer y);

/// y = x, for views that must own their memory. Offsets {x, y}.
Kernel getCopyRowsKernel(KernelBuilder &builder, RowBuffer x, RowBuffer y);

/// llmc.expect_close, or llmc.expect_eq where `exact`. Offsets {actual, expected (arena, or weights
/// where `expectedInWeights`), flag (arena, i32)}. The flag becomes 1 + the index (row * width +
/// column) of the first element that does not agree, or 0. Differences are taken in f64.
Kernel getExpectKernel(KernelBuilder &builder, RowBuffer actual, RowBuffer expected, double atol,
                       double rtol, bool exact, bool expectedInWeights);

} // namespace llmc

#endif // LLMC_LOWER_CPU_ROWKERNELS_H
