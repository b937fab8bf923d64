//===- TileDecoder.cpp - packed weights as vectors --------------------------------------===//
//
// Codes, values, scales and zero points of a tile as vectors: a load, a shift, a mask and a
// conversion for each vector of codes.
//
#include "TileLinear.h"

using namespace mlir;
using namespace llmc;

LinearEmitter::LinearEmitter(ImplicitLocOpBuilder &b, const LinearLayout &layout,
                             const LinearPlan &plan, VectorShape shape, const KernelFrame &frame,
                             RowBuffer x, RowBuffer scales)
    : b(b), layout(layout), plan(plan), shape(shape), lanes(shape.lanes), x(x), scales(scales) {
  Type element = layout.format.element;
  floats = VectorType::get({lanes}, b.getF32Type());
  ints = VectorType::get({lanes}, b.getI32Type());
  elements = VectorType::get({lanes}, element);
  bytes = VectorType::get({lanes}, b.getI8Type());
  quads = VectorType::get({4 * lanes}, b.getI8Type());
  if (plan.quantized) {
    inputBytes = viewAs(b, frame.arena, frame.offsets[0], b.getI8Type());
    inputWords = viewAs(b, frame.arena, frame.offsets[0], b.getI32Type());
    inputScales = viewRows(b, frame.arena, frame.offsets.back());
  } else {
    input = viewRows(b, frame.arena, frame.offsets[0]);
  }
  scratch = viewRows(b, frame.arena, frame.scratch);
  integers = viewAs(b, frame.arena, frame.scratch, b.getI32Type());
  quadBytes = viewAs(b, frame.arena, frame.scratch, b.getI8Type());
  wordView = viewAs(b, frame.weights, frame.offsets[1], b.getI32Type());
  elementView = viewAs(b, frame.weights, frame.offsets[1], element);
  byteView = viewAs(b, frame.weights, frame.offsets[1], b.getI8Type());
}

Value LinearEmitter::splatInt(int64_t value) {
  Attribute element = b.getI32IntegerAttr(static_cast<int32_t>(value));
  return arith::ConstantOp::create(b, DenseElementsAttr::get(ints, element));
}

Value LinearEmitter::splatFloat(double value) {
  Attribute element = b.getF32FloatAttr(static_cast<float>(value));
  return arith::ConstantOp::create(b, DenseElementsAttr::get(floats, element));
}

LinearEmitter::Values LinearEmitter::zeros(VectorType type, int64_t count) {
  return Values(count, type == ints ? splatInt(0) : splatFloat(0));
}

Value LinearEmitter::tileBase(Value tile) {
  return add(times(tile, layout.tileBytes() / 4), layout.matrixHeader / 4);
}

Value LinearEmitter::loadWord(Value base, int64_t dword, int64_t v) {
  Value &word = words[{dword, v}];
  if (!word)
    word = load(ints, wordView, inTile(add(base, dword * layout.tileRows), v));
  return word;
}

Value LinearEmitter::code(Value block, int64_t start, ArrayRef<unsigned> planes, int64_t count,
                          int64_t symbol, int64_t v) {
  Value result;
  int64_t low = 0;
  for (unsigned width : planes) {
    CodePlace place(symbol, width);
    int64_t bit = place.bit, dword = start + place.dword;
    // The bits move from `bit` to `low` by one shift, and the mask is skipped where the shift
    // clears the rest.
    Value part = loadWord(block, dword, v);
    if (bit > low)
      part = arith::ShRUIOp::create(b, part, splatInt(bit - low));
    else if (bit < low)
      part = arith::ShLIOp::create(b, part, splatInt(low - bit));
    if (low != 0 || bit + width != 32)
      part = arith::AndIOp::create(b, part, splatInt(((int64_t(1) << width) - 1) << low));
    result = result ? arith::OrIOp::create(b, result, part).getResult() : part;
    start += layout.planeBytes(width, count) / (4 * layout.tileRows);
    low += width;
  }
  return result;
}

int64_t LinearEmitter::indexBytes(int64_t symbols) const {
  int64_t bytes = 0;
  for (unsigned width : layout.indexPlanes)
    bytes += layout.planeBytes(width, symbols);
  return bytes;
}

