//===- PackWeights.cpp - lay out the weight file ----------------------------------------===//
//
// Offsets only: the data is written by writePackedEntry straight into the mapped output file, so
// that no second copy of a large model is ever in memory.
//
#include "llmc/IR/WeightData.h"
#include "llmc/Lower/CodeFormat.h"
#include "llmc/Lower/CompileConfig.h"
#include "llmc/Lower/LinearKernels.h"
#include "llmc/Lower/PackedLinear.h"
#include "llmc/Lower/Passes.h"
#include "llmc/Lower/RowKernels.h"

#include "llvm/ADT/StringSet.h"

#include <cstring>
#include <map>

namespace llmc {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "llmc/Lower/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;

constexpr int64_t kAlignment = 64;

static int64_t alignUp(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// The forms a weight is wanted in, in a fixed order.
static SmallVector<StringRef> wantedForms(WeightOp weight) {
  bool linear = false, embedding = false, bias = false, vector = false, rows = false;
  for (OpOperand &use : weight->getUses()) {
    Operation *user = use.getOwner();
    unsigned index = use.getOperandNumber();
    if (isa<LinearOp>(user) && index == 1)
      linear = true;
    else if (isa<LinearOp>(user) && index == 2)
      bias = true;
    else if (isa<EmbeddingOp>(user) && index == 0)
      embedding = true;
    else if (isa<RMSNormOp, LayerNormOp>(user) && index > 0)
      vector = true;
    else
      rows = true;
  }
  SmallVector<StringRef> forms;
  if (linear)
    forms.push_back("linear");
  if (embedding && !linear)
    forms.push_back("embedding");
  if (bias)
    forms.push_back("bias");
  if (vector)
    forms.push_back("vector");
  if (rows)
    forms.push_back("rows");
  return forms;
}

static int64_t formBytes(WeightOp weight, StringRef form, VectorShape shape) {
  CodeFormat format = getCodeFormat(weight.getType(), nullptr);
  if (form == "linear")
    return packedLinearBytes(weight.getType(), format, shape);
  if (form == "embedding")
    return packedEmbeddingBytes(weight.getType(), format);
  ArrayRef<int64_t> dims = getWeightShape(weight.getType());
  int64_t count = 1;
  for (int64_t dim : dims)
    count *= dim;
  if (form == "bias")
    return packedBiasBytes(count, shape);
  return count * 4;
}

LogicalResult llmc::writePackedEntry(const PackedEntry &entry, const CompileConfig &config,
                                     MutableArrayRef<char> out) {
  if (auto rope = dyn_cast<RopeOp>(entry.op)) {
    std::vector<float> table = makeRopeTable(
        rope.getFrequencies(), rope.getAttentionFactor().convertToDouble(), config.context);
    std::memcpy(out.data(), table.data(), table.size() * 4);
    return success();
  }
  auto weight = cast<WeightOp>(entry.op);
  CodeFormat format = getCodeFormat(weight.getType(), nullptr);
  if (entry.form == "linear")
    return packLinear(weight, format, config.vectors, out);
  if (entry.form == "embedding")
    return packEmbedding(weight, format, out);
  FailureOr<std::vector<float>> values = readWeight(weight);
  if (failed(values))
    return failure();
  if (failed(verifyFiniteValues(weight, *values)))
    return failure();
  std::memcpy(out.data(), values->data(), values->size() * 4);
  return success();
}

SmallVector<PackedEntry> llmc::getPackedEntries(func::FuncOp entry) {
  SmallVector<PackedEntry> entries;
  DenseSet<int64_t> seen;
  llvm::StringSet<> names;
  entry.walk([&](Operation *op) {
    auto packed = op->getAttrOfType<DictionaryAttr>("llmc.packed");
    if (!packed)
      return;
    for (NamedAttribute attribute : packed) {
      auto range = cast<DenseI64ArrayAttr>(attribute.getValue()).asArrayRef();
      if (!seen.insert(range[0]).second) // Rotations share a table.
        continue;
      StringRef form = attribute.getName().getValue();
      std::string name = isa<WeightOp>(op) ? cast<WeightOp>(op).getWeightName().str() : "rope";
      if (!names.insert(name).second) {
        name += "." + form.str();
        for (int64_t i = 1; !names.insert(name).second; ++i)
          name = (isa<WeightOp>(op) ? name + "." : std::string("rope.")) + std::to_string(i);
      }
      entries.push_back({name, form, range[0], range[1], op});
    }
  });
  llvm::sort(entries,
             [](const PackedEntry &a, const PackedEntry &b) { return a.offset < b.offset; });
  return entries;
}

namespace {

struct PackWeightsPass : public llmc::impl::PackWeightsBase<PackWeightsPass> {
  void runOnOperation() override;
};

void PackWeightsPass::runOnOperation() {
  FailureOr<func::FuncOp> entry = getEntry(getOperation());
  if (failed(entry))
    return signalPassFailure();
  CompileConfig config = CompileConfig::get(getOperation());
  Builder b(&getContext());
  int64_t offset = 0;
  auto reserve = [&](StringRef form, int64_t bytes) {
    bytes = alignUp(bytes);
    auto range = b.getDenseI64ArrayAttr({offset, bytes});
    offset += bytes;
    return b.getNamedAttr(form, range);
  };
  entry->walk([&](WeightOp weight) {
    SmallVector<NamedAttribute> packed;
    for (StringRef form : wantedForms(weight))
      packed.push_back(reserve(form, formBytes(weight, form, config.vectors)));
    weight->setAttr("llmc.packed", b.getDictionaryAttr(packed));
  });
  std::map<std::vector<double>, DictionaryAttr> tables;
  entry->walk([&](RopeOp rope) {
    std::vector<double> key(rope.getFrequencies().begin(), rope.getFrequencies().end());
    key.push_back(rope.getAttentionFactor().convertToDouble());
    DictionaryAttr &table = tables[key];
    int64_t bytes = config.context * static_cast<int64_t>(rope.getFrequencies().size()) * 8;
    if (!table)
      table = b.getDictionaryAttr(reserve("rope", bytes));
    rope->setAttr("llmc.packed", table);
  });
  (*entry)->setAttr("llmc.weight_bytes", b.getI64IntegerAttr(offset));
}

} // namespace
