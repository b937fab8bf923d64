// Reads <base>.json field by field; every number has a range and every name a form, because the
// file is not trusted.
#include "llmc/Runtime/Artifact.h"

#include "llmc/Runtime/Failure.h"

#include <nlohmann/json.hpp>

using namespace llmc;
using Json = nlohmann::json;

namespace {

constexpr int64_t maximumSize = int64_t(1) << 40;
constexpr size_t maximumTensors = 4096;
constexpr size_t maximumRank = 8;

class InfoReader {
public:
  InfoReader(const Json &root, const std::string &path) : root(root), path(path) {}

  ArtifactInfo read() {
    exactly("format", 1, "this version of the JSON");
    exactly("abi", LLMC_ABI, "the ABI of this runtime");
    info.prefix = text(root, "prefix");
    checkPrefix();
    const Json &target = field(root, "target");
    info.triple = text(target, "triple");
    for (const Json &feature : list(target, "features"))
      info.features.push_back(textOf(feature, "a feature of the target"));
    readRole();
    info.inputs = tensors("inputs");
    info.outputs = tensors("outputs");
    readChecks();
    if (!info.isStep && (info.inputs.empty() || info.outputs.empty()) && info.checks.empty())
      fail("role 'run' without inputs or outputs");
    readWeights();
    return std::move(info);
  }

private:
  [[noreturn]] void fail(const std::string &what) const { failInput(path + ": " + what); }

  const Json &field(const Json &object, const std::string &key) const {
    if (!object.is_object() || !object.contains(key))
      fail("the field '" + key + "' is missing");
    return object.at(key);
  }

  std::string textOf(const Json &value, const std::string &what) const {
    if (!value.is_string())
      fail(what + " is no text");
    return value.get<std::string>();
  }

  std::string text(const Json &object, const std::string &key) const {
    return textOf(field(object, key), "the field '" + key + "'");
  }

  const Json &list(const Json &object, const std::string &key) const {
    const Json &value = field(object, key);
    if (!value.is_array())
      fail("the field '" + key + "' is no list");
    return value;
  }

  int64_t numberOf(const Json &value, const std::string &what, int64_t low, int64_t high) const {
    const bool tooLarge = value.is_number_unsigned() && value.get<uint64_t>() > uint64_t(high);
    if (!value.is_number_integer() || tooLarge || value.get<int64_t>() < low ||
        value.get<int64_t>() > high)
      fail(what + ": expected a whole number from " + std::to_string(low) + " to " +
           std::to_string(high) + ", found " + value.dump().substr(0, 40));
    return value.get<int64_t>();
  }

  int64_t number(const Json &object, const std::string &key, int64_t low, int64_t high) const {
    return numberOf(field(object, key), "the field '" + key + "'", low, high);
  }

  int64_t optionalNumber(const std::string &key, int64_t high) const {
    return root.contains(key) && !root.at(key).is_null() ? number(root, key, 0, high) : 0;
  }

  void exactly(const std::string &key, int64_t expected, const char *what) const {
    const int64_t found = number(root, key, 0, maximumSize);
    if (found != expected)
      fail("has " + key + " " + std::to_string(found) + ", but " + what + " is " +
           std::to_string(expected) + "; compile the model again");
  }

  void checkPrefix() const {
    const auto letter = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
    };
    bool good = !info.prefix.empty() && info.prefix.size() <= 200 && letter(info.prefix[0]);
    for (const char c : info.prefix)
      good = good && (letter(c) || (c >= '0' && c <= '9'));
    if (!good)
      fail("the field 'prefix' is no C identifier");
  }

