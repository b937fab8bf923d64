// .npy files: what numpy writes is read, what is malformed is refused by name, what is written is
// whole.
#include "ToyArtifact.h"

#include "llmc/Runtime/Npy.h"
#include "llmc/Runtime/llmc.h"

#include <cstring>
#include <gtest/gtest.h>

using namespace llmc;
using namespace llmc::test;

namespace {

std::string npy(const std::string &header, const std::string &data, char version = 1) {
  std::string text = "\x93NUMPY";
  text += {version, '\0', static_cast<char>(header.size() & 255),
           static_cast<char>(header.size() >> 8)};
  if (version > 1)
    text += std::string(2, '\0');
  return text + header + data;
}

std::string header(const std::string &descr, const std::string &shape,
                   const std::string &order = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + order + ", 'shape': " + shape + ", }\n";
}

class NpyTest : public ::testing::Test {
protected:
  Array read(const std::string &bytes) {
    writeBytes(path, bytes);
    return readNpy(path);
  }
  /// The message behind the path.
  std::string refusal(const std::string &bytes) {
    const std::string message = failureOf([&] { read(bytes); });
    EXPECT_EQ(message.substr(0, path.size() + 2), path + ": ");
    return message.size() > path.size() ? message.substr(path.size() + 2) : message;
  }
  Folder folder;
  std::string path = folder.file("a.npy");
};

TEST_F(NpyTest, ReadsTypesShapesAndVersions) {
  const Array i4 = read(npy(header("<i4", "(2, 3)"), std::string(24, '\1')));
  EXPECT_EQ(i4.type, LLMC_I32);
  EXPECT_EQ(i4.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(integers(i4, "a"), std::vector<int64_t>(6, 0x01010101));
  EXPECT_EQ(read(npy(header("<i8", "(2,)"), std::string(16, '\xff'))).count(), 2);
  EXPECT_EQ(integers(read(npy(header("<i8", "(1,)"), std::string(8, '\xff'))), "a")[0], -1);
  EXPECT_EQ(read(npy(header("<f4", "()"), std::string(4, '\0'))).shape.size(), 0u);
  EXPECT_EQ(read(npy(header("<f4", "(0, 4)"), "")).count(), 0);
  EXPECT_EQ(read(npy(header("<f4", "(1,)"), std::string(4, '\0'), 2)).count(), 1);
  EXPECT_EQ(read(npy(header("<f4", "(1,)"), std::string(4, '\0'), 3)).count(), 1);
  EXPECT_EQ(read(npy(header("<f4", "(1,)", "True"), std::string(4, '\0'))).count(), 1);
}

TEST_F(NpyTest, RefusesWrongTypes) {
  EXPECT_EQ(refusal(npy(header("<f8", "(1,)"), std::string(8, '\0'))),
            "expected elements of type <f4, <i4 or <i8 (f32, i32, i64), found '<f8'");
  EXPECT_NE(refusal(npy(header(">i4", "(1,)"), std::string(4, '\0'))), "");
  EXPECT_NE(refusal(npy(header("|O", "(1,)"), std::string(8, '\0'))), "");
  EXPECT_NE(refusal(npy("{'descr': [('a', '<i4')], 'fortran_order': False, 'shape': (1,), }",
                        std::string(4, '\0'))),
            "");
  EXPECT_EQ(refusal(npy(header("<f4", "(2, 2)", "True"), std::string(16, '\0'))),
            "expected an array in C order, found Fortran order");
  const Array floats = read(npy(header("<f4", "(1,)"), std::string(4, '\0')));
  EXPECT_EQ(failureOf([&] { integers(floats, "ids"); }),
            "ids: expected integers of 32 or 64 bits, found f32");
}

TEST_F(NpyTest, RefusesMalformedHeaders) {
  EXPECT_EQ(refusal(""), "is no .npy file");
  EXPECT_EQ(refusal("\x93NUMPX\1\0\0\0"), "is no .npy file");
  EXPECT_NE(refusal(npy(header("<f4", "(1,)"), std::string(4, '\0'), 4)), "");
  const std::string whole = npy(header("<i4", "(2, 3)"), std::string(24, '\1'));
  for (size_t size = 0; size < whole.size(); ++size)
    EXPECT_NE(refusal(whole.substr(0, size)), "") << size;
  EXPECT_NE(refusal(whole + "x"), "");
  for (const char *text :
       {"", "{", "{}", "{'descr': '<f4'}", "{'descr': '<f4', 'fortran_order': False, 'shape': 1}",
        "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': No, 'shape': (1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': '1'}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1.5,)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} more",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1 1)}",
        "{'descr': '\n', 'fortran_order': False, 'shape': (1,)}"})
    EXPECT_NE(refusal(npy(text, std::string(4, '\0'))), "") << text;
}

TEST_F(NpyTest, RefusesSizesThatOverflowOrDiffer) {
  EXPECT_NE(refusal(npy(header("<i8", "(2305843009213693952,)"), "")).find("overflows"),
            std::string::npos);
  EXPECT_NE(refusal(npy(header("<i8", "(4294967296, 4294967296)"), "")).find("overflows"),
            std::string::npos);
  EXPECT_NE(refusal(npy(header("<i8", "(99999999999999999999,)"), "")), "");
  EXPECT_EQ(refusal(npy(header("<i4", "(1000000000000,)"), "1234")),
            "expected 4000000000000 bytes of data for shape [1000000000000] of i32, found 4");
}

TEST_F(NpyTest, RefusesFoldersAndMissingFiles) {
  EXPECT_NE(failureOf([&] { readNpy(folder.file("")); }), "");
  EXPECT_NE(failureOf([&] { readNpy(folder.file("none.npy")); }).find("No such file"),
            std::string::npos);
}

TEST_F(NpyTest, WritesWhatItReads) {
  const float values[] = {1, -2.5f, 3, 4, 5, 6};
  NpyWriter writer(path, LLMC_F32, {2, 3});
  writer.append(values, 8);
  writer.append(values + 2, 16);
  writer.commit();
  const std::string bytes = readBytes(path);
  EXPECT_EQ((bytes.size() - sizeof(values)) % 64, 0u);
  const Array array = readNpy(path);
  EXPECT_EQ(array.type, LLMC_F32);
  EXPECT_EQ(array.shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(array.data.data(), values, sizeof(values)), 0);
}

TEST_F(NpyTest, LeavesNothingWhenNotCommitted) {
  writeBytes(path, "old");
  {
    NpyWriter writer(path, LLMC_I64, {1});
    EXPECT_NE(failureOf([&] { writer.commit(); }, ExitCode::Internal), "");
    EXPECT_NE(failureOf([&] { writer.append("123456789", 9); }, ExitCode::Internal), "");
  }
  EXPECT_EQ(readBytes(path), "old");
  EXPECT_EQ(folder.names(), std::vector<std::string>{"a.npy"});
  EXPECT_NE(failureOf([&] { NpyWriter(folder.file("none/b.npy"), LLMC_I64, {1}); }), "");
}

} // namespace
