//===- KernelBuilder.cpp - kernels of the lowered step ----------------------------------===//
//
// The signature every kernel shares, and the few pieces their bodies are made of.
//
#include "llmc/Lower/Cpu/KernelBuilder.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace llmc;

static constexpr StringLiteral kDotKinds[] = {"none", "maddubs", "vnni", "sdot"};

StringRef llmc::dotKindName(DotKind kind) { return kDotKinds[static_cast<int>(kind)]; }

std::optional<DotKind> llmc::parseDotKind(StringRef name) {
  const auto *found = llvm::find(kDotKinds, name);
  if (found == std::end(kDotKinds))
    return std::nullopt;
  return static_cast<DotKind>(found - std::begin(kDotKinds));
}

Kernel KernelBuilder::getOrCreate(StringRef name, unsigned offsets, int64_t scratchBytes,
                                  function_ref<void(ImplicitLocOpBuilder &, KernelFrame &)> body) {
  if (auto existing = module.lookupSymbol<func::FuncOp>(name))
    return {existing, scratchBytes};
  Location loc = NameLoc::get(StringAttr::get(context(), name));
  OpBuilder moduleBuilder = OpBuilder::atBlockEnd(module.getBody());
  Type index = moduleBuilder.getIndexType();
  Type memory = MemRefType::get({ShapedType::kDynamic}, moduleBuilder.getI8Type());
  constexpr unsigned kMemories = 3, kIndices = 8;
  SmallVector<Type> types(kMemories, memory);
  types.append(kIndices + offsets, index);
  auto function =
      func::FuncOp::create(moduleBuilder, loc, name, moduleBuilder.getFunctionType(types, {}));
  function.setPrivate();
  ImplicitLocOpBuilder b(loc, context());
  Block *block = function.addEntryBlock();
  b.setInsertionPointToStart(block);
  auto arguments = block->getArguments();
  KernelFrame frame{arguments[0], arguments[1], arguments[2],  arguments[3],
                    arguments[4], arguments[5], arguments[6],  arguments[7],
                    arguments[8], arguments[9], arguments[10], {}};
  frame.offsets.assign(arguments.begin() + kMemories + kIndices, arguments.end());
  body(b, frame);
  func::ReturnOp::create(b);
  return {function, scratchBytes};
}

Value llmc::indexConstant(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

Value llmc::floatConstant(ImplicitLocOpBuilder &b, double value) {
  return arith::ConstantOp::create(b, b.getF32FloatAttr(static_cast<float>(value)));
}

Value llmc::viewAs(ImplicitLocOpBuilder &b, Value memory, Value offset, Type element) {
  // The planner keeps every access inside the memory; the view's length is never read.
  Value length = indexConstant(b, int64_t(1) << 40);
  return memref::ViewOp::create(b, MemRefType::get({ShapedType::kDynamic}, element), memory, offset,
                                ValueRange{length});
}

Value llmc::viewRows(ImplicitLocOpBuilder &b, Value arena, Value offset) {
  return viewAs(b, arena, offset, b.getF32Type());
}

Value llmc::rowIndex(ImplicitLocOpBuilder &b, Value row, RowBuffer buffer, Value column) {
  Value start = arith::MulIOp::create(b, row, indexConstant(b, buffer.stride));
  return arith::AddIOp::create(b, start, column);
}

Value llmc::widenFloat(ImplicitLocOpBuilder &b, Value value, VectorShape shape) {
  Type type = value.getType(), element = getElementTypeOrSelf(type);
  if (element.isF32())
    return value;
  auto like = [&](Type other) -> Type {
    auto vector = dyn_cast<VectorType>(type);
    return vector ? VectorType::get(vector.getShape(), other) : other;
  };
  auto constant = [&](TypedAttr scalar) -> Value {
    if (auto vector = dyn_cast<VectorType>(like(scalar.getType())))
      return arith::ConstantOp::create(b, DenseElementsAttr::get(vector, Attribute(scalar)));
    return arith::ConstantOp::create(b, scalar);
  };
  auto integer = [&](int32_t bits) { return constant(b.getI32IntegerAttr(bits)); };
  Type floats = like(b.getF32Type()), ints = like(b.getI32Type());
  if (element.isF16() && shape.half)
    return arith::ExtFOp::create(b, floats, value);
  Value bits = arith::BitcastOp::create(b, like(b.getI16Type()), value);
  bits = arith::ExtUIOp::create(b, ints, bits);
  if (element.isBF16())
    return arith::BitcastOp::create(b, floats, arith::ShLIOp::create(b, bits, integer(16)));
  // Exponent and fraction move to their places in f32; one product puts the bias right, for
  // subnormal numbers too.
  Value magnitude = arith::AndIOp::create(b, bits, integer(0x7fff));
  magnitude = arith::BitcastOp::create(b, floats, arith::ShLIOp::create(b, magnitude, integer(13)));
  magnitude = arith::MulFOp::create(b, magnitude, constant(b.getF32FloatAttr(0x1p112f)));
  Value sign =
      arith::ShLIOp::create(b, arith::AndIOp::create(b, bits, integer(0x8000)), integer(16));
  Value result = arith::OrIOp::create(b, arith::BitcastOp::create(b, ints, magnitude), sign);
  return arith::BitcastOp::create(b, floats, result);
}

std::pair<Value, Value> llmc::threadRange(ImplicitLocOpBuilder &b, const KernelFrame &frame,
                                          Value count) {
  Value next = arith::AddIOp::create(b, frame.thread, indexConstant(b, 1));
  auto bound = [&](Value thread) -> Value {
    Value product = arith::MulIOp::create(b, count, thread);
    return arith::DivUIOp::create(b, product, frame.threads);
  };
  Value begin = bound(frame.thread);
  return {begin, bound(next)};
}

void llmc::prefetchLines(ImplicitLocOpBuilder &b, Value memory, Value at, int64_t count) {
  unsigned bits = cast<MemRefType>(memory.getType()).getElementTypeBitWidth();
  for (int64_t i = 0; i < count; i += 64 * 8 / bits) {
    Value line = arith::AddIOp::create(b, at, indexConstant(b, i));
    memref::PrefetchOp::create(b, memory, ValueRange{line}, /*isWrite=*/false,
                               /*localityHint=*/3, /*isDataCache=*/true);
  }
}

void llmc::forLoop(ImplicitLocOpBuilder &b, Value begin, Value end, int64_t step,
                   function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(b, begin, end, indexConstant(b, step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
}

SmallVector<Value> llmc::forLoop(ImplicitLocOpBuilder &b, Value begin, Value end, int64_t step,
                                 ValueRange init,
                                 function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  auto loop = scf::ForOp::create(b, begin, end, indexConstant(b, step), init);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> next = body(loop.getInductionVar(), loop.getRegionIterArgs());
  scf::YieldOp::create(b, next);
  return SmallVector<Value>(loop.getResults());
}
