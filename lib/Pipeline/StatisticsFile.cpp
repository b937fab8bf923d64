//===- StatisticsFile.cpp - statistics beside the model -----------------------------------===//
//
// They are larger than the model and wanted by few: the model keeps their names and the file's
// hash. The data is read in place where the file is mapped.
//
#include "llmc/Calibrate/StatisticsAttr.h"
#include "llmc/IR/Layers.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/Hash.h"
#include "llmc/Numerics/MappedPages.h"
#include "llmc/Pipeline/Diagnostics.h"
#include "llmc/Pipeline/Passes.h"

#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Path.h"

#include <cstring>

namespace llmc {
#define GEN_PASS_DEF_ATTACHSTATISTICS
#define GEN_PASS_DEF_DETACHSTATISTICS
#include "llmc/Pipeline/Passes.h.inc"
} // namespace llmc

using namespace mlir;
using namespace llmc;
namespace json = llvm::json;

static constexpr llvm::StringLiteral kFileAttr = "llmc.statistics_file";

/// Replaces attributes in all statistics of a module, each distinct dictionary once.
static void mapEntries(ModuleOp module, llvm::function_ref<Attribute(Attribute)> map) {
  auto hasSome = [](Operation *op) {
    return op->hasAttr(kStatisticsAttr) ? WalkResult::interrupt() : WalkResult::advance();
  };
  if (!module.walk(hasSome).wasInterrupted())
    return; // A model as it lies in a file.
  FlatLayers flat(module);
  DenseMap<DictionaryAttr, DictionaryAttr> done;
  module.walk([&](Operation *op) {
    auto statistics = op->getAttrOfType<DictionaryAttr>(kStatisticsAttr);
    if (!statistics)
      return;
    DictionaryAttr &mapped = done[statistics];
    if (!mapped) {
      SmallVector<NamedAttribute> entries;
      for (NamedAttribute entry : statistics)
        entries.emplace_back(entry.getName(), map(entry.getValue()));
      mapped = DictionaryAttr::get(module.getContext(), entries);
    }
    op->setAttr(kStatisticsAttr, mapped);
  });
}

namespace {

/// A file of statistics that is mapped as long as anything refers to it.
class StatisticsFile {
public:
  /// Reads the header. Failures say what is wrong with the file.
  static Result<std::shared_ptr<StatisticsFile>> open(const std::string &path);
  ~StatisticsFile() { unregisterMapping(bytes->getBufferStart()); }

  StringRef hash() const { return contentHash; }
  /// The tensor called `name`, without a copy; null where there is none.
  static Attribute get(const std::shared_ptr<StatisticsFile> &file, MLIRContext *context,
                       StringRef name);

private:
  struct Entry {
    bool wide = false; ///< f64, else f32
    SmallVector<int64_t, 2> shape;
    uint64_t begin = 0, end = 0;
  };
  Status readHeader();

  std::unique_ptr<llvm::MemoryBuffer> bytes;
  llvm::StringMap<Entry> entries;
  std::string contentHash;
  uint64_t dataStart = 0;
};

Result<std::shared_ptr<StatisticsFile>> StatisticsFile::open(const std::string &path) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer)
    return Failure{buffer.getError().message()};
  auto file = std::make_shared<StatisticsFile>();
  file->bytes = std::move(*buffer);
  if (file->bytes->getBufferKind() == llvm::MemoryBuffer::MemoryBuffer_MMap)
    registerMapping(file->bytes->getBufferStart(), file->bytes->getBufferSize());
  if (Status ok = file->readHeader(); !ok)
    return ok.failure();
  return file;
}

