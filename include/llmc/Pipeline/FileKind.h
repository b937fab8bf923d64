//===- FileKind.h - what a file is, and which tool takes it ---------------------------------===//
//
// Plain C++ without LLVM, so that every tool can use it (target LLMCFileKind). Files are told by
// their content; names only help to say what to do.
//
#ifndef LLMC_PIPELINE_FILEKIND_H
#define LLMC_PIPELINE_FILEKIND_H

#include <cstdint>
#include <string>

namespace llmc {

enum class FileKind {
  Missing,
  Folder,
  Empty, ///< no byte that is not white space
  Bytecode,
  CutBytecode, ///< bytecode that ends inside a section
  Onnx,
  OnnxText,
  OrtFormat,
  Gguf,
  Safetensors,
  Npy,
  Archive, ///< zip, which checkpoints of torch are
  Pickle,
  Compressed, ///< gzip, xz or zstd
  Pdf,
  Html,
  LfsPointer,
  ArtifactJson,
  ArtifactHeader,
  Object,
  SharedObject,
  Json,
  Text,
  Unknown
};

/// The kind of `size` bytes, of which `data` holds the first `held`.
FileKind kindOf(const char *data, uint64_t held, uint64_t size);
/// The kind of a file; reads its beginning.
FileKind kindOfFile(const std::string &path);

enum class Tool { Import, Opt, Compile, Run };

/// What to tell whoever gave `path`, of this kind, to a tool that does not take it: "'m.onnx' is an
/// ONNX model; llmc-import reads it: ...". Empty where the tool takes the kind, or where it has a
/// better message of its own (Missing, Text and Unknown).
std::string misplaced(const std::string &path, FileKind kind, Tool tool);

/// The same for what a tool that takes the base name of an artifact was given, when there is no
/// BASE.json; empty where nothing is known.
std::string misplacedBase(const std::string &base);

} // namespace llmc

#endif // LLMC_PIPELINE_FILEKIND_H
