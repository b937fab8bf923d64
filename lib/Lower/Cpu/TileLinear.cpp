//===- TileLinear.cpp - kernel of linear ------------------------------------------------===//
//
// Chooses between the decode and the panel path by the number of rows, splits tiles among threads,
// and adds bias and residual to finished sums.
//
#include "TileLinear.h"

#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace llmc;

namespace {

/// Bias, residual and the per-token scale: what happens to sums before they are stored.
struct Epilogue {
  LinearEmitter &emitter;
  Value bias, residual, y; ///< memref<?xf32>; the first two may be null.
  RowBuffer residualBuffer, yBuffer;

  void store(Value row, Value tile, Value scratchRow, SmallVector<Value> sums) const;

private:
  SmallVector<Value> loadResidual(Value row, Value tile, Value column) const;
};

} // namespace

SmallVector<Value> Epilogue::loadResidual(Value row, Value tile, Value column) const {
  LinearEmitter &e = emitter;
  ImplicitLocOpBuilder &b = e.b;
  Value at = rowIndex(b, row, residualBuffer, column);
  int64_t rest = e.layout.n % e.layout.tileRows, count = e.plan.vectors;
  auto loadWhole = [&] {
    SmallVector<Value> result;
    for (int64_t v = 0; v < count; ++v)
      result.push_back(e.load(e.floats, residual, e.add(at, v * e.lanes)));
    return result;
  };
  if (!rest)
    return loadWhole();
  // The residual may be a view at the end of the arena, so nothing is read past the width of the
  // last tile.
  Value last = e.index(e.layout.tiles - 1);
  Value isLast = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, tile, last);
  SmallVector<Type> types(count, e.floats);
  auto branch = scf::IfOp::create(b, types, isLast, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, loadWhole());
  b.setInsertionPointToStart(branch.thenBlock());
  SmallVector<Value> partial;
  Value zero = e.splatFloat(0);
  for (int64_t v = 0; v < count; ++v) {
    int64_t present = std::clamp<int64_t>(rest - v * e.lanes, 0, e.lanes);
    Value from = e.add(at, v * e.lanes);
    if (present == e.lanes) {
      partial.push_back(e.load(e.floats, residual, from));
    } else if (present == 0) {
      partial.push_back(zero);
    } else {
      SmallVector<bool> bits(e.lanes, false);
      std::fill_n(bits.begin(), present, true);
      auto type = VectorType::get({e.lanes}, b.getI1Type());
      Value mask = arith::ConstantOp::create(b, DenseElementsAttr::get(type, bits));
      partial.push_back(
          vector::MaskedLoadOp::create(b, e.floats, residual, ValueRange{from}, mask, zero));
    }
  }
  scf::YieldOp::create(b, partial);
  return SmallVector<Value>(branch.getResults());
}

void Epilogue::store(Value row, Value tile, Value scratchRow, SmallVector<Value> sums) const {
  LinearEmitter &e = emitter;
  ImplicitLocOpBuilder &b = e.b;
  Value column = e.times(tile, e.layout.tileRows);
  if (e.plan.quantized && !e.plan.perGroup) {
    Value scale = e.loadScalar(e.scratch, e.add(scratchRow, e.plan.scaleStart));
    for (Value &sum : sums)
      sum = arith::MulFOp::create(b, sum, e.broadcast(scale));
  }
  SmallVector<Value> others;
  if (residual)
    others = loadResidual(row, tile, column);
  Value at = rowIndex(b, row, yBuffer, column);
  for (int64_t v = 0; v < e.plan.vectors; ++v) {
    if (bias)
      sums[v] =
          arith::AddFOp::create(b, sums[v], e.load(e.floats, bias, e.add(column, v * e.lanes)));
    if (residual)
      sums[v] = arith::AddFOp::create(b, sums[v], others[v]);
    e.store(sums[v], y, e.add(at, v * e.lanes));
  }
}

static void emitLinear(LinearEmitter &e, const KernelFrame &frame, const Epilogue &epilogue) {
  ImplicitLocOpBuilder &b = e.b;
  Value rows = e.index(e.layout.tileRows), zero = e.index(0), most = e.index(e.plan.decodeRows);
  Value begin = arith::DivUIOp::create(b, frame.begin, rows);
  Value end = arith::CeilDivUIOp::create(b, frame.end, rows);
  Value isFew = arith::CmpIOp::create(b, arith::CmpIPredicate::ule, frame.rows, most);
  auto finish = [&](Value row, Value tile, Value scratchRow, LinearEmitter::Values sums) {
    epilogue.store(row, tile, scratchRow, std::move(sums));
  };
  // Each of several sequences gets the sums it gets alone, however many there are.
  if (e.plan.scaledPanels) {
    Value isSingle = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, frame.sequence, e.index(1));
    isFew = arith::OrIOp::create(b, isFew, isSingle);
  }
  auto branch = scf::IfOp::create(b, isFew, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  if (e.plan.scaledPanels)
    forLoop(b, zero, frame.rows, e.plan.decodeRows, [&](Value firstRow) {
      Value left = arith::SubIOp::create(b, frame.rows, firstRow);
      e.emitRows(begin, end, firstRow, e.least(most, left), finish);
    });
  else
    e.emitRows(begin, end, zero, frame.rows, finish);
  b.setInsertionPointToStart(branch.elseBlock());
  e.emitPanels(begin, end, frame.rows, finish);
}

Kernel llmc::getLinearKernel(KernelBuilder &builder, const CodeFormat &format, int64_t n, int64_t k,
                             RowBuffer x, RowBuffer y, bool hasBias,
                             std::optional<RowBuffer> residual, RowBuffer scales) {
  LinearLayout layout(format, n, k, builder.shape());
  LinearPlan plan(layout, builder.shape());
  std::string name =
      llvm::formatv("linear_{0}_{1}x{2}_x{3}_y{4}", formatName(format), n, k, x.stride, y.stride);
  if (hasBias)
    name += "_bias";
  if (residual)
    name += llvm::formatv("_residual{0}", residual->stride);
  if (plan.quantized)
    name += llvm::formatv("_scales{0}", scales.stride);
  unsigned offsets = 3 + hasBias + residual.has_value() + plan.quantized;
  Kernel kernel = builder.getOrCreate(
      name, offsets, plan.scratchFloats * 4, [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
        LinearEmitter emitter(b, layout, plan, builder.shape(), frame, x, scales);
        Epilogue epilogue{emitter, {}, {}, {}, {}, y};
        unsigned next = 2;
        if (hasBias)
          epilogue.bias = viewAs(b, frame.weights, frame.offsets[next++], b.getF32Type());
        if (residual) {
          epilogue.residual = viewRows(b, frame.arena, frame.offsets[next++]);
          epilogue.residualBuffer = *residual;
        }
        epilogue.y = viewRows(b, frame.arena, frame.offsets[next]);
        emitLinear(emitter, frame, epilogue);
      });
  kernel.columns = n;
  kernel.unit = layout.tileRows;
  return kernel;
}
