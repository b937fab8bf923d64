//===- TileDots.cpp - products of codes and bytes of the input --------------------------===//
//
// Four codes of each row of a vector times four inputs of the row of x, which are one dword
// broadcast to all lanes. Sums are integers until a chunk ends.
//
#include "TileLinear.h"

using namespace mlir;
using namespace llmc;

using Values = LinearEmitter::Values;

static constexpr int64_t kEachByte = 0x01010101;

// Codes 4 quad .. 4 quad + 3 of a block, as bytes; codes behind the last are zero.
Value LinearEmitter::quadCodes(Value block, int64_t inputs, int64_t quad, int64_t v) {
  if (layout.trits)
    return quadTrits(block, quad, v);
  Value result;
  int64_t symbols = layout.symbols(inputs);
  int64_t low = 0, start = indexBytes(symbols) / (4 * layout.tileRows);
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
    start += layout.planeBytes(width, symbols) / (4 * layout.tileRows);
    low += width;
  }
  int64_t present = std::min<int64_t>(4, symbols - 4 * quad);
  if (layout.format.kind == CodeFormat::Kind::Table)
    return quadLevels(vector::BitCastOp::create(b, quads, result), present);
  if (plan.signedCodes) // Codes behind the last stay zero.
    result = arith::XOrIOp::create(b, result, presentBytes(inputs, quad, 0x80));
  return vector::BitCastOp::create(b, quads, result);
}