Value LinearEmitter::symbolValue(Value block, int64_t inputs, int64_t symbol, int64_t v,
                                 Value zero) {
  int64_t count = layout.symbols(inputs), start = indexBytes(count);
  if (layout.valueBytes) {
    int64_t offset = start / layout.valueBytes + symbol * layout.tileRows;
    Value first = add(times(block, 4 / layout.valueBytes), offset);
    Value value = load(elements, elementView, inTile(first, v));
    return widenFloat(b, value, shape);
  }
  int64_t startDword = start / (4 * layout.tileRows);
  if (layout.format.kind == CodeFormat::Kind::Table)
    return level(block, startDword, symbol, v);
  if (layout.trits) {
    Value codes = vector::BitCastOp::create(b, ints, quadTrits(block, symbol / 4, v));
    if (int64_t byte = symbol % 4)
      codes = arith::ShRUIOp::create(b, codes, splatInt(8 * byte));
    if (symbol % 4 != 3)
      codes = arith::AndIOp::create(b, codes, splatInt(255));
    Value value = arith::SIToFPOp::create(b, floats, codes);
    return zero ? arith::SubFOp::create(b, value, zero).getResult() : value;
  }
  Value codes = code(block, startDword, layout.codePlanes, count, symbol, v);
  Value value = arith::SIToFPOp::create(b, floats, codes);
  return zero ? arith::SubFOp::create(b, value, zero).getResult() : value;
}

// A code times 2^(its lowest bit in its word) as f32, or the code itself where it ends the word: a
// mask or a shift, never both.
Value LinearEmitter::placedCode(Value block, int64_t symbol, int64_t v) {
  int64_t width = layout.codePlanes.front();
  CodePlace place(symbol, width);
  Value part = loadWord(block, place.dword, v);
  if (place.bit + width == 32)
    part = arith::ShRUIOp::create(b, part, splatInt(place.bit));
  else
    part = arith::AndIOp::create(b, part, splatInt(((int64_t(1) << width) - 1) << place.bit));
  return arith::SIToFPOp::create(b, floats, part);
}

// The level of a code of a table: 127 times it where products are integers.
Value LinearEmitter::level(Value block, int64_t start, int64_t symbol, int64_t v) {
  SmallVector<float, 16> table(layout.format.levels);
  if (plan.exact)
    llvm::copy(layout.format.integers, table.begin());
  CodePlace place(symbol, layout.codePlanes.front());
  if (!plan.levelQuads) {
    Value word = loadWord(block, start + place.dword, v);
    if (place.bit)
      word = arith::ShRUIOp::create(b, word, splatInt(place.bit));
    auto type = RankedTensorType::get({16}, b.getF32Type());
    return LookupOp::create(b, floats, word, DenseElementsAttr::get(type, ArrayRef<float>(table)));
  }
  Value &found = levels[{symbol, v}];
  if (found)
    return found;
  int64_t quad = symbol / 4;
  CodePlace first(4 * quad, layout.codePlanes.front());
  Value word = loadWord(block, start + first.dword, v);
  if (first.bit)
    word = arith::ShRUIOp::create(b, word, splatInt(first.bit));
  word = arith::AndIOp::create(b, word, splatInt(0x0f0f0f0f));
  Values four = lookUpQuad(vector::BitCastOp::create(b, quads, word), table);
  for (int64_t i = 0; i < 4; ++i)
    levels[{4 * quad + i, v}] = four[i];
  return four[symbol - 4 * quad];
}

