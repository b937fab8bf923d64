//===- CompileConfig.cpp - what the lowering passes are told ----------------------------===//
//
// Reads and writes the module's llmc.compile attribute and finds the function to compile.
//
#include "llmc/Lower/CompileConfig.h"

using namespace mlir;
using namespace llmc;

CompileConfig CompileConfig::get(ModuleOp module) {
  CompileConfig config;
  auto dictionary = module->getAttrOfType<DictionaryAttr>("llmc.compile");
  if (!dictionary)
    return config;
  auto read = [&](StringRef key, int64_t &value) {
    if (auto attribute = dictionary.getAs<IntegerAttr>(key))
      value = attribute.getInt();
  };
  if (auto prefix = dictionary.getAs<StringAttr>("prefix"))
    config.prefix = prefix.str();
  read("lanes", config.vectors.lanes);
  read("registers", config.vectors.registers);
  if (auto half = dictionary.getAs<BoolAttr>("half"))
    config.vectors.half = half.getValue();
  if (auto dot = dictionary.getAs<StringAttr>("dot"))
    config.vectors.dot = parseDotKind(dot.getValue()).value_or(DotKind::None);
  if (auto tiles = dictionary.getAs<BoolAttr>("tiles"))
    config.vectors.tiles = tiles.getValue();
  if (auto cpu = dictionary.getAs<StringAttr>("cpu"))
    config.vectors.cpu = &getCpuModel(cpu.getValue(), config.vectors);
  if (auto embed = dictionary.getAs<BoolAttr>("embed_weights"))
    config.embedWeights = embed.getValue();
  read("context", config.context);
  read("chunk", config.chunk);
  read("max_tokens", config.maxTokens);
  return config;
}

void CompileConfig::set(ModuleOp module) const {
  Builder b(module.getContext());
  NamedAttribute attributes[] = {
      b.getNamedAttr("prefix", b.getStringAttr(prefix)),
      b.getNamedAttr("lanes", b.getI64IntegerAttr(vectors.lanes)),
      b.getNamedAttr("registers", b.getI64IntegerAttr(vectors.registers)),
      b.getNamedAttr("half", b.getBoolAttr(vectors.half)),
      b.getNamedAttr("dot", b.getStringAttr(dotKindName(vectors.dot))),
      b.getNamedAttr("tiles", b.getBoolAttr(vectors.tiles)),
      b.getNamedAttr("cpu", b.getStringAttr(cpuModel(vectors).name)),
      b.getNamedAttr("embed_weights", b.getBoolAttr(embedWeights)),
      b.getNamedAttr("context", b.getI64IntegerAttr(context)),
      b.getNamedAttr("chunk", b.getI64IntegerAttr(chunk)),
      b.getNamedAttr("max_tokens", b.getI64IntegerAttr(maxTokens)),
  };
  module->setAttr("llmc.compile", b.getDictionaryAttr(attributes));
}

FailureOr<func::FuncOp> llmc::getEntry(ModuleOp module) {
  func::FuncOp entry;
  for (auto function : module.getOps<func::FuncOp>()) {
    if (!function->hasAttr("llmc.role"))
      continue;
    if (entry)
      return function.emitError("module has several entry points (@")
             << entry.getName() << " and @" << function.getName()
             << "); one function with llmc.role is compiled at a time";
    entry = function;
  }
  if (!entry)
    return module.emitError("module has no function with llmc.role to compile");
  if (!entry.getBody().hasOneBlock())
    return entry.emitError("expects one block in an entry function");
  return entry;
}
