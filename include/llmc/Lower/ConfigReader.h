//===- ConfigReader.h - a dictionary of the module, read key by key ---------------------===//
//
// What lowering passes are told lives in dictionaries on the module: llmc.compile for all of them,
// one more for each kind of machine. Read whole or not at all: an error names the key.
//
#ifndef LLMC_LOWER_CONFIGREADER_H
#define LLMC_LOWER_CONFIGREADER_H

#include "mlir/IR/BuiltinOps.h"

#include <map>

namespace llmc {

/// Reads keys, each of the type that its target has, and names what it does not understand. A key
/// that is missing leaves its target as it is.
class ConfigReader {
public:
  /// `attribute` of the module must be a dictionary, or be missing.
  ConfigReader(mlir::ModuleOp module, llvm::StringRef attribute);

  void read(llvm::StringRef key, int64_t &value, int64_t least);
  void read(llvm::StringRef key, bool &value);
  llvm::StringRef readString(llvm::StringRef key, llvm::StringRef fallback);
  mlir::InFlightDiagnostic fail();
  /// Whether all keys were read, and all values understood.
  bool finish();

private:
  template <typename T> T take(llvm::StringRef key, llvm::StringRef expected);

  mlir::ModuleOp module;
  llvm::StringRef attribute;
  std::map<llvm::StringRef, mlir::Attribute> entries;
  bool failed = false;
};

} // namespace llmc

#endif // LLMC_LOWER_CONFIGREADER_H
