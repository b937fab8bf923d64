//===- TileEmbedding.cpp - kernels of embedding -----------------------------------------===//
//
// One row of a table for each id: from a table of its own, or out of the packed matrix of the
// output layer it is tied to. A row is a few thousand weights, so both work on one weight at a
// time.
//
#include "llmc/Lower/Cpu/LinearKernels.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace llmc;

namespace {

/// Small arithmetic on indices and scalars.
struct Scalars {
  ImplicitLocOpBuilder &b;
  VectorShape shape;

  Value index(int64_t value) { return indexConstant(b, value); }
  Value integer(int64_t value) {
    return arith::ConstantOp::create(b, b.getI32IntegerAttr(static_cast<int32_t>(value)));
  }
  Value add(Value a, Value c) { return arith::AddIOp::create(b, a, c); }
  Value add(Value a, int64_t c) { return add(a, index(c)); }
  Value times(Value a, int64_t c) { return arith::MulIOp::create(b, a, index(c)); }
  Value quotient(Value a, int64_t c) { return arith::DivUIOp::create(b, a, index(c)); }
  Value remainder(Value a, int64_t c) { return arith::RemUIOp::create(b, a, index(c)); }
  Value least(Value a, Value c) { return arith::MinUIOp::create(b, a, c); }
  Value load(Value memory, Value at) { return memref::LoadOp::create(b, memory, ValueRange{at}); }
  void store(Value value, Value memory, Value at) {
    memref::StoreOp::create(b, value, memory, ValueRange{at});
  }
  Value toInteger(Value index) { return arith::IndexCastUIOp::create(b, b.getI32Type(), index); }
  Value toIndex(Value integer) {
    return arith::IndexCastUIOp::create(b, b.getIndexType(), integer);
  }
  Value byte(Value memory, Value at) {
    return arith::ExtUIOp::create(b, b.getI32Type(), load(memory, at));
  }
  Value widen(Value value) { return widenFloat(b, value, shape); }
  Value toFloat(Value integer) { return arith::SIToFPOp::create(b, b.getF32Type(), integer); }
  /// (code - zero) * scale
  Value affine(Value code, Value zero, Value scale) {
    Value difference = arith::SubIOp::create(b, code, zero);
    return arith::MulFOp::create(b, toFloat(difference), scale);
  }
  /// Code `digit` of a byte of five ternary codes.
  Value trit(Value byte, Value digit) {
    constexpr int64_t kPowers = 0x511b090301; // 1, 3, 9, 27 and 81.
    Type wide = b.getI64Type();
    auto constant = [&](int64_t value) -> Value {
      return arith::ConstantOp::create(b, b.getI64IntegerAttr(value));
    };
    Value shift = arith::IndexCastUIOp::create(b, wide, times(digit, 8));
    Value power = arith::ShRUIOp::create(b, constant(kPowers), shift);
    power = arith::AndIOp::create(b, power, constant(255));
    Value rest = arith::MulIOp::create(b, arith::ExtUIOp::create(b, wide, byte), power);
    rest = arith::AndIOp::create(b, rest, constant(255));
    Value code =
        arith::ShRUIOp::create(b, arith::MulIOp::create(b, rest, constant(3)), constant(8));
    return arith::TruncIOp::create(b, b.getI32Type(), code);
  }
  /// table[code] * scale
  Value lookUp(Value code, ArrayRef<float> table, Value scale) {
    auto type = VectorType::get({16}, b.getF32Type());
    Value levels = arith::ConstantOp::create(b, DenseElementsAttr::get(type, table));
    Value level = vector::ExtractOp::create(b, levels, toIndex(code));
    return arith::MulFOp::create(b, level, scale);
  }
};

/// Finds single weights in a matrix packed by packLinear. Offsets are in bytes.
struct PackedReader {
  Scalars s;
  const LinearLayout &layout;
  Value elements, words, bytes; ///< views over the whole matrix.

  /// Bits of `planes`, whose first lies at byte `at` (lane included), of symbol `symbol` of a block
  /// with `count` symbols (an index value, since the last block is short).
  Value readPlanes(Value at, ArrayRef<unsigned> planes, Value count, Value symbol, Value &end) {
    ImplicitLocOpBuilder &b = s.b;
    Value result = s.integer(0);
    int64_t low = 0;
    for (unsigned width : planes) {
      int64_t slots = 8 / width; // CodePlace, for a symbol known only at run time.
      Value quad = s.quotient(symbol, 4);
      Value row = s.times(s.quotient(quad, slots), 4 * layout.tileRows);
      Value dword = s.quotient(s.add(at, row), 4);
      Value bit =
          s.add(s.times(s.remainder(symbol, 4), 8), s.times(s.remainder(quad, slots), width));
      Value shift = s.toInteger(bit);
      Value part = arith::ShRUIOp::create(b, s.load(words, dword), shift);
      part = arith::AndIOp::create(b, part, s.integer((int64_t(1) << width) - 1));
      result = arith::OrIOp::create(b, result,
                                    arith::ShLIOp::create(b, part, s.integer(low)).getResult());
      Value dwords = s.quotient(s.add(s.times(count, width), 31), 32);
      at = s.add(at, s.times(dwords, 4 * layout.tileRows));
      low += width;
    }
    end = at;
    return result;
  }
};

} // namespace

