//===- CompileConfig.cpp - what the lowering passes are told ----------------------------===//
//
// Reads and writes the module's llmc.compile attribute and finds the function to compile.
//
#include "llmc/Lower/CompileConfig.h"

#include "llmc/Lower/ConfigReader.h"

#include "llvm/ADT/StringExtras.h"

using namespace mlir;
using namespace llmc;

static bool isIdentifier(StringRef name) {
  return !name.empty() && !llvm::isDigit(name.front()) &&
         llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
}

FailureOr<CompileConfig> CompileConfig::get(ModuleOp module) {
  CompileConfig config;
  ConfigReader reader(module, "llmc.compile");
  config.prefix = reader.readString("prefix", config.prefix).str();
  if (!isIdentifier(config.prefix))
    reader.fail() << "expects \"prefix\" to be a C identifier, got \"" << config.prefix << "\"";
  reader.read("unit", config.unit, 1);
  reader.read("embed_weights", config.embedWeights);
  reader.read("context", config.context, 1);
  reader.read("chunk", config.chunk, 1);
  reader.read("max_tokens", config.maxTokens, 1);
  if (!reader.finish())
    return failure();
  return config;
}

void CompileConfig::set(ModuleOp module) const {
  Builder b(module.getContext());
  NamedAttribute attributes[] = {
      b.getNamedAttr("prefix", b.getStringAttr(prefix)),
      b.getNamedAttr("unit", b.getI64IntegerAttr(unit)),
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
  if (entry->getAttrOfType<StringAttr>("llmc.role") == "encode")
    return entry.emitError("llmc.role \"encode\" goes with a \"step\" that reads what it makes, "
                           "which is not compiled yet; expected \"step\" or \"run\"");
  if (!entry.getBody().hasOneBlock())
    return entry.emitError("expects one block in an entry function");
  auto role = entry->getAttrOfType<StringAttr>("llmc.role");
  if (role != "step" && role != "run")
    return entry.emitError("expects llmc.role \"step\" or \"run\" to compile, got ")
           << entry->getAttr("llmc.role");
  return entry;
}
