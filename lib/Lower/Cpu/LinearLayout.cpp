//===- LinearLayout.cpp - where everything lies in a packed weight ----------------------===//
//
// Sizes and offsets of packed matrices and embedding tables; see PackedLinear.h for the order.
//
#include "llmc/Lower/Cpu/PackedLinear.h"

#include "llmc/Numerics/TritPack.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace llmc;

int64_t llmc::linearTileRows(VectorShape shape) {
  // Four accumulators hide the latency of a multiply-add and leave half of a small register file
  // for codes; a large file of short registers takes more.
  return shape.registers >= 32 ? std::max<int64_t>(32, 4 * shape.lanes) : 4 * shape.lanes;
}

static SmallVector<unsigned> planesOf(unsigned bits) {
  SmallVector<unsigned> planes;
  for (unsigned width : {8u, 4u, 2u, 1u})
    if (bits & width)
      planes.push_back(width);
  return planes;
}

LinearLayout::LinearLayout(const CodeFormat &format, int64_t n, int64_t k, VectorShape shape)
    : format(format), n(n), k(k), tileRows(linearTileRows(shape)),
      tiles((n + tileRows - 1) / tileRows) {
  group = format.isGrouped() && format.group && format.group < k ? format.group : k;
  sparse = format.keepM && (group == k || group % format.keepM == 0);
  if (sparse) {
    keepN = format.keepN;
    keepM = format.keepM;
    indexPlanes = planesOf(llvm::Log2_64_Ceil(keepM));
  }
  // Kept codes of a pattern do not fill bytes of five, so those of N:M take two bits.
  trits = format.base3 && !sparse;
  if (format.kind == CodeFormat::Kind::Dense)
    valueBytes = format.element.getIntOrFloatBitWidth() / 8;
  else if (!trits)
    codePlanes = planesOf(format.bits);
  unsigned narrowest = 8;
  for (unsigned width : codePlanes)
    narrowest = std::min(narrowest, width);
  for (unsigned width : indexPlanes)
    narrowest = std::min(narrowest, width);
  blockSymbols = trits                                       ? kTritBlock
                 : codePlanes.empty() && indexPlanes.empty() ? 8
                                                             : 32 / narrowest;
  int64_t patterns = std::max<int64_t>(1, blockSymbols / keepN);
  blockSymbols = patterns * keepN;
  blockInputs = patterns * keepM;
  bool groupsInBlock = group != k && blockInputs % group == 0;
  unit = groupsInBlock ? blockInputs : group;
  groupsPerUnit = groupsInBlock ? blockInputs / group : 1;
  scaleBytes = format.isGrouped() ? format.element.getIntOrFloatBitWidth() / 8 : 0;
  matrixHeader = format.kind == CodeFormat::Kind::Ternary ? 64 : 0;
}

int64_t LinearLayout::headerBytes() const {
  return groupsPerUnit * tileRows * (scaleBytes + (format.storesZeros() ? 1 : 0));
}

int64_t LinearLayout::symbols(int64_t inputs) const {
  return inputs / keepM * keepN + std::min(keepN, inputs % keepM);
}

int64_t LinearLayout::planeBytes(unsigned width, int64_t symbols) const {
  return (symbols * width + 31) / 32 * 4 * tileRows;
}

int64_t LinearLayout::blockBytes(int64_t inputs) const {
  int64_t count = symbols(inputs), bytes = count * valueBytes * tileRows;
  for (unsigned width : indexPlanes)
    bytes += planeBytes(width, count);
  for (unsigned width : codePlanes)
    bytes += planeBytes(width, count);
  if (trits)
    bytes += (count + kTritBlock - 1) / kTritBlock * 4 * tileRows;
  return bytes;
}

int64_t LinearLayout::spanBytes(int64_t inputs) const {
  return inputs / blockInputs * blockBytes(blockInputs) + blockBytes(inputs % blockInputs);
}

int64_t LinearLayout::tileBytes() const {
  int64_t rest = k % unit;
  return k / unit * unitBytes() + (rest ? headerBytes() + spanBytes(rest) : 0);
}

int64_t llmc::packedLinearBytes(Type weightType, const CodeFormat &format, VectorShape shape) {
  ArrayRef<int64_t> dims = getWeightShape(weightType);
  return LinearLayout(format, dims[0], dims[1], shape).totalBytes();
}

int64_t llmc::packedBiasBytes(int64_t n, VectorShape shape) {
  int64_t tile = linearTileRows(shape);
  return (n + tile - 1) / tile * tile * 4;
}

EmbeddingLayout::EmbeddingLayout(const CodeFormat &format, int64_t /*rows*/, int64_t columns) {
  bool grouped = format.isGrouped();
  group = grouped && format.group && format.group < columns ? format.group : columns;
  groups = grouped ? (columns + group - 1) / group : 0;
  int64_t scaleBytes = grouped ? format.element.getIntOrFloatBitWidth() / 8 : 0;
  if (format.kind == CodeFormat::Kind::Dense)
    scales = columns * (format.element.getIntOrFloatBitWidth() / 8);
  else if (format.base3)
    scales = (packedTritBytes(columns) + 3) / 4 * 4;
  else // A code is read as two bytes, so one byte more than the stream has; scales stay aligned.
    scales = ((columns * format.bits + 7) / 8 + 1 + 3) / 4 * 4;
  zeros = scales + groups * scaleBytes;
  rowBytes = (zeros + (format.storesZeros() ? groups : 0) + 3) / 4 * 4;
  matrixHeader = format.kind == CodeFormat::Kind::Ternary ? 64 : 0;
}

int64_t llmc::packedEmbeddingBytes(Type weightType, const CodeFormat &format) {
  ArrayRef<int64_t> dims = getWeightShape(weightType);
  EmbeddingLayout layout(format, dims[0], dims[1]);
  return layout.matrixHeader + dims[0] * layout.rowBytes;
}
