//===- FileKind.cpp - what a file is, and which tool takes it -------------------------------===//
//
// Magic numbers where a format has one. An ONNX model has none: it is told by the fields of its
// outermost message.
//
#include "llmc/Pipeline/FileKind.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <string_view>
#include <sys/stat.h>
#include <vector>

using namespace llmc;

namespace {

/// Bytes that are read in order, with the numbers of two formats.
struct Reader {
  std::string_view bytes;
  size_t at = 0;
  bool failed = false;

  bool atEnd() const { return at >= bytes.size(); }
  uint8_t byte() {
    if (atEnd()) {
      failed = true;
      return 0;
    }
    return static_cast<uint8_t>(bytes[at++]);
  }
  /// protobuf: 7 bits a byte, the lowest first.
  uint64_t protobufNumber() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      uint8_t next = byte();
      value |= static_cast<uint64_t>(next & 0x7f) << shift;
      if (!(next & 0x80))
        return value;
    }
    failed = true;
    return 0;
  }
  /// MLIR: the zeros below the first 1 say how many bytes follow.
  uint64_t bytecodeNumber() {
    uint8_t first = byte();
    int more = 0;
    while (more < 8 && !(first >> more & 1))
      ++more;
    uint64_t value = more < 8 ? first >> (more + 1) : 0;
    for (int i = 0; i < more; ++i) {
      uint64_t next = byte();
      value |= more < 8 ? next << (7 - more + 8 * i) : next << (8 * i);
    }
    return value;
  }
};

} // namespace

/// Fields of onnx.ModelProto with their wire types: 0 a number, 2 bytes.
static bool isModelField(uint64_t number, uint64_t wire) {
  if (number == 1 || number == 5)
    return wire == 0;
  for (uint64_t known : {2, 3, 4, 6, 7, 8, 14, 20, 25, 26})
    if (number == known)
      return wire == 2;
  return false;
}

static bool isOnnx(std::string_view bytes, uint64_t size) {
  Reader reader{bytes};
  bool version = false, graph = false;
  while (!reader.atEnd()) {
    uint64_t tag = reader.protobufNumber(), wire = tag & 7, number = tag >> 3;
    if (reader.failed || !isModelField(number, wire))
      return version && graph; // Something else behind it: a damaged model.
    uint64_t value = reader.protobufNumber();
    if (reader.failed)
      return version && graph;
    if (number == 1) {
      if (value < 1 || value > 1000)
        return false;
      version = true;
    }
    if (number == 7) {
      // Without a version, the sizes must be right.
      if (!version && value > size - reader.at)
        return false;
      graph = true;
    }
    if (wire != 2)
      continue;
    if (value > bytes.size() - reader.at)
      return graph;
    reader.at += value;
  }
  return graph;
}

/// Walks the outermost sections of bytecode, of which only the beginning may be at hand.
static bool isCut(std::string_view bytes, uint64_t size) {
  Reader reader{bytes};
  reader.at = 4;
  reader.bytecodeNumber();                  // version
  while (!reader.failed && reader.byte()) { // producer
  }
  while (!reader.failed && !reader.atEnd()) {
    uint8_t id = reader.byte();
    uint64_t length = reader.bytecodeNumber();
    if (id & 0x80) {
      uint64_t alignment = reader.bytecodeNumber();
      if (reader.failed)
        break;
      if (alignment == 0 || (alignment & (alignment - 1)))
        return false; // damaged, not cut
      reader.at = (reader.at + alignment - 1) / alignment * alignment;
    }
    if (reader.failed)
      break;
    if (reader.at > size || length > size - reader.at)
      return true;
    if (length > bytes.size() - std::min<uint64_t>(reader.at, bytes.size()))
      return false; // Further than we can see.
    reader.at += length;
  }
  return reader.failed && bytes.size() == size;
}

