//===- TileActivations.cpp - the input of a linear, quantized and summed ----------------===//
//
// Each thread prepares a row by itself, which is cheaper than a barrier: codes of quantized
// activations as integer-valued f32, their scales, and the sums that zero points are multiplied
// with. The order of sums is fixed.
//
#include "TileLinear.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace llmc;

static constexpr double kRoundingShift = 0x1.8p23;

// Sum, or maximum of absolute values, of memory[at + begin .. at + end): lanes first, then across,
// then the rest.
Value LinearEmitter::reduceRange(Value begin, Value end, Value memory, Value at,
                                 bool absoluteMaximum) {
  auto step = [&](Value value, Value sum) -> Value {
    if (!absoluteMaximum)
      return arith::AddFOp::create(b, sum, value);
    Value magnitude = math::AbsFOp::create(b, value);
    Value larger = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, magnitude, sum);
    return arith::SelectOp::create(b, larger, magnitude, sum);
  };
  Value length = arith::SubIOp::create(b, end, begin);
  Value whole = times(arith::DivUIOp::create(b, length, index(lanes)), lanes);
  Value middle = add(begin, whole);
  Values lanewise =
      forLoop(b, begin, middle, lanes, zeros(floats, 1), [&](Value i, ValueRange sum) {
        return Values{step(load(floats, memory, add(at, i)), sum[0])};
      });
  auto kind = absoluteMaximum ? vector::CombiningKind::MAXNUMF : vector::CombiningKind::ADD;
  Value across = vector::ReductionOp::create(b, kind, lanewise[0]);
  return forLoop(b, middle, end, 1, across, [&](Value i, ValueRange sum) {
    return Values{step(loadScalar(memory, add(at, i)), sum[0])};
  })[0];
}

void LinearEmitter::quantizeRange(Value begin, Value end, Value rowStart, Value row, Value scale) {
  // A block so small that its scale is zero has codes zero: dividing by one rounds it there.
  Value zero = floatConstant(b, 0), one = floatConstant(b, 1);
  Value usable = arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, scale, zero);
  Value divisor = arith::SelectOp::create(b, usable, scale, one);
  auto quantize = [&](Value value, Value by, Value factor) -> Value {
    // Adding and subtracting 1.5 * 2^23 rounds half to even below 2^22, on targets without such an
    // instruction too.
    Value code = arith::DivFOp::create(b, value, by);
    bool isVector = code.getType() == floats;
    Value shift = isVector ? splatFloat(kRoundingShift) : floatConstant(b, kRoundingShift);
    code = arith::AddFOp::create(b, code, shift);
    code = arith::SubFOp::create(b, code, shift);
    return plan.folded ? arith::MulFOp::create(b, code, factor).getResult() : code;
  };
  Value length = arith::SubIOp::create(b, end, begin);
  Value middle = add(begin, times(arith::DivUIOp::create(b, length, index(lanes)), lanes));
  Value divisors = broadcast(divisor), scales = broadcast(scale);
  forLoop(b, begin, middle, lanes, [&](Value i) {
    Value value = load(floats, input, add(rowStart, i));
    store(quantize(value, divisors, scales), scratch, add(row, i));
  });
  forLoop(b, middle, end, 1, [&](Value i) {
    Value value = loadScalar(input, add(rowStart, i));
    memref::StoreOp::create(b, quantize(value, divisor, scale), scratch, ValueRange{add(row, i)});
  });
}

void LinearEmitter::emitActivations(Value rowStart, Value row, bool sums) {
  Value zero = index(0), k = index(layout.k);
  auto forRanges = [&](int64_t size, function_ref<void(Value, Value, Value)> body) {
    forLoop(b, zero, index((layout.k + size - 1) / size), 1, [&](Value i) {
      Value begin = times(i, size);
      body(i, begin, least(add(begin, size), k));
    });
  };
  if (plan.quantized)
    forRanges(plan.activationGroup, [&](Value i, Value begin, Value end) {
      Value largest = reduceRange(begin, end, input, rowStart, /*absoluteMaximum=*/true);
      Value scale = arith::DivFOp::create(b, largest, floatConstant(b, 127));
      memref::StoreOp::create(b, scale, scratch, ValueRange{add(add(row, plan.scaleStart), i)});
      quantizeRange(begin, end, rowStart, row, scale);
    });
  if (sums && plan.needsSums)
    forRanges(plan.chunk, [&](Value i, Value begin, Value end) {
      Value sum = reduceRange(begin, end, plan.quantized ? scratch : input,
                              plan.quantized ? row : rowStart, /*absoluteMaximum=*/false);
      memref::StoreOp::create(b, sum, scratch, ValueRange{add(add(row, plan.sumStart), i)});
    });
}
