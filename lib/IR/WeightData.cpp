//===- WeightData.cpp - reading and making the stored data of weights -------------------===//
//
// New blobs live in unlinked, mapped temporary files, so that the kernel can page them out (a model
// may be larger than memory).
//
#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/F16.h"
#include "llmc/Numerics/MappedPages.h"

#include "mlir/IR/AsmState.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/Support/ErrorHandling.h"

#include <atomic>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace mlir;
using namespace llmc;

// Bytes of one element as stored in a blob; sub-byte types are not used by the dialect.
static size_t storedBytes(Type type) { return (type.getIntOrFloatBitWidth() + 7) / 8; }

ComponentData::ComponentData(ElementsAttr elements) {
  ShapedType type = elements.getShapedType();
  if (!type.hasStaticShape() || !type.getElementType().isIntOrFloat())
    return;
  size_t expected = type.getNumElements() * storedBytes(type.getElementType());
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(elements)) {
    if (AsmResourceBlob *blob = resource.getRawHandle().getBlob())
      view = blob->getData();
  } else if (auto dense = dyn_cast<DenseElementsAttr>(elements)) {
    view = dense.getRawData();
    if (dense.isSplat() && view.size() != expected) {
      owned = std::make_shared<std::vector<char>>();
      owned->reserve(expected);
      while (owned->size() < expected && !view.empty())
        owned->insert(owned->end(), view.begin(), view.end());
      view = *owned;
    }
  }
  isValid = view.size() == expected;
}

ComponentData::~ComponentData() {
  if (!owned)
    dropPages(view.data(), view.size());
}

FailureOr<StoredData> llmc::getStoredData(WeightOp weight) {
  StoredData data;
  auto add = [&](StringRef name) -> LogicalResult {
    ElementsAttr elements = weight.getComponent(name);
    if (!elements || !ComponentData(elements).valid())
      return weight.emitError("weight \"")
             << weight.getWeightName() << "\" has no data for component '" << name << "'";
    // Views of owned splats move with the shared pointers, so growing the vector keeps them valid.
    data.components.emplace_back(elements);
    data.bytes.push_back(data.components.back().bytes());
    return success();
  };
  auto compressed = dyn_cast<CompressedType>(weight.getType());
  if (!compressed) {
    if (failed(add("values")))
      return failure();
    return data;
  }
  for (const SchemeComponent &component :
       compressed.getSchemeInterface().components(compressed.getRows(), compressed.getColumns()))
    if (failed(add(component.name)))
      return failure();
  return data;
}

FailureOr<std::vector<float>> llmc::readWeight(WeightOp weight) {
  FailureOr<StoredData> data = getStoredData(weight);
  if (failed(data))
    return failure();
  auto compressed = dyn_cast<CompressedType>(weight.getType());
  if (!compressed) {
    auto type = cast<RankedTensorType>(weight.getType());
    return readFloats(data->bytes[0], type.getElementType());
  }
  int64_t rows = compressed.getRows(), columns = compressed.getColumns();
  std::vector<float> values(rows * columns);
  compressed.getSchemeInterface().decodeRows(rows, columns, data->bytes, 0, values);
  return values;
}

LogicalResult llmc::verifyFiniteValues(WeightOp weight, ArrayRef<float> values) {
  for (size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i]))
      return weight.emitError("weight \"")
             << weight.getWeightName() << "\" expects finite values, got "
             << (std::isnan(values[i]) ? "nan" : "inf") << " at index " << i;
  return success();
}

/// Maps an unlinked file of `bytes` in `folder`. Null, with the reason in errno, where it cannot.
static void *mapTemporary(const std::string &folder, size_t bytes) {
  std::string path = folder + "/llmc-blob-XXXXXX";
  int file = mkstemp(path.data());
  if (file < 0)
    return nullptr;
  unlink(path.c_str());
  // posix_fallocate reports a full disk here instead of by a signal on first touch.
  int error = posix_fallocate(file, 0, bytes);
  void *data =
      error ? MAP_FAILED : mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (!error)
    error = errno;
  close(file);
  errno = error;
  return data == MAP_FAILED ? nullptr : data;
}

