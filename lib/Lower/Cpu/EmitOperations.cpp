//===- EmitOperations.cpp - calls of kernels, operation by operation --------------------===//
//
// Where an operation's operands lie, which kernel computes it, and which part of it this thread
// has.
//
#include "StepEmitter.h"

#include "llmc/Lower/Cpu/AttentionKernels.h"
#include "llmc/Lower/Cpu/CodeFormat.h"
#include "llmc/Lower/Cpu/LinearKernels.h"
#include "llmc/Lower/Cpu/RowKernels.h"

#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace llmc;

Place StepEmitter::placeOf(Value value) {
  exec::BufferType type = exec::getBufferType(value);
  Place place;
  if (type.getElementType().isF32() || type.getElementType().isInteger(8))
    place.buffer = {type.getWidth(), type.getStride()};
  place.own = type.isPrivate();
  auto [owner, column] = exec::getViewed(value);
  place.bound = dyn_cast<BlockArgument>(owner);
  if (place.bound) {
    place.offset = column * type.getElementType().getIntOrFloatBitWidth() / 8;
    return place;
  }
  place.offset = exec::getPlace(value);
  place.tail = isa<exec::TailOp>(owner.getDefiningOp()->getParentOp());
  return place;
}

Value StepEmitter::offsetOf(Value value) {
  Place place = placeOf(value);
  Value offset = constant(place.offset);
  if (place.bound)
    offset = arith::AddIOp::create(
        b, offset, ofTurn(llvm::map_to_vector(repeat.getBound(place.bound), exec::getPlace)));
  if (place.own)
    offset = arith::AddIOp::create(b, own, offset);
  // The tail reads rows of the body from where its block starts, a sequence those that are its own.
  Value first = tailStart && !place.tail ? tailStart : ownerRow;
  if (!first)
    return offset;
  Value bytes = constant(exec::getBufferType(value).getRowBytes());
  return arith::AddIOp::create(b, offset, arith::MulIOp::create(b, first, bytes));
}

Value StepEmitter::weightOffset(Value packed) {
  if (auto bound = dyn_cast<BlockArgument>(packed))
    return ofTurn(llvm::map_to_vector(repeat.getBound(bound), exec::getFileOffset));
  return constant(exec::getFileOffset(packed));
}

Value StepEmitter::cachePlace(StringRef name) {
  ArrayAttr names = repeat ? repeat.getCachesOf(name) : ArrayAttr();
  if (!names)
    return constant(caches[name].second);
  return ofTurn(llvm::map_to_vector(names.getAsRange<FlatSymbolRefAttr>(),
                                    [&](auto cache) { return caches[cache.getValue()].second; }));
}

void StepEmitter::call(const Kernel &kernel, ArrayRef<Value> offsets) {
  func::FuncOp function = kernel.function;
  if (!function->hasAttr("llvm.linkage")) {
    function->setAttr("llvm.linkage",
                      LLVM::LinkageAttr::get(b.getContext(), LLVM::Linkage::Internal));
    // One body for all layers: inlining would copy it for each of them.
    function->setAttr("passthrough", b.getStrArrayAttr({"noinline"}));
  }
  scratchBytes = std::max(scratchBytes, (kernel.scratchBytes + 63) / 64 * 64);
  // What each thread needs whole is computed by each as if it were alone.
  Value destination = current.getDestination();
  bool alone = destination && exec::getBufferType(destination).isPrivate();
  // To a kernel that goes by sequences, these are rows of sequences of one.
  bool perSequence = llvm::any_of(current->getOperandTypes(), [](Type type) {
    auto buffer = dyn_cast<exec::BufferType>(type);
    return buffer && buffer.getPerSequence();
  });
  if (auto generic = dyn_cast<exec::GenericOp>(*current))
    perSequence &= generic.getEach() == exec::Each::Row;
  SmallVector<Value> arguments = {arena, weights, kv, currentRows, sequence, past};
  if (perSequence) {
    arguments[3] = arith::DivUIOp::create(b, currentRows, sequence);
    arguments[4] = constant(1);
  }
  arguments.push_back(alone ? constant(0) : thread);
  arguments.push_back(alone ? constant(1) : threads);
  arguments.push_back(scratch);
  auto [begin, end] = kernel.columns ? columnsOf(current, kernel.columns, kernel.unit)
                                     : std::pair(constant(0), constant(0));
  arguments.append({begin, end});
  arguments.append(offsets.begin(), offsets.end());
  func::CallOp::create(b, function, arguments);
}

