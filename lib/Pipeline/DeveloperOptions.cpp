//===- DeveloperOptions.cpp - options for who works on llmc ---------------------------------===//
//
// Debian's LLVM is built without statistics and without -debug-only, and so its MLIR prints no
// statistics of passes. What both need is in the library all the same.
//
#include "llmc/Pipeline/CommandLine.h"

#include "llvm/ADT/Statistic.h"
#include "llvm/Support/Debug.h"
#include "llvm/Support/raw_ostream.h"

using namespace llvm;

void llmc::registerDeveloperOptions() {
  static cl::opt<bool> statistics(
      "pass-statistics", cl::desc("Say on standard error what the passes have done, in numbers"),
      cl::callback([](const bool &wanted) {
        if (wanted)
          EnableStatistics(/*DoPrintOnExit=*/false);
      }));
#ifndef NDEBUG
  if (cl::getRegisteredOptions().count("debug-only"))
    return; // An LLVM with assertions.
  static std::vector<std::string> types;
  static cl::list<std::string> debugOnly(
      "debug-only", cl::CommaSeparated, cl::value_desc("type,..."),
      cl::desc("Print what passes of these types (DEBUG_TYPE) say of their decisions"),
      cl::callback([](const std::string &type) {
        DebugFlag = true;
        types.push_back(type);
        std::vector<const char *> names;
        for (const std::string &name : types)
          names.push_back(name.c_str());
        setCurrentDebugTypes(names.data(), names.size());
      }));
#endif
}

void llmc::printPassStatistics() {
  if (AreStatisticsEnabled())
    PrintStatistics(errs());
}
