//===- LinalgBodies.cpp - what operations without a kernel compute ----------------------===//
//
// In linalg on tensors, for one row or sequence at a time. What is written here is what such an
// operation means, and what a kernel for it is to be held to.
//
#include "llmc/IR/LLMCDialect.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

#include <limits>

using namespace mlir;
using namespace llmc;
using utils::IteratorType;

static RankedTensorType typeOf(Value value) { return cast<RankedTensorType>(value.getType()); }

static Value index(ImplicitLocOpBuilder &b, int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

static Value integer(ImplicitLocOpBuilder &b, int32_t value) {
  return arith::ConstantOp::create(b, b.getI32IntegerAttr(value));
}

/// The same without dimension 0, which is 1.
static Value withoutFirst(ImplicitLocOpBuilder &b, Value value) {
  RankedTensorType type = typeOf(value);
  SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0)), sizes,
      strides(type.getRank(), b.getIndexAttr(1));
  for (int64_t i = 0; i < type.getRank(); ++i)
    sizes.push_back(type.isDynamicDim(i)
                        ? OpFoldResult(tensor::DimOp::create(b, value, i).getResult())
                        : OpFoldResult(b.getIndexAttr(type.getDimSize(i))));
  auto result = RankedTensorType::get(type.getShape().drop_front(), type.getElementType());
  return tensor::ExtractSliceOp::create(b, result, value, offsets, sizes, strides);
}

/// `value` as a tensor of `shape`, which has some dimensions of 1 more.
static Value withShape(ImplicitLocOpBuilder &b, Value value, ArrayRef<int64_t> shape) {
  Value empty = tensor::EmptyOp::create(b, shape, typeOf(value).getElementType());
  SmallVector<OpFoldResult> offsets(shape.size(), b.getIndexAttr(0)), sizes,
      strides(shape.size(), b.getIndexAttr(1));
  for (int64_t size : shape)
    sizes.push_back(b.getIndexAttr(size));
  return tensor::InsertSliceOp::create(b, value, empty, offsets, sizes, strides);
}

static Value filled(ImplicitLocOpBuilder &b, ArrayRef<int64_t> shape, TypedAttr scalar) {
  Value value = arith::ConstantOp::create(b, scalar);
  Value empty = tensor::EmptyOp::create(b, shape, scalar.getType());
  return linalg::FillOp::create(b, ValueRange{value}, ValueRange{empty}).getResult(0);
}

using BodyFn = function_ref<Value(ImplicitLocOpBuilder &, ValueRange)>;

/// Combines the elements of `inputs` (projections of the loops) into `start`, which has the
/// dimensions that are not `reduced`.
static Value combine(ImplicitLocOpBuilder &b, ValueRange inputs, ArrayRef<AffineMap> maps,
                     Value start, ArrayRef<bool> reduced, BodyFn body) {
  SmallVector<AffineMap> all(maps);
  SmallVector<AffineExpr> kept;
  SmallVector<IteratorType> iterators;
  for (auto [i, isReduced] : llvm::enumerate(reduced)) {
    iterators.push_back(isReduced ? IteratorType::reduction : IteratorType::parallel);
    if (!isReduced)
      kept.push_back(b.getAffineDimExpr(i));
  }
  all.push_back(AffineMap::get(reduced.size(), 0, kept, b.getContext()));
  return linalg::GenericOp::create(b, start.getType(), inputs, start, all, iterators,
                                   [&](OpBuilder &inner, Location loc, ValueRange arguments) {
                                     ImplicitLocOpBuilder ib(loc, inner);
                                     linalg::YieldOp::create(ib, body(ib, arguments));
                                   })
      .getResult(0);
}

//===----------------------------------------------------------------------===//
// llmc.reduce
//===----------------------------------------------------------------------===//

bool ReduceOp::isRowWise() {
  return getAxes().front() == cast<RankedTensorType>(getInput().getType()).getRank() - 1;
}