void StepEmitter::forSequences(function_ref<void()> emit) {
  if (program.getRole() != exec::Role::Step || tailStart)
    return emit();
  MLIRContext *context = b.getContext();
  Type pointer = LLVM::LLVMPointerType::get(context), i64 = b.getI64Type();
  // As !owner of the interface: cache, positions before and behind the call.
  Type owner = LLVM::LLVMStructType::getLiteral(context, {pointer, i64, i64});
  Value whole[] = {kv, past, total, currentRows};
  forLoop(b, constant(0), ownerCount, 1, [&](Value i) {
    Value at = arith::IndexCastOp::create(b, i64, i);
    auto field = [&](int32_t number, Type type) -> Value {
      Value address =
          LLVM::GEPOp::create(b, pointer, owner, owners, ArrayRef<LLVM::GEPArg>{at, number});
      return LLVM::LoadOp::create(b, type, address);
    };
    kv = func::CallOp::create(b, config.prefix + "_memory", TypeRange{kv.getType()},
                              ValueRange{field(0, pointer)})
             .getResult(0);
    past = arith::IndexCastOp::create(b, b.getIndexType(), field(1, i64));
    total = arith::IndexCastOp::create(b, b.getIndexType(), field(2, i64));
    currentRows = sequence;
    ownerRow = arith::MulIOp::create(b, i, sequence);
    emit();
  });
  std::tie(kv, past, total, currentRows) = std::tie(whole[0], whole[1], whole[2], whole[3]);
  ownerRow = {};
}

std::pair<Value, Value> StepEmitter::columnsOf(exec::KernelOpInterface op, int64_t width,
                                               int64_t unit) {
  std::vector<int64_t> share = {unit, width, 0, width, 0};
  if (exec::ShareAttr given = op.getPartition())
    share = {given.getUnit(), given.getTotal(), given.getFirst(), given.getWidth(),
             given.getColumn()};
  share.push_back(width);
  auto [known, isNew] = knownRanges.try_emplace(share);
  if (!isNew)
    return known->second;
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(anchor);
  int64_t first = share[2], all = share[3], column = share[4];
  auto bound = [&](Value index) -> Value {
    Value at =
        arith::DivUIOp::create(b, arith::MulIOp::create(b, constant(share[1]), index), threads);
    // Subtraction stays above zero, as indices are compared without a sign.
    at = arith::SubIOp::create(b, arith::MaxUIOp::create(b, at, constant(first)), constant(first));
    at = arith::MulIOp::create(b, arith::CeilDivUIOp::create(b, at, constant(share[0])),
                               constant(share[0]));
    at = arith::MinUIOp::create(b, at, constant(all));
    at =
        arith::SubIOp::create(b, arith::MaxUIOp::create(b, at, constant(column)), constant(column));
    return arith::MinUIOp::create(b, at, constant(width));
  };
  Value begin = bound(thread), end = bound(arith::AddIOp::create(b, thread, constant(1)));
  return known->second = {begin, end};
}

void StepEmitter::barrier() {
  func::CallOp::create(b, config.prefix + "_barrier", TypeRange{}, ValueRange{job, thread});
}

static Type contentOf(Value packed) { return exec::getPackedType(packed).getContent(); }

/// Kernels load and store whole lines of codes.
static LogicalResult verifyCodes(Operation *op, Value codes) {
  exec::BufferType type = exec::getBufferType(codes);
  if (exec::getViewed(codes).column == 0 && type.getStride() % kCodeLine == 0)
    return success();
  return op->emitError("expects codes in rows of whole lines of ")
         << kCodeLine << " bytes on this target, got " << type;
}

