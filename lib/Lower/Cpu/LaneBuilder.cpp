//===- LaneBuilder.cpp - rows of f32 in whole vectors and a tail ------------------------===//
//
// Tails are masked by constants: a width is known when its kernel is made, so no mask is ever
// computed.
//
#include "llmc/Lower/Cpu/LaneBuilder.h"

#include "llmc/Lower/Cpu/MathKernels.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;
using namespace llmc;

static Value laneMask(ImplicitLocOpBuilder &b, int64_t lanes, int64_t count) {
  SmallVector<bool> bits(lanes);
  std::fill_n(bits.begin(), count, true);
  auto type = VectorType::get({lanes}, b.getI1Type());
  return arith::ConstantOp::create(b, DenseElementsAttr::get(type, ArrayRef<bool>(bits)));
}

Value LaneBuilder::constant(double value) {
  return arith::ConstantOp::create(b, DenseElementsAttr::get(type(), static_cast<float>(value)));
}

Value LaneBuilder::splat(Value scalar) {
  return vector::BroadcastOp::create(b, VectorType::get({lanes}, scalar.getType()), scalar);
}

Value LaneBuilder::load(Value memory, Value index, int64_t count, double fill) {
  if (count == lanes)
    return vector::LoadOp::create(b, type(), memory, index);
  return vector::MaskedLoadOp::create(b, type(), memory, index, laneMask(b, lanes, count),
                                      constant(fill));
}

void LaneBuilder::store(Value vector, Value memory, Value index, int64_t count) {
  if (count == lanes)
    vector::StoreOp::create(b, vector, memory, index);
  else
    vector::MaskedStoreOp::create(b, memory, index, laneMask(b, lanes, count), vector);
}

Value LaneBuilder::keep(Value vector, int64_t count, double fill) {
  if (count == lanes)
    return vector;
  return arith::SelectOp::create(b, laneMask(b, lanes, count), vector, constant(fill));
}

Value LaneBuilder::loadSplat(Value memory, Value index) {
  return splat(memref::LoadOp::create(b, memory, index));
}

void LaneBuilder::forColumns(int64_t width, function_ref<void(Value, int64_t)> body) {
  int64_t whole = width / lanes * lanes;
  if (whole > 0)
    forLoop(b, indexConstant(b, 0), indexConstant(b, whole), lanes,
            [&](Value column) { body(column, lanes); });
  if (whole < width)
    body(indexConstant(b, whole), width - whole);
}

Value LaneBuilder::reduceColumns(int64_t width, Value init,
                                 function_ref<Value(Value, int64_t, Value)> step,
                                 function_ref<Value(Value, Value)> combine) {
  constexpr int64_t kAccumulators = 4;
  int64_t stride = kAccumulators * lanes, whole = width / stride * stride;
  SmallVector<Value> sums(kAccumulators, init);
  if (whole > 0)
    sums = forLoop(b, indexConstant(b, 0), indexConstant(b, whole), stride, sums,
                   [&](Value column, ValueRange carried) {
                     SmallVector<Value> next;
                     for (auto [i, sum] : llvm::enumerate(carried))
                       next.push_back(step(addIndex(b, column, i * lanes), lanes, sum));
                     return next;
                   });
  for (int64_t i = 0, column = whole; column < width; ++i, column += lanes)
    sums[i] = step(indexConstant(b, column), std::min(lanes, width - column), sums[i]);
  return combine(combine(sums[0], sums[1]), combine(sums[2], sums[3]));
}

Value LaneBuilder::fold(Value vector, function_ref<Value(Value, Value)> combine) {
  for (int64_t distance = lanes / 2; distance > 0; distance /= 2) {
    SmallVector<int64_t> order;
    for (int64_t lane = 0; lane < lanes; ++lane)
      order.push_back((lane + distance) % lanes);
    vector = combine(vector, vector::ShuffleOp::create(b, vector, vector, order));
  }
  return vector::ExtractOp::create(b, vector, 0);
}

Value LaneBuilder::foldSum(Value vector) {
  return fold(vector, [&](Value x, Value y) { return add(x, y); });
}

Value LaneBuilder::foldMax(Value vector) {
  return fold(vector, [&](Value x, Value y) { return max(x, y); });
}

Value LaneBuilder::add(Value x, Value y) { return arith::AddFOp::create(b, x, y); }