/// What changes nothing.
static double identity(ReduceKind kind) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  switch (kind) {
  case ReduceKind::Sum:
  case ReduceKind::Mean:
    return 0;
  case ReduceKind::Max:
    return -kInfinity;
  case ReduceKind::Min:
    return kInfinity;
  case ReduceKind::Product:
    return 1;
  }
  llvm_unreachable("all kinds are above");
}

static Value join(ImplicitLocOpBuilder &b, ReduceKind kind, Value x, Value y) {
  switch (kind) {
  case ReduceKind::Sum:
  case ReduceKind::Mean:
    return arith::AddFOp::create(b, x, y);
  case ReduceKind::Max:
    return arith::MaximumFOp::create(b, x, y);
  case ReduceKind::Min:
    return arith::MinimumFOp::create(b, x, y);
  case ReduceKind::Product:
    return arith::MulFOp::create(b, x, y);
  }
  llvm_unreachable("all kinds are above");
}

static Value isSet(ImplicitLocOpBuilder &b, Value mask) {
  return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, mask, integer(b, 0));
}

/// How many elements become one, as f32; at least 1.
static Value countOf(ImplicitLocOpBuilder &b, Value x, Value mask, ArrayRef<bool> reduced) {
  Value count = index(b, 1);
  for (auto [i, isReduced] : llvm::enumerate(reduced))
    if (isReduced && !(mask && i == 0))
      count = arith::MulIOp::create(b, count, tensor::DimOp::create(b, x, i).getResult());
  count = arith::IndexCastOp::create(b, b.getI32Type(), count);
  if (mask) {
    Value tokens =
        combine(b, mask, b.getMultiDimIdentityMap(1), filled(b, {}, b.getI32IntegerAttr(0)), {true},
                [](ImplicitLocOpBuilder &ib, ValueRange in) -> Value {
                  Value one = arith::ExtUIOp::create(ib, ib.getI32Type(), isSet(ib, in[0]));
                  return arith::AddIOp::create(ib, in[1], one);
                });
    Value some = tensor::ExtractOp::create(b, tokens, ValueRange{});
    some = arith::MaxSIOp::create(b, some, integer(b, 1));
    count = arith::MulIOp::create(b, count, some);
  }
  return arith::SIToFPOp::create(b, b.getF32Type(), count);
}

SmallVector<Value> ReduceOp::buildBody(OpBuilder &builder, ValueRange inputs) {
  ImplicitLocOpBuilder b(getLoc(), builder);
  SmallVector<int64_t> shape(typeOf(inputs[0]).getShape()), kept;
  Value x = withoutFirst(b, inputs[0]);
  Value mask = getMask() ? withoutFirst(b, inputs[1]) : Value();
  SmallVector<bool> reduced(shape.size() - 1);
  for (int64_t axis : getAxes()) {
    shape[axis] = 1;
    reduced[axis - 1] = true;
  }
  for (auto [i, isReduced] : llvm::enumerate(reduced))
    if (!isReduced)
      kept.push_back(shape[i + 1]);
  const ReduceKind kind = getKind();
  auto none = b.getF32FloatAttr(static_cast<float>(identity(kind)));
  SmallVector<Value> read = {x};
  SmallVector<AffineMap> maps = {b.getMultiDimIdentityMap(reduced.size())};
  if (mask) {
    read.push_back(mask);
    maps.push_back(AffineMap::get(reduced.size(), 0, b.getAffineDimExpr(0)));
  }
  Value result = combine(b, read, maps, filled(b, kept, none), reduced,
                         [&](ImplicitLocOpBuilder &ib, ValueRange in) -> Value {
                           Value element = in[0];
                           if (mask)
                             element = arith::SelectOp::create(ib, isSet(ib, in[1]), element,
                                                               arith::ConstantOp::create(ib, none));
                           return join(ib, kind, in.back(), element);
                         });
  if (kind == ReduceKind::Mean) {
    Value count = countOf(b, x, mask, reduced);
    result = combine(b, {}, {}, result, SmallVector<bool>(kept.size(), false),
                     [&](ImplicitLocOpBuilder &ib, ValueRange in) -> Value {
                       return arith::DivFOp::create(ib, in[0], count);
                     });
  }
  return {withShape(b, result, shape)};
}

