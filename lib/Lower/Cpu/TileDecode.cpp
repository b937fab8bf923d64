//===- TileDecode.cpp - rows times a packed tile from registers -------------------------===//
//
// The decode path: a weight is read, decoded in registers and multiplied with the input of each row
// at hand, broadcast to all lanes. Each row has the sums that it has alone. Scales and zero points
// are applied to the sum of a chunk, not to each weight. The loops are unit, chunk, span (only
// where integers would outgrow f32), block, tile of those that are decoded side by side, and
// symbols unrolled.
//
#include "TileLinear.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace llmc;

using Values = LinearEmitter::Values;

Values LinearEmitter::emitTiles(DecodeBlock block) {
  at = std::move(block);
  bool several = at.tiles > 1;
  ahead = (several ? plan.streamPrefetch : plan.prefetchDistance) / 4;
  // Rows are as many chains as sums that take turns.
  bool turns = at.rows() == 1 && !(several && plan.chunk > plan.stepInputs);
  sumSets = turns || plan.telescopes ? plan.sumSets : 1;
  Value base = tileBase(at.tile);
  distances.assign(1, index(0));
  for (int64_t s = 1; s < at.tiles; ++s)
    distances.push_back(
        arith::SubIOp::create(b, tileBase(add(at.tile, times(at.stride, s))), base));
  int64_t units = layout.k / layout.unit, rest = layout.k % layout.unit;
  int64_t unitDwords = layout.unitBytes() / 4;
  Values sums = zeros(floats, at.rows() * at.tiles * at.vectors);
  if (units == 1)
    sums = emitUnit(base, index(0), layout.unit, sums);
  else if (units > 1)
    sums = forLoop(b, index(0), index(units), 1, sums, [&](Value u, ValueRange carried) {
      return emitUnit(add(base, times(u, unitDwords)), times(u, layout.unit), layout.unit,
                      toValues(carried));
    });
  if (rest)
    sums = emitUnit(add(base, units * unitDwords), index(units * layout.unit), rest, sums);
  at = {};
  return sums;
}

// The machine's code for what was emitted before stays in front of what follows. LLVM would gather
// the prefetches and loads of all tiles at the start of a loop.
static void keepInOrder(ImplicitLocOpBuilder &b) {
  auto dialect = LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT);
  LLVM::InlineAsmOp::create(b, TypeRange(), ValueRange(), "", "~{memory}",
                            /*has_side_effects=*/true, /*is_align_stack=*/false,
                            LLVM::TailCallKind::None, dialect, ArrayAttr());
}

// Lets `emit` continue the part of `carried` that belongs to each tile, given the tile's distance
// from the first. Meanwhile there is no tile but that one.
Values LinearEmitter::eachTile(ValueRange carried,
                               function_ref<Values(Value distance, Values part)> emit) {
  const Values tiles = std::exchange(distances, Values(1, index(0)));
  size_t size = carried.size() / tiles.size();
  Values result;
  for (auto [tile, distance] : llvm::enumerate(tiles)) {
    if (tiles.size() > 1)
      keepInOrder(b);
    llvm::append_range(result, emit(distance, toValues(carried.slice(tile * size, size))));
  }
  distances = tiles;
  return result;
}

Values LinearEmitter::emitUnit(Value unit, Value start, int64_t length, Values sums) {
  Value data = add(unit, headerDwords());
  for (Value distance : distances)
    prefetch(add(unit, distance), headerDwords());
  int64_t chunk = plan.chunk, block = layout.blockInputs;
  if (chunk < block && chunk < length) {
    // Several chunks in each block.
    auto flushing = [&](Value place, Value from, int64_t inputs, Values carried) {
      return emitFlushingBlock(unit, place, from, inputs, carried);
    };
    int64_t blocks = length / block;
    if (blocks == 1)
      sums = flushing(data, start, block, sums);
    else if (blocks > 1)
      sums = forLoop(b, index(0), index(blocks), 1, sums, [&](Value i, ValueRange carried) {
        return flushing(add(data, times(i, dwords(block))), add(start, times(i, block)), block,
                        toValues(carried));
      });
    if (length % block)
      sums = flushing(add(data, blocks * dwords(block)), add(start, blocks * block), length % block,
                      sums);
    return sums;
  }
  int64_t chunks = length / chunk, chunkDwords = dwords(chunk);
  if (chunks == 1)
    sums = emitChunk(unit, data, start, chunk, sums);
  else if (chunks > 1)
    sums = forLoop(b, index(0), index(chunks), 1, sums, [&](Value c, ValueRange carried) {
      return emitChunk(unit, add(data, times(c, chunkDwords)), add(start, times(c, chunk)), chunk,
                       toValues(carried));
    });
  if (length % chunk)
    sums = emitChunk(unit, add(data, chunks * chunkDwords), add(start, chunks * chunk),
                     length % chunk, sums);
  return sums;
}

