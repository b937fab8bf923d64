//===- CpuConfig.cpp - what the emitters for processors are told ------------------------===//
//
// Reads and writes the module's llmc.cpu attribute.
//
#include "llmc/Lower/Cpu/CpuConfig.h"

#include "llmc/Lower/ConfigReader.h"

using namespace mlir;
using namespace llmc;

FailureOr<CpuConfig> CpuConfig::get(ModuleOp module) {
  FailureOr<CompileConfig> shared = CompileConfig::get(module);
  if (failed(shared))
    return failure();
  CpuConfig config;
  static_cast<CompileConfig &>(config) = *shared;
  ConfigReader reader(module, "llmc.cpu");
  reader.read("lanes", config.vectors.lanes, 4);
  if (!llvm::is_contained({4, 8, 16}, config.vectors.lanes))
    reader.fail() << "expects \"lanes\" of 4, 8 or 16, got " << config.vectors.lanes;
  reader.read("registers", config.vectors.registers, 8);
  reader.read("half", config.vectors.half);
  StringRef dot = reader.readString("dot", dotKindName(config.vectors.dot));
  if (std::optional<DotKind> kind = parseDotKind(dot))
    config.vectors.dot = *kind;
  else
    reader.fail() << "expects \"dot\" to be none, maddubs, vnni or sdot, got \"" << dot << "\"";
  reader.read("tiles", config.vectors.tiles);
  // A name that is in no table is a processor like others with such vectors.
  if (StringRef model = reader.readString("model", ""); !model.empty())
    config.vectors.cpu = &getCpuModel(model, config.vectors);
  if (!reader.finish())
    return failure();
  return config;
}

void CpuConfig::setAll(ModuleOp module) const {
  set(module);
  Builder b(module.getContext());
  NamedAttribute attributes[] = {
      b.getNamedAttr("lanes", b.getI64IntegerAttr(vectors.lanes)),
      b.getNamedAttr("registers", b.getI64IntegerAttr(vectors.registers)),
      b.getNamedAttr("half", b.getBoolAttr(vectors.half)),
      b.getNamedAttr("dot", b.getStringAttr(dotKindName(vectors.dot))),
      b.getNamedAttr("tiles", b.getBoolAttr(vectors.tiles)),
      b.getNamedAttr("model", b.getStringAttr(cpuModel(vectors).name)),
  };
  module->setAttr("llmc.cpu", b.getDictionaryAttr(attributes));
}
