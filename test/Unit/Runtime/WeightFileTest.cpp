// The header of weights: what the format allows is taken, everything else is refused with its
// reason.
#include "ToyArtifact.h"

#include "llmc/Runtime/llmcrt.h"

#include <cstdio>
#include <cstring>
#include <fstream>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace llmc::test;

namespace {

/// "" when the header is accepted.
std::string check(const std::string &header, uint64_t dataBytes) {
  char why[LLMCRT_ERROR] = "";
  const int32_t bad = llmcrt_weights_check(header.data(), header.size(), dataBytes, why);
  EXPECT_EQ(bad != 0, why[0] != 0);
  return why;
}

std::string tensor(const std::string &fields) { return "{\"w\":{" + fields + "}}"; }

TEST(WeightFile, AcceptsWhatTheFormatAllows) {
  EXPECT_EQ(check("{}", 0), "");
  EXPECT_EQ(check("{}   ", 0), "");
  EXPECT_EQ(check(R"({"__metadata__":{"made by":"a \"test\" \u00e4"}})", 0), "");
  EXPECT_EQ(check(tensor(R"("dtype":"F32","shape":[2,3],"data_offsets":[0,24])"), 24), "");
  EXPECT_EQ(check(tensor(R"( "data_offsets" : [ 0 , 2 ] , "shape" : [ ] , "dtype" : "F16" )"), 2),
            "");
  EXPECT_EQ(check(tensor(R"("dtype":"F4","shape":[3,2],"data_offsets":[0,3])"), 3), "");
  EXPECT_EQ(check(tensor(R"("dtype":"I8","shape":[0,7],"data_offsets":[0,0])"), 0), "");
  EXPECT_EQ(check(R"({"b":{"dtype":"U8","shape":[4],"data_offsets":[4,8]},)"
                  R"("a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}})",
                  8),
            "");
}

TEST(WeightFile, RefusesWrongJson) {
  const std::string good = tensor(R"("dtype":"F32","shape":[2,3],"data_offsets":[0,24])");
  for (size_t size = 0; size < good.size(); ++size)
    EXPECT_NE(check(good.substr(0, size), 24), "") << size;
  EXPECT_NE(check(good + "x", 24), "");
  EXPECT_NE(check(good + good, 24), "");
  EXPECT_NE(check(" " + good, 24), "");
  EXPECT_NE(check("[]", 0), "");
  EXPECT_NE(check("{\"w\":1}", 0), "");
  EXPECT_NE(check("{\"a\n\":{}}", 0), "");
  EXPECT_NE(check("{\"a\\x\":{}}", 0), "");
  EXPECT_NE(check("{\"a\\u12g4\":{}}", 0), "");
  EXPECT_NE(check(std::string("{\"a\\\0\":{}}", 10), 0), "");
  EXPECT_NE(check(R"({"__metadata__":{"a":1}})", 0), "");
  EXPECT_NE(check(R"({"__metadata__":{},"__metadata__":{}})", 0), "");
}