FileKind llmc::kindOf(const char *data, uint64_t held, uint64_t size) {
  std::string_view bytes(data, held);
  auto begins = [&](std::string_view magic) { return bytes.substr(0, magic.size()) == magic; };
  auto contains = [&](std::string_view text) { return bytes.find(text) != bytes.npos; };
  size_t start = bytes.find_first_not_of(" \t\r\n");
  if (start == bytes.npos)
    return size == held ? FileKind::Empty : FileKind::Unknown;
  if (begins("ML\xefR"))
    return isCut(bytes, size) ? FileKind::CutBytecode : FileKind::Bytecode;
  if (begins("GGUF"))
    return FileKind::Gguf;
  if (begins("\x93NUMPY"))
    return FileKind::Npy;
  if (begins("PK\x03\x04"))
    return FileKind::Archive;
  if (begins("\x80\x02") || begins("\x80\x04") || begins("\x80\x05"))
    return FileKind::Pickle;
  if (begins("\x1f\x8b") || begins("\x28\xb5\x2f\xfd") || begins("\xfd\x37zXZ"))
    return FileKind::Compressed;
  if (begins("%PDF-"))
    return FileKind::Pdf;
  if (bytes.size() > 18 && begins("\x7f"
                                  "ELF"))
    return bytes[16] == 1 ? FileKind::Object : FileKind::SharedObject;
  if (bytes.size() >= 8 && bytes.substr(4, 4) == "ORTM")
    return FileKind::OrtFormat;
  if (bytes.size() > 9) {
    uint64_t header = 0;
    for (int i = 7; i >= 0; --i)
      header = header << 8 | static_cast<uint8_t>(bytes[i]);
    if (bytes[8] == '{' && header >= 2 && header < (uint64_t(1) << 32) && header <= size)
      return FileKind::Safetensors;
  }
  if (begins("version https://git-lfs"))
    return FileKind::LfsPointer;
  if (isOnnx(bytes, size))
    return FileKind::Onnx;
  std::string_view text = bytes.substr(start);
  auto opens = [&](std::string_view words) { return text.substr(0, words.size()) == words; };
  if (opens("<!DOCTYPE") || opens("<!doctype") || opens("<html"))
    return FileKind::Html;
  if (opens("ir_version:"))
    return FileKind::OnnxText;
  if (opens("/*") && contains(": a model compiled by llmc for "))
    return FileKind::ArtifactHeader;
  if (opens("{\"") || opens("{\n") || opens("{\r") || opens("{ ")) {
    if (contains("\"abi\":") && contains("\"arena_bytes\":"))
      return FileKind::ArtifactJson;
    // An attribute alias or a region of MLIR does not begin so.
    if (text.find_first_not_of(" \t\r\n", 1) != text.npos &&
        (text[text.find_first_not_of(" \t\r\n", 1)] == '"' && !contains("-#}")))
      return FileKind::Json;
  }
  if (contains(std::string_view("\0", 1)))
    return FileKind::Unknown;
  return FileKind::Text;
}

FileKind llmc::kindOfFile(const std::string &path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0)
    return FileKind::Missing;
  if (S_ISDIR(status.st_mode))
    return FileKind::Folder;
  if (!S_ISREG(status.st_mode))
    return FileKind::Unknown; // Reading would take from a pipe.
  std::vector<char> head(std::min<uint64_t>(status.st_size, 1 << 16));
  std::ifstream file(path, std::ios::binary);
  if (!file.read(head.data(), static_cast<std::streamsize>(head.size())))
    return FileKind::Unknown;
  return kindOf(head.data(), head.size(), status.st_size);
}

static const char *describe(FileKind kind) {
  switch (kind) {
  case FileKind::Folder:
    return "is a folder";
  case FileKind::Empty:
    return "is empty";
  case FileKind::Bytecode:
    return "is a model of llmc (MLIR bytecode)";
  case FileKind::CutBytecode:
    return "is MLIR bytecode that was cut off: it ends before its last section does";
  case FileKind::Onnx:
    return "is an ONNX model";
  case FileKind::OnnxText:
    return "is an ONNX model as text";
  case FileKind::OrtFormat:
    return "is a model in ONNX Runtime's own format";
  case FileKind::Gguf:
    return "is a GGUF file";
  case FileKind::Safetensors:
    return "is a safetensors file, which holds weights and no model";
  case FileKind::Npy:
    return "is a NumPy array";
  case FileKind::Archive:
    return "is a zip archive, such as a checkpoint of torch";
  case FileKind::Pickle:
    return "is a Python pickle, such as a checkpoint of torch";
  case FileKind::Compressed:
    return "is a compressed file";
  case FileKind::Pdf:
    return "is a PDF document";
  case FileKind::Html:
    return "is an HTML page, such as a site sends in place of a download";
  case FileKind::LfsPointer:
    return "is a pointer of Git LFS, not the file itself";
  case FileKind::ArtifactJson:
  case FileKind::ArtifactHeader:
    return "is a part of a compiled model";
  case FileKind::Object:
    return "is an object file";
  case FileKind::SharedObject:
    return "is a shared object or a program";
  case FileKind::Json:
    return "is a JSON file";
  case FileKind::Missing:
  case FileKind::Text:
  case FileKind::Unknown:
    break;
  }
  return "";
}

