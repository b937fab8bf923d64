// The files of the toy artifact, and small helpers around them.
#include "ToyArtifact.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>

using namespace llmc;
using namespace llmc::test;

Folder::Folder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "llmc-test-XXXXXX").string();
  if (!mkdtemp(pattern.data()))
    throw std::runtime_error("no temporary folder");
  path = pattern;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path, ignored);
}

std::vector<std::string> Folder::names() const {
  std::vector<std::string> result;
  for (const auto &entry : std::filesystem::directory_iterator(path))
    result.push_back(entry.path().filename().string());
  std::sort(result.begin(), result.end());
  return result;
}

void test::writeBytes(const std::string &path, const std::string &bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::string test::readBytes(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string test::safetensors(std::string header, const std::string &data, bool align) {
  while (align && (8 + header.size()) % 64)
    header += ' ';
  std::string size(8, '\0');
  for (int i = 0; i < 8; ++i)
    size[i] = static_cast<char>(header.size() >> 8 * i & 255);
  return size + header + data;
}

std::vector<float> test::toyWeights(float scale) {
  std::vector<float> weights(toyVocab);
  for (int64_t v = 0; v < toyVocab; ++v)
    weights[v] = scale * static_cast<float>((v * v) % 17) / 16;
  return weights;
}

std::vector<float> test::toyLogits(const std::vector<int64_t> &ids, float scale) {
  int64_t sum = 0;
  for (size_t j = 0; j < ids.size(); ++j)
    sum += ids[j] * static_cast<int64_t>(j + 1);
  std::vector<float> logits = toyWeights(scale);
  for (int64_t v = 0; v < toyVocab; ++v)
    logits[v] -= static_cast<float>(std::llabs((sum + 7 * v) % 31 - 15)) / 4;
  return logits;
}

std::string test::writeToy(const Folder &folder, bool step, float scale,
                           const std::function<void(nlohmann::json &)> &change) {
  const std::vector<float> weights = toyWeights(scale);
  const std::string data(reinterpret_cast<const char *>(weights.data()), 4 * weights.size());
  writeBytes(
      folder.file("toy.safetensors"),
      safetensors(R"({"weight":{"dtype":"F32","shape":[50],"data_offsets":[0,200]}})", data));
  const char text[] =
#include "ToyModelInfo.inc"
      ;
  nlohmann::json info = nlohmann::json::parse(text);
  if (!step)
    info["role"] = "run";
  if (change)
    change(info);
  writeBytes(folder.file("toy.json"), info.dump(2));
  std::filesystem::copy_file(step ? TOY_STEP : TOY_RUN, folder.file("toy.so"),
                             std::filesystem::copy_options::overwrite_existing);
  return folder.file("toy");
}

std::string test::failureOf(const std::function<void()> &body, ExitCode expected) {
  try {
    body();
  } catch (const Failure &failure) {
    EXPECT_EQ(failure.code, expected) << failure.what();
    return failure.what();
  }
  return "";
}
