//===- Dots.h - integer dot products, one file for each instruction set -----------------===//
//
// Each function lowers llmc.dot_i8 or llmc.block_i8 to instructions of its set and leaves alone
// what does not fit them; DotGeneric.cpp takes the rest.
//
#ifndef LLMC_LIB_TARGET_DOTS_H
#define LLMC_LIB_TARGET_DOTS_H

#include "llmc/IR/LLMCDialect.h"
#include "llmc/Target/Target.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace llmc {

/// Replaces every llmc.dot_i8 of `module` by what `target` has for it.
void lowerDots(ModuleOp module, const TargetInfo &target);

/// vpmaddubsw and vpmaddwd: chains of dots in a block share sums of 16 bits. Vectors of other than
/// `lanes` sums are left.
void lowerDotsMaddubs(Block &block, int64_t lanes);
/// vpdpbusd.
void lowerDotsVnni(Block &block, int64_t lanes);
/// sdot.
void lowerDotsNeon(Block &block);
/// Shifts and 32-bit products, right on every target.
void lowerDotsGeneric(Block &block);

/// Replaces every llmc.block_i8: by instructions where `target` has them, else by loops of
/// llmc.dot_i8.
void lowerBlocks(ModuleOp module, const TargetInfo &target);
/// Tile registers of AMX.
void lowerBlocksAmx(ModuleOp module);

/// Replaces every llmc.pick and llmc.pick_i8: a permutation within 128 bits where the target has
/// one by index, else selections.
void lowerPicks(ModuleOp module, const TargetInfo &target);

/// Replaces every llmc.lookup and llmc.triple: shuffles and permutations of a register where the
/// target has them by index, else selections.
void lowerLookups(ModuleOp module, const TargetInfo &target);

/// Gives the declarations of functions marked llmc.any_machine their body: the check that the
/// machine has all features of the target. They take where to say why not (NULL: nowhere), and
/// return LLMC_OK or LLMC_BAD_CPU. An error names one of another type.
LogicalResult writeCpuChecks(ModuleOp module, const TargetInfo &target);

/// Functions marked llmc.any_machine, in the LLVM dialect: compiled for every processor of the
/// architecture.
LogicalResult limitToAnyMachine(ModuleOp module, const TargetInfo &target);

/// Calls an intrinsic with one result.
Value callIntrinsic(ImplicitLocOpBuilder &b, Type type, StringRef name, ValueRange arguments);
/// The same value of an x86 register, but LLVM does not reassociate what contains it: sums would
/// become trees, which hold more registers than there are. An assembly statement without
/// instructions hides it.
Value keepOrder(ImplicitLocOpBuilder &b, Value value);
/// candidates[index], lane by lane, by a level of selections for each bit of the index. There are
/// as many candidates as a power of two; bits of the index beyond them are ignored.
Value selectCandidate(ImplicitLocOpBuilder &b, Value index, ArrayRef<Value> candidates);
/// A vector of one integer.
Value splatInteger(ImplicitLocOpBuilder &b, VectorType type, int64_t value);

} // namespace llmc

#endif // LLMC_LIB_TARGET_DOTS_H
