//===- EmitWeights.cpp - Weights of the module ----------------------------===//
//
// Writes each weight as [outputs, inputs] into the module's own blobs; packed integers keep their
// codes, scales and zero points, matrices of 16-bit floats their 16 bits. Values that are not
// finite are refused by tensor and index.
//
//===----------------------------------------------------------------------===//

#include "EmitWeights.h"
#include "llmc/IR/Schemes.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Import/ImportError.h"
#include "llmc/Numerics/MappedPages.h"
#include "llvm/ADT/ScopeExit.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace llmc;
using onnx::OnnxTensor;
using onnx::RaisedWeight;

/// Row `r` of the emitted matrix, in the order of the file.
static int64_t sourceRow(const EmittedWeight &weight, int64_t r) {
  return weight.order.empty() ? r : weight.order[r];
}

[[noreturn]] static void refuseValue(double value, const RaisedWeight &weight, int64_t row,
                                     int64_t column) {
  std::string index = "[" + std::to_string(row);
  if (weight.columns)
    index += ", " + std::to_string(column);
  onnx::fail("tensor '", weight.key.text(), "' (weight '", weight.name, "'): element ", index,
             "] is ", std::isnan(value) ? "NaN" : "infinite", "; expected finite values");
}

/// Calls body(row, column, index of the element where it lies), a square of elements after the
/// other, so that a transposed matrix is not read with one miss for each.
template <typename Body> static void forEachElement(const EmittedWeight &emitted, Body body) {
  const RaisedWeight &weight = *emitted.weight;
  constexpr int64_t kSquare = 64;
  bool across = weight.transposed != weight.values.source().swapped;
  int64_t rows = weight.rows, columns = weight.columns ? weight.columns : 1;
  for (int64_t top = 0; top < rows; top += kSquare)
    for (int64_t left = 0; left < columns; left += kSquare)
      for (int64_t r = top; r < std::min(top + kSquare, rows); ++r) {
        int64_t from = sourceRow(emitted, r);
        for (int64_t c = left; c < std::min(left + kSquare, columns); ++c)
          body(r, c, across ? c * rows + from : from * columns + c);
      }
}

std::vector<float> llmc::denseValues(const EmittedWeight &emitted) {
  const RaisedWeight &weight = *emitted.weight;
  int64_t columns = weight.columns ? weight.columns : 1;
  const OnnxTensor::Source &source = weight.values.source();
  std::vector<float> values(weight.rows * columns);
  forEachElement(emitted, [&](int64_t r, int64_t c, int64_t at) {
    double value = source.data ? source.at(at) : weight.values.at(at);
    if (!std::isfinite(value)) {
      // The index is that of the file's tensor.
      int64_t from = sourceRow(emitted, r);
      refuseValue(value, weight, weight.transposed ? c : from, weight.transposed ? from : c);
    }
    values[r * columns + c] = static_cast<float>(value);
  });
  return values;
}

/// A matrix that the file holds in 16 bits keeps them.
static Value emitNarrow(OpBuilder &builder, Location loc, const EmittedWeight &emitted) {
  const RaisedWeight &weight = *emitted.weight;
  const OnnxTensor::Source &source = weight.values.source();
  bool half = source.type == onnx::ElementType::F16;
  uint16_t exponent = half ? 0x7c00 : 0x7f80;
  int64_t rows = weight.rows, columns = weight.columns;
  std::vector<char> bytes(rows * columns * 2);
  forEachElement(emitted, [&](int64_t r, int64_t c, int64_t at) {
    uint16_t bits;
    std::memcpy(&bits, source.data + 2 * at, 2);
    if ((bits & exponent) == exponent) {
      int64_t from = sourceRow(emitted, r);
      refuseValue(source.at(at), weight, weight.transposed ? c : from,
                  weight.transposed ? from : c);
    }
    std::memcpy(bytes.data() + (r * columns + c) * 2, &bits, 2);
  });
  Type element = half ? Type(builder.getF16Type()) : Type(builder.getBF16Type());
  int64_t shape[] = {rows, columns};
  auto type = CompressedType::get(builder.getContext(), shape, builder.getF32Type(),
                                  getValueScheme(element));
  return createWeight(builder, loc, weight.name, type, ArrayRef<ArrayRef<char>>(bytes));
}