//===----------------------------------------------------------------------===//
// llmc.gather
//===----------------------------------------------------------------------===//

bool GatherOp::isRowWise() { return getIndex() && isOfTable(); }

int64_t GatherOp::getIndexLimit(unsigned operand) {
  if (operand == 0)
    return 0;
  return isOfTable() ? cast<RankedTensorType>(getInput().getType()).getDimSize(0)
                     : ShapedType::kDynamic;
}

SmallVector<Value> GatherOp::buildBody(OpBuilder &builder, ValueRange inputs) {
  ImplicitLocOpBuilder b(getLoc(), builder);
  Value rows = isOfTable() ? inputs[0] : withoutFirst(b, inputs[0]);
  Value zero = index(b, 0), one = index(b, 1);
  Value last = arith::SubIOp::create(b, tensor::DimOp::create(b, rows, 0).getResult(), one);
  int64_t width = typeOf(rows).getDimSize(1);
  // Row `at`, or the nearest to it.
  auto rowAt = [&](Value at) -> Value {
    at = arith::MinSIOp::create(b, arith::MaxSIOp::create(b, at, zero), last);
    SmallVector<OpFoldResult> offsets = {at, b.getIndexAttr(0)},
                              sizes = {b.getIndexAttr(1), b.getIndexAttr(width)},
                              strides(2, b.getIndexAttr(1));
    return tensor::ExtractSliceOp::create(b, rows, offsets, sizes, strides);
  };
  if (!getIndex()) {
    int64_t position = static_cast<int64_t>(*getPosition());
    Value at = position >= 0 ? index(b, position)
                             : arith::AddIOp::create(b, last, index(b, position + 1)).getResult();
    return {withShape(b, rowAt(at), {1, 1, width})};
  }
  int64_t count = typeOf(inputs[1]).getDimSize(1);
  Value end = tensor::DimOp::create(b, inputs[1], 1);
  SmallVector<Value> dynamic;
  if (ShapedType::isDynamic(count))
    dynamic.push_back(end);
  Value empty =
      tensor::EmptyOp::create(b, ArrayRef<int64_t>{1, count, width}, b.getF32Type(), dynamic);
  auto loop = scf::ForOp::create(b, zero, end, one, empty);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  Value at = tensor::ExtractOp::create(b, inputs[1], ValueRange{zero, loop.getInductionVar()});
  Value row = rowAt(arith::IndexCastOp::create(b, b.getIndexType(), at));
  SmallVector<OpFoldResult> offsets = {b.getIndexAttr(0), loop.getInductionVar(),
                                       b.getIndexAttr(0)},
                            sizes = {b.getIndexAttr(1), b.getIndexAttr(1), b.getIndexAttr(width)},
                            strides(3, b.getIndexAttr(1));
  Value next =
      tensor::InsertSliceOp::create(b, row, loop.getRegionIterArg(0), offsets, sizes, strides);
  scf::YieldOp::create(b, next);
  return {loop.getResult(0)};
}

//===----------------------------------------------------------------------===//
// llmc.top_k
//===----------------------------------------------------------------------===//

bool TopKOp::isRowWise() { return true; }

static constexpr int32_t kLeast = std::numeric_limits<int32_t>::min(),
                         kMost = std::numeric_limits<int32_t>::max();

/// An integer that orders like the float: zeros are equal, NaN is above all, nothing is kLeast.
static Value orderOf(ImplicitLocOpBuilder &b, Value x) {
  Value zero = arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  Value bits = arith::BitcastOp::create(b, b.getI32Type(), arith::AddFOp::create(b, x, zero));
  Value sign = arith::ShRSIOp::create(b, bits, integer(b, 31));
  Value flipped = arith::XOrIOp::create(b, bits, arith::AndIOp::create(b, sign, integer(b, kMost)));
  Value isNumber = arith::CmpFOp::create(b, arith::CmpFPredicate::ORD, x, x);
  return arith::SelectOp::create(b, isNumber, flipped, integer(b, kMost));
}

