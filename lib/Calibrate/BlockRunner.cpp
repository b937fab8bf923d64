//===- BlockRunner.cpp - runs a model block by block on kept hidden states ----------------===//
//
// A block of a step goes through caches of its own, so that the kernels, and with them all bits,
// are those of the whole model.
//
#include "llmc/Calibrate/BlockRunner.h"

#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/Hash.h"

#include <cstring>
#include <numeric>

using namespace mlir;
using namespace llmc;

/// What stands in for each argument of a plain graph that is fed from a token file.
FailureOr<SmallVector<HostTensor>> BlockRunner::graphInputs(ArrayRef<int64_t> ids) {
  SmallVector<HostTensor> tensors;
  auto count = static_cast<int64_t>(ids.size());
  for (BlockArgument argument : entry.getArguments()) {
    auto name = entry.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "llmc.name");
    HostTensor tensor;
    tensor.name = name ? name.str() : "input_" + std::to_string(argument.getArgNumber());
    tensor.shape = {1, count};
    tensor.integers.resize(count);
    bool onlyOne = entry.getNumArguments() == 1;
    if (tensor.name == "input_ids" || onlyOne)
      tensor.integers.assign(ids.begin(), ids.end());
    else if (tensor.name == "attention_mask")
      std::fill(tensor.integers.begin(), tensor.integers.end(), 1);
    else if (tensor.name == "position_ids")
      std::iota(tensor.integers.begin(), tensor.integers.end(), 0);
    else if (tensor.name != "token_type_ids")
      return mlir::emitError(entry.getLoc())
             << "calibrate: a token file cannot feed the input '" << tensor.name
             << "'; expected input_ids, attention_mask, token_type_ids or position_ids";
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

LogicalResult BlockRunner::runSequence(ExecutableModel &model, const ModelBlock &block,
                                       int64_t firstRow, ArrayRef<int64_t> ids,
                                       HiddenStates *output) {
  auto count = static_cast<int64_t>(ids.size());
  auto keep = [&](ArrayRef<float> rows) {
    if (output)
      llvm::copy(rows, output->rows(firstRow, count).begin());
    return success();
  };
  if (model.vocabulary()) { // A step.
    model.reset();
    std::vector<int32_t> narrow(ids.begin(), ids.end());
    auto rows =
        block.input ? model.prefillRows(hidden.rows(firstRow, count)) : model.prefill(narrow);
    return failed(rows) ? failure() : keep(*rows);
  }
  FailureOr<SmallVector<HostTensor>> tensors = graphInputs(ids);
  if (failed(tensors))
    return failure();
  if (block.input) {
    HostTensor rows;
    rows.name = "rows";
    rows.shape = {1, count, hidden.width};
    rows.isFloat = true;
    MutableArrayRef<float> values = hidden.rows(firstRow, count);
    rows.floats.assign(values.begin(), values.end());
    tensors->push_back(std::move(rows));
  }
  FailureOr<std::vector<HostTensor>> results = model.run(*tensors);
  return failed(results) ? failure() : keep(results->front().floats);
}

uint64_t BlockRunner::hash(const ModelBlock &block, ArrayRef<ObservedValue> observed) const {
  if (!block.output && observed.empty())
    return 0;
  OwningOpRef<ModuleOp> module = extractBlock(entry, block, observed);
  uint64_t hash = 0;
  module->walk([&](WeightOp weight) {
    for (NamedAttribute component : weight.getComponents()) {
      ComponentData data(cast<ElementsAttr>(component.getValue()));
      hash = hashBytes(data.bytes().data(), data.bytes().size(), hash);
    }
    weight.setComponentsAttr(DictionaryAttr::get(module->getContext()));
  });
  module->walk([](Operation *op) { op->removeDiscardableAttr(kStatisticsAttr); });
  std::string text;
  llvm::raw_string_ostream stream(text);
  module->print(stream,
                OpPrintingFlags().assumeVerified().printGenericOpForm().enableDebugInfo(false));
  return hashBytes(text.data(), text.size(), hash);
}

void BlockRunner::restore(int64_t width, ArrayRef<float> rows) {
  given = std::move(hidden);
  hidden.width = width;
  hidden.data = allocateBlob(entry.getContext(), rows.size() * sizeof(float));
  if (!rows.empty())
    std::memcpy(hidden.data.getMutableData().data(), rows.data(), rows.size() * sizeof(float));
}

LogicalResult BlockRunner::run(const ModelBlock &block, ArrayRef<ObservedValue> observed,
                               ExecutableModel::Observer observer,
                               llvm::function_ref<LogicalResult(ArrayRef<int64_t>)> behind) {
  if (!block.output && observed.empty())
    return success();
  OwningOpRef<ModuleOp> module = extractBlock(entry, block, observed);
  ExecutorOptions options;
  options.threads = threads;
  options.reuseCode = true;
  int64_t total = 0;
  for (ArrayRef<int64_t> ids : sequences) {
    options.context = std::max<int64_t>(options.context, ids.size());
    total += ids.size();
  }
  FailureOr<std::unique_ptr<ExecutableModel>> model = executor.compile(*module, options);
  if (failed(model))
    return failure();
  (*model)->setObserver(std::move(observer));
  HiddenStates output;
  if (block.output) {
    output.width = cast<RankedTensorType>(block.output.getType()).getShape().back();
    output.data = allocateBlob(entry.getContext(), total * output.width * 4);
  }
  int64_t firstRow = 0;
  for (ArrayRef<int64_t> ids : sequences) {
    if (failed(runSequence(**model, block, firstRow, ids, block.output ? &output : nullptr)))
      return mlir::emitError(entry.getLoc()) << "calibrate: the model does not run";
    if (failed(behind(ids)))
      return failure();
    firstRow += ids.size();
  }
  given = std::move(hidden);
  hidden = std::move(output);
  return success();
}