// The part every embedding kernel shares: the rows of this thread, and the table's row of each.
static Kernel
makeKernel(KernelBuilder &builder, StringRef name,
           function_ref<void(ImplicitLocOpBuilder &, KernelFrame &, Value row, Value id)> body) {
  return builder.getOrCreate(name, 3, 0, [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    Value ids = viewAs(b, frame.arena, frame.offsets[0], b.getI32Type());
    auto [begin, end] = threadRange(b, frame, frame.rows);
    forLoop(b, begin, end, 1, [&](Value row) {
      Value id = memref::LoadOp::create(b, ids, ValueRange{row});
      body(b, frame, row, arith::IndexCastUIOp::create(b, b.getIndexType(), id));
    });
  });
}

Kernel llmc::getEmbeddingKernel(KernelBuilder &builder, const CodeFormat &format, int64_t rows,
                                int64_t columns, RowBuffer y) {
  EmbeddingLayout layout(format, rows, columns);
  std::string name =
      llvm::formatv("embedding_{0}_{1}x{2}_y{3}", formatName(format), rows, columns, y.stride);
  return makeKernel(
      builder, name, [&](ImplicitLocOpBuilder &b, KernelFrame &frame, Value row, Value id) {
        Scalars s{b, builder.shape()};
        Value table = frame.offsets[1];
        Value start = s.add(s.add(table, layout.matrixHeader), s.times(id, layout.rowBytes));
        Value values = viewAs(b, frame.weights, start, format.element);
        Value out = viewRows(b, frame.arena, frame.offsets[2]);
        Value outStart = rowIndex(b, row, y, s.index(0));
        Value codes = viewAs(b, frame.weights, start, b.getI8Type());
        bool grouped = format.isGrouped();
        Value scales = grouped
                           ? viewAs(b, frame.weights, s.add(start, layout.scales), format.element)
                           : viewAs(b, frame.weights, table, format.element);
        forLoop(b, s.index(0), s.index(columns), 1, [&](Value i) {
          Value at = s.add(outStart, i);
          if (format.kind == CodeFormat::Kind::Dense) {
            s.store(s.widen(s.load(values, i)), out, at);
            return;
          }
          Value code;
          if (format.base3) {
            code = s.trit(s.byte(codes, s.quotient(i, 5)), s.remainder(i, 5));
          } else {
            Value bit = s.times(i, format.bits), byte = s.quotient(bit, 8);
            Value high = arith::ShLIOp::create(b, s.byte(codes, s.add(byte, 1)), s.integer(8));
            Value two = arith::OrIOp::create(b, s.byte(codes, byte), high);
            code = arith::ShRUIOp::create(b, two, s.toInteger(s.remainder(bit, 8)));
            code = arith::AndIOp::create(b, code, s.integer((int64_t(1) << format.bits) - 1));
          }
          Value group = grouped ? s.quotient(i, layout.group) : s.index(0);
          Value scale = s.widen(s.load(scales, group));
          if (format.kind == CodeFormat::Kind::Table) {
            s.store(s.lookUp(code, format.levels, scale), out, at);
            return;
          }
          Value zero = format.storesZeros() ? s.byte(codes, s.add(group, layout.zeros))
                                            : s.integer(format.constantZero());
          s.store(s.affine(code, zero, scale), out, at);
        });
      });
}