static bool exists(const std::string &path) {
  struct stat status;
  return stat(path.c_str(), &status) == 0;
}

/// BASE, if `path` is BASE.SUFFIX of an artifact that is there.
static std::string artifactBase(const std::string &path) {
  for (const char *suffix : {".so", ".o", ".json", ".h", ".safetensors"}) {
    size_t length = std::strlen(suffix);
    if (path.size() <= length || path.compare(path.size() - length, length, suffix) != 0)
      continue;
    std::string base = path.substr(0, path.size() - length);
    return kindOfFile(base + ".json") == FileKind::ArtifactJson ? base : "";
  }
  return "";
}

/// What the tools of models do with a file of this kind, as the end of a sentence.
static std::string advice(const std::string &path, FileKind kind, Tool tool) {
  std::string exported = "llmc reads ONNX: export the model to ONNX, then llmc-import";
  switch (kind) {
  case FileKind::Onnx:
    return "llmc-import reads it: llmc-import " + path + " -o model.mlirbc";
  case FileKind::OnnxText:
  case FileKind::OrtFormat:
    return "llmc-import reads ONNX models in binary form";
  case FileKind::Bytecode:
  case FileKind::Text:
    if (tool == Tool::Import)
      return "it is imported already: llmc-opt compresses it, llmc-compile compiles it";
    return "it is not compiled yet: llmc-compile " + path + " -o BASE, then llmc-run BASE";
  case FileKind::Gguf:
  case FileKind::Safetensors:
  case FileKind::Archive:
  case FileKind::Pickle:
    return exported;
  case FileKind::Compressed:
    return "unpack it first";
  case FileKind::LfsPointer:
    return "fetch it first (git lfs pull)";
  case FileKind::Npy:
    return "ids belong to llmc-opt --calibrate=tokens=FILE and llmc-run --prompt-ids=@FILE";
  case FileKind::CutBytecode:
    return "copy it again, or make it anew";
  default:
    break;
  }
  return tool == Tool::Import ? "expected an ONNX model"
         : tool == Tool::Run  ? "expected the base name of a compiled model"
                              : "expected a model of llmc, as llmc-import writes it";
}

std::string llmc::misplaced(const std::string &path, FileKind kind, Tool tool) {
  bool takes = tool == Tool::Import ? kind == FileKind::Onnx
               : tool == Tool::Run  ? false
                                    : kind == FileKind::Bytecode;
  if (takes)
    return "";
  std::string base = artifactBase(path);
  if (!base.empty())
    return "'" + path + "' is a part of the compiled model '" + base +
           "'; llmc-run takes its base name: llmc-run " + base;
  if (kind == FileKind::Missing && tool != Tool::Run &&
      kindOfFile(path + ".json") == FileKind::ArtifactJson)
    return "'" + path + "' is the base name of a compiled model; llmc-run runs it: llmc-run " +
           path;
  if (kind == FileKind::Text && tool == Tool::Import && path.size() > 5 &&
      path.compare(path.size() - 5, 5, ".mlir") == 0)
    return "'" + path + "' is a model of llmc as text; " + advice(path, kind, tool);
  if (kind == FileKind::Text && tool == Tool::Run)
    return "'" + path + "' is no compiled model; if it is a model as text, " +
           advice(path, kind, tool);
  std::string what = describe(kind);
  return what.empty() ? "" : "'" + path + "' " + what + "; " + advice(path, kind, tool);
}

std::string llmc::misplacedBase(const std::string &base) {
  if (exists(base + ".json"))
    return "";
  return misplaced(base, kindOfFile(base), Tool::Run);
}