Values LinearEmitter::emitChunk(Value header, Value data, Value start, int64_t length,
                                Values sums) {
  if (distances.size() > 1 && length <= plan.stepInputs) {
    // No tile has a second step, so each ends its chunk before the next one begins.
    return eachTile(sums, [&](Value distance, Values part) {
      return emitChunk(add(header, distance), add(data, distance), start, length, part);
    });
  }
  if (layout.sparse && !plan.picks)
    rowZeros = zeroVectors(header, 0);
  if (!plan.wideChunks)
    return flush(header, 0, start, sums, emitBlocks(data, start, length, startSums(start)));
  int64_t span = plan.exactInputs, spans = length / span;
  auto addSpan = [&](Value place, Value from, int64_t inputs, Values carried) {
    Values partial = emitBlocks(place, from, inputs, zeros(floats, at.rows() * at.vectors));
    for (auto [total, part] : llvm::zip(carried, partial))
      total = arith::AddIOp::create(b, total, arith::FPToSIOp::create(b, ints, part));
    return carried;
  };
  Values totals = zeros(ints, at.rows() * at.vectors);
  if (spans)
    totals = forLoop(b, index(0), index(spans), 1, totals, [&](Value s, ValueRange carried) {
      return addSpan(add(data, times(s, dwords(span))), add(start, times(s, span)), span,
                     toValues(carried));
    });
  if (length % span)
    totals =
        addSpan(add(data, spans * dwords(span)), add(start, spans * span), length % span, totals);
  return flush(header, 0, start, sums, totals);
}

// Asks for the weights `ahead` of the `count` dwords at `at`: hardware prefetchers stop at the end
// of a page. Every line is asked for, those of headers too: a gap costs more than it saves.
void LinearEmitter::prefetch(Value place, int64_t count) {
  prefetchLines(b, wordView, add(place, ahead), count);
}

Values LinearEmitter::emitBlocks(Value data, Value start, int64_t length, Values partial) {
  int64_t block = layout.blockInputs, step = plan.stepInputs, steps = length / step;
  auto emitStep = [&](Value first, Value from, int64_t inputs, Values carried) {
    return eachTile(carried, [&](Value distance, Values part) {
      Value place = add(first, distance);
      for (int64_t done = 0; done < inputs; done += block) {
        int64_t size = std::min(block, inputs - done);
        prefetch(add(place, dwords(done)), dwords(size));
        part = multiplySymbols(add(place, dwords(done)), add(from, done), size, 0, size, part);
      }
      return part;
    });
  };
  if (steps == 1)
    partial = emitStep(data, start, step, partial);
  else if (steps > 1)
    partial = forLoop(b, index(0), index(steps), 1, partial, [&](Value i, ValueRange carried) {
      return emitStep(add(data, times(i, dwords(step))), add(start, times(i, step)), step,
                      toValues(carried));
    });
  if (length % step)
    partial =
        emitStep(add(data, steps * dwords(step)), add(start, steps * step), length % step, partial);
  return partial;
}

Values LinearEmitter::emitFlushingBlock(Value header, Value block, Value start, int64_t inputs,
                                        Values sums) {
  if (distances.size() > 1)
    return eachTile(sums, [&](Value distance, Values part) {
      return emitFlushingBlock(add(header, distance), add(block, distance), start, inputs, part);
    });
  prefetch(block, dwords(inputs));
  for (int64_t from = 0; from < inputs; from += plan.chunk) {
    int64_t to = std::min(from + plan.chunk, inputs);
    // Units of one block may hold several groups; longer units hold one.
    int64_t group = layout.groupsPerUnit > 1 ? from / layout.group : 0;
    if (layout.sparse && !plan.picks)
      rowZeros = zeroVectors(header, group);
    Values partial = startSums(add(start, from));
    partial = multiplySymbols(block, start, inputs, from, to, partial);
    sums = flush(header, group, add(start, from), sums, partial);
  }
  return sums;
}

