//===- InitAll.h - registration of everything the tools know ----------------------------===//
//
// The only registration the tools call.
//
#ifndef LLMC_INITALL_H
#define LLMC_INITALL_H

#include "llmc/Calibrate/Passes.h"
#include "llmc/Compress/Passes.h"
#include "llmc/Exec/ExecDialect.h"
#include "llmc/IR/LLMCDialect.h"
#include "llmc/IR/Passes.h"
#include "llmc/Lower/Cpu/Passes.h"
#include "llmc/Lower/Passes.h"
#include "llmc/Pipeline/Passes.h"
#include "llmc/Target/Passes.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/Passes.h"

namespace llmc {

/// The dialects of llmc and the upstream ones its stages use.
inline void registerAllDialects(DialectRegistry &registry) {
  registry
      .insert<LLMCDialect, exec::ExecDialect, arith::ArithDialect, func::FuncDialect,
              linalg::LinalgDialect, LLVM::LLVMDialect, math::MathDialect, memref::MemRefDialect,
              scf::SCFDialect, tensor::TensorDialect, vector::VectorDialect>();
}

/// Passes by flag: MLIR's own of general use (canonicalize, cse, ...) and those that lower.
inline void registerLoweringPasses() {
  registerTransformsPasses();
  registerLLMCGraphPasses();
  registerLLMCLowerPasses();
  registerLLMCLowerCpuPasses();
  registerLLMCTargetPasses();
  registerLLMCPipelinePasses();
  registerLoweringPipeline();
}

/// Those of all rooms. `executor` runs the model for the passes that need to.
inline void registerAllPasses(std::shared_ptr<Executor> executor) {
  registerCalibratePasses(executor);
  registerCompressPasses(std::move(executor));
  registerLoweringPasses();
}

} // namespace llmc

#endif // LLMC_INITALL_H
