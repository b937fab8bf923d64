//===- DotAmx.cpp - blocks of integer dot products with AMX-INT8 ------------------------===//
//
// Tile registers have 16 rows of 64 bytes: 16 rows of up to 64 inputs, as many quads of inputs by
// 16 outputs of codes, or 16 by 16 sums. tdpbsud takes signed bytes from the first and unsigned
// ones from the second. A block of 32 by 32 fills all eight. LLVM's own pass configures the
// registers: every shape here is a constant, so it does so once, outside of loops.
//
#include "Dots.h"

#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace llmc;

namespace {

constexpr int64_t kTileRows = 16, kTileBytes = 64;

/// A memory of a block: where it starts, and the bytes between its rows.
struct Plane {
  Value start, stride;
};

/// Emits the instructions for one block.
class AmxEmitter {
public:
  explicit AmxEmitter(BlockI8Op op)
      : b(op.getLoc(), op), op(op), word(b.getI64Type()),
        pointer(b.getType<LLVM::LLVMPointerType>()), tile(b.getType<LLVM::LLVMX86AMXType>()),
        depth(static_cast<int64_t>(op.getDepth())),
        rowTiles(static_cast<int64_t>(op.getRows()) / kTileRows),
        columnTiles(static_cast<int64_t>(op.getColumns()) / kTileRows) {}

  void emit();

private:
  Value constant(int64_t value, unsigned bits) {
    return LLVM::ConstantOp::create(b, b.getIntegerType(bits),
                                    b.getIntegerAttr(b.getIntegerType(bits), value));
  }
  /// Sizes of tiles are words of 16 bits.
  Value size(int64_t value) { return constant(value, 16); }
  Plane plane(Value memory, Value at, uint64_t stride);
  Value byteAfter(Value start, Value distance) {
    return LLVM::GEPOp::create(b, pointer, b.getI8Type(), start, ValueRange{distance});
  }
  Value byteAfter(Value start, int64_t distance) {
    return distance ? byteAfter(start, constant(distance, 64)) : start;
  }
  Value load(const Plane &from, Value start, int64_t rows, int64_t bytes) {
    return callIntrinsic(b, tile, "llvm.x86.tileloadd64.internal",
                         {size(rows), size(bytes), start, from.stride});
  }
  SmallVector<Value> multiply(const Plane &inputs, const Plane &codes, Value input,
                              ValueRange sums);

  ImplicitLocOpBuilder b;
  BlockI8Op op;
  Type word, pointer, tile;
  int64_t depth, rowTiles, columnTiles;
};

} // namespace

Plane AmxEmitter::plane(Value memory, Value at, uint64_t stride) {
  auto type = cast<MemRefType>(memory.getType());
  int64_t bytes = type.getElementTypeBitWidth() / 8;
  Type descriptor = LLVMTypeConverter(b.getContext()).convertType(type);
  Value fields = UnrealizedConversionCastOp::create(b, descriptor, memory).getResult(0);
  Value base = LLVM::ExtractValueOp::create(b, fields, ArrayRef<int64_t>{1});
  Value index = arith::IndexCastOp::create(b, word, at);
  Value start = LLVM::GEPOp::create(b, pointer, type.getElementType(), base, ValueRange{index});
  return {start, constant(static_cast<int64_t>(stride) * bytes, 64)};
}

// Adds the products of `depth` inputs from input `input` (i64) on to the tiles of sums.
SmallVector<Value> AmxEmitter::multiply(const Plane &inputs, const Plane &codes, Value input,
                                        ValueRange sums) {
  auto inputStride = static_cast<int64_t>(op.getInputStride());
  auto codeStride = static_cast<int64_t>(op.getCodeStride());
  Value firstInput = byteAfter(inputs.start, input);
  Value quads = LLVM::MulOp::create(b, input, constant(codeStride / 4, 64));
  Value firstCode = byteAfter(codes.start, quads);
  SmallVector<Value> rows, columns, next;
  for (int64_t r = 0; r < rowTiles; ++r)
    rows.push_back(
        load(inputs, byteAfter(firstInput, r * kTileRows * inputStride), kTileRows, depth));
  for (int64_t c = 0; c < columnTiles; ++c)
    columns.push_back(load(codes, byteAfter(firstCode, c * kTileBytes), depth / 4, kTileBytes));
  for (int64_t r = 0; r < rowTiles; ++r)
    for (int64_t c = 0; c < columnTiles; ++c)
      next.push_back(callIntrinsic(b, tile, "llvm.x86.tdpbsud.internal",
                                   {size(kTileRows), size(kTileBytes), size(depth),
                                    sums[r * columnTiles + c], rows[r], columns[c]}));
  return next;
}

void AmxEmitter::emit() {
  Plane sums = plane(op.getSums(), op.getSumStart(), op.getSumStride());
  Plane inputs = plane(op.getX(), op.getInputStart(), op.getInputStride());
  Plane codes = plane(op.getCodes(), op.getCodeStart(), op.getCodeStride());
  SmallVector<Value> places, tiles;
  for (int64_t r = 0; r < rowTiles; ++r)
    for (int64_t c = 0; c < columnTiles; ++c) {
      int64_t row = r * kTileRows * static_cast<int64_t>(op.getSumStride()) * 4;
      places.push_back(byteAfter(sums.start, row + c * kTileBytes));
      tiles.push_back(op.getAccumulate() ? load(sums, places.back(), kTileRows, kTileBytes)
                                         : callIntrinsic(b, tile, "llvm.x86.tilezero.internal",
                                                         {size(kTileRows), size(kTileBytes)}));
    }
  auto count = static_cast<int64_t>(op.getInputs());
  auto loop =
      scf::ForOp::create(b, constant(0, 64), constant(count, 64), constant(depth, 64), tiles,
                         [&](OpBuilder &builder, Location, Value input, ValueRange carried) {
                           OpBuilder::InsertionGuard guard(b);
                           b.setInsertionPointToEnd(builder.getInsertionBlock());
                           scf::YieldOp::create(b, multiply(inputs, codes, input, carried));
                         });
  for (auto [place, result] : llvm::zip(places, loop.getResults()))
    LLVM::CallIntrinsicOp::create(
        b, b.getStringAttr("llvm.x86.tilestored64.internal"),
        ValueRange{size(kTileRows), size(kTileBytes), place, sums.stride, result});
  op.erase();
}

void llmc::lowerBlocksAmx(ModuleOp module) {
  module.walk([](BlockI8Op op) { AmxEmitter(op).emit(); });
}
