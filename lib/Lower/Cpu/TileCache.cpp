//===- TileCache.cpp - keys and values into the cache -----------------------------------===//
//
// A thread stores the heads it owns, so it may go on from the linear that made them without
// waiting. Rows are narrowed on the way: f16 and bf16 by rounding, i8 with a scale for each head.
//
#include "llmc/Lower/Cpu/AttentionKernels.h"
#include "llmc/Lower/Cpu/LaneBuilder.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

namespace {

/// Stores one head of one position at a time.
class CacheWriter {
public:
  CacheWriter(ImplicitLocOpBuilder &b, KernelFrame &frame, const CacheLayout &cache, bool isKeys,
              RowBuffer x, VectorShape vectors)
      : b(b), frame(frame), cache(cache), isKeys(isKeys), x(x), l(b, vectors.lanes),
        size(isKeys ? cache.headSize : cache.valueSize) {
    rows = viewRows(b, frame.arena, frame.offsets[0]);
    Value zero = indexConstant(b, 0);
    elements = viewAs(b, frame.kv, zero, cache.element);
    scales = viewRows(b, frame.kv, zero);
  }

  void emit() {
    Value total = addIndex(b, frame.past, frame.rows);
    forLoop(b, frame.past, total, 1, [&](Value position) {
      Value block = divIndex(b, position, kCacheBlock);
      Value place = remIndex(b, position, kCacheBlock);
      Value bytes =
          addIndex(b, arith::MulIOp::create(b, block, frame.offsets[2]), frame.offsets[1]);
      Value row = arith::SubIOp::create(b, position, frame.past);
      forLoop(b, frame.begin, frame.end, size, [&](Value column) {
        Value head = divIndex(b, column, size);
        Value from = rowIndex(b, row, x, column);
        Value factor = cache.scaled() ? storeScale(bytes, head, place, from) : Value();
        Value base = addIndex(b, divIndex(b, bytes, cache.elementBytes()),
                              mulIndex(b, head, (isKeys ? cache.keySize() : size) * kCacheBlock));
        if (cache.quads && isKeys)
          storeKeyQuads(addIndex(b, base, mulIndex(b, place, 4)), from, factor);
        else if (cache.quads)
          storeValueQuads(addIndex(b, base, cache.valuesAt()), place, from, factor);
        else if (isKeys)
          storeKey(addIndex(b, base, place), from, factor);
        else
          storeValue(addIndex(b, addIndex(b, base, cache.valuesAt()), mulIndex(b, place, size)),
                     from, factor);
      });
    });
  }

private:
  /// Stores absmax / 127 and returns its inverse.
  Value storeScale(Value bytes, Value head, Value place, Value from) {
    auto [scale, inverse] = l.byteScale(rows, from, size);
    Value at = addIndex(b, bytes, isKeys ? cache.scalesAt() : cache.valueScalesAt());
    at = addIndex(b, addIndex(b, divIndex(b, at, 4), mulIndex(b, head, kCacheBlock)), place);
    memref::StoreOp::create(b, scale, scales, at);
    return inverse;
  }

  /// f32, scalar or vector, as an element of the cache.
  Value narrow(Value value, Value factor) {
    Type element = cache.element;
    if (element.isF32())
      return value;
    if (element.isInteger(8))
      return l.roundToBytes(value, factor);
    auto like = [&](Type type) -> Type {
      auto vector = dyn_cast<VectorType>(value.getType());
      return vector ? VectorType::get(vector.getShape(), type) : type;
    };
    if (element.isF16())
      return arith::TruncFOp::create(b, like(element), value);
    auto integer = [&](int32_t bits) -> Value {
      Type type = like(b.getI32Type());
      Attribute scalar = b.getI32IntegerAttr(bits);
      if (auto vector = dyn_cast<VectorType>(type))
        return arith::ConstantOp::create(b, DenseElementsAttr::get(vector, scalar));
      return arith::ConstantOp::create(b, cast<TypedAttr>(scalar));
    };
    Type ints = like(b.getI32Type());
    Value bits = arith::BitcastOp::create(b, ints, value);
    Value odd = arith::AndIOp::create(b, arith::ShRUIOp::create(b, bits, integer(16)), integer(1));
    bits = arith::AddIOp::create(b, arith::AddIOp::create(b, bits, integer(0x7fff)), odd);
    Value high = arith::TruncIOp::create(b, like(b.getI16Type()),
                                         arith::ShRUIOp::create(b, bits, integer(16)));
    return arith::BitcastOp::create(b, like(element), high);
  }

