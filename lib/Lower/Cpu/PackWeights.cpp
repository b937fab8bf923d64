//===- PackWeights.cpp - lay out the weight file ----------------------------------------===//
//
// Offsets only: the data is written by writePackedEntry straight into the mapped output file, so
// that no second copy of a large model is ever in memory.
//
#include "llmc/IR/WeightData.h"
#include "llmc/Lower/Cpu/CodeFormat.h"
#include "llmc/Lower/Cpu/CpuConfig.h"
#include "llmc/Lower/Cpu/LinearKernels.h"
#include "llmc/Lower/Cpu/PackedLinear.h"
#include "llmc/Lower/Cpu/Passes.h"
#include "llmc/Lower/Cpu/RowKernels.h"

#include "llvm/ADT/Statistic.h"
#include "llvm/ADT/StringSet.h"

#include <cstring>

#define DEBUG_TYPE "pack-weights"

namespace llmc {
#define GEN_PASS_DEF_PACKWEIGHTS
#include "llmc/Lower/Cpu/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;
using exec::Form;

ALWAYS_ENABLED_STATISTIC(bytesPacked, "Bytes of the weight file");

constexpr int64_t kAlignment = 64;

static int64_t alignUp(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

static int64_t formBytes(Type content, Form form, VectorShape shape) {
  CodeFormat format = getCodeFormat(content);
  if (form == Form::Linear)
    return packedLinearBytes(content, format, shape);
  if (form == Form::Embedding)
    return packedEmbeddingBytes(content, format);
  int64_t count = 1;
  for (int64_t dim : getWeightShape(content))
    count *= dim;
  if (form == Form::Bias)
    return packedBiasBytes(count, shape);
  return count * 4;
}

LogicalResult llmc::writePackedEntry(const PackedEntry &entry, const CpuConfig &config,
                                     MutableArrayRef<char> out) {
  if (auto rope = dyn_cast<exec::RopeTableOp>(entry.op)) {
    int64_t positions = getWeightShape(exec::getPackedType(rope.getResult()).getContent())[0];
    std::vector<float> table = makeRopeTable(
        rope.getFrequencies(), rope.getAttentionFactor().convertToDouble(), positions);
    std::memcpy(out.data(), table.data(), table.size() * 4);
    return success();
  }
  auto weight = cast<exec::WeightOp>(entry.op).getWeight().getDefiningOp<WeightOp>();
  CodeFormat format = getCodeFormat(weight.getType());
  if (entry.form == Form::Linear)
    return packLinear(weight, format, config.vectors, out);
  if (entry.form == Form::Embedding)
    return packEmbedding(weight, format, out);
  FailureOr<std::vector<float>> values = readWeight(weight);
  if (failed(values))
    return failure();
  if (failed(verifyFiniteValues(weight, *values)))
    return failure();
  std::memcpy(out.data(), values->data(), values->size() * 4);
  return success();
}

SmallVector<PackedEntry> llmc::getPackedEntries(exec::ProgramOp program) {
  SmallVector<PackedEntry> entries;
  llvm::StringSet<> names;
  auto add = [&](Operation *op, StringRef base, Form form, uint64_t offset, uint64_t bytes) {
    std::string name = base.str();
    if (!names.insert(name).second) {
      name += "." + exec::stringifyForm(form).str();
      for (int64_t i = 1; !names.insert(name).second; ++i)
        name = base.str() + "." + std::to_string(i);
    }
    entries.push_back({name, form, static_cast<int64_t>(offset), static_cast<int64_t>(bytes), op});
  };
  for (Operation &op : program.getBody().front()) {
    if (auto weight = dyn_cast<exec::WeightOp>(op); weight && weight.getOffset())
      add(&op, weight.getWeight().getDefiningOp<WeightOp>().getWeightName(),
          exec::getPackedType(weight.getResult()).getForm(), *weight.getOffset(),
          *weight.getBytes());
    else if (auto table = dyn_cast<exec::RopeTableOp>(op); table && table.getOffset())
      add(&op, "rope", Form::Rope, *table.getOffset(), *table.getBytes());
  }
  llvm::sort(entries,
             [](const PackedEntry &a, const PackedEntry &b) { return a.offset < b.offset; });
  return entries;
}

namespace {

struct PackWeightsPass : public llmc::impl::PackWeightsBase<PackWeightsPass> {
  void runOnOperation() override;
};

void PackWeightsPass::runOnOperation() {
  FailureOr<exec::ProgramOp> program = exec::getProgram(getOperation());
  FailureOr<CpuConfig> config = CpuConfig::get(getOperation());
  if (failed(program) || failed(config))
    return signalPassFailure();
  int64_t end = 0;
  auto place = [&](auto op) {
    exec::PackedType type = exec::getPackedType(op.getResult());
    int64_t bytes = alignUp(formBytes(type.getContent(), type.getForm(), config->vectors));
    op.setOffset(end);
    op.setBytes(bytes);
    end += bytes;
  };
  for (Operation &op : program->getBody().front()) {
    if (auto weight = dyn_cast<exec::WeightOp>(op))
      place(weight);
    else if (auto table = dyn_cast<exec::RopeTableOp>(op))
      place(table);
  }
  program->setWeightBytes(end);
  bytesPacked += end;
}

} // namespace
