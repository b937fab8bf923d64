//===- TileActivations.cpp - the input of a linear, quantized and summed ----------------===//
//
// Each thread prepares a row by itself, which is cheaper than a barrier: codes of quantized
// activations as bytes or as integer-valued f32, their scales, and the sums that zero points are
// multiplied with. The order of sums is fixed.
//
#include "TileLinear.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include <cmath>

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

// What LinearPlan::Correction says of inputs [begin, end) of the row at `row`.
Value LinearEmitter::negativeSum(Value begin, Value end, Value row) {
  Value sum = plan.dots ? sumOfCodes(begin, end, row)
                        : reduceRange(begin, end, plan.quantized ? scratch : input, row,
                                      /*absoluteMaximum=*/false);
  if (plan.correction == LinearPlan::Correction::Float) {
    if (plan.dots)
      sum = arith::SIToFPOp::create(b, b.getF32Type(), sum);
    return arith::NegFOp::create(b, sum);
  }
  if (!plan.dots) // Below 2^24, so it was exact.
    sum = arith::FPToSIOp::create(b, b.getI32Type(), sum);
  bool isStart = plan.correction == LinearPlan::Correction::Start;
  int32_t factor = isStart ? -static_cast<int32_t>(layout.format.constantZero()) : -1;
  Value by = arith::ConstantOp::create(b, b.getI32IntegerAttr(factor));
  return arith::MulIOp::create(b, sum, by);
}

// Sum of the codes [begin, end) of the scratch row `row`, as i32.
Value LinearEmitter::sumOfCodes(Value begin, Value end, Value row) {
  Value at = times(row, 4), length = arith::SubIOp::create(b, end, begin);
  Value middle = add(begin, times(arith::DivUIOp::create(b, length, index(lanes)), lanes));
  Values lanewise = forLoop(b, begin, middle, lanes, zeros(ints, 1), [&](Value i, ValueRange sum) {
    Value codes = arith::ExtSIOp::create(b, ints, load(bytes, quadBytes, add(at, i)));
    return Values{arith::AddIOp::create(b, sum[0], codes)};
  });
  Value across = vector::ReductionOp::create(b, vector::CombiningKind::ADD, lanewise[0]);
  return forLoop(b, middle, end, 1, across, [&](Value i, ValueRange sum) {
    Value code = arith::ExtSIOp::create(b, b.getI32Type(), loadScalar(quadBytes, add(at, i)));
    return Values{arith::AddIOp::create(b, sum[0], code)};
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
  Value byteRow = times(row, 4);
  forLoop(b, begin, middle, lanes, [&](Value i) {
    Value code = quantize(load(floats, input, add(rowStart, i)), divisors, scales);
    if (!plan.dots) {
      store(code, scratch, add(row, i));
      return;
    }
    code = arith::TruncIOp::create(b, bytes, arith::FPToSIOp::create(b, ints, code));
    store(code, quadBytes, add(byteRow, i));
  });
  forLoop(b, middle, end, 1, [&](Value i) {
    Value code = quantize(loadScalar(input, add(rowStart, i)), divisor, scale);
    if (!plan.dots) {
      memref::StoreOp::create(b, code, scratch, ValueRange{add(row, i)});
      return;
    }
    code =
        arith::TruncIOp::create(b, b.getI8Type(), arith::FPToSIOp::create(b, b.getI32Type(), code));
    memref::StoreOp::create(b, code, quadBytes, ValueRange{add(byteRow, i)});
  });
}

// Writes the row of x at `rowStart` to the scratch row `row`, each input divided by the place of
// its code in a word.
void LinearEmitter::placeInputs(Value rowStart, Value row) {
  int64_t width = layout.codePlanes.front(), period = std::max(32 / width, lanes);
  auto factor = [&](int64_t i) {
    int64_t bit = CodePlace(i, width).bit;
    return bit + width == 32 ? 1.0f
                             : std::ldexp(1.0f, static_cast<int>(-bit)); // Shifted, not masked.
  };
  int64_t whole = layout.k / period * period;
  forLoop(b, index(0), index(whole), period, [&](Value at) {
    for (int64_t i = 0; i < period; i += lanes) {
      SmallVector<float> factors;
      for (int64_t lane = 0; lane < lanes; ++lane)
        factors.push_back(factor(i + lane));
      Value by =
          arith::ConstantOp::create(b, DenseElementsAttr::get(floats, ArrayRef<float>(factors)));
      Value value = load(floats, input, add(rowStart, add(at, i)));
      store(arith::MulFOp::create(b, value, by), scratch, add(add(row, at), i));
    }
  });
  for (int64_t i = whole; i < layout.k; ++i) {
    Value value = loadScalar(input, add(rowStart, i));
    value = arith::MulFOp::create(b, value, floatConstant(b, factor(i)));
    memref::StoreOp::create(b, value, scratch, ValueRange{add(row, i)});
  }
}

void LinearEmitter::emitActivations(Value rowStart, Value row, bool sums) {
  if (plan.placedInputs)
    placeInputs(rowStart, row);
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
      // Levels were multiplied as 127 times what they are.
      Value stored = scale;
      if (plan.exact && layout.format.kind == CodeFormat::Kind::Table)
        stored = arith::DivFOp::create(b, scale, floatConstant(b, 127));
      memref::StoreOp::create(b, stored, scratch, ValueRange{add(add(row, plan.scaleStart), i)});
      quantizeRange(begin, end, rowStart, row, scale);
    });
  if (!sums || plan.correction == LinearPlan::Correction::None ||
      plan.correction == LinearPlan::Correction::Picked)
    return;
  forRanges(plan.chunk, [&](Value i, Value begin, Value end) {
    Value sum = negativeSum(begin, end, plan.quantized ? row : rowStart);
    bool isFloat = plan.correction == LinearPlan::Correction::Float;
    memref::StoreOp::create(b, sum, isFloat ? scratch : integers,
                            ValueRange{add(add(row, plan.sumStart), i)});
  });
}
