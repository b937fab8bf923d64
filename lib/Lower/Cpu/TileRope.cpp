//===- TileRope.cpp - rotary positions --------------------------------------------------===//
//
// Rotation of pairs by a table of cosines and sines made when compiling, and the positions
// themselves for models with a position embedding.
//
#include "llmc/Lower/Cpu/LaneBuilder.h"
#include "llmc/Lower/Cpu/RowKernels.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <cmath>

using namespace mlir;
using namespace llmc;

std::vector<float> llmc::makeRopeTable(ArrayRef<double> frequencies, double attentionFactor,
                                       int64_t context) {
  size_t pairs = frequencies.size();
  std::vector<float> table(context * 2 * pairs);
  for (int64_t position = 0; position < context; ++position)
    for (size_t i = 0; i < pairs; ++i) {
      float angle = static_cast<float>(position) * static_cast<float>(frequencies[i]);
      float *row = table.data() + position * 2 * pairs;
      row[i] = static_cast<float>(std::cos(static_cast<double>(angle)) * attentionFactor);
      row[pairs + i] = static_cast<float>(std::sin(static_cast<double>(angle)) * attentionFactor);
    }
  return table;
}

namespace {
/// (first, second) rotated: first * cos - second * sin, second * cos + first * sin.
struct Rotation {
  Value first, second;
  Rotation(ImplicitLocOpBuilder &b, Value x, Value y, Value cosine, Value sine) {
    Value negative = arith::NegFOp::create(b, y);
    first = vector::FMAOp::create(b, negative, sine, arith::MulFOp::create(b, x, cosine));
    second = vector::FMAOp::create(b, x, sine, arith::MulFOp::create(b, y, cosine));
  }
};
} // namespace

/// Splits two adjacent vectors into their even and odd elements (and back where `together`).
static std::pair<Value, Value> reorder(LaneBuilder &l, Value low, Value high, bool together) {
  SmallVector<int64_t> first, second;
  int64_t n = l.lanes;
  for (int64_t i = 0; i < n; ++i) {
    first.push_back(together ? i / 2 + i % 2 * n : 2 * i);
    second.push_back(together ? n / 2 + i / 2 + i % 2 * n : 2 * i + 1);
  }
  return {vector::ShuffleOp::create(l.b, low, high, first),
          vector::ShuffleOp::create(l.b, low, high, second)};
}

Kernel llmc::getRopeKernel(KernelBuilder &builder, RowBuffer x, RowBuffer y, int64_t heads,
                           int64_t pairs, RopeLayout layout) {
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    LaneBuilder l(b, builder.shape().lanes);
    int64_t size = x.width / heads, lanes = l.lanes;
    Value input = viewRows(b, frame.arena, frame.offsets[0]);
    Value table = viewRows(b, frame.weights, frame.offsets[1]);
    Value output = viewRows(b, frame.arena, frame.offsets[2]);
    auto forHeads = [&](function_ref<void(Value, Value)> head) {
      forLoop(b, indexConstant(b, 0), frame.rows, 1, [&](Value row) {
        forLoop(b, frame.begin, frame.end, size, [&](Value column) { head(row, column); });
      });
    };
    forHeads([&](Value row, Value head) {
      Value from = rowIndex(b, row, x, head), to = rowIndex(b, row, y, head);
      Value angles = mulIndex(b, rowPosition(b, frame, row), 2 * pairs);
      auto half = [&](Value i, int64_t count, Value cosine, Value sine) {
        Value in = addIndex(b, from, i), out = addIndex(b, to, i);
        Rotation r(b, l.load(input, in, count), l.load(input, addIndex(b, in, pairs), count),
                   cosine, sine);
        l.store(r.first, output, out, count);
        l.store(r.second, output, addIndex(b, out, pairs), count);
      };
      auto interleaved = [&](Value i, int64_t count, Value cosine, Value sine) {
        Value in = addIndex(b, from, mulIndex(b, i, 2)), out = addIndex(b, to, mulIndex(b, i, 2));
        int64_t low = std::min(2 * count, lanes), high = 2 * count - low;
        Value first = l.load(input, in, low);
        Value second = high > 0 ? l.load(input, addIndex(b, in, lanes), high) : l.constant(0.0);
        auto [even, odd] = reorder(l, first, second, /*together=*/false);
        Rotation r(b, even, odd, cosine, sine);
        auto [one, two] = reorder(l, r.first, r.second, /*together=*/true);
        l.store(one, output, out, low);
        if (high > 0)
          l.store(two, output, addIndex(b, out, lanes), high);
      };
      l.forColumns(pairs, [&](Value i, int64_t count) {
        Value at = addIndex(b, angles, i);
        Value cosine = l.load(table, at, count);
        Value sine = l.load(table, addIndex(b, at, pairs), count);
        if (layout == RopeLayout::Half)
          half(i, count, cosine, sine);
        else
          interleaved(i, count, cosine, sine);
      });
      l.forColumns(size - 2 * pairs, [&](Value i, int64_t count) {
        Value column = addIndex(b, i, 2 * pairs);
        l.store(l.load(input, addIndex(b, from, column), count), output, addIndex(b, to, column),
                count);
      });
    });
  };
  Kernel kernel =
      builder.getOrCreate(kernelName(layout == RopeLayout::Half ? "rope_half" : "rope_interleaved",
                                     {x.width, x.stride, y.stride, heads, pairs}),
                          3, 0, body);
  kernel.columns = x.width;
  kernel.unit = x.width / heads;
  return kernel;
}

Kernel llmc::getPositionsKernel(KernelBuilder &builder, int64_t offset) {
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    Value output = viewAs(b, frame.arena, frame.offsets[0], b.getI32Type());
    auto [begin, end] = threadRange(b, frame, frame.rows);
    forLoop(b, begin, end, 1, [&](Value row) {
      Value position = addIndex(b, rowPosition(b, frame, row), offset);
      Value narrow = arith::IndexCastOp::create(b, b.getI32Type(), position);
      memref::StoreOp::create(b, narrow, output, row);
    });
  };
  return builder.getOrCreate(kernelName("positions", {offset}), 1, 0, body);
}
