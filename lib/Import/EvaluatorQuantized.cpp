//===- EvaluatorQuantized.cpp - Quantized operators -----------------------===//
//
// QuantizeLinear and its relatives, com.microsoft.MatMulNBits and GatherBlockQuantized. MatMulNBits
// with accuracy_level 4 rounds activations to int8 per block (absmax / 127, half to even), as ONNX
// Runtime does.
//
//===----------------------------------------------------------------------===//

#include "EvaluatorOps.h"

#include "llmc/Numerics/Parallel.h"
#include "llmc/Numerics/StoredProduct.h"

#include <algorithm>
#include <cmath>

using namespace llmc::onnx;
using llmc::StoredMatrix;

/// The scale (or zero point) element of each element of x: per tensor, per axis, or per block of
/// the axis.
static std::vector<int64_t> scaleIndex(const OnnxTensor &x, const OnnxTensor &scale, int64_t axis,
                                       int64_t block) {
  std::vector<int64_t> index(x.size(), 0);
  if (scale.size() == 1 && block == 0)
    return index;
  axis = normalizeAxis(axis, x.rank());
  std::vector<int64_t> strides = rowMajorStrides(x.shape());
  std::vector<int64_t> scaleStrides = rowMajorStrides(scale.shape());
  if (block == 0) {
    if (scale.size() != x.shape()[axis])
      fail("expected ", x.shape()[axis], " scales, got ", scale.size());
    for (int64_t i = 0; i < x.size(); ++i)
      index[i] = i / strides[axis] % x.shape()[axis];
    return index;
  }
  if (block < 0 || scale.rank() != x.rank())
    fail("block size ", block, " with scales of shape ", shapeString(scale.shape()));
  for (int64_t d = 0; d < x.rank(); ++d)
    if (scale.shape()[d] != (d == axis ? (x.shape()[d] + block - 1) / block : x.shape()[d]))
      fail("scales of shape ", shapeString(scale.shape()), " for blocks of ", block, " in ",
           shapeString(x.shape()));
  for (int64_t i = 0; i < x.size(); ++i)
    for (int64_t d = 0, rest = i; d < x.rank(); ++d) {
      int64_t at = rest / strides[d];
      rest %= strides[d];
      index[i] += (d == axis ? at / block : at) * scaleStrides[d];
    }
  return index;
}

static void quantizedRange(ElementType type, double &low, double &high) {
  unsigned bits = elementBits(type);
  bool isSigned = type == ElementType::I8 || type == ElementType::I16 || type == ElementType::I4;
  if (!isSigned && type != ElementType::U8 && type != ElementType::U16 && type != ElementType::U4)
    fail("quantization to ", elementTypeName(type), " is not supported");
  low = isSigned ? -std::ldexp(1.0, int(bits) - 1) : 0;
  high = std::ldexp(1.0, int(bits) - isSigned) - 1;
}

static void quantizeLinear(OpCall &call) {
  const OnnxTensor &x = call.input(0), &scale = call.input(1), *zero = call.optional(2);
  ElementType type = zero ? zero->type() : ElementType::U8;
  int64_t wanted = call.attributes.getInt("output_dtype", 0);
  if (wanted && !fromOnnxType(static_cast<int>(wanted), type))
    fail("output type ", wanted, " is not supported");
  double low, high;
  quantizedRange(type, low, high);
  std::vector<int64_t> index = scaleIndex(x, scale, call.attributes.getInt("axis", 1),
                                          call.attributes.getInt("block_size", 0));
  if (zero && zero->size() != scale.size())
    fail("scales and zero points differ in number");
  OnnxTensor y(type, x.shape());
  for (int64_t i = 0; i < x.size(); ++i) {
    // The division is one of floats in the specification, and its rounding shows.
    float ratio = static_cast<float>(x.at(i)) / static_cast<float>(scale.at(index[i]));
    double code = std::nearbyint(ratio) + (zero ? zero->at(index[i]) : 0);
    y.set(i, std::isnan(code) ? 0 : std::clamp(code, low, high));
  }
  call.set(0, y);
}

static void dequantizeLinear(OpCall &call) {
  const OnnxTensor &x = call.input(0), &scale = call.input(1), *zero = call.optional(2);
  ElementType type = scale.type();
  int64_t wanted = call.attributes.getInt("output_dtype", 0);
  if (wanted && !fromOnnxType(static_cast<int>(wanted), type))
    fail("output type ", wanted, " is not supported");
  std::vector<int64_t> index = scaleIndex(x, scale, call.attributes.getInt("axis", 1),
                                          call.attributes.getInt("block_size", 0));
  if (zero && zero->size() != scale.size())
    fail("scales and zero points differ in number");
  OnnxTensor y(type, x.shape());
  for (int64_t i = 0; i < x.size(); ++i)
    y.set(i, (x.at(i) - (zero ? zero->at(index[i]) : 0)) * scale.at(index[i]));
  call.set(0, y);
}

