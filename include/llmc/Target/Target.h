//===- Target.h - the machine code is made for ------------------------------------------===//
//
// The room that writes the instructions of an instruction set. Takes a lowered module (func, scf,
// vector, memref, arith, math, and llmc.dot_i8 and its like) to an object file and a shared object;
// nothing here knows transformers.
//
#ifndef LLMC_TARGET_TARGET_H
#define LLMC_TARGET_TARGET_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/IR/Module.h"
#include "llvm/Support/Error.h"

#include <memory>
#include <string>
#include <vector>

namespace llvm {
class TargetMachine;
} // namespace llvm

namespace llmc {

/// A target as the user named it.
struct TargetOptions {
  std::string triple;   ///< x86_64-linux-gnu, aarch64-linux-gnu; empty: this machine's.
  std::string cpu;      ///< LLVM's name, or native (only for this machine's own triple).
  std::string features; ///< +dotprod,-avx512f ...: of a strategy, or what the loader can check.
};

/// A target resolved: what the code may use, and the shape of its vectors.
struct TargetInfo {
  std::string triple, cpu, featureString;
  std::vector<std::string> features; ///< Sorted names of the instruction sets the code may use.
  int64_t lanes = 4;                 ///< f32 in one vector register.
  int64_t registers = 16;            ///< Vector registers.
  bool half = true;                  ///< f16 is widened by an instruction.
  /// Instructions for dot products of bytes: vnni (x86), maddubs (x86, through 16 bits), sdot
  /// (Arm), or none.
  std::string dot = "none";
  bool tiles = false;   ///< Blocks of dot products in tile registers (AMX).
  std::string strategy; ///< amx-int8, avx512vnni, avx2, neon ...: what --explain prints.
  std::string warning;  ///< For a user who named no processor; empty otherwise.
};

/// Checks triple, CPU and features against what LLVM knows; turns off what LLVM enables for the CPU
/// and no strategy uses. The error names the part at fault.
llvm::Expected<TargetInfo> resolveTarget(const TargetOptions &options);

/// The LLVM target machine for `target`: position-independent, no fused multiply-add but the
/// explicit ones.
llvm::Expected<std::unique_ptr<llvm::TargetMachine>> makeTargetMachine(const TargetInfo &target);

/// Lowers upstream dialects and llmc.dot_i8 to the LLVM dialect; fails if anything else is left.
mlir::LogicalResult lowerToLLVMDialect(mlir::ModuleOp module, const TargetInfo &target);

/// Translates the LLVM dialect to LLVM IR and optimises it for the target. Null on failure, with
/// diagnostics emitted.
std::unique_ptr<llvm::Module> translateToLLVM(mlir::ModuleOp module, llvm::LLVMContext &context,
                                              llvm::TargetMachine &machine);

/// Machine code of `module`: an object file, or assembly text.
llvm::Expected<std::string> emitCode(llvm::Module &module, llvm::TargetMachine &machine,
                                     bool assembly);

/// Links `object` to the shared object `output` with lld (no sysroot, no libraries); `output`
/// exists and is empty.
llvm::Error linkShared(llvm::StringRef object, llvm::StringRef output, llvm::StringRef soname);

} // namespace llmc

#endif // LLMC_TARGET_TARGET_H
