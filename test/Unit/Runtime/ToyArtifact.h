// Writes the toy model as an artifact into a folder of its own, well-formed unless a test asks for
// something else.
#ifndef LLMC_TEST_TOYARTIFACT_H
#define LLMC_TEST_TOYARTIFACT_H

#include "llmc/Runtime/Failure.h"

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace llmc::test {

/// A folder that goes away with the object.
class Folder {
public:
  Folder();
  ~Folder();
  std::string file(const std::string &name) const { return path + "/" + name; }
  std::vector<std::string> names() const;

private:
  std::string path;
};

void writeBytes(const std::string &path, const std::string &bytes);
std::string readBytes(const std::string &path);

/// Bytes of a safetensors file: header (padded so that the data is aligned, unless told otherwise)
/// and data.
std::string safetensors(std::string header, const std::string &data, bool align = true);

/// weight[v] of the toy, a small bump per id.
std::vector<float> toyWeights(float scale = 1);

/// Writes toy.json, toy.so and toy.safetensors and returns their base. `change` may edit the JSON
/// (then it no longer equals what the code says).
std::string writeToy(const Folder &folder, bool step, float scale = 1,
                     const std::function<void(nlohmann::json &)> &change = nullptr);

/// What the toy answers behind `ids`: one row of logits.
std::vector<float> toyLogits(const std::vector<int64_t> &ids, float scale = 1);

constexpr int64_t toyVocab = 50;
constexpr int64_t toyStop = 24; ///< what TOY_STOPS names

/// Runs `body` and returns the message of the Failure it throws, "" when it throws none.
std::string failureOf(const std::function<void()> &body, ExitCode expected = ExitCode::BadInput);

} // namespace llmc::test

#endif // LLMC_TEST_TOYARTIFACT_H