  void readRole() {
    const std::string role = text(root, "role");
    if (role != "step" && role != "run")
      fail("expected role 'step' or 'run', found '" + role + "'");
    info.isStep = role == "step";
    info.maxTokens = optionalNumber("max_tokens", maximumSize);
    if (!info.isStep) {
      info.vocab = optionalNumber("vocab", INT32_MAX);
      info.longestSequence = optionalNumber("longest_sequence", maximumSize);
      return;
    }
    info.vocab = number(root, "vocab", 1, INT32_MAX);
    info.idLimit = root.contains("id_limit") ? number(root, "id_limit", 1, INT32_MAX) : info.vocab;
    info.context = number(root, "context", 1, maximumSize);
    info.chunk = number(root, "chunk", 1, maximumSize);
    if (!root.contains("stop_ids") || root.at("stop_ids").is_null())
      return;
    for (const Json &id : list(root, "stop_ids"))
      info.stopIds.push_back(
          static_cast<int32_t>(numberOf(id, "an id of 'stop_ids'", 0, info.vocab - 1)));
  }

  std::vector<TensorInfo> tensors(const std::string &key) const {
    std::vector<TensorInfo> result;
    for (const Json &entry : list(root, key)) {
      TensorInfo tensor;
      tensor.name = text(entry, "name");
      const std::string type = text(entry, "type");
      if (type != "f32" && type != "i32" && type != "i64")
        fail("'" + tensor.name + "': expected type f32, i32 or i64, found '" + type + "'");
      tensor.type = type == "f32" ? LLMC_F32 : type == "i32" ? LLMC_I32 : LLMC_I64;
      for (const Json &size : list(entry, "shape")) {
        if (size.is_string())
          tensor.shape.push_back({size.get<std::string>(), 0});
        else
          tensor.shape.push_back(
              {"", numberOf(size, "a dimension of '" + tensor.name + "'", 0, maximumSize)});
      }
      if (tensor.shape.size() > maximumRank)
        fail("'" + tensor.name + "' has more than 8 dimensions");
      for (const TensorInfo &other : result)
        if (other.name == tensor.name)
          fail("'" + tensor.name + "' is twice in " + key);
      result.push_back(std::move(tensor));
      if (result.size() > maximumTensors)
        fail("more than " + std::to_string(maximumTensors) + " " + key);
    }
    return result;
  }

  void readChecks() {
    if (!root.contains("checks"))
      return;
    for (const Json &entry : list(root, "checks")) {
      CheckInfo check;
      check.kind = text(entry, "kind");
      check.expected = text(entry, "expected");
      check.source = text(entry, "source");
      check.offset = number(entry, "offset", 0, maximumSize);
      check.width = number(entry, "width", 1, maximumSize);
      if (check.offset % 4)
        fail("a check lies at " + std::to_string(check.offset) + ", no multiple of 4");
      info.checks.push_back(std::move(check));
    }
  }

  void readWeights() {
    if (!root.contains("weights") || root.at("weights").is_null())
      return;
    const Json &weights = root.at("weights");
    info.weightsFile = text(weights, "file");
    // Only a file beside the JSON: an artifact is one folder, and reads nothing else.
    if (info.weightsFile.empty() || info.weightsFile[0] == '.' ||
        info.weightsFile.find_first_of(std::string("/\0", 2)) != std::string::npos)
      fail("the field 'file' of the weights is no plain file name");
    info.weightsBytes = uint64_t(number(weights, "bytes", 0, INT64_MAX));
    if (!weights.contains("hash") || weights.at("hash").is_null())
      return;
    const std::string hash = text(weights, "hash");
    if (hash.size() != 16 || hash.find_first_not_of("0123456789abcdef") != std::string::npos)
      fail("the field 'hash' of the weights is not 16 hexadecimal digits");
    info.weightsHash = std::stoull(hash, nullptr, 16);
  }

  const Json &root;
  const std::string &path;
  ArtifactInfo info;
};

} // namespace

ArtifactInfo llmc::parseArtifactInfo(const std::string &text, const std::string &path) {
  const Json root = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object())
    failInput(path + ": is no JSON object");
  return InfoReader(root, path).read();
}
