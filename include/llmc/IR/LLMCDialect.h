//===- LLMCDialect.h - the llmc dialect: attributes, types and operations ---------------===//
//
// See docs/Reference/Dialect.md for the operations and docs/Rationale/Dialect.md for why they are
// these.
//
#ifndef LLMC_IR_LLMCDIALECT_H
#define LLMC_IR_LLMCDIALECT_H

#include "llmc/IR/DecodePlan.h"
#include "llmc/Numerics/CodeTable.h"
#include "llmc/Numerics/Float8.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/CallInterfaces.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <optional>
#include <string>
#include <vector>

namespace llmc {
using namespace mlir;

/// Version of the dialect written into bytecode; a file with a newer one is refused. Since 2,
/// llmc.cache has byte_products; since 3, llmc.rope has long_frequencies; since 4, layers are
/// functions (llmc.layer, llmc.call) and linears read what llmc.quantize made.
constexpr uint64_t kDialectVersion = 4;

/// The version that a file was written with.
struct LLMCDialectVersion : public DialectVersion {
  uint64_t version = kDialectVersion;
};

/// What an operation reads a weight as: a matrix, a vector added to its result, one that scales or
/// shifts its rows, rows by id, or rows as they are.
enum class WeightSlot { None, Matrix, Bias, Vector, Table, Rows };
} // namespace llmc

#include "llmc/IR/GraphInterfaces.h.inc"
#include "llmc/IR/LLMCDialect.h.inc"
#include "llmc/IR/LLMCEnums.h.inc"
#include "llmc/IR/SchemeInterface.h.inc"

#define GET_ATTRDEF_CLASSES
#include "llmc/IR/LLMCAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "llmc/IR/LLMCTypes.h.inc"
#define GET_OP_CLASSES
#include "llmc/IR/LLMCOps.h.inc"

namespace llmc {
/// Rows and columns of a weight's type, dense or compressed. A vector has one dimension.
ArrayRef<int64_t> getWeightShape(Type type);
/// The element type a weight's values have once decompressed.
Type getWeightElementType(Type type);
/// The scheme of a compressed type, or null for a dense tensor.
SchemeAttrInterface getScheme(Type type);
/// How the weight of a type is decoded; none if only its scheme knows.
std::optional<DecodePlan> getDecodePlan(Type type);

/// What `reader` reads when it reads `rows` quantized: the result of the one llmc.quantize of
/// `rows` in its block that does so, made or moved in front of it. A static quantization has a
/// `scale`, made by an llmc.weight; one of equal data is as good.
Value quantizeOnce(Value rows, Attribute quantization, WeightOp scale, LinearOp reader);
/// Linears in `root` that say by attribute how their input is quantized read an llmc.quantize.
void separateActivations(Operation *root);
} // namespace llmc

#endif // LLMC_IR_LLMCDIALECT_H
