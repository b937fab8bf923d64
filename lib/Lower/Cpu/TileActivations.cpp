//===- TileActivations.cpp - the input of a linear, as its products want it -------------===//
//
// Each thread prepares a row by itself, which is cheaper than a barrier: codes of quantized
// activations as bytes or as integer-valued f32, their scales, and the sums that zero points are
// multiplied with. The order of sums is fixed.
//
#include "TileLinear.h"

#include <cmath>

using namespace mlir;
using namespace llmc;

// Sum of memory[at + begin .. at + end): lanes first, then across, then the rest.
Value LinearEmitter::sumRange(Value begin, Value end, Value memory, Value at) {
  Value length = arith::SubIOp::create(b, end, begin);
  Value whole = times(arith::DivUIOp::create(b, length, index(lanes)), lanes);
  Value middle = add(begin, whole);
  Values lanewise =
      forLoop(b, begin, middle, lanes, zeros(floats, 1), [&](Value i, ValueRange sum) {
        Value value = load(floats, memory, add(at, i));
        return Values{arith::AddFOp::create(b, sum[0], value)};
      });
  Value across = vector::ReductionOp::create(b, vector::CombiningKind::ADD, lanewise[0]);
  return forLoop(b, middle, end, 1, across, [&](Value i, ValueRange sum) {
    return Values{arith::AddFOp::create(b, sum[0], loadScalar(memory, add(at, i)))};
  })[0];
}

// What LinearPlan::Correction says of inputs [begin, end) of the row at `row`.
Value LinearEmitter::negativeSum(Value begin, Value end, Value row) {
  Value sum = plan.dots ? sumOfCodes(begin, end, row)
                        : sumRange(begin, end, plan.quantized ? scratch : input, row);
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

void LinearEmitter::forRanges(int64_t size, function_ref<void(Value, Value, Value)> body) {
  Value k = index(layout.k);
  forLoop(b, index(0), index((layout.k + size - 1) / size), 1, [&](Value i) {
    Value begin = times(i, size);
    body(i, begin, least(add(begin, size), k));
  });
}

void LinearEmitter::loadScales(Value source, Value row) {
  Value from = rowIndex(b, source, scales, index(0)), to = add(row, plan.scaleStart);
  // Levels were multiplied as 127 times what they are.
  const bool isTable = plan.exact && layout.format.kind == CodeFormat::Kind::Table;
  int64_t count = (layout.k + plan.activationGroup - 1) / plan.activationGroup;
  forLoop(b, index(0), index(count), 1, [&](Value i) {
    Value scale = loadScalar(inputScales, add(from, i));
    if (isTable)
      scale = arith::DivFOp::create(b, scale, floatConstant(b, 127));
    memref::StoreOp::create(b, scale, scratch, ValueRange{add(to, i)});
  });
}

// Whole lines: what lies behind the codes of a row is loaded too, and never used.
void LinearEmitter::loadCodes(Value source, Value row) {
  if (plan.dots) {
    Value from = rowIndex(b, source, {x.width / 4, x.stride / 4}, index(0));
    forLoop(b, index(0), index(plan.scaleStart), lanes,
            [&](Value i) { store(load(ints, inputWords, add(from, i)), integers, add(row, i)); });
    return;
  }
  Value from = rowIndex(b, source, x, index(0));
  auto widen = [&](Value code, Type integer, Type real) -> Value {
    return arith::SIToFPOp::create(b, real, arith::ExtSIOp::create(b, integer, code));
  };
  if (!plan.folded) {
    forLoop(b, index(0), index(layout.k), lanes, [&](Value i) {
      store(widen(load(bytes, inputBytes, add(from, i)), ints, floats), scratch, add(row, i));
    });
    return;
  }
  Value ofRow = rowIndex(b, source, scales, index(0));
  forRanges(plan.activationGroup, [&](Value group, Value begin, Value end) {
    Value scale = loadScalar(inputScales, add(ofRow, group)), splat = broadcast(scale);
    Value length = arith::SubIOp::create(b, end, begin);
    Value middle = add(begin, times(arith::DivUIOp::create(b, length, index(lanes)), lanes));
    forLoop(b, begin, middle, lanes, [&](Value i) {
      Value code = widen(load(bytes, inputBytes, add(from, i)), ints, floats);
      store(arith::MulFOp::create(b, code, splat), scratch, add(row, i));
    });
    forLoop(b, middle, end, 1, [&](Value i) {
      Value code = widen(loadScalar(inputBytes, add(from, i)), b.getI32Type(), b.getF32Type());
      code = arith::MulFOp::create(b, code, scale);
      memref::StoreOp::create(b, code, scratch, ValueRange{add(row, i)});
    });
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

void LinearEmitter::emitActivations(Value source, Value row, bool sums) {
  if (plan.quantized) {
    loadCodes(source, row);
    loadScales(source, row);
  }
  const bool needsSums = sums && plan.correction != LinearPlan::Correction::None &&
                         plan.correction != LinearPlan::Correction::Picked;
  if (!plan.placedInputs && !needsSums)
    return;
  Value summed = plan.quantized ? row : rowIndex(b, source, x, index(0));
  if (plan.placedInputs)
    placeInputs(summed, row);
  if (!needsSums)
    return;
  forRanges(plan.chunk, [&](Value i, Value begin, Value end) {
    Value sum = negativeSum(begin, end, summed);
    bool isFloat = plan.correction == LinearPlan::Correction::Float;
    memref::StoreOp::create(b, sum, isFloat ? scratch : integers,
                            ValueRange{add(add(row, plan.sumStart), i)});
  });
}