Kernel llmc::getPackedEmbeddingKernel(KernelBuilder &builder, const CodeFormat &linearFormat,
                                      int64_t rows, int64_t columns, RowBuffer y) {
  CodeFormat format = linearFormat;
  format.activations = CodeFormat::Activations::Float;
  format.activationGroup = 0;
  LinearLayout layout(format, rows, columns, builder.shape());
  std::string name = llvm::formatv("embedding_packed_{0}_{1}x{2}_y{3}", formatName(format), rows,
                                   columns, y.stride);
  return makeKernel(
      builder, name, [&](ImplicitLocOpBuilder &b, KernelFrame &frame, Value row, Value id) {
        Scalars s{b, builder.shape()};
        Value matrix = frame.offsets[1];
        PackedReader reader{s, layout, viewAs(b, frame.weights, matrix, format.element),
                            viewAs(b, frame.weights, matrix, b.getI32Type()),
                            viewAs(b, frame.weights, matrix, b.getI8Type())};
        Value out = viewRows(b, frame.arena, frame.offsets[2]);
        Value outStart = rowIndex(b, row, y, s.index(0));
        Value lane = s.remainder(id, layout.tileRows);
        Value tile = s.add(s.times(s.quotient(id, layout.tileRows), layout.tileBytes()),
                           layout.matrixHeader);
        bool dense = format.kind == CodeFormat::Kind::Dense;
        // The weight of symbol `symbol` of the block at `block` that starts at `start` with
        // `inputs` inputs, written to its place in the row.
        auto putSymbol = [&](Value unit, Value block, Value start, Value inputs, Value symbol) {
          Value count = inputs, input = symbol;
          if (layout.sparse) {
            Value rest = s.least(s.remainder(inputs, layout.keepM), s.index(layout.keepN));
            count = s.add(s.times(s.quotient(inputs, layout.keepM), layout.keepN), rest);
          }
          Value payload = s.add(block, s.times(lane, 4));
          if (layout.sparse) {
            Value position = reader.readPlanes(payload, layout.indexPlanes, count, symbol, payload);
            Value pattern = s.times(s.quotient(symbol, layout.keepN), layout.keepM);
            input = s.add(pattern, s.toIndex(position));
          }
          Value at = s.add(outStart, s.add(start, input));
          if (dense) {
            Value first =
                s.quotient(arith::SubIOp::create(b, payload, s.times(lane, 4)), layout.valueBytes);
            Value value = s.add(s.add(first, s.times(symbol, layout.tileRows)), lane);
            s.store(s.widen(s.load(reader.elements, value)), out, at);
            return;
          }
          Value code;
          if (layout.trits) {
            Value byte = s.byte(reader.bytes, s.add(payload, s.remainder(symbol, 4)));
            code = s.trit(byte, s.quotient(symbol, 4));
          } else {
            code = reader.readPlanes(payload, layout.codePlanes, count, symbol, payload);
          }
          Value scale, zero = s.integer(format.constantZero());
          if (format.kind == CodeFormat::Kind::Ternary) {
            scale = s.load(reader.elements, s.index(0));
          } else {
            Value inUnit = s.remainder(s.add(start, input), layout.unit);
            Value groupRow =
                s.add(s.times(s.quotient(inUnit, layout.group), layout.tileRows), lane);
            scale = s.load(reader.elements, s.add(s.quotient(unit, layout.scaleBytes), groupRow));
            int64_t zeros = layout.groupsPerUnit * layout.tileRows * layout.scaleBytes;
            if (format.storesZeros())
              zero = s.byte(reader.bytes, s.add(s.add(unit, zeros), groupRow));
          }
          bool isTable = format.kind == CodeFormat::Kind::Table;
          s.store(isTable ? s.lookUp(code, format.levels, s.widen(scale))
                          : s.affine(code, zero, s.widen(scale)),
                  out, at);
        };
        Value k = s.index(columns), none = s.index(0);
        forLoop(b, none, k, layout.unit, [&](Value unitStart) {
          Value unit = s.add(tile, s.times(s.quotient(unitStart, layout.unit), layout.unitBytes()));
          Value data = s.add(unit, layout.headerBytes());
          Value end = s.least(s.add(unitStart, layout.unit), k);
          forLoop(b, unitStart, end, layout.blockInputs, [&](Value start) {
            Value inputs =
                s.least(s.index(layout.blockInputs), arith::SubIOp::create(b, end, start));
            Value number =
                s.quotient(arith::SubIOp::create(b, start, unitStart), layout.blockInputs);
            Value block = s.add(data, s.times(number, layout.blockBytes(layout.blockInputs)));
            Value stored = inputs;
            if (layout.sparse) {
              Value zero = floatConstant(b, 0);
              forLoop(b, none, inputs, 1,
                      [&](Value i) { s.store(zero, out, s.add(outStart, s.add(start, i))); });
              Value rest = s.least(s.remainder(inputs, layout.keepM), s.index(layout.keepN));
              stored = s.add(s.times(s.quotient(inputs, layout.keepM), layout.keepN), rest);
            }
            forLoop(b, none, stored, 1,
                    [&](Value symbol) { putSymbol(unit, block, start, inputs, symbol); });
          });
        });
      });
}