// Adds the products of the kept weights of four inputs at each of `firsts`: each lane picks its
// input by index.
void LinearEmitter::multiplyPattern(Value block, ArrayRef<Value> firsts, int64_t inputs,
                                    int64_t pattern, int64_t begin, int64_t end, Values &partial) {
  auto four = VectorType::get({4}, b.getF32Type());
  SmallVector<int64_t> order;
  for (int64_t lane = 0; lane < lanes; ++lane)
    order.push_back(lane % 4);
  Values choices;
  for (Value first : firsts) {
    Value ofRow = load(four, at.inputs, add(first, pattern));
    choices.push_back(vector::ShuffleOp::create(b, ofRow, ofRow, order));
  }
  int64_t symbol = layout.symbols(pattern);
  for (int64_t kept = 0; kept < layout.keepN; ++kept, ++symbol)
    for (int64_t v = begin; v < end; ++v) {
      Value which = symbolIndexWord(block, symbol, v);
      Values picked;
      for (Value ofRow : choices)
        picked.push_back(PickOp::create(b, ofRow, which));
      Value weight =
          symbolValue(block, inputs, symbol, v, rowZeros.empty() ? Value() : rowZeros[v]);
      for (auto [r, ofRow] : llvm::enumerate(picked)) {
        Value &sum = partial[r * at.vectors + v];
        sum = fma(ofRow, weight, sum);
      }
    }
}

// The same of `length` inputs of any pattern: inputs are blended by the bits of the index.
void LinearEmitter::multiplyKept(Value block, ArrayRef<Value> firsts, int64_t inputs,
                                 int64_t pattern, int64_t length, Values &partial) {
  int64_t bits = 0;
  for (unsigned width : layout.indexPlanes)
    bits += width;
  SmallVector<Values> choices(firsts.size());
  for (auto [first, ofRow] : llvm::zip(firsts, choices))
    for (int64_t i = 0; i < length; ++i)
      ofRow.push_back(broadcast(loadScalar(at.inputs, add(first, pattern + i))));
  int64_t symbol = layout.symbols(pattern);
  for (int64_t kept = 0; kept < std::min(layout.keepN, length); ++kept, ++symbol)
    for (int64_t v = 0; v < at.vectors; ++v) {
      SmallVector<Values> levels = choices;
      for (int64_t bit = 0; bit < bits && levels[0].size() > 1; ++bit) {
        Value isOdd = symbolIndexBit(block, inputs, symbol, v, bit);
        for (Values &level : levels) {
          Values next;
          for (size_t i = 0; i < level.size(); i += 2)
            next.push_back(
                i + 1 < level.size()
                    ? arith::SelectOp::create(b, isOdd, level[i + 1], level[i]).getResult()
                    : level[i]);
          level = next;
        }
      }
      Value weight =
          symbolValue(block, inputs, symbol, v, rowZeros.empty() ? Value() : rowZeros[v]);
      for (auto [r, level] : llvm::enumerate(levels)) {
        Value &sum = partial[r * at.vectors + v];
        sum = fma(level[0], weight, sum);
      }
    }
}

// The same of inputs [from, to) where every weight is stored.
void LinearEmitter::multiplyDense(Value block, ArrayRef<Value> firsts, int64_t inputs, int64_t from,
                                  int64_t to, Values &partial) {
  // Codes that are decoded together are used together.
  int64_t together = plan.levelQuads ? 4 : 1;
  for (int64_t begin = from, end; begin < to; begin = end) {
    end = std::min(to, (begin / together + 1) * together);
    SmallVector<Values> values(firsts.size());
    for (auto [first, ofRow] : llvm::zip(firsts, values))
      for (int64_t i = begin; i < end; ++i)
        ofRow.push_back(broadcast(loadScalar(at.inputs, add(first, i))));
    for (int64_t v = 0; v < at.vectors; ++v)
      for (int64_t i = begin; i < end; ++i) {
        Value weight =
            plan.placedInputs ? placedCode(block, i, v) : symbolValue(block, inputs, i, v, {});
        for (auto [r, ofRow] : llvm::enumerate(values)) {
          Value &sum = partial[r * at.vectors + v];
          sum = fma(ofRow[i - begin], weight, sum);
        }
      }
  }
}

