//===- ConfigReader.cpp - a dictionary of the module, read key by key -------------------===//
//
// Keys are taken out as they are read, so what is left at the end is what nobody understands.
//
#include "llmc/Lower/ConfigReader.h"

#include "mlir/IR/BuiltinAttributes.h"

using namespace mlir;
using namespace llmc;

ConfigReader::ConfigReader(ModuleOp module, StringRef attribute)
    : module(module), attribute(attribute) {
  Attribute given = module->getAttr(attribute);
  if (!given)
    return;
  auto dictionary = dyn_cast<DictionaryAttr>(given);
  if (!dictionary) {
    fail() << "expects a dictionary, got " << given;
    return;
  }
  for (NamedAttribute entry : dictionary)
    entries[entry.getName().getValue()] = entry.getValue();
}

template <typename T> T ConfigReader::take(StringRef key, StringRef expected) {
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

void ConfigReader::read(StringRef key, int64_t &value, int64_t least) {
  auto number = take<IntegerAttr>(key, "an integer");
  if (number && number.getInt() < least)
    fail() << "expects \"" << key << "\" of at least " << least << ", got " << number.getInt();
  else if (number)
    value = number.getInt();
}

void ConfigReader::read(StringRef key, bool &value) {
  if (auto flag = take<BoolAttr>(key, "true or false"))
    value = flag.getValue();
}

StringRef ConfigReader::readString(StringRef key, StringRef fallback) {
  auto text = take<StringAttr>(key, "a string");
  return text ? text.getValue() : fallback;
}

InFlightDiagnostic ConfigReader::fail() {
  failed = true;
  return module.emitError(attribute) << " ";
}

bool ConfigReader::finish() {
  for (auto &[key, value] : entries)
    fail() << "has no key \"" << key << "\"";
  return !failed;
}
