//===- EvaluatorRotary.cpp - Rotary position embedding --------------------===//
//
// RotaryEmbedding of ai.onnx (opset 23) and of com.microsoft, which differ in the order of their
// inputs.
//
//===----------------------------------------------------------------------===//

#include "EvaluatorOps.h"

using namespace llmc::onnx;

void llmc::onnx::rotate(std::vector<double> &x, int64_t batch, int64_t seq, int64_t heads,
                        int64_t size, int64_t rotaryDim, bool interleaved,
                        const std::function<double(int64_t, int64_t, int64_t)> &cosAt,
                        const std::function<double(int64_t, int64_t, int64_t)> &sinAt) {
  int64_t half = rotaryDim / 2;
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t s = 0; s < seq; ++s)
      for (int64_t d = 0; d < half; ++d) {
        double c = cosAt(b, s, d), n = sinAt(b, s, d);
        for (int64_t h = 0; h < heads; ++h) {
          double *head = &x[((b * seq + s) * heads + h) * size];
          double &first = head[interleaved ? 2 * d : d];
          double &second = head[interleaved ? 2 * d + 1 : d + half];
          double real = c * first - n * second, imaginary = n * first + c * second;
          first = real;
          second = imaginary;
        }
      }
}

static void rotaryEmbedding(OpCall &call, const OnnxTensor &cosines, const OnnxTensor &sines,
                            const OnnxTensor *positions) {
  const OnnxTensor &input = call.input(0);
  int64_t heads = call.attributes.getInt("num_heads", 0);
  int64_t rotaryDim = call.attributes.getInt("rotary_embedding_dim", 0);
  OnnxTensor flat;
  if (input.rank() == 4) {
    flat = transpose(input, {0, 2, 1, 3});
  } else if (input.rank() == 3) {
    if (heads == 0 && cosines.rank() >= 1 && cosines.shape().back() > 0)
      heads = input.shape()[2] / (2 * cosines.shape().back());
    if (heads <= 0 || input.shape()[2] % heads != 0)
      fail("cannot split ", shapeString(input.shape()), " into ", heads, " heads");
    flat = input.reshaped({input.shape()[0], input.shape()[1], heads, input.shape()[2] / heads});
  } else {
    fail("expected 3 or 4 dimensions, got ", shapeString(input.shape()));
  }
  int64_t batch = flat.shape()[0], seq = flat.shape()[1], size = flat.shape()[3];
  rotaryDim = rotaryDim == 0 ? size : rotaryDim;
  int64_t half = rotaryDim / 2;
  if (rotaryDim < 0 || rotaryDim > size || rotaryDim % 2 || cosines.rank() != (positions ? 2 : 3) ||
      cosines.shape().back() != half || sines.shape() != cosines.shape())
    fail("rotary tables of shapes ", shapeString(cosines.shape()), " and ",
         shapeString(sines.shape()), " for ", rotaryDim, " rotated elements");
  int64_t rows = half ? cosines.size() / half : 0;
  bool offset = positions && positions->size() == 1 && batch * seq != 1;
  if (positions && !offset && positions->size() != batch * seq)
    fail("expected ", batch * seq, " positions, got ", positions->size());
  if (!positions &&
      (cosines.shape()[1] != seq || (cosines.shape()[0] != batch && cosines.shape()[0] != 1)))
    fail("rotary tables of shape ", shapeString(cosines.shape()), " for ", batch, " x ", seq,
         " positions");
  auto row = [&](int64_t b, int64_t s) {
    int64_t at = !positions ? (cosines.shape()[0] == 1 ? 0 : b) * seq + s
                 : offset   ? positions->ints()[0] + s
                            : positions->ints()[b * seq + s];
    if (at < 0 || at >= rows)
      fail("position ", at, " is outside the rotary table of ", rows);
    return at;
  };
  std::vector<double> values = toDoubles(flat);
  rotate(
      values, batch, seq, flat.shape()[2], size, rotaryDim,
      call.attributes.getInt("interleaved", 0) != 0,
      [&](int64_t b, int64_t s, int64_t d) { return cosines.at(row(b, s) * half + d); },
      [&](int64_t b, int64_t s, int64_t d) { return sines.at(row(b, s) * half + d); });
  OnnxTensor out = fromDoubles(values, flat.shape(), input.type());
  call.set(0, input.rank() == 4 ? transpose(out, {0, 2, 1, 3}) : out.reshaped(input.shape()));
}

static void standard(OpCall &call) {
  rotaryEmbedding(call, call.input(1), call.input(2), call.optional(3));
}

static void microsoft(OpCall &call) {
  if (call.attributes.getInt("is_packed_batching", 0) != 0)
    fail("packed batching is not supported");
  float scale = call.attributes.getFloat("scale", 1);
  if (scale != 1)
    fail("a scale of ", scale, " is not supported");
  rotaryEmbedding(call, call.input(2), call.input(3), &call.input(1));
}

void llmc::onnx::registerRotary(OpTable &table) {
  table[{"", "RotaryEmbedding"}] = standard;
  table[{"com.microsoft", "RotaryEmbedding"}] = microsoft;
}