// The four levels of each row of a vector of quads, from tables of single bytes: byte i of all
// levels is one lookup, and interleaving the four makes floats. Within 16 bytes the codes of four
// rows are transposed first, so that interleaving brings each row to its lane.
LinearEmitter::Values LinearEmitter::lookUpQuad(Value codes, ArrayRef<float> table) {
  int64_t count = 4 * lanes;
  SmallVector<int64_t> transpose;
  for (int64_t i = 0; i < count; ++i)
    transpose.push_back(i / 16 * 16 + i % 4 * 4 + i / 4 % 4);
  codes = vector::ShuffleOp::create(b, codes, codes, transpose);
  Values planes;
  for (int64_t byte = 0; byte < 4; ++byte) {
    SmallVector<int8_t> entries;
    for (float value : table)
      entries.push_back(static_cast<int8_t>(llvm::bit_cast<uint32_t>(value) >> (8 * byte)));
    auto type = RankedTensorType::get({16}, b.getI8Type());
    auto entriesAttr = DenseElementsAttr::get(type, ArrayRef<int8_t>(entries));
    planes.push_back(LookupOp::create(b, quads, codes, entriesAttr));
  }
  // Units of `size` bytes of the lower or upper half of each 16, in turn from one and the other.
  auto interleave = [&](Value one, Value other, int64_t size, bool upper) -> Value {
    SmallVector<int64_t> order;
    for (int64_t i = 0; i < count; ++i) {
      int64_t unit = i % 16 / size;
      int64_t from = i / 16 * 16 + (upper ? 8 : 0) + unit / 2 * size + i % size;
      order.push_back(from + (unit % 2 ? count : 0));
    }
    return vector::ShuffleOp::create(b, one, other, order);
  };
  Values result;
  for (bool upper : {false, true}) {
    Value low = interleave(planes[0], planes[1], 1, upper);
    Value high = interleave(planes[2], planes[3], 1, upper);
    for (bool second : {false, true})
      result.push_back(vector::BitCastOp::create(b, floats, interleave(low, high, 2, second)));
  }
  return result;
}

Value LinearEmitter::symbolIndex(Value block, int64_t inputs, int64_t symbol, int64_t v) {
  return code(block, 0, layout.indexPlanes, layout.symbols(inputs), symbol, v);
}

Value LinearEmitter::symbolIndexWord(Value block, int64_t symbol, int64_t v) {
  CodePlace place(symbol, layout.indexPlanes.front());
  Value word = loadWord(block, place.dword, v);
  return place.bit ? arith::ShRUIOp::create(b, word, splatInt(place.bit)).getResult() : word;
}

Value LinearEmitter::symbolIndexBit(Value block, int64_t inputs, int64_t symbol, int64_t v,
                                    int64_t bit) {
  int64_t start = 0;
  for (unsigned width : layout.indexPlanes) {
    if (bit < width) {
      // Moved to the sign, where a comparison with zero is a blend by the word itself.
      CodePlace place(symbol, width);
      int64_t at = place.bit + bit;
      Value word = loadWord(block, start + place.dword, v);
      if (at != 31)
        word = arith::ShLIOp::create(b, word, splatInt(31 - at));
      return arith::CmpIOp::create(b, arith::CmpIPredicate::slt, word, splatInt(0));
    }
    bit -= width;
    start += layout.planeBytes(width, layout.symbols(inputs)) / (4 * layout.tileRows);
  }
  llvm_unreachable("an index has as many bits as its planes");
}

Value LinearEmitter::scaleVector(Value header, Value row) {
  if (layout.format.kind == CodeFormat::Kind::Dense)
    return {};
  if (layout.format.kind == CodeFormat::Kind::Ternary)
    return broadcast(loadScalar(elementView, index(0)));
  Value at = add(times(header, 4 / layout.scaleBytes), row);
  return widenFloat(b, load(elements, elementView, at), shape);
}

Value LinearEmitter::zeroVector(Value header, Value row) {
  bool isTable = layout.format.kind == CodeFormat::Kind::Table;
  if (layout.format.kind == CodeFormat::Kind::Dense || (isTable && !plan.picks))
    return {};
  if (!layout.format.storesZeros())
    return splatFloat(layout.format.constantZero());
  int64_t offset = layout.groupsPerUnit * layout.tileRows * layout.scaleBytes;
  Value zero = load(bytes, byteView, add(add(times(header, 4), offset), row));
  zero = arith::ExtUIOp::create(b, ints, zero);
  if (plan.signedCodes)
    zero = arith::SubIOp::create(b, zero, splatInt(128));
  return arith::SIToFPOp::create(b, floats, zero);
}

LinearEmitter::Values LinearEmitter::zeroVectors(Value header, int64_t group) {
  Values result;
  for (int64_t v = 0; v < at.vectors; ++v)
    if (Value zero = zeroVector(header, group, v))
      result.push_back(zero);
  return result;
}