// Adds the products of inputs [from, to) of a block of `inputs` inputs that starts at input
// `start`.
Values LinearEmitter::multiplySymbols(Value block, Value start, int64_t inputs, int64_t from,
                                      int64_t to, Values partial) {
  if (plan.dots)
    return multiplyQuads(block, start, inputs, from, to, partial);
  startBlock();
  Values firsts = llvm::map_to_vector(at.starts, [&](Value row) { return add(row, start); });
  int64_t bits = 0;
  for (unsigned width : layout.indexPlanes)
    bits += width;
  if (!layout.sparse) {
    multiplyDense(block, firsts, inputs, from, to, partial);
  } else if (layout.keepM == 4 && bits == 2 && (to - from) % 4 == 0) {
    // Two vectors of rows at a time: words and zero points of more would not stay in registers.
    constexpr int64_t kTogether = 2;
    for (int64_t v = 0; v < at.vectors; v += kTogether)
      for (int64_t pattern = from; pattern < to; pattern += 4)
        multiplyPattern(block, firsts, inputs, pattern, v, std::min(v + kTogether, at.vectors),
                        partial);
  } else {
    // The header of a sparse chunk is one group; zero points are subtracted before the product,
    // since every output sums other inputs.
    for (int64_t pattern = from; pattern < to; pattern += layout.keepM)
      multiplyKept(block, firsts, inputs, pattern, std::min(layout.keepM, to - pattern), partial);
  }
  return partial;
}

// sums + scale * (partial - zero * sum of the chunk's inputs), with the activation's scale where it
// has one per group.
Values LinearEmitter::flush(Value header, int64_t group, Value chunkStart, Values sums,
                            Values partial) {
  if (size_t tiles = distances.size(); tiles > 1) {
    ArrayRef<Value> rest = partial;
    return eachTile(sums, [&](Value distance, Values part) {
      Values own(rest.take_front(partial.size() / tiles));
      rest = rest.drop_front(own.size());
      return flush(add(header, distance), group, chunkStart, part, own);
    });
  }
  Value chunk = arith::DivUIOp::create(b, chunkStart, index(plan.chunk));
  bool byZero = plan.correction == LinearPlan::Correction::Float ||
                plan.correction == LinearPlan::Correction::Integer;
  bool isPicked = plan.correction == LinearPlan::Correction::Picked;
  Values sumsOfInputs(at.rows()), activationScales(at.rows()), starts(at.rows());
  for (auto [r, row] : llvm::enumerate(at.places)) {
    if (byZero)
      sumsOfInputs[r] = inputSum(row, chunk);
    if (plan.telescopes)
      starts[r] = vector::BroadcastOp::create(b, ints, inputSum(row, chunk));
    if (plan.perGroup && !plan.folded) {
      Value block = arith::DivUIOp::create(b, chunkStart, index(plan.activationGroup));
      activationScales[r] = broadcast(loadScalar(scratch, add(add(row, plan.scaleStart), block)));
    }
  }
  size_t ofRow = partial.size() / at.rows();
  for (int64_t v = 0; v < at.vectors; ++v) {
    // Of a single row what is loaded comes right before its use.
    Value zero, scale;
    for (int64_t r = 0; r < at.rows(); ++r) {
      ArrayRef<Value> own = ArrayRef<Value>(partial).slice(r * ofRow, ofRow);
      Value value = joinSums(own, v, starts[r]);
      if (r == 0 && (byZero || isPicked))
        zero = zeroVector(header, group, v);
      value = isPicked ? correctPicked(value, zero, own[sumSets * at.vectors + v])
                       : correct(value, zero, sumsOfInputs[r]);
      if (r == 0)
        scale = scaleVector(header, group, v);
      Value factor = scale;
      if (scale && activationScales[r])
        factor = arith::MulFOp::create(b, scale, activationScales[r]);
      else if (!scale)
        factor = activationScales[r];
      Value &sum = sums[r * at.vectors + v];
      sum = factor ? fma(factor, value, sum) : arith::AddFOp::create(b, sum, value).getResult();
    }
  }
  return sums;
}
