//===- TileCache.cpp - keys and values into the cache -----------------------------------===//
//
// A thread stores the heads it owns, so it may go on from the linear that made them without
// waiting.
//
#include "llmc/Lower/AttentionKernels.h"
#include "llmc/Lower/LaneBuilder.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace llmc;

int64_t llmc::cacheBlockBytes(int64_t kvHeads, int64_t headSize) {
  return kvHeads * 2 * headSize * kCacheBlock * static_cast<int64_t>(sizeof(float));
}

namespace {

/// What of a block one head and one call write.
struct Span {
  Value head;      ///< index of the head
  Value column;    ///< its first column in a row
  Value base;      ///< first float of this cache in the block
  Value start;     ///< position of the block's first
  Value low, high; ///< positions to write
};

} // namespace

static Kernel makeStore(KernelBuilder &builder, StringRef name, int64_t kvHeads, int64_t headSize,
                        RowBuffer x,
                        function_ref<void(LaneBuilder &, KernelFrame &, Value, Value, Span)> body) {
  auto emit = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    LaneBuilder l(b, builder.shape().lanes);
    Value rows = viewRows(b, frame.arena, frame.offsets[0]);
    Value zero = indexConstant(b, 0), cache = viewRows(b, frame.kv, zero);
    Value total = addIndex(b, frame.past, frame.rows);
    Value firstBlock = divIndex(b, frame.past, kCacheBlock);
    Value lastBlock = divIndex(b, addIndex(b, total, kCacheBlock - 1), kCacheBlock);
    forLoop(b, firstBlock, lastBlock, 1, [&](Value block) {
      Span span;
      span.start = mulIndex(b, block, kCacheBlock);
      span.low = arith::MaxUIOp::create(b, span.start, frame.past);
      span.high = arith::MinUIOp::create(b, addIndex(b, span.start, kCacheBlock), total);
      Value bytes =
          addIndex(b, arith::MulIOp::create(b, block, frame.offsets[2]), frame.offsets[1]);
      span.base = divIndex(b, bytes, sizeof(float));
      forLoop(b, frame.begin, frame.end, headSize, [&](Value column) {
        span.column = column;
        span.head = divIndex(b, column, headSize);
        body(l, frame, rows, cache, span);
      });
    });
  };
  Kernel kernel = builder.getOrCreate(name, 3, 0, emit);
  kernel.columns = kvHeads * headSize;
  kernel.unit = headSize;
  return kernel;
}

static Value rowOf(ImplicitLocOpBuilder &b, const KernelFrame &frame, Value position) {
  return arith::SubIOp::create(b, position, frame.past);
}

Kernel llmc::getKeyStoreKernel(KernelBuilder &builder, int64_t kvHeads, int64_t headSize,
                               RowBuffer k) {
  auto body = [&](LaneBuilder &l, KernelFrame &frame, Value rows, Value cache, Span span) {
    ImplicitLocOpBuilder &b = l.b;
    Value base = addIndex(b, span.base, mulIndex(b, span.head, headSize * kCacheBlock));
    forLoop(b, indexConstant(b, 0), indexConstant(b, headSize), 1, [&](Value d) {
      Value to = addIndex(b, base, mulIndex(b, d, kCacheBlock));
      Value column = addIndex(b, span.column, d);
      forLoop(b, span.low, span.high, 1, [&](Value position) {
        Value from = rowIndex(b, rowOf(b, frame, position), k, column);
        Value place = arith::SubIOp::create(b, position, span.start);
        Value element = memref::LoadOp::create(b, rows, from);
        memref::StoreOp::create(b, element, cache, addIndex(b, to, place));
      });
    });
  };
  return makeStore(builder, kernelName("store_keys", {kvHeads, headSize, k.stride}), kvHeads,
                   headSize, k, body);
}

Kernel llmc::getValueStoreKernel(KernelBuilder &builder, int64_t kvHeads, int64_t headSize,
                                 int64_t valueSize, RowBuffer v) {
  auto body = [&](LaneBuilder &l, KernelFrame &frame, Value rows, Value cache, Span span) {
    ImplicitLocOpBuilder &b = l.b;
    Value base = addIndex(b, span.base, mulIndex(b, span.head, valueSize * kCacheBlock));
    base = addIndex(b, base, kvHeads * headSize * kCacheBlock);
    forLoop(b, span.low, span.high, 1, [&](Value position) {
      Value from = rowIndex(b, rowOf(b, frame, position), v, span.column);
      Value place = arith::SubIOp::create(b, position, span.start);
      Value to = addIndex(b, base, mulIndex(b, place, valueSize));
      l.forColumns(valueSize, [&](Value column, int64_t count) {
        l.store(l.load(rows, addIndex(b, from, column), count), cache, addIndex(b, to, column),
                count);
      });
    });
  };
  return makeStore(builder, kernelName("store_values", {kvHeads, headSize, valueSize, v.stride}),
                   kvHeads, valueSize, v, body);
}
