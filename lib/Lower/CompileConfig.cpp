//===- CompileConfig.cpp - what the lowering passes are told ----------------------------===//
//
// Reads and writes the module's llmc.compile attribute and finds the function to compile.
//
#include "llmc/Lower/CompileConfig.h"

#include "llvm/ADT/StringExtras.h"

#include <map>

using namespace mlir;
using namespace llmc;

namespace {

/// Reads keys of a dictionary, each of the type that its target has, and names what it does not
/// understand.
class ConfigReader {
public:
  ConfigReader(ModuleOp module, DictionaryAttr dictionary) : module(module) {
    for (NamedAttribute entry : dictionary)
      entries[entry.getName().getValue()] = entry.getValue();
  }

  void read(StringRef key, int64_t &value, int64_t least) {
    auto number = take<IntegerAttr>(key, "an integer");
    if (number && number.getInt() < least)
      fail() << "expects \"" << key << "\" of at least " << least << ", got " << number.getInt();
    else if (number)
      value = number.getInt();
  }
  void read(StringRef key, bool &value) {
    if (auto flag = take<BoolAttr>(key, "true or false"))
      value = flag.getValue();
  }
  StringRef readString(StringRef key, StringRef fallback) {
    auto text = take<StringAttr>(key, "a string");
    return text ? text.getValue() : fallback;
  }
  InFlightDiagnostic fail() {
    failed = true;
    return module.emitError("llmc.compile ");
  }
  /// Whether all keys were read, and all values understood.
  bool finish() {
    for (auto &[key, value] : entries)
      fail() << "has no key \"" << key << "\"";
    return !failed;
  }

private:
  template <typename T> T take(StringRef key, StringRef expected) {
    auto found = entries.find(key);
    if (found == entries.end())
      return {};
    Attribute value = found->second;
    entries.erase(found);
    auto typed = dyn_cast<T>(value);
    if (!typed)
      fail() << "expects \"" << key << "\" to be " << expected << ", got " << value;
    return typed;
  }

  ModuleOp module;
  std::map<StringRef, Attribute> entries;
  bool failed = false;
};

bool isIdentifier(StringRef name) {
  return !name.empty() && !llvm::isDigit(name.front()) &&
         llvm::all_of(name, [](char c) { return llvm::isAlnum(c) || c == '_'; });
}

} // namespace

FailureOr<CompileConfig> CompileConfig::get(ModuleOp module) {
  CompileConfig config;
  Attribute attribute = module->getAttr("llmc.compile");
  if (!attribute)
    return config;
  auto dictionary = dyn_cast<DictionaryAttr>(attribute);
  if (!dictionary)
    return module.emitError("llmc.compile expects a dictionary, got ") << attribute;
  ConfigReader reader(module, dictionary);
  config.prefix = reader.readString("prefix", config.prefix).str();
  if (!isIdentifier(config.prefix))
    reader.fail() << "expects \"prefix\" to be a C identifier, got \"" << config.prefix << "\"";
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
  if (StringRef cpu = reader.readString("cpu", ""); !cpu.empty())
    config.vectors.cpu = &getCpuModel(cpu, config.vectors);
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