// Element by element of the result: the largest of those behind the one before it, and where it is
// first. Without state but that one, so both are plain reductions.
SmallVector<Value> TopKOp::buildBody(OpBuilder &builder, ValueRange inputs) {
  ImplicitLocOpBuilder b(getLoc(), builder);
  SmallVector<int64_t> shape(typeOf(inputs[0]).getShape());
  Value x = withoutFirst(b, inputs[0]);
  if (shape.size() == 3)
    x = withoutFirst(b, x);
  const auto k = static_cast<int64_t>(getK());
  shape.back() = k;
  Value values = tensor::EmptyOp::create(b, ArrayRef<int64_t>{k}, b.getF32Type());
  Value indices = tensor::EmptyOp::create(b, ArrayRef<int64_t>{k}, b.getI32Type());
  auto loop = scf::ForOp::create(b, index(b, 0), index(b, k), index(b, 1),
                                 ValueRange{values, indices, integer(b, kMost), integer(b, -1)});
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Value before = loop.getRegionIterArg(2), beforeAt = loop.getRegionIterArg(3);
    auto place = [](ImplicitLocOpBuilder &ib) -> Value {
      return arith::IndexCastOp::create(ib, ib.getI32Type(), linalg::IndexOp::create(ib, 0));
    };
    auto compare = [](ImplicitLocOpBuilder &ib, arith::CmpIPredicate predicate, Value p,
                      Value q) -> Value { return arith::CmpIOp::create(ib, predicate, p, q); };
    // Less than the one before, or equal and further on.
    auto isLeft = [&](ImplicitLocOpBuilder &ib, Value order) -> Value {
      Value less = compare(ib, arith::CmpIPredicate::slt, order, before);
      Value equal = compare(ib, arith::CmpIPredicate::eq, order, before);
      Value further = compare(ib, arith::CmpIPredicate::sgt, place(ib), beforeAt);
      return arith::OrIOp::create(ib, less, arith::AndIOp::create(ib, equal, further));
    };
    auto reduceRow = [&](int32_t start, BodyFn body) -> Value {
      Value result = combine(b, x, b.getMultiDimIdentityMap(1),
                             filled(b, {}, b.getI32IntegerAttr(start)), {true}, body);
      return tensor::ExtractOp::create(b, result, ValueRange{});
    };
    Value most = reduceRow(kLeast, [&](ImplicitLocOpBuilder &ib, ValueRange in) -> Value {
      Value order = orderOf(ib, in[0]);
      Value left = arith::SelectOp::create(ib, isLeft(ib, order), order, integer(ib, kLeast));
      return arith::MaxSIOp::create(ib, in[1], left);
    });
    Value at = reduceRow(kMost, [&](ImplicitLocOpBuilder &ib, ValueRange in) -> Value {
      Value order = orderOf(ib, in[0]);
      Value found = arith::AndIOp::create(ib, isLeft(ib, order),
                                          compare(ib, arith::CmpIPredicate::eq, order, most));
      Value where = arith::SelectOp::create(ib, found, place(ib), integer(ib, kMost));
      return arith::MinSIOp::create(ib, in[1], where);
    });
    Value column = arith::IndexCastOp::create(b, b.getIndexType(), at);
    Value value = tensor::ExtractOp::create(b, x, column);
    Value j = loop.getInductionVar();
    Value nextValues = tensor::InsertOp::create(b, value, loop.getRegionIterArg(0), j);
    Value nextIndices = tensor::InsertOp::create(b, at, loop.getRegionIterArg(1), j);
    scf::YieldOp::create(b, ValueRange{nextValues, nextIndices, most, at});
  }
  return {withShape(b, loop.getResult(0), shape), withShape(b, loop.getResult(1), shape)};
}