TEST(WeightFile, RefusesWrongTensors) {
  EXPECT_NE(check(tensor(R"("dtype":"F33","shape":[1],"data_offsets":[0,4])"), 4), "");
  EXPECT_NE(check(tensor(R"("dtype":"F32","shape":[1])"), 4), "");
  EXPECT_NE(check(tensor(R"("dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4])"), 4),
            "");
  EXPECT_NE(check(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1)"), 4), "");
  EXPECT_NE(check(tensor(R"("dtype":"F32","shape":[-1],"data_offsets":[0,4])"), 4), "");
  EXPECT_NE(check(tensor(R"("dtype":"F32","shape":[1.0],"data_offsets":[0,4])"), 4), "");
  EXPECT_NE(check(tensor(R"("dtype":"F32","shape":[01],"data_offsets":[0,4])"), 4), "");
  EXPECT_NE(check(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[0,4,8])"), 4), "");
  EXPECT_NE(check(tensor(R"("dtype":"F32","shape":[2],"data_offsets":[0,4])"), 4), "");
  EXPECT_NE(check(tensor(R"("dtype":"F32","shape":[1],"data_offsets":[4,0])"), 4), "");
  EXPECT_NE(check(tensor(R"("dtype":"F4","shape":[3],"data_offsets":[0,1])"), 1), "");
}

TEST(WeightFile, RefusesOverflow) {
  // 2^62 elements of 4 bytes would wrap to 0 bytes.
  EXPECT_NE(check(tensor(R"("dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0])"), 0),
            "");
  EXPECT_NE(
      check(tensor(R"("dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0])"), 0), "");
  EXPECT_NE(check(tensor(R"("dtype":"U8","shape":[99999999999999999999],"data_offsets":[0,0])"), 0),
            "");
}

TEST(WeightFile, RefusesRangesThatDoNotTileTheData) {
  const auto two = [](const std::string &first, const std::string &second) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[)" + first +
           R"(]},"b":{"dtype":"U8","shape":[4],"data_offsets":[)" + second + "]}}";
  };
  EXPECT_EQ(check(two("0,4", "4,8"), 8), "");
  EXPECT_EQ(check(two("0,4", "2,6"), 6), "tensor 'b' has a range that overlaps another");
  EXPECT_EQ(check(two("0,4", "5,9"), 9), "tensor 'b' has a hole before its range");
  EXPECT_EQ(check(two("1,5", "5,9"), 9), "tensor 'a' has a hole before its range");
  EXPECT_EQ(check(two("0,4", "4,8"), 7), "tensor 'b' has a range past the end of the file");
  EXPECT_NE(check(two("0,4", "4,8"), 9), "");
  EXPECT_EQ(check("{}", 1), "the file has bytes that belong to no tensor");
}

TEST(WeightFile, RefusesNamesThatRepeat) {
  EXPECT_EQ(check(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                  R"("a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}})",
                  2),
            "tensor 'a' has the same name twice");
}

/// Writes a file whose only tensor has these bytes, and opens it.
bool openBytes(const Folder &folder, const std::string &data, llmcrt_weights &weights) {
  const std::string path = folder.file("w.safetensors"), size = std::to_string(data.size());
  writeBytes(path, safetensors(tensor(R"("dtype":"U8","shape":[)" + size +
                                      R"(],"data_offsets":[0,)" + size + "]"),
                               data));
  char why[LLMCRT_ERROR] = "";
  EXPECT_EQ(llmcrt_weights_open(path.c_str(), &weights, why), 0) << why;
  return weights.data != nullptr;
}

TEST(WeightFile, MapsAlignedData) {
  const Folder folder;
  llmcrt_weights weights;
  ASSERT_TRUE(openBytes(folder, "hello", weights));
  EXPECT_EQ(weights.bytes, 5u);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(weights.data) % 64, 0u);
  EXPECT_EQ(std::memcmp(weights.data, "hello", 5), 0);
  llmcrt_weights_close(&weights);
  EXPECT_EQ(weights.data, nullptr);
}

// Whether the page at `address` belongs to a file.
bool isMappedFile(const void *address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    unsigned long long begin, end, offset, inode;
    unsigned major, minor;
    if (std::sscanf(line.c_str(), "%llx-%llx %*s %llx %x:%x %llu", &begin, &end, &offset, &major,
                    &minor, &inode) == 6 &&
        begin <= reinterpret_cast<uintptr_t>(address) && reinterpret_cast<uintptr_t>(address) < end)
      return inode != 0;
  }
  return false;
}

