//===- ModelWork.cpp - what a compiled model must read and compute for a token ----------===//
//
// An embedding table is not read, but for one row; a tied head is stored a second time as a linear.
//
#include "ModelWork.h"

#include "llmc/Runtime/Failure.h"

#include <fstream>
#include <nlohmann/json.hpp>

using namespace llmc;
using namespace llmc::bench;
using Json = nlohmann::json;

namespace {

Json readWeightsHeader(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  unsigned char bytes[8] = {};
  uint64_t size = 0;
  if (file.read(reinterpret_cast<char *>(bytes), sizeof(bytes)))
    for (int i = 7; i >= 0; --i)
      size = size << 8 | bytes[i];
  std::string text(size <= (uint64_t(100) << 20) ? size : 0, '\0');
  if (text.empty() || !file.read(text.data(), static_cast<std::streamsize>(text.size())))
    failInput(path + ": the header cannot be read");
  return Json::parse(text, nullptr, /*allow_exceptions=*/false);
}

/// Bytes of all arrays but those of which a token reads one row.
double bytesRead(const Json &header, const std::string &path) {
  if (!header.is_object())
    failInput(path + ": the header is no JSON object");
  const Json forms = header.value("__metadata__", Json::object());
  double sum = 0;
  for (const auto &[name, tensor] : header.items()) {
    if (name == "__metadata__")
      continue;
    const std::string form = forms.value(name, "");
    if (form == "embedding" || form == "rope" || form == "rows" || form == "padding")
      continue;
    const Json &range = tensor.at("data_offsets");
    sum += range.at(1).get<double>() - range.at(0).get<double>();
  }
  return sum;
}

Products productsOf(const Json &work, const char *part) {
  const Json found = work.value(part, Json::object());
  return {found.value("float", 0.0), found.value("i8", 0.0), found.value("i8_narrow", 0.0)};
}

} // namespace

double Products::seconds(const Limits &limits) const {
  double sum = 0;
  const std::pair<double, double> parts[] = {
      {floats, limits.fma}, {wide, limits.dot}, {narrow, limits.narrowDot}};
  for (const auto &[products, rate] : parts) {
    if (products > 0 && rate <= 0)
      return 0;
    if (products > 0)
      sum += 2 * products / rate;
  }
  return sum;
}

Products Products::times(double factor) const {
  return {floats * factor, wide * factor, narrow * factor};
}

Products Products::plus(const Products &other) const {
  return {floats + other.floats, wide + other.wide, narrow + other.narrow};
}

ModelWork llmc::bench::readModelWork(const Artifact &artifact) {
  ModelWork result;
  const Json info = Json::parse(artifact.functions().infoJson(), nullptr, false);
  result.cacheBytes = info.value("kv_bytes_per_position", 0.0);
  const Json work = info.value("products_per_position", Json::object());
  result.body = productsOf(work, "body");
  result.logits = productsOf(work, "logits");
  result.weightBytes = static_cast<double>(artifact.weightsBytes());
  if (artifact.info().weightsFile.empty())
    return result;
  const std::string &base = artifact.base();
  const size_t slash = base.rfind('/');
  const std::string path =
      (slash == std::string::npos ? "" : base.substr(0, slash + 1)) + artifact.info().weightsFile;
  result.weightBytes = bytesRead(readWeightsHeader(path), path);
  return result;
}