static void dynamicQuantizeLinear(OpCall &call) {
  const OnnxTensor &x = call.input(0);
  float low = 0, high = 0;
  for (int64_t i = 0; i < x.size(); ++i) {
    low = std::min(low, static_cast<float>(x.at(i)));
    high = std::max(high, static_cast<float>(x.at(i)));
  }
  float scale = (high - low) / 255;
  float zero = scale == 0 ? 0 : std::nearbyint(std::clamp(-low / scale, 0.0f, 255.0f));
  OnnxTensor y(ElementType::U8, x.shape());
  for (int64_t i = 0; i < x.size(); ++i) {
    float code = std::nearbyint(scale == 0 ? 0 : static_cast<float>(x.at(i)) / scale) + zero;
    y.mutableInts()[i] = static_cast<int64_t>(std::clamp(code, 0.0f, 255.0f));
  }
  call.set(0, y);
  call.set(1, OnnxTensor::fromFloats({scale}, {}));
  call.set(2, OnnxTensor::scalar(static_cast<int64_t>(zero), ElementType::U8));
}

/// Code `i` of a row of packed codes, lowest bits first.
static int64_t packedCode(const OnnxTensor &data, int64_t rowBegin, int64_t i, int64_t bits) {
  int64_t perByte = 8 / bits, at = rowBegin + i / perByte;
  int64_t byte = data.bytes() ? data.bytes()[at] : data.ints()[at];
  return byte >> (i % perByte * bits) & ((1 << bits) - 1);
}

static void roundActivations(std::vector<float> &row, int64_t block) {
  for (size_t begin = 0; begin < row.size(); begin += block) {
    size_t end = std::min(row.size(), begin + static_cast<size_t>(block));
    float largest = 0;
    for (size_t i = begin; i < end; ++i)
      largest = std::max(largest, std::fabs(row[i]));
    float scale = largest / 127, inverse = largest != 0 ? 127 / largest : 0;
    for (size_t i = begin; i < end; ++i)
      row[i] = std::nearbyint(row[i] * inverse) * scale;
  }
}

static void matMulNBits(OpCall &call) {
  const OnnxTensor &a = call.input(0), &codes = call.input(1), &scales = call.input(2);
  const OnnxTensor *zeros = call.optional(3), *bias = call.optional(5);
  int64_t k = call.attributes.requireInt("K"), n = call.attributes.requireInt("N");
  int64_t bits = call.attributes.getInt("bits", 4),
          block = call.attributes.requireInt("block_size");
  if (call.optional(4))
    fail("g_idx is not supported");
  if (k <= 0 || n <= 0 || block < 16 || (bits != 2 && bits != 4 && bits != 8))
    fail("K ", k, ", N ", n, ", bits ", bits, ", block_size ", block);
  int64_t blocks = (k + block - 1) / block, rowBytes = blocks * block * bits / 8, total, most;
  if (__builtin_mul_overflow(n, rowBytes, &total) || codes.size() != total ||
      __builtin_mul_overflow(n, blocks, &most) || scales.size() != most)
    fail("codes ", shapeString(codes.shape()), " and scales ", shapeString(scales.shape()),
         " do not fit K ", k, ", N ", n, ", bits ", bits, ", block_size ", block);
  int64_t zeroBytes = (blocks * bits + 7) / 8;
  bool packedZeros = zeros && zeros->isInteger();
  if (zeros && zeros->size() != (packedZeros ? n * zeroBytes : most))
    fail("zero points of shape ", shapeString(zeros->shape()));
  if (a.rank() < 1 || a.shape().back() != k || (bias && bias->size() != n))
    fail("activations ", shapeString(a.shape()), " do not fit K ", k);

  auto unpack = [&](int64_t j, float *to) {
    for (int64_t i = 0; i < k; ++i) {
      int64_t g = i / block;
      double zero = !zeros        ? double(1 << (bits - 1))
                    : packedZeros ? double(packedCode(*zeros, j * zeroBytes, g, bits))
                                  : zeros->at(j * blocks + g);
      to[i] = static_cast<float>((packedCode(codes, j * rowBytes, i, bits) - zero) *
                                 scales.at(j * blocks + g));
    }
  };
  bool rounded = call.attributes.getInt("accuracy_level", 0) == 4 && !call.options.floatActivations;
  Shape shape = a.shape();
  shape.back() = n;
  OnnxTensor y(a.type(), shape);
  const SampledProducts *sampled = sampledFor(call);
  std::vector<int64_t> rows = pickedRows(sampled, a.size() / k);
  int64_t count = static_cast<int64_t>(rows.size());
  std::vector<double> activations(count * k);
  std::vector<float> row(k);
  for (int64_t r = 0; r < count; ++r) {
    for (int64_t i = 0; i < k; ++i)
      row[i] = static_cast<float>(a.at(rows[r] * k + i));
    if (rounded)
      roundActivations(row, block);
    std::copy(row.begin(), row.end(), activations.begin() + r * k);
  }
  // Some rows of the weight at a time: unpacked it may be many times as large as the file.
  constexpr int64_t kPiece = 256;
  std::vector<float> weight(std::min(n, kPiece) * k);
  std::vector<double> sums(count * kPiece);
  for (auto [first, last] : pickedColumns(sampled, n, call.node.output(0)))
    for (int64_t begin = first; begin < last; begin += kPiece) {
      int64_t width = std::min(kPiece, last - begin);
      llmc::parallelFor(width, productThreads(),
                        [&](int64_t j) { unpack(begin + j, weight.data() + j * k); });
      StoredMatrix matrix{weight.data(), StoredMatrix::Format::F32, false, width, k};
      multiplyStored(activations.data(), count, matrix, 0, width, sums.data(), width,
                     productThreads());
      for (int64_t r = 0; r < count; ++r)
        for (int64_t j = 0; j < width; ++j)
          y.set(rows[r] * n + begin + j, sums[r * width + j] + (bias ? bias->at(begin + j) : 0));
    }
  call.set(0, y);
}

