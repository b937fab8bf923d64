// Files are told by their bytes, whole or only their beginning.
#include "llmc/Pipeline/FileKind.h"

#include "gtest/gtest.h"

#include <string>

using namespace llmc;

namespace {

std::string field(int number, const std::string &bytes) {
  return std::string(1, static_cast<char>(number << 3 | 2)) +
         std::string(1, static_cast<char>(bytes.size())) + bytes;
}

FileKind kind(const std::string &bytes) { return kindOf(bytes.data(), bytes.size(), bytes.size()); }

const std::string irVersion = "\x08\x0a";

TEST(FileKind, OnnxHasNoMagicNumber) {
  std::string graph = field(7, "the graph"), opset = field(8, "\x10\x11");
  EXPECT_EQ(kind(irVersion + graph + opset), FileKind::Onnx);
  EXPECT_EQ(kind(irVersion + field(2, "pytorch") + field(3, "2.9") + graph), FileKind::Onnx);
  // Any order is legal protobuf.
  EXPECT_EQ(kind(opset + irVersion + field(2, "x") + graph), FileKind::Onnx);
  EXPECT_EQ(kind(graph + opset), FileKind::Onnx);
  // Damaged or cut: still an ONNX model, of which the importer says what is wrong.
  EXPECT_EQ(kind(irVersion + graph + "\xff\xff"), FileKind::Onnx);
  EXPECT_EQ(kind(irVersion + "\x3a\x7fshort"), FileKind::Onnx);
}

TEST(FileKind, ALargeOnnxModelIsToldByItsBeginning) {
  std::string head = irVersion + field(2, "pytorch") + std::string("\x3a\x80\x80\x80\x04", 5);
  head.resize(1 << 16, 'x');
  EXPECT_EQ(kindOf(head.data(), head.size(), 200 << 20), FileKind::Onnx);
}

TEST(FileKind, OtherBytesAreNoOnnx) {
  for (const std::string &bytes :
       {std::string("\x08\x0a"), std::string("\x08"), irVersion + field(2, "no graph"),
        std::string("module {\n}\n"), std::string("func.func @f()"),
        std::string(":looks like a graph"), std::string("\x09\x0a\x3a\x01x"),
        std::string("\x08\x00\x3a\x01x", 5)})
    EXPECT_NE(kind(bytes), FileKind::Onnx) << bytes;
}

TEST(FileKind, MagicNumbers) {
  EXPECT_EQ(kind("GGUF\x03"), FileKind::Gguf);
  EXPECT_EQ(kind("\x93NUMPY\x01"), FileKind::Npy);
  EXPECT_EQ(kind("PK\x03\x04"), FileKind::Archive);
  EXPECT_EQ(kind("version https://git-lfs.github.com/spec/v1\noid"), FileKind::LfsPointer);
  EXPECT_EQ(kind("<!DOCTYPE html><html>"), FileKind::Html);
  EXPECT_EQ(kind(std::string("\x12\0\0\0\0\0\0\0{\"__metadata__\":{}} ", 27)),
            FileKind::Safetensors);
  EXPECT_EQ(kind("{\"model_type\": \"llama\"}"), FileKind::Json);
  EXPECT_EQ(kind("{\n  \"abi\": 1,\n  \"arena_bytes\": 64\n}"), FileKind::ArtifactJson);
  EXPECT_EQ(kind("module {\n}\n"), FileKind::Text);
  EXPECT_EQ(kind("#loc = loc(unknown)\nmodule {}"), FileKind::Text);
  EXPECT_EQ(kind("{-#\n  dialect_resources: {\n  }\n#-}\n"), FileKind::Text);
}

TEST(FileKind, WhiteSpaceIsEmpty) {
  EXPECT_EQ(kind(""), FileKind::Empty);
  EXPECT_EQ(kind(" \n\t\r\n"), FileKind::Empty);
  // More may follow than was looked at.
  EXPECT_EQ(kindOf("    ", 4, 100), FileKind::Unknown);
}

TEST(FileKind, BytecodeThatEndsEarly) {
  // Version 6, producer "p", a section of 4 bytes, one of 3 aligned to 16.
  std::string whole = std::string("ML\xefR\x0dp\0", 7) +
                      std::string("\x00\x09"
                                  "abcd",
                                  6) +
                      std::string("\x85\x07\x21", 3);
  whole += "xyz"; // 16 bytes in front of it
  EXPECT_EQ(kind(whole), FileKind::Bytecode);
  for (size_t length = 5; length < whole.size(); ++length)
    if (length != 7 && length != 13) // behind a whole section nothing is missed here
      EXPECT_EQ(kind(whole.substr(0, length)), FileKind::CutBytecode) << length;
  EXPECT_EQ(kindOf(whole.data(), whole.size() - 2, whole.size()), FileKind::Bytecode);
}

TEST(FileKind, EveryToolNamesTheOther) {
  EXPECT_EQ(misplaced("m.onnx", FileKind::Onnx, Tool::Import), "");
  EXPECT_EQ(misplaced("m.mlirbc", FileKind::Bytecode, Tool::Opt), "");
  EXPECT_EQ(misplaced("m.mlirbc", FileKind::Bytecode, Tool::Compile), "");
  EXPECT_EQ(misplaced("m", FileKind::Onnx, Tool::Compile),
            "'m' is an ONNX model; llmc-import reads it: llmc-import m -o model.mlirbc");
  EXPECT_NE(misplaced("m", FileKind::Bytecode, Tool::Import).find("llmc-compile"),
            std::string::npos);
  EXPECT_NE(misplaced("m", FileKind::Bytecode, Tool::Run).find("llmc-compile m -o BASE"),
            std::string::npos);
  for (Tool tool : {Tool::Import, Tool::Opt, Tool::Compile, Tool::Run}) {
    EXPECT_NE(misplaced("m.gguf", FileKind::Gguf, tool).find("GGUF file; llmc reads ONNX"),
              std::string::npos);
    EXPECT_NE(misplaced("m", FileKind::Empty, tool).find("'m' is empty; expected "),
              std::string::npos);
    EXPECT_EQ(misplaced("m", FileKind::Unknown, tool), "");
  }
}

} // namespace