TEST(WeightFile, SettlesWhileItIsRead) {
  const Folder folder;
  std::string data(24 << 20, 0);
  for (size_t i = 0; i < data.size(); ++i)
    data[i] = static_cast<char>(i * 31 + (i >> 12));
  llmcrt_weights weights;
  char why[LLMCRT_ERROR] = "";
  ASSERT_TRUE(openBytes(folder, data, weights));
  const void *before = weights.data;
  if (llmcrt_weights_settle(&weights, why)) {
    llmcrt_weights_close(&weights);
    GTEST_SKIP() << why;
  }
  EXPECT_EQ(llmcrt_weights_settle(&weights, why), 1); // Once.
  for (int i = 0; i < 5; ++i)
    ASSERT_EQ(std::memcmp(weights.data, data.data(), data.size()), 0) << i;
  llmcrt_weights_wait(&weights);
  llmcrt_weights_wait(&weights);
  EXPECT_EQ(weights.data, before);
  EXPECT_EQ(std::memcmp(weights.data, data.data(), data.size()), 0);
  const char *middle = static_cast<const char *>(weights.data) + data.size() / 2;
  EXPECT_FALSE(isMappedFile(middle));
  llmcrt_weights_close(&weights);
  EXPECT_EQ(weights.mover, nullptr);

  // Closing does not wait for all of it.
  ASSERT_TRUE(openBytes(folder, data, weights));
  EXPECT_EQ(llmcrt_weights_settle(&weights, why), 0) << why;
  llmcrt_weights_stop(&weights);
  EXPECT_EQ(std::memcmp(weights.data, data.data(), data.size()), 0);
  llmcrt_weights_close(&weights);
}

TEST(WeightFile, SettlesInTheParentOfAFork) {
  const Folder folder;
  std::string data(16 << 20, 'x');
  llmcrt_weights weights;
  char why[LLMCRT_ERROR] = "";
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(openBytes(folder, data, weights));
    if (llmcrt_weights_settle(&weights, why)) {
      llmcrt_weights_close(&weights);
      GTEST_SKIP() << why;
    }
    const pid_t child = fork();
    if (child == 0) {
      alarm(60); // A child that waits for its parent's mover waits for good.
      const bool same = std::memcmp(weights.data, data.data(), data.size()) == 0;
      llmcrt_weights_wait(&weights);
      llmcrt_weights_close(&weights);
      _exit(same && !weights.data ? 0 : 1);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
    EXPECT_EQ(std::memcmp(weights.data, data.data(), data.size()), 0);
    llmcrt_weights_close(&weights);
  }
}

TEST(WeightFile, SettlesOnlyWhereThatHelps) {
  const Folder folder;
  llmcrt_weights weights;
  ASSERT_TRUE(openBytes(folder, "hello", weights));
  char why[LLMCRT_ERROR] = "";
  EXPECT_EQ(llmcrt_weights_settle(&weights, why), 1);
  EXPECT_NE(std::string(why).find("are too few to gain by huge pages"), std::string::npos) << why;
  EXPECT_TRUE(isMappedFile(weights.data));
  llmcrt_weights_close(&weights);
}

TEST(WeightFile, RefusesWrongFiles) {
  const Folder folder;
  const std::string path = folder.file("w.safetensors");
  const auto open = [&](const std::string &bytes) {
    writeBytes(path, bytes);
    llmcrt_weights weights;
    char why[LLMCRT_ERROR] = "";
    EXPECT_EQ(llmcrt_weights_open(path.c_str(), &weights, why), 1);
    EXPECT_EQ(weights.data, nullptr);
    EXPECT_EQ(std::string(why).substr(0, path.size()), path);
    return std::string(why).substr(path.size());
  };
  const std::string header = tensor(R"("dtype":"U8","shape":[5],"data_offsets":[0,5])");
  EXPECT_EQ(open(""), ": not a safetensors file");
  EXPECT_EQ(open("1234567"), ": not a safetensors file");
  EXPECT_EQ(open(std::string(8, '\xff')),
            ": states a header of 18446744073709551615 bytes, but 0 follow");
  EXPECT_NE(open(safetensors(header, "hello", /*align=*/false)).find("not at a multiple of 64"),
            std::string::npos);
  EXPECT_EQ(open(safetensors(header, "hell")), ": tensor 'w' has a range past the end of the file");
  llmcrt_weights weights;
  EXPECT_EQ(llmcrt_weights_open(folder.file("none").c_str(), &weights, nullptr), 1);
}

} // namespace
