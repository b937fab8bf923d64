//===- TileDots.cpp - products of codes and bytes of the input --------------------------===//
//
// Four codes of each row of a vector times four inputs of the row of x, which are one dword
// broadcast to all lanes. Sums are integers until a chunk ends.
//
#include "TileLinear.h"

using namespace mlir;
using namespace llmc;

using Values = LinearEmitter::Values;

// Codes 4 quad .. 4 quad + 3 of a block, as bytes; codes behind the last are zero.
Value LinearEmitter::quadCodes(Value block, int64_t inputs, int64_t quad, int64_t v) {
  constexpr int64_t kEachByte = 0x01010101;
  Value result;
  int64_t low = 0, start = 0;
  for (unsigned width : layout.codePlanes) {
    CodePlace place(4 * quad, width);
    Value part = loadWord(block, start + place.dword, v);
    if (place.bit > low)
      part = arith::ShRUIOp::create(b, part, splatInt(place.bit - low));
    else if (place.bit < low)
      part = arith::ShLIOp::create(b, part, splatInt(low - place.bit));
    if (width < 8)
      part = arith::AndIOp::create(b, part, splatInt((((1 << width) - 1) << low) * kEachByte));
    result = result ? arith::OrIOp::create(b, result, part).getResult() : part;
    start += layout.planeBytes(width, inputs) / (4 * layout.tileRows);
    low += width;
  }
  int64_t present = std::min<int64_t>(4, inputs - 4 * quad);
  if (layout.format.kind == CodeFormat::Kind::Table)
    return quadLevels(vector::BitCastOp::create(b, quads, result), present);
  if (plan.signedCodes) {
    // Codes behind the last stay zero.
    int64_t signs = 0x80 * kEachByte & ((int64_t(1) << (8 * present)) - 1);
    result = arith::XOrIOp::create(b, result, splatInt(signs));
  }
  return vector::BitCastOp::create(b, quads, result);
}

// 127 times the levels of a table's codes, or 128 more where bytes are multiplied as unsigned.
// Behind the `present` first codes of four they are zero.
Value LinearEmitter::quadLevels(Value codes, int64_t present) {
  std::array<int8_t, 16> levels = *integerLevels(layout.format.table);
  for (int8_t &level : levels)
    level = static_cast<int8_t>(level + (plan.signedCodes ? 0 : 128));
  auto type = RankedTensorType::get({16}, b.getI8Type());
  Value result =
      LookupOp::create(b, quads, codes, DenseElementsAttr::get(type, ArrayRef<int8_t>(levels)));
  if (present == 4)
    return result;
  Value word = vector::BitCastOp::create(b, ints, result);
  word = arith::AndIOp::create(b, word, splatInt((int64_t(1) << (8 * present)) - 1));
  return vector::BitCastOp::create(b, quads, word);
}

// Four inputs from byte `at` of the scratch on, in every lane.
Value LinearEmitter::quadInput(Value at) {
  Value bytes = load(VectorType::get({4}, b.getI8Type()), quadBytes, at);
  Value word = vector::BitCastOp::create(b, VectorType::get({1}, b.getI32Type()), bytes);
  Value scalar = vector::ExtractOp::create(b, word, ArrayRef<int64_t>{0});
  Value all = vector::BroadcastOp::create(b, ints, scalar);
  return vector::BitCastOp::create(b, quads, all);
}

Value LinearEmitter::dot(Value sum, Value codes, Value inputs) {
  bool isTernary = layout.format.kind == CodeFormat::Kind::Ternary;
  bool isTable = layout.format.kind == CodeFormat::Kind::Table;
  int64_t bound = isTernary ? 2 : isTable ? 255 : (int64_t(1) << layout.format.bits) - 1;
  if (plan.signedCodes)
    bound = 128;
  return DotI8Op::create(b, sum, codes, inputs, bound, plan.signedCodes);
}

// Adds the products of inputs [from, to) of a block of `inputs` inputs that starts at input
// `start`; `from` starts a quad, `to` ends one or the block.
Values LinearEmitter::multiplyQuads(Value block, Value start, int64_t inputs, int64_t from,
                                    int64_t to, Values partial) {
  startBlock();
  Value first = add(times(rowScratch, 4), start);
  for (int64_t quad = from / 4; 4 * quad < to; ++quad) {
    Value input = quadInput(add(first, 4 * quad));
    int64_t set = quad % plan.sumSets * plan.vectors;
    for (int64_t v = 0; v < plan.vectors; ++v)
      partial[set + v] = dot(partial[set + v], quadCodes(block, inputs, quad, v), input);
  }
  return partial;
}

// What the scratch row `row` has for chunk `chunk`; see LinearPlan::Correction.
Value LinearEmitter::inputSum(Value row, Value chunk) {
  bool isFloat = plan.correction == LinearPlan::Correction::Float;
  return loadScalar(isFloat ? scratch : integers, add(add(row, plan.sumStart), chunk));
}

// The sum of a chunk as f32, with the zero point out of it. `sum` is of f32 or i32; Start leaves
// nothing to do.
Value LinearEmitter::correct(Value sum, Value zero, Value inputSum) {
  auto toFloat = [&] {
    return sum.getType() == floats ? sum : arith::SIToFPOp::create(b, floats, sum).getResult();
  };
  switch (plan.correction) {
  case LinearPlan::Correction::None:
  case LinearPlan::Correction::Start:
    break;
  case LinearPlan::Correction::Float:
    return fma(zero, broadcast(inputSum), toFloat());
  case LinearPlan::Correction::Integer: {
    Value factor = vector::BroadcastOp::create(b, ints, inputSum);
    Value offset = arith::MulIOp::create(b, arith::FPToSIOp::create(b, ints, zero), factor);
    sum = arith::AddIOp::create(b, sum, offset);
    break;
  }
  }
  return toFloat();
}

// Where the sums of the chunk that starts at input `chunkStart` start.
Values LinearEmitter::startSums(Value chunkStart) {
  Values sums = zeros(plan.dots ? ints : floats, plan.vectors * plan.sumSets);
  if (plan.correction != LinearPlan::Correction::Start)
    return sums;
  Value chunk = arith::DivUIOp::create(b, chunkStart, index(plan.chunk));
  Value start = vector::BroadcastOp::create(b, ints, inputSum(rowScratch, chunk));
  std::fill_n(sums.begin(), plan.vectors, start);
  return sums;
}