Status StatisticsFile::readHeader() {
  Failure broken{"is no safetensors file of statistics, or was cut short"};
  StringRef all = bytes->getBuffer();
  uint64_t size = 0;
  if (all.size() < 8)
    return broken;
  std::memcpy(&size, all.data(), 8);
  if (size > all.size() - 8)
    return broken;
  dataStart = 8 + size;
  llvm::Expected<json::Value> root = json::parse(all.substr(8, size));
  if (!root) {
    llvm::consumeError(root.takeError());
    return broken;
  }
  const json::Object *object = root->getAsObject();
  const json::Object *metadata = object ? object->getObject("__metadata__") : nullptr;
  auto hash = metadata ? metadata->getString("hash") : std::nullopt;
  if (!hash)
    return broken;
  contentHash = hash->str();
  for (const auto &[name, value] : *object) {
    const json::Object *tensor = value.getAsObject();
    if (StringRef(name) == "__metadata__")
      continue;
    const json::Array *place = tensor ? tensor->getArray("data_offsets") : nullptr;
    auto type = tensor ? tensor->getString("dtype") : std::nullopt;
    auto begin = place && place->size() == 2 ? (*place)[0].getAsUINT64() : std::nullopt;
    auto end = place && place->size() == 2 ? (*place)[1].getAsUINT64() : std::nullopt;
    const json::Array *sizes = tensor ? tensor->getArray("shape") : nullptr;
    if (!type || (*type != "F32" && *type != "F64") || !sizes || !begin || !end || *begin > *end ||
        *end > all.size() - dataStart)
      return broken;
    Entry entry{*type == "F64", {}, *begin, *end};
    int64_t expected = entry.wide ? 8 : 4;
    for (const json::Value &dimension : *sizes) {
      auto dim = dimension.getAsUINT64();
      if (!dim || *dim > INT64_MAX || llvm::MulOverflow<int64_t>(expected, *dim, expected))
        return broken;
      entry.shape.push_back(*dim);
    }
    if (static_cast<uint64_t>(expected) != entry.end - entry.begin)
      return broken;
    entries[StringRef(name)] = std::move(entry);
  }
  return {};
}

Attribute StatisticsFile::get(const std::shared_ptr<StatisticsFile> &file, MLIRContext *context,
                              StringRef name) {
  auto found = file->entries.find(name);
  if (found == file->entries.end())
    return {};
  const Entry &entry = found->second;
  Builder b(context);
  FloatType type = entry.wide ? cast<FloatType>(b.getF64Type()) : b.getF32Type();
  int64_t bytes = entry.end - entry.begin, element = entry.wide ? 8 : 4;
  const char *data = file->bytes->getBufferStart() + file->dataStart + entry.begin;
  // The blob keeps the file.
  AsmResourceBlob blob(
      ArrayRef<char>(data, bytes), element, [file](void *, size_t, size_t) {},
      /*dataIsMutable=*/false);
  return makeResource(RankedTensorType::get(entry.shape, type), name, std::move(blob));
}

struct AttachStatistics : llmc::impl::AttachStatisticsBase<AttachStatistics> {
  using AttachStatisticsBase::AttachStatisticsBase;
  void runOnOperation() override {
    ModuleOp module = getOperation();
    auto known = module->getAttrOfType<DictionaryAttr>(kFileAttr);
    if (!known)
      return;
    auto name = known.getAs<StringAttr>("name"), hash = known.getAs<StringAttr>("hash");
    if (!name || !hash || name.getValue().contains('/'))
      return fail(Twine(kFileAttr) + " has no plain name and hash");
    SmallString<128> path(folder);
    llvm::sys::path::append(path, name.getValue());
    auto file = StatisticsFile::open(path.str().str());
    if (!file)
      return missing(Twine("'") + path + "', the statistics of this model: " + file.message());
    if ((*file)->hash() != hash.getValue())
      return missing(Twine("'") + path + "' has the statistics of another model: expected hash " +
                     hash.getValue() + ", found " + (*file)->hash());
    std::string absent;
    mapEntries(module, [&](Attribute entry) -> Attribute {
      auto key = dyn_cast<StringAttr>(entry);
      Attribute data = key ? StatisticsFile::get(*file, &getContext(), key) : entry;
      if (!data && absent.empty())
        absent = key.str();
      return data ? data : entry;
    });
    if (!absent.empty())
      return fail(Twine("'") + path + "' has no '" + absent + "'");
  }

  void missing(const Twine &what) {
    if (required)
      fail(what);
  }
  void fail(const Twine &what) {
    mlir::emitError(getOperation().getLoc()) << getArgument() << ": " << what;
    signalPassFailure();
  }
};

/// A vector or triangle of the store on its way to the file.
struct Vector {
  std::string name;
  ElementsAttr data;
};

struct DetachStatistics : llmc::impl::DetachStatisticsBase<DetachStatistics> {
  using DetachStatisticsBase::DetachStatisticsBase;
  DetachStatistics(const std::string &path, std::unique_ptr<AtomicOutput> &output)
      : DetachStatisticsBase(DetachStatisticsOptions{path}), handed(&output) {}
  DetachStatistics(const DetachStatistics &other)
      : DetachStatisticsBase(other), handed(other.handed) {}