// 127 times the levels of a table's codes, or 128 more where bytes are multiplied as unsigned.
// Behind the `present` first codes of four they are zero.
Value LinearEmitter::quadLevels(Value codes, int64_t present) {
  SmallVector<int8_t, 16> levels(layout.format.integers);
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

Value LinearEmitter::presentBytes(int64_t inputs, int64_t quad, int64_t value) {
  int64_t present = std::min<int64_t>(4, layout.symbols(inputs) - 4 * quad);
  return splatInt(value * kEachByte & ((int64_t(1) << (8 * present)) - 1));
}

// The bytes whose first ternary codes are those of a quad. They are 128 less than packed but where
// digits stay in them: so digits are told by comparisons of signed bytes, and three times the byte
// is still what follows.
Value LinearEmitter::tritByte(Value block, int64_t quad, int64_t v) {
  Value &bytes = tritBytes[{quad, v}];
  if (bytes)
    return bytes;
  Value result;
  if (quad % 5 == 0) {
    Value word = loadWord(block, quad / 5, v);
    if (!plan.telescopes)
      word = arith::XOrIOp::create(b, word, splatInt(0x80808080));
    result = vector::BitCastOp::create(b, quads, word);
  } else {
    result = TripleOp::create(b, tritByte(block, quad - 1, v));
  }
  return tritBytes[{quad, v}] = result;
}

// Ternary codes of a quad as bytes: a digit is 1 from 86 of 256 on, 2 from 171.
Value LinearEmitter::quadTrits(Value block, int64_t quad, int64_t v) {
  Value bytes = tritByte(block, quad, v);
  if (plan.telescopes) {
    Attribute half = b.getI8IntegerAttr(-128);
    bytes = arith::XOrIOp::create(
        b, bytes, arith::ConstantOp::create(b, DenseElementsAttr::get(quads, half)));
  }
  auto isAbove = [&](int8_t bound) -> Value {
    Attribute least = b.getI8IntegerAttr(bound);
    Value bounds = arith::ConstantOp::create(b, DenseElementsAttr::get(quads, least));
    Value above = arith::CmpIOp::create(b, arith::CmpIPredicate::sgt, bytes, bounds);
    return arith::ExtUIOp::create(b, quads, above);
  };
  Value one = isAbove(85 - 128), two = isAbove(170 - 128);
  return arith::AddIOp::create(b, one, two);
}

// Products of a quad of ternary codes without taking a digit out. With t the byte that starts with
// digit d and u the byte behind it, 3 t = 256 d + u; so 256 times the sum of products with digits
// is 3 times that with each t minus that with each u. The two sums are apart until the chunk ends.
void LinearEmitter::multiplyTrits(Value block, ArrayRef<Value> firsts, int64_t quad,
                                  Values &partial) {
  size_t ofRow = partial.size() / firsts.size();
  Values inputs;
  for (Value first : firsts)
    inputs.push_back(quadInput(add(first, 4 * quad)));
  for (int64_t v = 0; v < at.vectors; ++v) {
    Value bytes = tritByte(block, quad, v);
    Value rest =
        quad % 5 == 4 ? TripleOp::create(b, bytes).getResult() : tritByte(block, quad + 1, v);
    for (auto [r, input] : llvm::enumerate(inputs)) {
      Value &sum = partial[r * ofRow + v], &sumOfRests = partial[r * ofRow + at.vectors + v];
      sum = DotI8Op::create(b, sum, bytes, input, /*bound=*/255, /*signed_codes=*/false);
      sumOfRests =
          DotI8Op::create(b, sumOfRests, rest, input, /*bound=*/255, /*signed_codes=*/false);
    }
  }
}

// The sum of a chunk of a row from those that took turns; `start` is what sums start at if none has
// it yet.
Value LinearEmitter::joinSums(ArrayRef<Value> partial, int64_t v, Value start) {
  Value value = partial[v];
  if (plan.telescopes) {
    Value triple = arith::MulIOp::create(b, value, splatInt(3));
    value = arith::SubIOp::create(b, triple, partial[at.vectors + v]);
    value = arith::ShRSIOp::create(b, value, splatInt(8));
    return arith::AddIOp::create(b, value, start);
  }
  for (int64_t set = 1; set < sumSets; ++set)
    value = arith::AddIOp::create(b, value, partial[set * at.vectors + v]);
  return value;
}

// Four inputs from byte `at` of the scratch on, in every lane.
Value LinearEmitter::quadInput(Value at) {
  Value bytes = load(VectorType::get({4}, b.getI8Type()), quadBytes, at);
  Value word = vector::BitCastOp::create(b, VectorType::get({1}, b.getI32Type()), bytes);
  Value scalar = vector::ExtractOp::create(b, word, ArrayRef<int64_t>{0});
  Value all = vector::BroadcastOp::create(b, ints, scalar);
  return vector::BitCastOp::create(b, quads, all);
}

// Of the bytes in panels and registers.
int64_t LinearEmitter::codeBound() const {
  if (plan.signedCodes)
    return 128;
  if (layout.format.kind == CodeFormat::Kind::Ternary)
    return 2;
  bool isTable = layout.format.kind == CodeFormat::Kind::Table;
  return isTable ? 255 : (int64_t(1) << layout.format.bits) - 1;
}

Value LinearEmitter::dot(Value sum, Value codes, Value inputs, bool isSigned) {
  return DotI8Op::create(b, sum, codes, inputs, codeBound(), isSigned);
}

//===----------------------------------------------------------------------===//
// Rows that pick two of four inputs
//===----------------------------------------------------------------------===//

Value LinearEmitter::eightInputs(Value at) {
  return load(VectorType::get({8}, b.getI8Type()), quadBytes, at);
}

// Which of eight inputs the four codes of quad `quad` belong to: two of the first pattern, two of
// the second. Bits above the lowest three are of other quads, except that no byte is negative.
Value LinearEmitter::quadIndex(Value block, int64_t quad, int64_t v) {
  constexpr int64_t kTwoQuads = 0x33333333, kSecondPattern = 0x44440000;
  CodePlace place(4 * quad, layout.indexPlanes.front());
  // Quads that are four bits apart share the mask, which leaves room for the pattern's number.
  Value word = loadWord(block, place.dword, v);
  if (place.bit % 4)
    word = arith::ShRUIOp::create(b, word, splatInt(place.bit % 4));
  word = arith::AndIOp::create(b, word, splatInt(kTwoQuads));
  word = arith::OrIOp::create(b, word, splatInt(kSecondPattern));
  if (place.bit >= 4)
    word = arith::ShRUIOp::create(b, word, splatInt(4));
  return vector::BitCastOp::create(b, quads, word);
}

// As multiplyQuads. Behind the sums of products are those of the inputs that each output picks.
Values LinearEmitter::multiplyPicks(Value block, Value start, int64_t inputs, int64_t from,
                                    int64_t to, Values partial) {
  // Two vectors of rows at a time: sums of 16 bits of more would not stay in registers.
  constexpr int64_t kTogether = 2;
  startBlock();
  Values firsts = byteStarts(start);
  size_t ofRow = partial.size() / firsts.size();
  for (int64_t begin = 0; begin < at.vectors; begin += kTogether)
    for (int64_t quad = from / 8; 8 * quad < to; ++quad) {
      Values eights;
      for (Value first : firsts)
        eights.push_back(eightInputs(add(first, 8 * quad)));
      for (int64_t v = begin; v < std::min(begin + kTogether, at.vectors); ++v) {
        Value which = quadIndex(block, quad, v), codes;
        for (auto [r, eight] : llvm::enumerate(eights)) {
          Value picked = PickI8Op::create(b, eight, which), &sum = partial[r * ofRow + v];
          if (!codes) // Behind the first pick, while few registers are in use.
            codes = quadCodes(block, inputs, quad, v);
          sum = dot(sum, codes, picked, plan.signedCodes);
          if (plan.correction != LinearPlan::Correction::Picked)
            continue;
          Value &sumOfPicked = partial[r * ofRow + at.vectors + v];
          Value ones = vector::BitCastOp::create(b, quads, presentBytes(inputs, quad, 1));
          sumOfPicked =
              DotI8Op::create(b, sumOfPicked, ones, picked, /*bound=*/1, /*signed_codes=*/false);
        }
      }
    }
  return partial;
}

// sum - zero * picked as f32, where `zero` is f32 and the others are i32.
Value LinearEmitter::correctPicked(Value sum, Value zero, Value picked) {
  zero = arith::FPToSIOp::create(b, ints, zero);
  sum = arith::SubIOp::create(b, sum, arith::MulIOp::create(b, zero, picked));
  return arith::SIToFPOp::create(b, floats, sum);
}

//===----------------------------------------------------------------------===//
// Sums
//===----------------------------------------------------------------------===//

// Where the inputs from `start` on lie as bytes, for each row at hand.
Values LinearEmitter::byteStarts(Value start) {
  return llvm::map_to_vector(at.places, [&](Value row) { return add(times(row, 4), start); });
}

// Adds the products of inputs [from, to) of a block of `inputs` inputs that starts at input
// `start`; `from` starts a quad, `to` ends one or the block.
Values LinearEmitter::multiplyQuads(Value block, Value start, int64_t inputs, int64_t from,
                                    int64_t to, Values partial) {
  if (plan.picks)
    return multiplyPicks(block, start, inputs, from, to, std::move(partial));
  startBlock();
  Values firsts = byteStarts(start);
  if (plan.telescopes) {
    for (int64_t quad = from / 4; 4 * quad < to; ++quad)
      multiplyTrits(block, firsts, quad, partial);
    return partial;
  }
  size_t ofRow = partial.size() / firsts.size();
  // Bytes of ternary codes stay in registers from quad to quad, so there is room for two vectors.
  int64_t together = layout.trits ? std::min<int64_t>(2, at.vectors) : at.vectors;
  for (int64_t begin = 0; begin < at.vectors; begin += together)
    for (int64_t quad = from / 4; 4 * quad < to; ++quad) {
      Values quadInputs;
      for (Value first : firsts)
        quadInputs.push_back(quadInput(add(first, 4 * quad)));
      int64_t set = quad % sumSets * at.vectors;
      for (int64_t v = begin; v < std::min(begin + together, at.vectors); ++v) {
        Value codes = quadCodes(block, inputs, quad, v);
        for (auto [r, input] : llvm::enumerate(quadInputs)) {
          Value &sum = partial[r * ofRow + set + v];
          sum = dot(sum, codes, input, plan.signedCodes);
        }
      }
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
  case LinearPlan::Correction::Picked:
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

// Where the sums of the chunk that starts at input `chunkStart` start, for each row and in each
// tile.
Values LinearEmitter::startSums(Value chunkStart) {
  bool pickedToo = plan.correction == LinearPlan::Correction::Picked;
  Values all;
  for (Value row : at.places) {
    Values one = zeros(plan.dots ? ints : floats, at.vectors * (sumSets + pickedToo));
    if (plan.correction == LinearPlan::Correction::Start && !plan.telescopes) {
      Value chunk = arith::DivUIOp::create(b, chunkStart, index(plan.chunk));
      Value start = vector::BroadcastOp::create(b, ints, inputSum(row, chunk));
      std::fill_n(one.begin(), at.vectors, start);
    }
    for (size_t tile = 0; tile < distances.size(); ++tile)
      llvm::append_range(all, one);
  }
  return all;
}
