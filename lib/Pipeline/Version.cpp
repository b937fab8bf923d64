//===- Version.cpp - what --version prints --------------------------------------------------===//
//
// The build hands in the versions.
//
#include "llmc/Pipeline/Version.h"

#include "llmc/Runtime/llmc.h"

std::string llmc::versionText(const std::string &tool) {
  return tool +
         " " LLMC_VERSION "\n  built with LLVM " LLMC_LLVM_VERSION " (" LLMC_BUILD_TYPE
         "), runs on " LLMC_BUILD_HOST "\n  compiles for x86_64-linux-gnu and "
         "aarch64-linux-gnu, artifact ABI " +
         std::to_string(LLMC_ABI) + "\n";
}