Value LaneBuilder::max(Value x, Value y) {
  Value greater = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, x, y);
  return arith::SelectOp::create(b, greater, x, y);
}

std::pair<Value, Value> LaneBuilder::byteScale(Value memory, Value index, int64_t size) {
  auto larger = [&](Value x, Value y) { return max(x, y); };
  Value peaks = reduceColumns(
      size, constant(0.0),
      [&](Value column, int64_t count, Value peak) {
        Value value = load(memory, addIndex(b, index, column), count);
        return max(math::AbsFOp::create(b, value), peak);
      },
      larger);
  return byteScale(foldMax(peaks));
}

std::pair<Value, Value> LaneBuilder::byteScale(Value peak) {
  Value scale = arith::DivFOp::create(b, peak, floatConstant(b, 127.0));
  // The inverse of less overflows.
  Value none =
      arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, peak, floatConstant(b, 0x1p-119));
  Value inverse = arith::DivFOp::create(b, floatConstant(b, 127.0), peak);
  return {scale, arith::SelectOp::create(b, none, floatConstant(b, 0.0), inverse)};
}

Value LaneBuilder::roundToBytes(Value value, Value factor) {
  auto like = [&](Type element) -> Type {
    auto vector = dyn_cast<VectorType>(value.getType());
    return vector ? VectorType::get(vector.getShape(), element) : element;
  };
  if (isa<VectorType>(value.getType()))
    factor = vector::BroadcastOp::create(b, value.getType(), factor);
  // Adding 1.5 * 2^23 leaves the number, rounded half to even, in the low bits.
  Value scaled = arith::MulFOp::create(b, value, factor);
  Value rounded = arith::AddFOp::create(b, scaled, constantLike(b, value, 0x1.8p23));
  Value bits = arith::BitcastOp::create(b, like(b.getI32Type()), rounded);
  return arith::TruncIOp::create(b, like(b.getI8Type()), bits);
}

void LaneBuilder::forElements(const KernelFrame &frame, int64_t width,
                              function_ref<void(Value, Value, int64_t)> body) {
  int64_t whole = width / lanes * lanes;
  Value zero = indexConstant(b, 0);
  Value stop = arith::MinUIOp::create(b, frame.end, indexConstant(b, whole));
  forLoop(b, zero, frame.rows, 1, [&](Value row) {
    forLoop(b, frame.begin, stop, lanes, [&](Value column) { body(row, column, lanes); });
    if (whole == width)
      return;
    // Of a short last vector only the owner of the last column; an empty range owns nothing.
    Value ends =
        arith::CmpIOp::create(b, arith::CmpIPredicate::eq, frame.end, indexConstant(b, width));
    Value some = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, frame.begin, frame.end);
    auto branch = scf::IfOp::create(b, arith::AndIOp::create(b, ends, some),
                                    /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(branch.thenBlock());
    body(row, indexConstant(b, whole), width - whole);
  });
}

std::string llmc::kernelName(StringRef operation, ArrayRef<int64_t> integers,
                             ArrayRef<double> reals) {
  std::string name = operation.str();
  llvm::raw_string_ostream stream(name);
  for (int64_t value : integers)
    stream << '_' << value;
  for (double value : reals)
    stream << "_x" << llvm::utohexstr(llvm::bit_cast<uint64_t>(value), /*LowerCase=*/true);
  return name;
}

Value llmc::addIndex(ImplicitLocOpBuilder &b, Value x, Value y) {
  return arith::AddIOp::create(b, x, y);
}
Value llmc::addIndex(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return y == 0 ? x : addIndex(b, x, indexConstant(b, y));
}
Value llmc::mulIndex(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return y == 1 ? x : arith::MulIOp::create(b, x, indexConstant(b, y)).getResult();
}
Value llmc::divIndex(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return y == 1 ? x : arith::DivUIOp::create(b, x, indexConstant(b, y)).getResult();
}
Value llmc::remIndex(ImplicitLocOpBuilder &b, Value x, int64_t y) {
  return y == 1 ? indexConstant(b, 0)
                : arith::RemUIOp::create(b, x, indexConstant(b, y)).getResult();
}

Value llmc::rowPosition(ImplicitLocOpBuilder &b, const KernelFrame &frame, Value row) {
  return addIndex(b, frame.past, arith::RemUIOp::create(b, row, frame.sequence));
}