  void runOnOperation() override {
    if (mlir::failed(detach(getOperation())))
      signalPassFailure();
  }

private:
  LogicalResult detach(ModuleOp module);
  LogicalResult write(ModuleOp module, ArrayRef<Vector> vectors, StringRef hash);
  InFlightDiagnostic fail() {
    return mlir::emitError(getOperation().getLoc()) << getArgument() << ": ";
  }

  std::unique_ptr<AtomicOutput> *handed = nullptr;
};

LogicalResult DetachStatistics::detach(ModuleOp module) {
  if (file.empty())
    return fail() << "file=<file> is missing";
  std::vector<Vector> found;
  llvm::StringSet<> seen;
  bool hasNames = false;
  mapEntries(module, [&](Attribute entry) -> Attribute {
    hasNames |= isa<StringAttr>(entry);
    auto resource = dyn_cast<DenseResourceElementsAttr>(entry);
    if (!resource)
      return entry;
    std::string name = resource.getRawHandle().getKey().str();
    if (seen.insert(name).second)
      found.push_back({name, resource});
    return StringAttr::get(module.getContext(), name);
  });
  if (found.empty()) {
    if (!hasNames) // All were dropped.
      module->removeAttr(kFileAttr);
    return success();
  }
  // The wider first, so that all are aligned.
  std::vector<Vector> vectors;
  for (bool wide : {true, false})
    for (const Vector &vector : found)
      if (vector.data.getElementType().isF64() == wide)
        vectors.push_back(vector);
  uint64_t hash = 0;
  for (const Vector &vector : vectors) {
    ComponentData data(vector.data);
    hash = hashBytes(vector.name.data(), vector.name.size(), hash);
    hash = hashBytes(data.bytes().data(), data.bytes().size(), hash);
  }
  std::string text = hashText(hash);
  StringRef folder = llvm::sys::path::parent_path(file);
  StringRef name = llvm::sys::path::filename(file);
  if (auto known = module->getAttrOfType<DictionaryAttr>(kFileAttr)) {
    auto former = known.getAs<StringAttr>("name");
    SmallString<128> path(folder);
    llvm::sys::path::append(path, former ? former.getValue() : "");
    if (auto there = StatisticsFile::open(path.str().str()); there && (*there)->hash() == text)
      name = former.getValue();
  }
  if (name == llvm::sys::path::filename(file) && mlir::failed(write(module, vectors, text)))
    return failure();
  Builder b(module.getContext());
  module->setAttr(kFileAttr, b.getDictionaryAttr({b.getNamedAttr("name", b.getStringAttr(name)),
                                                  b.getNamedAttr("hash", b.getStringAttr(text))}));
  return success();
}

LogicalResult DetachStatistics::write(ModuleOp module, ArrayRef<Vector> vectors, StringRef hash) {
  json::Object root;
  int64_t end = 0;
  for (const Vector &vector : vectors) {
    ShapedType type = vector.data.getShapedType();
    bool wide = type.getElementType().isF64();
    int64_t begin = end;
    end += type.getNumElements() * (wide ? 8 : 4);
    root[vector.name] = json::Object{{"dtype", wide ? "F64" : "F32"},
                                     {"shape", json::Array(type.getShape())},
                                     {"data_offsets", json::Array{begin, end}}};
  }
  root["__metadata__"] = json::Object{{"format", "llmc-statistics"}, {"hash", hash}};
  std::string header = llvm::formatv("{0}", json::Value(std::move(root))).str();
  while ((header.size() + 8) % 64 != 0)
    header += ' ';
  std::string error;
  std::unique_ptr<AtomicOutput> output = AtomicOutput::create(file, error);
  if (!output)
    return fail() << error;
  uint64_t size = header.size();
  bool written = output->write(&size, 8, error) && output->write(header.data(), size, error);
  for (const Vector &vector : vectors) {
    ComponentData data(vector.data);
    written = written && output->write(data.bytes().data(), data.bytes().size(), error);
  }
  if (written && !handed)
    written = output->commit(error);
  if (!written)
    return emitLimit(module.getLoc()) << getArgument() << ": " << error;
  if (handed)
    *handed = std::move(output);
  return success();
}

} // namespace

std::unique_ptr<Pass> llmc::createDetachStatistics(const std::string &file,
                                                   std::unique_ptr<AtomicOutput> &output) {
  return std::make_unique<DetachStatistics>(file, output);
}