LogicalResult StepEmitter::emitQuantize(exec::QuantizeOp op) {
  if (failed(verifyCodes(op, op.getCodes())))
    return failure();
  Kernel kernel =
      getQuantizeKernel(kernels, placeOf(op.getInput()).buffer, placeOf(op.getCodes()).buffer,
                        placeOf(op.getScales()).buffer, op.getGroup(), op.getScale() != nullptr);
  SmallVector<Value> offsets = {offsetOf(op.getInput())};
  if (op.getScale())
    offsets.push_back(weightOffset(op.getScale()));
  offsets.append({offsetOf(op.getCodes()), offsetOf(op.getScales())});
  call(kernel, offsets);
  return success();
}

LogicalResult StepEmitter::emitLinear(exec::LinearOp op) {
  // Whole tiles are stored, whose padding another thread's columns must not be.
  int64_t tile = linearTileRows(config.vectors);
  exec::BufferType result = exec::getBufferType(op.getOutput());
  exec::ShareAttr share = op.getShareAttr();
  if (result.getStride() / tile < (result.getWidth() + tile - 1) / tile ||
      (share && (share.getUnit() % tile || share.getColumn() % tile)))
    return op.emitError("expects rows and shares of whole tiles of ")
           << tile << " columns on this target, got " << result
           << (share ? " and a share in units of " + std::to_string(share.getUnit()) : "");
  if (op.getScales() && failed(verifyCodes(op, op.getInput())))
    return failure();
  std::optional<int64_t> group;
  if (op.getScales())
    group = op.getGroup();
  CodeFormat format = getCodeFormat(contentOf(op.getWeight()), group);
  ArrayRef<int64_t> shape = getWeightShape(contentOf(op.getWeight()));
  std::optional<RowBuffer> residual;
  if (op.getResidual())
    residual = placeOf(op.getResidual()).buffer;
  Kernel kernel =
      getLinearKernel(kernels, format, shape[0], shape[1], placeOf(op.getInput()).buffer,
                      placeOf(op.getOutput()).buffer, op.getBias() != nullptr, residual,
                      op.getScales() ? placeOf(op.getScales()).buffer : RowBuffer());
  SmallVector<Value> offsets = {offsetOf(op.getInput()), weightOffset(op.getWeight())};
  if (op.getBias())
    offsets.push_back(weightOffset(op.getBias()));
  if (op.getResidual())
    offsets.push_back(offsetOf(op.getResidual()));
  offsets.push_back(offsetOf(op.getOutput()));
  if (op.getScales())
    offsets.push_back(offsetOf(op.getScales()));
  call(kernel, offsets);
  return success();
}

/// What attention with and without a cache has in common.
template <typename Op> static AttentionShape attentionShape(Op op) {
  AttentionShape shape;
  shape.heads = op.getHeads();
  shape.kvHeads = op.getKvHeads();
  shape.scale = op.getScale().convertToDouble();
  shape.causal = op.getCausal();
  shape.window = op.getWindow();
  shape.softcap = op.getSoftcap().convertToDouble();
  return shape;
}

void StepEmitter::emitAttention(exec::AttentionOp op) {
  AttentionShape shape = attentionShape(op);
  shape.q = placeOf(op.getQuery()).buffer;
  shape.k = placeOf(op.getKey()).buffer;
  shape.v = placeOf(op.getValue()).buffer;
  shape.y = placeOf(op.getOutput()).buffer;
  shape.headSize = shape.k.width / shape.kvHeads;
  shape.valueSize = shape.v.width / shape.kvHeads;
  shape.hasMask = op.getMask() != nullptr;
  SmallVector<Value> offsets = {offsetOf(op.getQuery()), offsetOf(op.getKey()),
                                offsetOf(op.getValue())};
  if (op.getMask())
    offsets.push_back(offsetOf(op.getMask()));
  offsets.push_back(offsetOf(op.getOutput()));
  call(getAttentionKernel(kernels, shape), offsets);
}

