//===- KernelModel.h - a chain of linears of one format, compiled for this machine ------===//
//
// K -> N -> K -> N ... : the shape of the work in a transformer, without the rest.
//
#ifndef LLMC_TOOLS_BENCH_KERNELMODEL_H
#define LLMC_TOOLS_BENCH_KERNELMODEL_H

#include "ModelWork.h"

#include <memory>
#include <string>

namespace llmc::bench {

/// What is measured: pairs of a matrix [n, k] and one [k, n].
struct KernelShape {
  int64_t k = 0;
  int64_t n = 0;
  std::string name; ///< 2048x5632: inputs x outputs of the first
};

/// The passes that make a format from dense f32 weights, as a pipeline on a module; empty for f32.
/// Formats are named as `llmc-compile --explain` names them: f32, int4-g128, int8-row-sym-i8token,
/// ternary-i8token, ternary-b3, nf4-g64, bnbfp4-g64, nm2x4-int4-g32; nf4 with quantized inputs
/// means the table of integers. Throws Failure (Usage).
std::string formatPipeline(const std::string &format);

struct KernelOptions {
  std::string format;
  KernelShape shape;
  std::string cpu = "native";
  int64_t rows = 1;        ///< most rows of a call
  uint64_t leastBytes = 0; ///< so many pairs that the packed weights have at least this size
};

struct CompiledKernel {
  std::unique_ptr<Artifact> artifact; ///< Mapped; its files are gone.
  ModelWork work;                     ///< of one row, weights once for all rows
};

/// Throws Failure: Usage for a format that does not fit the shape, Internal otherwise. What the
/// compiler says goes to stderr.
CompiledKernel compileKernel(const KernelOptions &options);

} // namespace llmc::bench

#endif // LLMC_TOOLS_BENCH_KERNELMODEL_H