AsmResourceBlob llmc::allocateBlob(MLIRContext *context, size_t bytes) {
  constexpr size_t kAlign = 64;
  size_t mapped = std::max<size_t>(bytes, 1);
  const char *named = std::getenv("TMPDIR");
  std::string folder = named ? named : "/tmp";
  void *data = mapTemporary(folder, mapped);
  if (data) {
    registerMapping(data, mapped);
  } else {
    static std::atomic<bool> warned{false};
    if (!warned.exchange(true))
      mlir::emitWarning(UnknownLoc::get(context))
          << "weight data stays in memory, as no file of " << mapped << " bytes can be made in '"
          << folder << "': " << std::strerror(errno) << "; TMPDIR names another place";
    data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
      llvm::report_bad_alloc_error("out of memory for weight data", /*GenCrashDiag=*/false);
  }
  auto unmap = [mapped](void *pointer, size_t, size_t) {
    unregisterMapping(pointer);
    munmap(pointer, mapped);
  };
  return AsmResourceBlob(ArrayRef<char>(static_cast<char *>(data), bytes), kAlign, unmap,
                         /*dataIsMutable=*/true);
}

ElementsAttr llmc::makeResource(RankedTensorType type, StringRef key, AsmResourceBlob blob) {
  return DenseResourceElementsAttr::get(type, key, std::move(blob));
}

ElementsAttr llmc::makeResource(RankedTensorType type, StringRef key, ArrayRef<char> data) {
  AsmResourceBlob blob = allocateBlob(type.getContext(), data.size());
  if (!data.empty())
    std::memcpy(blob.getMutableData().data(), data.data(), data.size());
  // The file keeps the bytes; without this a pass over a large model would hold all it has made.
  dropPages(blob.getData().data(), data.size());
  return makeResource(type, key, std::move(blob));
}

std::vector<float> llmc::readFloats(ArrayRef<char> bytes, Type type) {
  std::vector<float> values(bytes.size() / storedBytes(type));
  const char *source = bytes.data();
  if (type.isF32()) {
    std::memcpy(values.data(), source, values.size() * 4);
    return values;
  }
  bool isDouble = type.isF64(), brain = type.isBF16();
  for (size_t i = 0; i < values.size(); ++i) {
    if (isDouble) {
      double value;
      std::memcpy(&value, source + 8 * i, 8);
      values[i] = static_cast<float>(value);
      continue;
    }
    uint16_t bits;
    std::memcpy(&bits, source + 2 * i, 2);
    values[i] = brain ? bfloat16ToFloat(bits) : halfToFloat(bits);
  }
  return values;
}

std::vector<char> llmc::storeFloats(ArrayRef<float> values, Type type) {
  std::vector<char> bytes(values.size() * storedBytes(type));
  if (type.isF32()) {
    std::memcpy(bytes.data(), values.data(), bytes.size());
    return bytes;
  }
  bool brain = type.isBF16();
  for (size_t i = 0; i < values.size(); ++i) {
    uint16_t bits = brain ? floatToBFloat16(values[i]) : floatToHalf(values[i]);
    std::memcpy(bytes.data() + 2 * i, &bits, 2);
  }
  return bytes;
}

DictionaryAttr llmc::makeComponents(MLIRContext *context, StringRef name, Type type,
                                    ArrayRef<ArrayRef<char>> components, StringRef suffix) {
  Builder builder(context);
  SmallVector<NamedAttribute> attributes;
  auto add = [&](StringRef component, Type element, ArrayRef<int64_t> shape, ArrayRef<char> data) {
    auto tensor = RankedTensorType::get(shape, element);
    attributes.push_back(builder.getNamedAttr(
        component, makeResource(tensor, (name + "." + component + suffix).str(), data)));
  };
  if (auto compressed = dyn_cast<CompressedType>(type)) {
    auto expected =
        compressed.getSchemeInterface().components(compressed.getRows(), compressed.getColumns());
    for (auto [component, data] : llvm::zip(expected, components)) {
      SmallVector<int64_t, 2> shape = component.shape;
      for (int64_t &dim : shape)
        if (dim == ShapedType::kDynamic)
          dim = data.size() / storedBytes(component.elementType);
      add(component.name, component.elementType, shape, data);
    }
  } else {
    auto tensor = cast<RankedTensorType>(type);
    add("values", tensor.getElementType(), tensor.getShape(), components[0]);
  }
  return builder.getDictionaryAttr(attributes);
}

WeightOp llmc::createWeight(OpBuilder &builder, Location loc, StringRef name, Type type,
                            ArrayRef<ArrayRef<char>> components) {
  return WeightOp::create(builder, loc, type, builder.getStringAttr(name),
                          makeComponents(builder.getContext(), name, type, components));
}

WeightOp llmc::createDenseWeight(OpBuilder &builder, Location loc, StringRef name,
                                 RankedTensorType type, ArrayRef<float> values) {
  ArrayRef<char> bytes(reinterpret_cast<const char *>(values.data()), values.size() * 4);
  return createWeight(builder, loc, name, type, ArrayRef<ArrayRef<char>>(bytes));
}