/// The file's bytes of a weight are read once.
static void dropSource(const OnnxTensor &values) {
  const OnnxTensor::Source &source = values.source();
  if (source.data)
    dropPages(source.data, values.size() * onnx::elementBits(source.type) / 8);
}

static Value emitPacked(OpBuilder &builder, Location loc, const EmittedWeight &emitted) {
  const RaisedWeight &weight = *emitted.weight;
  int64_t rows = weight.rows, columns = weight.columns, bits = weight.bits;
  int64_t groups = (columns + weight.block - 1) / weight.block;
  bool halfScales = weight.scales.type() == onnx::ElementType::F16;
  bool onlyGroup = weight.block >= columns;

  // Codes: the file pads each row to whole blocks, the dialect to whole bytes.
  int64_t fileRow = weight.codes.size() / rows, row = (columns * bits + 7) / 8;
  std::vector<char> codes(rows * row);
  auto byteAt = [&](const OnnxTensor &tensor, int64_t i) {
    return static_cast<uint8_t>(tensor.bytes() ? tensor.bytes()[i] : tensor.ints()[i]);
  };
  int64_t tail = columns * bits % 8;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t i = 0; i < row; ++i) {
      uint8_t byte = byteAt(weight.codes, sourceRow(emitted, r) * fileRow + i);
      if (tail && i == row - 1)
        byte &= (1 << tail) - 1;
      codes[r * row + i] = static_cast<char>(byte);
    }
  std::vector<char> scales(rows * groups * (halfScales ? 2 : 4)), zeros;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t g = 0; g < groups; ++g) {
      float scale = static_cast<float>(weight.scales.at(sourceRow(emitted, r) * groups + g));
      if (!std::isfinite(scale))
        refuseValue(scale, weight, r, g);
      uint16_t half = onnx::floatToHalf(scale);
      char *to = scales.data() + (r * groups + g) * (halfScales ? 2 : 4);
      if (halfScales)
        std::memcpy(to, &half, 2);
      else
        std::memcpy(to, &scale, 4);
    }
  if (weight.hasZeros) {
    int64_t zeroRow = (groups * bits + 7) / 8, perByte = 8 / bits;
    for (int64_t r = 0; r < rows; ++r)
      for (int64_t g = 0; g < groups; ++g)
        zeros.push_back(
            static_cast<char>(byteAt(weight.zeros, sourceRow(emitted, r) * zeroRow + g / perByte) >>
                                  (g % perByte * bits) &
                              ((1 << bits) - 1)));
  }
  MLIRContext *context = builder.getContext();
  SchemeAttrInterface scheme =
      getIntScheme(context, {static_cast<int>(bits), onlyGroup ? 0 : weight.block, !weight.hasZeros,
                             halfScales ? ScaleType::F16 : ScaleType::F32});
  int64_t shape[] = {rows, columns};
  auto type = CompressedType::get(context, shape, builder.getF32Type(), scheme);
  SmallVector<ArrayRef<char>> components = {codes, scales};
  if (weight.hasZeros)
    components.push_back(zeros);
  return createWeight(builder, loc, weight.name, type, components);
}

Value llmc::emitWeight(OpBuilder &builder, Location loc, const EmittedWeight &emitted) {
  const RaisedWeight &weight = *emitted.weight;
  if (weight.bits)
    return emitPacked(builder, loc, emitted);
  llvm::scope_exit drop([&] { dropSource(weight.values); });
  const OnnxTensor::Source &source = weight.values.source();
  if (weight.columns && source.data && source.type != onnx::ElementType::F32)
    return emitNarrow(builder, loc, emitted);
  SmallVector<int64_t> shape = {weight.rows};
  if (weight.columns)
    shape.push_back(weight.columns);
  auto type = RankedTensorType::get(shape, builder.getF32Type());
  return createDenseWeight(builder, loc, weight.name, type, denseValues(emitted));
}
