//===- ModelFile.h - a model of llmc as bytes -----------------------------------------------===//
//
// What llmc-opt and llmc-compile read: bytecode or text, from a file or standard input.
//
#ifndef LLMC_PIPELINE_MODELFILE_H
#define LLMC_PIPELINE_MODELFILE_H

#include "llmc/Pipeline/FileKind.h"

#include "llvm/Support/MemoryBuffer.h"

#include <memory>
#include <string>

namespace llmc {

/// The bytes of a model; "-" is standard input. Files of bytecode are mapped, where they are
/// large; what is read has the alignment that bytecode asks for. Null with `error` set for what
/// cannot be read or is no model.
std::unique_ptr<llvm::MemoryBuffer> openModel(const std::string &path, Tool tool,
                                              std::string &error);

} // namespace llmc

#endif // LLMC_PIPELINE_MODELFILE_H
