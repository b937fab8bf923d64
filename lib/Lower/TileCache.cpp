//===- TileCache.cpp - keys and values into the cache -----------------------------------===//
//
// Work is divided by (block of 16 positions, head), so that two threads never write to one line of
// memory.
//
#include "llmc/Lower/AttentionKernels.h"
#include "llmc/Lower/LaneBuilder.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace llmc;

int64_t llmc::cacheBlockBytes(int64_t kvHeads, int64_t headSize) {
  return kvHeads * 2 * headSize * kCacheBlock * static_cast<int64_t>(sizeof(float));
}

Kernel llmc::getCacheStoreKernel(KernelBuilder &builder, const AttentionShape &shape) {
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    LaneBuilder l(b, builder.shape().lanes);
    Value keys = viewRows(b, frame.arena, frame.offsets[0]);
    Value values = viewRows(b, frame.arena, frame.offsets[1]);
    Value zero = indexConstant(b, 0), cache = viewRows(b, frame.kv, zero);
    Value total = addIndex(b, frame.past, frame.rows);
    Value firstBlock = divIndex(b, frame.past, kCacheBlock);
    Value lastBlock = divIndex(b, addIndex(b, total, kCacheBlock - 1), kCacheBlock);
    Value blocks = arith::SubIOp::create(b, lastBlock, firstBlock);
    auto [begin, end] = threadRange(b, frame, mulIndex(b, blocks, shape.kvHeads));
    forLoop(b, begin, end, 1, [&](Value item) {
      Value block = addIndex(b, firstBlock, divIndex(b, item, shape.kvHeads));
      Value head = remIndex(b, item, shape.kvHeads);
      Value start = mulIndex(b, block, kCacheBlock);
      Value low = arith::MaxUIOp::create(b, start, frame.past);
      Value high = arith::MinUIOp::create(b, addIndex(b, start, kCacheBlock), total);
      Value bytes =
          addIndex(b, arith::MulIOp::create(b, block, frame.offsets[3]), frame.offsets[2]);
      Value base = divIndex(b, bytes, sizeof(float));
      Value keyBase = addIndex(b, base, mulIndex(b, head, shape.headSize * kCacheBlock));
      Value valueBase = addIndex(b, base, mulIndex(b, head, shape.valueSize * kCacheBlock));
      valueBase = addIndex(b, valueBase, shape.kvHeads * shape.headSize * kCacheBlock);
      auto place = [&](Value position) -> Value {
        return arith::SubIOp::create(b, position, start);
      };
      auto row = [&](Value position) -> Value {
        return arith::SubIOp::create(b, position, frame.past);
      };
      forLoop(b, zero, indexConstant(b, shape.headSize), 1, [&](Value d) {
        Value to = addIndex(b, keyBase, mulIndex(b, d, kCacheBlock));
        Value column = addIndex(b, mulIndex(b, head, shape.headSize), d);
        forLoop(b, low, high, 1, [&](Value position) {
          Value from = rowIndex(b, row(position), shape.k, column);
          Value element = memref::LoadOp::create(b, keys, from);
          memref::StoreOp::create(b, element, cache, addIndex(b, to, place(position)));
        });
      });
      forLoop(b, low, high, 1, [&](Value position) {
        Value from = rowIndex(b, row(position), shape.v, mulIndex(b, head, shape.valueSize));
        Value to = addIndex(b, valueBase, mulIndex(b, place(position), shape.valueSize));
        l.forColumns(shape.valueSize, [&](Value column, int64_t count) {
          l.store(l.load(values, addIndex(b, from, column), count), cache, addIndex(b, to, column),
                  count);
        });
      });
    });
  };
  return builder.getOrCreate(
      kernelName("cache_store",
                 {shape.kvHeads, shape.headSize, shape.valueSize, shape.k.stride, shape.v.stride}),
      4, 0, body);
}