void StepEmitter::emitCachedAttention(exec::CachedAttentionOp op) {
  const CacheLayout &layout = caches[op.getCache()].first;
  AttentionShape shape = attentionShape(op);
  shape.q = placeOf(op.getQuery()).buffer;
  shape.y = placeOf(op.getOutput()).buffer;
  shape.headSize = layout.headSize;
  shape.valueSize = layout.valueSize;
  shape.cacheElement = layout.element;
  shape.byteProducts = layout.quads;
  call(getCachedAttentionKernel(kernels, shape),
       {offsetOf(op.getQuery()), offsetOf(op.getOutput()), cachePlace(op.getCache()),
        constant(kvBlockBytes)});
}

void StepEmitter::emitCacheStore(exec::CacheStoreOp op) {
  RowBuffer rows = placeOf(op.getInput()).buffer;
  const CacheLayout &layout = caches[op.getCache()].first;
  Kernel kernel = op.getPart() == CachePart::Keys ? getKeyStoreKernel(kernels, layout, rows)
                                                  : getValueStoreKernel(kernels, layout, rows);
  call(kernel, {offsetOf(op.getInput()), cachePlace(op.getCache()), constant(kvBlockBytes)});
}

void StepEmitter::emitEmbedding(exec::EmbeddingOp op) {
  exec::PackedType table = exec::getPackedType(op.getTable());
  CodeFormat format = getCodeFormat(table.getContent());
  ArrayRef<int64_t> shape = getWeightShape(table.getContent());
  RowBuffer buffer = placeOf(op.getOutput()).buffer;
  Kernel kernel = table.getForm() == exec::Form::Linear
                      ? getPackedEmbeddingKernel(kernels, format, shape[0], shape[1], buffer)
                      : getEmbeddingKernel(kernels, format, shape[0], shape[1], buffer);
  call(kernel, {offsetOf(op.getIds()), weightOffset(op.getTable()), offsetOf(op.getOutput())});
}

/// The offset of the table of this call.
Value StepEmitter::ropeTable(exec::RopeOp op) {
  Value table = weightOffset(op.getTable());
  if (!op.getLongTable())
    return table;
  Value isLong =
      arith::CmpIOp::create(b, arith::CmpIPredicate::ugt, total, constant(op.getOriginalContext()));
  return arith::SelectOp::create(b, isLong, weightOffset(op.getLongTable()), table);
}

void StepEmitter::emitExpect(exec::ExpectOp op) {
  RowBuffer actual = placeOf(op.getActual()).buffer;
  bool inWeights = isa<exec::PackedType>(op.getExpected().getType());
  RowBuffer expected =
      inWeights ? RowBuffer{actual.width, actual.width} : placeOf(op.getExpected()).buffer;
  call(getExpectKernel(kernels, actual, expected, op.getAtol().convertToDouble(),
                       op.getRtol().convertToDouble(), op.getExact(), inWeights),
       {offsetOf(op.getActual()),
        inWeights ? weightOffset(op.getExpected()) : offsetOf(op.getExpected()),
        offsetOf(op.getOutput())});
}

/// The names that kernels have for the operation.
static StringRef kernelKind(exec::BinaryKind kind) { return exec::stringifyBinaryKind(kind); }

