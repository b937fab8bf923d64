//===- ModelFile.cpp - a model of llmc as bytes ---------------------------------------------===//
//
// Only text needs the terminating zero, which costs a copy of a file whose size is a multiple of
// the page.
//
#include "llmc/Pipeline/ModelFile.h"

#include <cstring>

using namespace llmc;
using llvm::MemoryBuffer;
using llvm::StringRef;

// What blobs in bytecode are written with.
static const llvm::Align kAlignment(64);

static std::unique_ptr<MemoryBuffer> alignedCopy(std::unique_ptr<MemoryBuffer> buffer) {
  if (llvm::isAddrAligned(kAlignment, buffer->getBufferStart()))
    return buffer;
  auto copy = llvm::WritableMemoryBuffer::getNewUninitMemBuffer(
      buffer->getBufferSize(), buffer->getBufferIdentifier(), kAlignment);
  if (copy)
    std::memcpy(copy->getBufferStart(), buffer->getBufferStart(), buffer->getBufferSize());
  return copy;
}

std::unique_ptr<MemoryBuffer> llmc::openModel(const std::string &path, Tool tool,
                                              std::string &error) {
  FileKind kind = path == "-" ? FileKind::Unknown : kindOfFile(path);
  error = misplaced(path, kind, tool);
  if (!error.empty())
    return nullptr;
  bool isBytecode = kind == FileKind::Bytecode;
  auto buffer = isBytecode ? MemoryBuffer::getFile(path, /*IsText=*/false,
                                                   /*RequiresNullTerminator=*/false,
                                                   /*IsVolatile=*/false, kAlignment)
                           : MemoryBuffer::getFileOrSTDIN(path);
  if (!buffer) {
    error = "cannot open '" + path + "': " + buffer.getError().message();
    return nullptr;
  }
  StringRef bytes = (*buffer)->getBuffer();
  std::string name = path == "-" ? "standard input" : path;
  kind = kindOf(bytes.data(), bytes.size(), bytes.size());
  error = misplaced(name, kind, tool);
  if (error.empty() && kind == FileKind::Unknown)
    error = "'" + name + "' is no model of llmc: neither MLIR bytecode nor text";
  if (error.empty() && kind != FileKind::Bytecode && StringRef(path).ends_with(".mlirbc"))
    error = "'" + path + "' is no MLIR bytecode: it does not begin with its magic number";
  if (!error.empty())
    return nullptr;
  if (kind != FileKind::Bytecode)
    return std::move(*buffer);
  std::unique_ptr<MemoryBuffer> aligned = alignedCopy(std::move(*buffer));
  if (!aligned)
    error = "no memory for the " + std::to_string(bytes.size()) + " bytes of '" + name + "'";
  return aligned;
}