  void storeKey(Value to, Value from, Value factor) {
    forLoop(b, indexConstant(b, 0), indexConstant(b, size), 1, [&](Value d) {
      Value value = memref::LoadOp::create(b, rows, addIndex(b, from, d));
      memref::StoreOp::create(b, narrow(value, factor), elements,
                              addIndex(b, to, mulIndex(b, d, kCacheBlock)));
    });
  }

  void storeValue(Value to, Value from, Value factor) {
    int64_t whole = size / l.lanes * l.lanes;
    forLoop(b, indexConstant(b, 0), indexConstant(b, whole), l.lanes, [&](Value column) {
      Value value = l.load(rows, addIndex(b, from, column), l.lanes);
      vector::StoreOp::create(b, narrow(value, factor), elements, addIndex(b, to, column));
    });
    forLoop(b, indexConstant(b, whole), indexConstant(b, size), 1, [&](Value column) {
      Value value = memref::LoadOp::create(b, rows, addIndex(b, from, column));
      memref::StoreOp::create(b, narrow(value, factor), elements, addIndex(b, to, column));
    });
  }

  void storeKeyQuads(Value to, Value from, Value factor) {
    LaneBuilder four(b, 4);
    four.forColumns(size, [&](Value d, int64_t count) {
      Value codes = narrow(four.load(rows, addIndex(b, from, d), count), factor);
      vector::StoreOp::create(b, codes, elements, addIndex(b, to, mulIndex(b, d, kCacheBlock)));
    });
  }

  void storeValueQuads(Value to, Value place, Value from, Value factor) {
    to = addIndex(b, to, mulIndex(b, divIndex(b, place, 4), 4 * size));
    to = addIndex(b, to, remIndex(b, place, 4));
    forLoop(b, indexConstant(b, 0), indexConstant(b, size), 1, [&](Value column) {
      Value value = memref::LoadOp::create(b, rows, addIndex(b, from, column));
      memref::StoreOp::create(b, narrow(value, factor), elements,
                              addIndex(b, to, mulIndex(b, column, 4)));
    });
  }

  ImplicitLocOpBuilder &b;
  KernelFrame &frame;
  const CacheLayout &cache;
  bool isKeys;
  RowBuffer x;
  LaneBuilder l;
  int64_t size;
  Value rows, elements, scales;
};

} // namespace

static std::string elementName(Type type) {
  return type.isF32() ? "f32" : type.isF16() ? "f16" : type.isBF16() ? "bf16" : "i8";
}

static Kernel makeStore(KernelBuilder &builder, const CacheLayout &cache, bool isKeys,
                        RowBuffer x) {
  auto emit = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    CacheWriter(b, frame, cache, isKeys, x, builder.shape()).emit();
  };
  std::string name = (isKeys ? "store_keys_" : "store_values_") + elementName(cache.element);
  if (cache.quads)
    name += "_quads";
  Kernel kernel = builder.getOrCreate(
      kernelName(name, {cache.kvHeads, cache.headSize, cache.valueSize, x.stride}), 3, 0, emit);
  kernel.unit = isKeys ? cache.headSize : cache.valueSize;
  kernel.columns = cache.kvHeads * kernel.unit;
  return kernel;
}

Kernel llmc::getKeyStoreKernel(KernelBuilder &builder, const CacheLayout &cache, RowBuffer k) {
  return makeStore(builder, cache, /*isKeys=*/true, k);
}

Kernel llmc::getValueStoreKernel(KernelBuilder &builder, const CacheLayout &cache, RowBuffer v) {
  return makeStore(builder, cache, /*isKeys=*/false, v);
}