LogicalResult StepEmitter::emitOp(Operation &op) {
  current = cast<exec::KernelOpInterface>(op);
  auto buffer = [&](Value value) { return placeOf(value).buffer; };
  return TypeSwitch<Operation *, LogicalResult>(&op)
      .Case<exec::LinearOp>([&](auto linear) { return emitLinear(linear); })
      .Case<exec::QuantizeOp>([&](auto quantize) { return emitQuantize(quantize); })
      .Case<exec::AttentionOp>([&](auto attention) { return emitAttention(attention), success(); })
      .Case<exec::CachedAttentionOp>([&](auto attention) {
        forSequences([&] { emitCachedAttention(attention); });
        return success();
      })
      .Case<exec::CacheStoreOp>([&](auto store) {
        forSequences([&] { emitCacheStore(store); });
        return success();
      })
      .Case<exec::EmbeddingOp>([&](auto embedding) { return emitEmbedding(embedding), success(); })
      .Case<exec::GenericOp>([&](auto generic) { return emitBody(generic); })
      .Case<exec::ExpectOp>([&](auto expect) { return emitExpect(expect), success(); })
      .Case<exec::CopyOp>([&](exec::CopyOp copy) {
        if (isa<exec::PackedType>(copy.getInput().getType()))
          copyWeightRows(copy);
        else
          copyLogits(copy);
        return success();
      })
      .Case<exec::BinaryOp>([&](exec::BinaryOp binary) {
        call(getBinaryKernel(kernels, kernelKind(binary.getKind()), buffer(binary.getLhs()),
                             buffer(binary.getRhs()), buffer(binary.getOutput())),
             {offsetOf(binary.getLhs()), offsetOf(binary.getRhs()), offsetOf(binary.getOutput())});
        return success();
      })
      .Case<exec::PositionsOp>([&](exec::PositionsOp positions) {
        forSequences([&] {
          call(getPositionsKernel(kernels, positions.getOffset()),
               {offsetOf(positions.getOutput())});
        });
        return success();
      })
      .Case<exec::RMSNormOp>([&](exec::RMSNormOp norm) {
        call(
            getRMSNormKernel(kernels, buffer(norm.getInput()), buffer(norm.getOutput()),
                             norm.getGroups(), norm.getEps().convertToDouble()),
            {offsetOf(norm.getInput()), weightOffset(norm.getScale()), offsetOf(norm.getOutput())});
        return success();
      })
      .Case<exec::LayerNormOp>([&](exec::LayerNormOp norm) {
        SmallVector<Value> offsets = {offsetOf(norm.getInput()), weightOffset(norm.getScale())};
        if (norm.getBias())
          offsets.push_back(weightOffset(norm.getBias()));
        offsets.push_back(offsetOf(norm.getOutput()));
        call(getLayerNormKernel(kernels, buffer(norm.getInput()), buffer(norm.getOutput()),
                                norm.getEps().convertToDouble(), norm.getBias() != nullptr),
             offsets);
        return success();
      })
      .Case<exec::RopeOp>([&](exec::RopeOp rope) {
        int64_t pairs = getWeightShape(contentOf(rope.getTable()))[1] / 2;
        forSequences([&] {
          call(getRopeKernel(kernels, buffer(rope.getInput()), buffer(rope.getOutput()),
                             rope.getHeads(), pairs, rope.getLayout()),
               {offsetOf(rope.getInput()), ropeTable(rope), offsetOf(rope.getOutput())});
        });
        return success();
      })
      .Case<exec::GateOp>([&](exec::GateOp gate) {
        call(getGatedActivationKernel(kernels, gate.getKind(), buffer(gate.getGate()),
                                      buffer(gate.getUp()), buffer(gate.getOutput())),
             {offsetOf(gate.getGate()), offsetOf(gate.getUp()), offsetOf(gate.getOutput())});
        return success();
      })
      .Case<exec::ActivationOp>([&](exec::ActivationOp activation) {
        call(getActivationKernel(kernels, activation.getKind(), buffer(activation.getInput()),
                                 buffer(activation.getOutput())),
             {offsetOf(activation.getInput()), offsetOf(activation.getOutput())});
        return success();
      })
      .Case<exec::SoftmaxOp>([&](exec::SoftmaxOp softmax) {
        call(getSoftmaxKernel(kernels, buffer(softmax.getInput()), buffer(softmax.getOutput())),
             {offsetOf(softmax.getInput()), offsetOf(softmax.getOutput())});
        return success();
      })
      .Case<exec::ScaleOp>([&](exec::ScaleOp scale) {
        call(getScaleKernel(kernels, scale.getFactor().convertToDouble(), buffer(scale.getInput()),
                            buffer(scale.getOutput())),
             {offsetOf(scale.getInput()), offsetOf(scale.getOutput())});
        return success();
      })
      .Default([&](Operation *other) { return other->emitError("has no kernel for processors"); });
}
