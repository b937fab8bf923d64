// Opens the parts of an artifact in the order that lets each be checked before the next is trusted:
// JSON, machine, weights, code.
#include "llmc/Runtime/Artifact.h"

#include "llmc/Runtime/Failure.h"

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sys/stat.h>

using namespace llmc;

namespace {

constexpr int64_t maximumJson = int64_t(256) << 20;

#if defined(__x86_64__)
constexpr char machine[] = "x86_64";
#elif defined(__aarch64__)
constexpr char machine[] = "aarch64";
#else
#error "llmc-run knows x86-64 and AArch64"
#endif

std::string readText(const std::string &path) {
  struct stat status;
  if (stat(path.c_str(), &status))
    failInput(path + ": " + std::strerror(errno));
  if (!S_ISREG(status.st_mode) || status.st_size > maximumJson)
    failInput(path + ": is no file of at most 256 MB");
  std::string text(static_cast<size_t>(status.st_size), '\0');
  std::ifstream file(path, std::ios::binary);
  if (!file.read(text.data(), static_cast<std::streamsize>(text.size())))
    failInput(path + ": cannot be read");
  return text;
}

void checkMachine(const ArtifactInfo &info, const std::string &path) {
  const std::string architecture = info.triple.substr(0, info.triple.find('-'));
  if (architecture != machine)
    failInput(path + ": compiled for '" + info.triple + "', but this machine is " + machine);
  for (const std::string &feature : info.features) {
    const char *name = feature.c_str();
    char why[LLMCRT_ERROR];
    if (llmcrt_cpu_check(&name, 1, why))
      failInput(path + ": " + why + "; compile the model for this machine");
  }
}

template <typename Function>
void findFunction(void *library, const std::string &path, const std::string &name,
                  Function *&function) {
  void *symbol = dlsym(library, name.c_str());
  if (!symbol)
    failInput(path + ": the function '" + name + "' is missing");
  function = reinterpret_cast<Function *>(symbol);
}

} // namespace

void Artifact::LibraryClose::operator()(void *library) const { dlclose(library); }

Artifact::~Artifact() = default;

Artifact::Artifact(const std::string &base, WeightPages pages) : basePath(base) {
  const std::string path = base + ".json", text = readText(path);
  description = parseArtifactInfo(text, path);
  checkMachine(description, path);
  openCode(text, openWeights());
  // Where they cannot, they are right where they are.
  if (pages == WeightPages::Own && mapping.map)
    static_cast<void>(llmcrt_weights_settle(&mapping, nullptr));
}

static std::string hexadecimal(uint64_t hash) {
  char text[17];
  std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(hash));
  return text;
}

bool Artifact::hasWeights(const ArtifactInfo &other) const {
  return other.weightsBytes == mapping.bytes &&
         (!other.weightsHash || *other.weightsHash == weightsHash);
}

std::string Artifact::openWeights() {
  if (description.weightsFile.empty())
    return "";
  const size_t slash = basePath.rfind('/');
  weightsPath =
      (slash == std::string::npos ? "" : basePath.substr(0, slash + 1)) + description.weightsFile;
  char why[LLMCRT_ERROR];
  if (llmcrt_weights_open(weightsPath.c_str(), &mapping, why))
    failInput(why);
  mappingOwner.reset(&mapping);
  const bool sameSize = mapping.bytes == description.weightsBytes;
  if (!sameSize || description.weightsHash)
    weightsHash = llmcrt_hash(mapping.data, mapping.bytes);
  if (!sameSize)
    return basePath + ".json states " + std::to_string(description.weightsBytes) +
           " bytes of weights, found " + std::to_string(mapping.bytes);
  if (!hasWeights(description))
    return basePath + ".json states weights with hash " + hexadecimal(*description.weightsHash) +
           ", found " + hexadecimal(weightsHash);
  return "";
}

/// The first field that is not the same in both, "" when none is.
static std::string differingField(const nlohmann::json &a, const nlohmann::json &b) {
  for (const auto &[key, value] : a.items())
    if (!b.contains(key) || b.at(key) != value)
      return key;
  for (const auto &[key, value] : b.items())
    if (!a.contains(key))
      return key;
  return "";
}

// Of three files two may go together: then it is the third that is off.
void Artifact::failMixed(const std::string &jsonText, const std::string &ownText,
                         const std::string &otherWeights) const {
  const std::string json = basePath + ".json", code = basePath + ".so";
  const std::string again = "; compile the model again, or bring the files of one compile";
  const auto stated = nlohmann::json::parse(jsonText, nullptr, false);
  const auto own = nlohmann::json::parse(ownText, nullptr, false);
  if (stated == own)
    failInput(weightsPath + ": is of another compile than " + json + " and " + code + ": " +
              otherWeights + again);
  const std::string field =
      own.is_object() && stated.is_object() ? differingField(stated, own) : "";
  const std::string differ = !otherWeights.empty() ? ": " + otherWeights
                             : field.empty()       ? ""
                                                   : ": they differ in '" + field + "'";
  const bool codeHas = own.is_object() && hasWeights(parseArtifactInfo(ownText, code));
  if (!otherWeights.empty() && codeHas)
    failInput(json + ": is of another compile than " + code + " and " + weightsPath + differ +
              again);
  if (!otherWeights.empty())
    failInput(json + ", " + code + " and " + weightsPath + " are of different compiles" + differ +
              again);
  if (!weightsPath.empty() && !codeHas)
    failInput(code + ": is of another compile than " + json + " and " + weightsPath + differ +
              again);
  failInput(code + ": was not made together with " + json + differ + again);
}

void Artifact::openCode(const std::string &jsonText, const std::string &otherWeights) {
  const std::string path = basePath + ".so";
  // dlopen looks for a name without a slash in the library path, so it gets the absolute one.
  char absolute[PATH_MAX];
  if (!realpath(path.c_str(), absolute))
    failInput(path + ": " + std::strerror(errno));
  library.reset(dlopen(absolute, RTLD_NOW | RTLD_LOCAL));
  if (!library)
    failInput(path + ": cannot be loaded: " + dlerror());
  const auto find = [&](const char *name, auto *&function) {
    findFunction(library.get(), path, description.prefix + "_" + name, function);
  };
  find("abi", table.abi);
  if (table.abi() != LLMC_ABI)
    failInput(path + ": has ABI " + std::to_string(table.abi()) + ", this runtime has " +
              std::to_string(LLMC_ABI) + "; compile the model again");
  find("info_json", table.infoJson);
  const char *own = table.infoJson();
  if (!own || !otherWeights.empty() ||
      nlohmann::json::parse(own, nullptr, false) != nlohmann::json::parse(jsonText, nullptr, false))
    failMixed(jsonText, own ? own : "", otherWeights);
  find("sizes", table.sizes);
  find("init", table.init);
  if (!description.isStep) {
    find("run", table.run);
    return;
  }
  find("state_init", table.stateInit);
  find("prefill", table.prefill);
  find("prefill_all", table.prefillAll);
  find("decode", table.decode);
}
