//===- TileQuantize.cpp - kernel that makes codes and scales of rows --------------------===//
//
// Codes are quotients rounded half to even, not products with an inverse, so that they are those of
// the description. What linears make of them is in TileActivations.cpp.
//
#include "llmc/Lower/Cpu/LaneBuilder.h"
#include "llmc/Lower/Cpu/LinearKernels.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

/// Adding and subtracting it rounds half to even below 2^22, on targets without such an instruction
/// too.
static constexpr double kRoundingShift = 0x1.8p23;
static constexpr double kLargestCode = 127;

namespace {

/// Emits the groups of one row.
class RowQuantizer {
public:
  RowQuantizer(LaneBuilder &l, RowBuffer x, Value input, Value codes)
      : l(l), b(l.b), x(x), input(input), codes(codes) {}

  Value largest(Value from, int64_t size);
  void quantize(Value from, Value to, int64_t size, Value scale, bool clamps);

private:
  LaneBuilder &l;
  ImplicitLocOpBuilder &b;
  RowBuffer x;
  Value input, codes;
};

} // namespace

/// Largest magnitude of `size` columns.
Value RowQuantizer::largest(Value from, int64_t size) {
  Value most = l.reduceColumns(
      size, l.constant(0.0),
      [&](Value column, int64_t count, Value sum) -> Value {
        Value value = l.load(input, addIndex(b, from, column), count);
        return l.max(math::AbsFOp::create(b, value), sum);
      },
      [&](Value p, Value q) { return l.max(p, q); });
  return l.foldMax(most);
}

/// Codes of `size` columns. Behind those of a whole row is the rest of a line, which vectors fill.
void RowQuantizer::quantize(Value from, Value to, int64_t size, Value scale, bool clamps) {
  auto ints = VectorType::get({l.lanes}, b.getI32Type());
  auto bytes = VectorType::get({l.lanes}, b.getI8Type());
  // A block so small that its scale is zero has codes zero: dividing by one rounds it there.
  Value usable = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, scale, floatConstant(b, 0));
  Value divisor = l.splat(arith::SelectOp::create(b, usable, scale, floatConstant(b, 1)));
  Value shift = l.constant(kRoundingShift), most = l.constant(kLargestCode);
  Value least = l.constant(-kLargestCode);
  l.forColumns(size, [&](Value column, int64_t count) {
    Value code = l.load(input, addIndex(b, from, column), count);
    code = arith::DivFOp::create(b, code, divisor);
    if (clamps) {
      code = l.max(code, least);
      Value isLarge = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, code, most);
      code = arith::SelectOp::create(b, isLarge, most, code);
    }
    code = arith::SubFOp::create(b, arith::AddFOp::create(b, code, shift), shift);
    code = arith::TruncIOp::create(b, bytes, arith::FPToSIOp::create(b, ints, code));
    l.store(code, codes, addIndex(b, to, column), size == x.width ? l.lanes : count);
  });
}

Kernel llmc::getQuantizeKernel(KernelBuilder &builder, RowBuffer x, RowBuffer codes,
                               RowBuffer scales, int64_t group, bool isStatic) {
  const int64_t size = group ? std::min(group, x.width) : x.width;
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    LaneBuilder l(b, builder.shape().lanes);
    auto offset = [&](unsigned i) { return frame.offsets[i]; };
    Value input = viewRows(b, frame.arena, offset(0));
    Value codeBytes = viewAs(b, frame.arena, offset(isStatic ? 2 : 1), b.getI8Type());
    Value scaleRows = viewRows(b, frame.arena, offset(isStatic ? 3 : 2));
    Value given;
    if (isStatic)
      given = memref::LoadOp::create(b, viewRows(b, frame.weights, offset(1)),
                                     ValueRange{indexConstant(b, 0)});
    RowQuantizer quantizer(l, x, input, codeBytes);
    auto [begin, end] = threadRange(b, frame, frame.rows);
    forLoop(b, begin, end, 1, [&](Value row) {
      auto emitGroup = [&](Value number, int64_t count) {
        Value column = mulIndex(b, number, size), from = rowIndex(b, row, x, column);
        Value scale = given ? given
                            : arith::DivFOp::create(b, quantizer.largest(from, count),
                                                    floatConstant(b, kLargestCode))
                                  .getResult();
        memref::StoreOp::create(b, scale, scaleRows, ValueRange{rowIndex(b, row, scales, number)});
        quantizer.quantize(from, rowIndex(b, row, codes, column), count, scale, isStatic);
      };
      const int64_t whole = x.width / size, rest = x.width % size;
      forLoop(b, indexConstant(b, 0), indexConstant(b, whole), 1,
              [&](Value number) { emitGroup(number, size); });
      if (rest)
        emitGroup(indexConstant(b, whole), rest);
    });
  };
  return builder.getOrCreate(kernelName(isStatic ? "quantize_static" : "quantize",
                                        {x.width, x.stride, codes.stride, scales.stride, size}),
                             isStatic ? 4 : 3, 0, body);
}