static void gatherBlockQuantized(OpCall &call) {
  const OnnxTensor &data = call.input(0), &indices = call.input(1), &scales = call.input(2);
  const OnnxTensor *zeros = call.optional(3);
  int64_t bits = call.attributes.getInt("bits", 4),
          block = call.attributes.getInt("block_size", 128);
  if (data.rank() != 2 || call.attributes.getInt("gather_axis", 0) != 0 ||
      normalizeAxis(call.attributes.getInt("quantize_axis", 1), 2) != 1)
    fail("only rows of a matrix, quantized along the row, are supported");
  bool packed = data.type() == ElementType::U8;
  if (!packed)
    bits = elementBits(data.type());
  if ((bits != 2 && bits != 4 && bits != 8) || block <= 0)
    fail("bits ", bits, ", block_size ", block);
  int64_t rows = data.shape()[0], width = data.shape()[1] * (packed ? 8 / bits : 1);
  int64_t blocks = (width + block - 1) / block;
  if (scales.size() != rows * blocks ||
      (zeros && packed && zeros->size() * (8 / bits) < rows * blocks))
    fail("scales of shape ", shapeString(scales.shape()), " for ", rows, " x ", blocks, " blocks");
  Shape shape = indices.shape();
  shape.push_back(width);
  OnnxTensor y(scales.type(), shape);
  int64_t zeroBytes = zeros && packed ? zeros->size() / rows : 0;
  for (int64_t t = 0; t < indices.size(); ++t) {
    int64_t row = indices.ints()[t] < 0 ? indices.ints()[t] + rows : indices.ints()[t];
    if (row < 0 || row >= rows)
      fail("index ", indices.ints()[t], " is outside ", rows, " rows");
    for (int64_t i = 0; i < width; ++i) {
      int64_t g = i / block;
      int64_t code =
          packed ? packedCode(data, row * data.shape()[1], i, bits) : data.ints()[row * width + i];
      int64_t zero = zeros && packed ? packedCode(*zeros, row * zeroBytes, g, bits)
                     : zeros         ? zeros->ints()[row * blocks + g]
                     : packed        ? int64_t(1) << (bits - 1)
                                     : 0;
      y.set(t * width + i, double(code - zero) * scales.at(row * blocks + g));
    }
  }
  call.set(0, y);
}

void llmc::onnx::registerQuantized(OpTable &table) {
  table[{"", "QuantizeLinear"}] = quantizeLinear;
  table[{"", "DequantizeLinear"}] = dequantizeLinear;
  table[{"", "DynamicQuantizeLinear"}] = dynamicQuantizeLinear;
  table[{"com.microsoft", "MatMulNBits"}] = matMulNBits;
  table[{"com.microsoft", "GatherBlockQuantized"}] = gatherBlockQuantized;
}
