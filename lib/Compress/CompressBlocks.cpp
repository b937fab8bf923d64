//===- CompressBlocks.cpp - compress each block behind those that are compressed already --===//
//
// Passes see the whole model, but select weights of the block at work only. What they record for
// each block becomes one record for each pass.
//
#include "llmc/Calibrate/BlockCalibrator.h"
#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/Compress/Passes.h"
#include "llmc/Compress/Provenance.h"
#include "llmc/Compress/Selection.h"
#include "llmc/IR/Layers.h"
#include "llmc/Numerics/Hash.h"

#include "mlir/Pass/PassManager.h"
#include "mlir/Pass/PassRegistry.h"

namespace llmc {
#define GEN_PASS_DEF_COMPRESSBLOCKS
#include "llmc/Compress/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

/// For each block its matrices. One that several blocks read belongs to the last of them.
static std::vector<SmallVector<Attribute>> matricesOf(ArrayRef<ModelBlock> blocks) {
  std::vector<SmallVector<Attribute>> names(blocks.size());
  llvm::StringMap<size_t> owner;
  for (auto [i, block] : llvm::enumerate(blocks))
    for (Operation *op : block.ops)
      for (Value operand : op->getOperands())
        if (auto weight = operand.getDefiningOp<WeightOp>())
          owner[weight.getWeightName()] = i;
  for (auto &[name, i] : owner)
    names[i].push_back(StringAttr::get(blocks[i].ops.front()->getContext(), name));
  return names;
}

/// The records of one pass over several blocks as one.
static DictionaryAttr joinRecords(DictionaryAttr first, DictionaryAttr second) {
  Builder b(first.getContext());
  SmallVector<Attribute> layers;
  for (DictionaryAttr record : {first, second})
    llvm::append_range(layers, record.getAs<ArrayAttr>("layers"));
  uint64_t input = 0;
  for (Attribute layer : layers) {
    uint64_t hash = 0;
    cast<DictionaryAttr>(layer).getAs<StringAttr>("input").getValue().getAsInteger(16, hash);
    input = hashBytes(&hash, 8, input);
  }
  NamedAttrList joined(first);
  joined.set("layers", b.getArrayAttr(layers));
  joined.set("input", b.getStringAttr(hashText(input)));
  return joined.getDictionary(first.getContext());
}

namespace {

/// What the passes have recorded so far, kept off the module so that each block begins as the first
/// did: the names of new blobs are numbered by it.
class Records {
public:
  explicit Records(ModuleOp module)
      : module(module), before(module->getAttrOfType<ArrayAttr>(kProvenanceAttr)) {}

  /// Takes those of a block.
  void take() {
    auto now = module->getAttrOfType<ArrayAttr>(kProvenanceAttr);
    size_t first = before ? before.size() : 0;
    for (Attribute attribute : now ? now.getValue().drop_front(first) : ArrayRef<Attribute>()) {
      auto record = cast<DictionaryAttr>(attribute);
      auto same = llvm::find_if(records, [&](DictionaryAttr other) {
        return other.get("pass") == record.get("pass") &&
               other.get("options") == record.get("options");
      });
      if (same == records.end())
        records.push_back(record);
      else
        *same = joinRecords(*same, record);
    }
    write({});
  }
  void finish() { write(records); }

private:
  void write(ArrayRef<DictionaryAttr> more) {
    SmallVector<Attribute> all;
    if (before)
      all.append(before.begin(), before.end());
    all.append(more.begin(), more.end());
    if (all.empty())
      module->removeAttr(kProvenanceAttr);
    else
      module->setAttr(kProvenanceAttr, ArrayAttr::get(module.getContext(), all));
  }

  ModuleOp module;
  ArrayAttr before;
  SmallVector<DictionaryAttr> records;
};

struct CompressBlocks : public llmc::impl::CompressBlocksBase<CompressBlocks> {
  using CompressBlocksBase::CompressBlocksBase;
  explicit CompressBlocks(std::shared_ptr<Executor> executor) : executor(std::move(executor)) {}
  CompressBlocks(const CompressBlocks &other)
      : CompressBlocksBase(other), executor(other.executor) {}

  void runOnOperation() override {
    if (failed(run(getOperation())))
      signalPassFailure();
  }

private:
  LogicalResult run(ModuleOp module);
  LogicalResult compress(ArrayRef<Attribute> names, OpPassManager &pipeline);

  std::shared_ptr<Executor> executor;
};

/// Runs the passes on the weights of the block, which then need no statistics any more.
LogicalResult CompressBlocks::compress(ArrayRef<Attribute> names, OpPassManager &pipeline) {
  ModuleOp module = getOperation();
  module->setAttr(kSelectedAttr, ArrayAttr::get(module.getContext(), names));
  LogicalResult result = runPipeline(pipeline, module);
  module->removeAttr(kSelectedAttr);
  llvm::DenseSet<Attribute> done(names.begin(), names.end());
  module.walk([&](LinearOp linear) {
    auto weight = linear.getWeight().getDefiningOp<WeightOp>();
    if (weight && done.contains(weight.getWeightNameAttr()))
      linear->removeDiscardableAttr(kStatisticsAttr);
  });
  return result;
}

LogicalResult CompressBlocks::run(ModuleOp module) {
  FlatLayers flat(module);
  if (propagate != "dense" && propagate != "compressed")
    return mlir::emitError(module.getLoc())
           << getArgument() << ": propagate=" << propagate << ", expected dense or compressed";
  OpPassManager pipeline(ModuleOp::getOperationName());
  std::string why;
  llvm::raw_string_ostream stream(why);
  if (failed(parsePassPipeline(passes, pipeline, stream)) || pipeline.empty())
    return mlir::emitError(module.getLoc())
           << getArgument() << ": passes=" << passes << " is no list of passes"
           << (why.empty() ? "" : ": ") << StringRef(why).rtrim();
  auto calibrator = BlockCalibrator::create(
      module, executor, {getArgument().str(), tokens, hessian, maxMemory, threads});
  if (failed(calibrator))
    return failure();
  std::vector<ModelBlock> blocks = (*calibrator)->plan();
  const size_t count = blocks.size();
  std::vector<SmallVector<Attribute>> names = matricesOf(blocks);
  Records records(module);
  for (size_t i = 0; i < count; ++i) {
    if (failed((*calibrator)->collect(blocks[i])) || failed(compress(names[i], pipeline)))
      return failure();
    records.take();
    blocks = (*calibrator)->plan(); // Operations may have been replaced.
    if (blocks.size() != count)
      return mlir::emitError(module.getLoc())
             << getArgument() << ": " << count << " blocks became " << blocks.size()
             << " by a pass that joins or cuts them";
    if (propagate == "compressed" && failed((*calibrator)->propagate(blocks[i])))
      return failure();
  }
  records.finish();
  return success();
}

} // namespace

void llmc::registerCompressPasses(std::shared_ptr<Executor> executor) {
  // The first of a name stays.
  registerPass([executor = std::move(executor)]() -> std::unique_ptr<Pass> {
    return std::make_unique<CompressBlocks>(executor);
  });
  registerLLMCCompressPasses();
}
