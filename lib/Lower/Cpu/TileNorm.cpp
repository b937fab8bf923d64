//===- TileNorm.cpp - kernels that reduce a row -----------------------------------------===//
//
// RMS norm, layer norm and softmax. A row (or slice of one) belongs to one thread, which reads it
// once for each reduction and once for the result; it stays in the first-level cache between.
//
#include "llmc/Lower/Cpu/LaneBuilder.h"
#include "llmc/Lower/Cpu/MathKernels.h"
#include "llmc/Lower/Cpu/RowKernels.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;
using namespace llmc;

/// 1 / sqrt(sum / count + eps), in every lane.
static Value inverseRoot(LaneBuilder &l, Value sum, int64_t count, double eps) {
  ImplicitLocOpBuilder &b = l.b;
  Value mean = arith::DivFOp::create(b, sum, floatConstant(b, static_cast<double>(count)));
  Value root = math::SqrtOp::create(b, l.add(mean, floatConstant(b, eps)));
  return l.splat(arith::DivFOp::create(b, floatConstant(b, 1.0), root));
}

Kernel llmc::getRMSNormKernel(KernelBuilder &builder, RowBuffer x, RowBuffer y, int64_t groups,
                              double eps) {
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    LaneBuilder l(b, builder.shape().lanes);
    int64_t size = x.width / groups;
    Value input = viewRows(b, frame.arena, frame.offsets[0]);
    Value scale = viewRows(b, frame.weights, frame.offsets[1]);
    Value output = viewRows(b, frame.arena, frame.offsets[2]);
    auto normalise = [&](Value row, Value slice) {
      Value from = rowIndex(b, row, x, slice), to = rowIndex(b, row, y, slice);
      Value squares = l.reduceColumns(
          size, l.constant(0.0),
          [&](Value column, int64_t count, Value sum) -> Value {
            Value v = l.load(input, addIndex(b, from, column), count);
            return vector::FMAOp::create(b, v, v, sum);
          },
          [&](Value p, Value q) { return l.add(p, q); });
      Value factor = inverseRoot(l, l.foldSum(squares), size, eps);
      l.forColumns(size, [&](Value column, int64_t count) {
        Value v = l.load(input, addIndex(b, from, column), count);
        Value normal = arith::MulFOp::create(b, v, factor);
        Value result = arith::MulFOp::create(b, normal, l.load(scale, column, count));
        l.store(result, output, addIndex(b, to, column), count);
      });
    };
    // Whole rows go by rows; slices (the heads of a query) by columns, like what is around them.
    if (groups == 1) {
      auto [begin, end] = threadRange(b, frame, frame.rows);
      forLoop(b, begin, end, 1, [&](Value row) { normalise(row, indexConstant(b, 0)); });
      return;
    }
    forLoop(b, indexConstant(b, 0), frame.rows, 1, [&](Value row) {
      forLoop(b, frame.begin, frame.end, size, [&](Value slice) { normalise(row, slice); });
    });
  };
  Kernel kernel = builder.getOrCreate(
      kernelName("rms_norm", {x.width, x.stride, y.stride, groups}, {eps}), 3, 0, body);
  if (groups > 1) {
    kernel.columns = x.width;
    kernel.unit = x.width / groups;
  }
  return kernel;
}

Kernel llmc::getLayerNormKernel(KernelBuilder &builder, RowBuffer x, RowBuffer y, double eps,
                                bool hasBias) {
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    LaneBuilder l(b, builder.shape().lanes);
    Value input = viewRows(b, frame.arena, frame.offsets[0]);
    Value scale = viewRows(b, frame.weights, frame.offsets[1]);
    Value bias = hasBias ? viewRows(b, frame.weights, frame.offsets[2]) : Value();
    Value output = viewRows(b, frame.arena, frame.offsets[hasBias ? 3 : 2]);
    auto plus = [&](Value p, Value q) { return l.add(p, q); };
    auto [begin, end] = threadRange(b, frame, frame.rows);
    forLoop(b, begin, end, 1, [&](Value row) {
      Value zero = indexConstant(b, 0);
      Value from = rowIndex(b, row, x, zero), to = rowIndex(b, row, y, zero);
      Value sums = l.reduceColumns(
          x.width, l.constant(0.0),
          [&](Value column, int64_t count, Value sum) {
            return l.add(sum, l.load(input, addIndex(b, from, column), count));
          },
          plus);
      Value width = floatConstant(b, static_cast<double>(x.width));
      Value mean = l.splat(arith::DivFOp::create(b, l.foldSum(sums), width));
      auto centred = [&](Value column, int64_t count) -> Value {
        Value v = l.load(input, addIndex(b, from, column), count);
        return arith::SubFOp::create(b, v, mean);
      };
      // The variance around the mean, not the mean of squares: no cancellation.
      Value squares = l.reduceColumns(
          x.width, l.constant(0.0),
          [&](Value column, int64_t count, Value sum) -> Value {
            Value v = l.keep(centred(column, count), count, 0.0);
            return vector::FMAOp::create(b, v, v, sum);
          },
          plus);
      Value factor = inverseRoot(l, l.foldSum(squares), x.width, eps);
      l.forColumns(x.width, [&](Value column, int64_t count) {
        Value normal = arith::MulFOp::create(b, centred(column, count), factor);
        Value weight = l.load(scale, column, count);
        Value result =
            hasBias
                ? vector::FMAOp::create(b, normal, weight, l.load(bias, column, count)).getResult()
                : arith::MulFOp::create(b, normal, weight).getResult();
        l.store(result, output, addIndex(b, to, column), count);
      });
    });
  };
  return builder.getOrCreate(
      kernelName("layer_norm", {x.width, x.stride, y.stride, hasBias}, {eps}), hasBias ? 4 : 3, 0,
      body);
}

Kernel llmc::getSoftmaxKernel(KernelBuilder &builder, RowBuffer x, RowBuffer y) {
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    LaneBuilder l(b, builder.shape().lanes);
    Value input = viewRows(b, frame.arena, frame.offsets[0]);
    Value output = viewRows(b, frame.arena, frame.offsets[1]);
    constexpr double kNone = -std::numeric_limits<double>::infinity();
    auto [begin, end] = threadRange(b, frame, frame.rows);
    forLoop(b, begin, end, 1, [&](Value row) {
      Value zero = indexConstant(b, 0);
      Value from = rowIndex(b, row, x, zero), to = rowIndex(b, row, y, zero);
      Value peaks = l.reduceColumns(
          x.width, l.constant(kNone),
          [&](Value column, int64_t count, Value peak) {
            return l.max(l.load(input, addIndex(b, from, column), count, kNone), peak);
          },
          [&](Value p, Value q) { return l.max(p, q); });
      Value peak = l.splat(l.foldMax(peaks));
      Value sums = l.reduceColumns(
          x.width, l.constant(0.0),
          [&](Value column, int64_t count, Value sum) {
            Value v = l.load(input, addIndex(b, from, column), count, kNone);
            Value power = emitExp(b, arith::SubFOp::create(b, v, peak));
            l.store(power, output, addIndex(b, to, column), count);
            return l.add(sum, l.keep(power, count, 0.0));
          },
          [&](Value p, Value q) { return l.add(p, q); });
      Value total = l.splat(l.foldSum(sums));
      l.forColumns(x.width, [&](Value column, int64_t count) {
        Value at = addIndex(b, to, column);
        l.store(arith::DivFOp::create(b, l.load(output, at, count), total), output, at, count);
      });
    });
  };
  return builder.getOrCreate(kernelName("softmax", {x.width, x.stride, y.stride}), 2, 0, body);
}
