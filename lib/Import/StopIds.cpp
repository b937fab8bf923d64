//===- StopIds.cpp - Which ids end a text ---------------------------------===//
//
// All of it is untrusted and none of it is needed: files are small or ignored, numbers are ids of
// the vocabulary or ignored.
//
//===----------------------------------------------------------------------===//

#include "StopIds.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/ScopeExit.h"

#include <algorithm>
#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

using namespace llmc;
using namespace llmc::onnx;
using Json = nlohmann::json;

static constexpr int64_t kMostBytes = int64_t(4) << 20;
static constexpr size_t kMostIds = 256;

namespace {

class StopIdFinder {
public:
  StopIdFinder(ModuleOp module, const OnnxModel &model, int64_t vocabulary)
      : module(module), model(model), vocabulary(vocabulary) {}

  std::vector<int64_t> find() {
    static constexpr const char *keys[] = {"eos_token_id", "eos_token_ids", "stop_token_ids",
                                           "stop_ids", "tokenizer.ggml.eos_token_id"};
    for (const char *key : keys)
      if (std::optional<std::string> text = model.metadata(key))
        if (take(parse("[" + *text + "]"), std::string("metadata '") + key + "'"))
          return found;
    llvm::StringRef folder = llvm::StringRef(model.path()).rsplit('/').first;
    if (folder.size() == model.path().size())
      folder = ".";
    std::vector<std::string> folders = {folder.str()};
    if (folder == "onnx" || folder.ends_with("/onnx"))
      folders.push_back(folder.str() + "/..");
    for (const std::string &place : folders)
      for (const char *name : {"genai_config.json", "generation_config.json", "config.json"})
        if (readFile(place + "/" + name))
          return found;
    return {};
  }

private:
  void remark(const std::string &where, const llvm::Twine &what) {
    mlir::emitRemark(module.getLoc()) << where << ": " << what << "; no stop ids from there";
  }

  /// Discarded when the text is none.
  static Json parse(const std::string &text) {
    return Json::parse(text, nullptr, /*allow_exceptions=*/false);
  }

  /// Takes a number or lists of them. True when there was at least one id to take.
  bool take(const Json &value, const std::string &where) {
    if (value.is_null())
      return false;
    std::vector<int64_t> ids;
    std::vector<const Json *> open = {&value};
    while (!open.empty()) {
      const Json *next = open.back();
      open.pop_back();
      if (next->is_array() && next->size() <= kMostIds && ids.size() <= kMostIds) {
        for (auto part = next->rbegin(); part != next->rend(); ++part)
          open.push_back(&*part);
        continue;
      }
      const bool isId = next->is_number_integer() && ids.size() < kMostIds &&
                        (!next->is_number_unsigned() ||
                         next->get<uint64_t>() < static_cast<uint64_t>(vocabulary)) &&
                        next->get<int64_t>() >= 0 && next->get<int64_t>() < vocabulary;
      if (!isId) {
        remark(where, "expected ids of the vocabulary of " + llvm::Twine(vocabulary) + ", found " +
                          describe(*next));
        return false;
      }
      ids.push_back(next->get<int64_t>());
    }
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
    found = std::move(ids);
    return !found.empty();
  }

  static std::string describe(const Json &value) {
    if (value.is_discarded())
      return "no number";
    return value.is_primitive()
               ? value.dump(-1, ' ', true, Json::error_handler_t::replace).substr(0, 40)
               : value.type_name();
  }

  /// True when the file names stop ids.
  bool readFile(const std::string &path) {
    // Nothing that could block, like a pipe.
    const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0)
      return false;
    auto closing = llvm::scope_exit([&] { close(file); });
    struct stat status;
    if (fstat(file, &status) || !S_ISREG(status.st_mode) || status.st_size > kMostBytes) {
      remark(path, "expected a file of at most 4 MB");
      return false;
    }
    std::string text(static_cast<size_t>(status.st_size), '\0');
    size_t have = 0;
    while (have < text.size()) {
      ssize_t got = read(file, text.data() + have, text.size() - have);
      if (got <= 0)
        break;
      have += static_cast<size_t>(got);
    }
    const Json root = have == text.size() ? parse(text) : Json(Json::value_t::discarded);
    if (!root.is_object()) {
      remark(path, "expected a JSON object");
      return false;
    }
    for (const char *part : {"", "model", "text_config"}) {
      const Json *object = &root;
      if (*part) {
        auto inner = root.find(part);
        object = inner == root.end() ? nullptr : &*inner;
      }
      if (!object || !object->is_object())
        continue;
      auto value = object->find("eos_token_id");
      if (value != object->end() && !value->is_null())
        return take(*value, path);
    }
    return false;
  }

  ModuleOp module;
  const OnnxModel &model;
  int64_t vocabulary;
  std::vector<int64_t> found;
};

} // namespace

void onnx::attachStopIds(ModuleOp module, const OnnxModel &model) {
  for (auto function : module.getOps<func::FuncOp>()) {
    auto role = function->getAttrOfType<StringAttr>("llmc.role");
    if (!role || role != "step" || function.getNumResults() == 0)
      continue;
    auto logits = dyn_cast<RankedTensorType>(function.getResultTypes()[0]);
    if (!logits || logits.getRank() == 0 || logits.isDynamicDim(logits.getRank() - 1))
      continue;
    const std::vector<int64_t> ids = StopIdFinder(module, model, logits.getShape().back()).find();
    if (!ids.empty())
      module->setAttr("llmc.stop_ids", DenseI64ArrayAttr::get(module.getContext(), ids));
    return;
  }
}
