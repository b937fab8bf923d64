//===- Version.h - what --version prints ----------------------------------------------------===//
//
// Plain C++ without LLVM (target LLMCFileKind).
//
#ifndef LLMC_PIPELINE_VERSION_H
#define LLMC_PIPELINE_VERSION_H

#include <string>

namespace llmc {

/// The text of `TOOL --version`: llmc's version, LLVM's, what this build runs on and compiles for,
/// and the ABI of artifacts.
std::string versionText(const std::string &tool);

} // namespace llmc

#endif // LLMC_PIPELINE_VERSION_H
