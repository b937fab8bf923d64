//===- OnnxTensor.cpp - A dense tensor on the host ------------------------===//
//
// Storage classes, checked element counts, and the conversions between 16-bit and 32-bit floats.
//
//===----------------------------------------------------------------------===//

#include "llmc/Import/OnnxTensor.h"
#include "StoragePool.h"
#include "llmc/Import/ImportError.h"

#include <cmath>
#include <cstring>
#include <malloc.h>
#include <map>
#include <mutex>

using namespace llmc::onnx;

#if defined(__SANITIZE_ADDRESS__)
#define LLMC_POOLED_STORAGE 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LLMC_POOLED_STORAGE 0
#endif
#endif
#ifndef LLMC_POOLED_STORAGE
#define LLMC_POOLED_STORAGE 1
#endif

namespace {
/// Storage that tensors gave back, by size: fresh pages of the system cost more than most operators
/// spend on them. Not under the address sanitizer, which could not tell the blocks apart.
class StoragePool {
public:
  static StoragePool &get() {
    static StoragePool *pool = new StoragePool; // outlives every tensor
    return *pool;
  }

  std::shared_ptr<void> take(int64_t bytes) {
    if (!LLMC_POOLED_STORAGE || bytes < smallest || bytes > largest)
      return std::shared_ptr<void>(std::malloc(bytes ? bytes : 1), std::free);
    // Four sizes between a power of two and the next.
    int64_t step = smallest / 4;
    while (step * 8 < bytes)
      step *= 2;
    int64_t size = (bytes + step - 1) / step * step;
    void *block = nullptr;
    {
      std::lock_guard<std::mutex> guard(mutex);
      std::vector<void *> &blocks = free[size];
      if (!blocks.empty()) {
        block = blocks.back();
        blocks.pop_back();
        held -= size;
      }
    }
    if (!block)
      block = std::malloc(size);
    return std::shared_ptr<void>(block, [this, size](void *given) { giveBack(given, size); });
  }

  void release() {
    std::lock_guard<std::mutex> guard(mutex);
    for (auto &[size, blocks] : free)
      for (void *block : blocks)
        std::free(block);
    free.clear();
    held = 0;
  }

  static constexpr int64_t smallest = int64_t(1) << 15, largest = int64_t(1) << 26,
                           most = int64_t(1) << 27;

private:
  void giveBack(void *block, int64_t size) {
    if (block) {
      std::lock_guard<std::mutex> guard(mutex);
      if (held + size <= most) {
        free[size].push_back(block);
        held += size;
        return;
      }
    }
    std::free(block);
  }

  std::mutex mutex;
  std::map<int64_t, std::vector<void *>> free;
  int64_t held = 0;
};

/// Set by ExactHalf.
thread_local bool exactHalf = false;
} // namespace

void llmc::onnx::releasePooledStorage() {
  StoragePool::get().release();
  malloc_trim(0); // Blocks of these sizes come from the heap's end.
}

namespace {
struct TypeRow {
  ElementType type;
  const char *name;
  unsigned bits;
  int onnx;
};
constexpr TypeRow typeRows[] = {
    {ElementType::F32, "f32", 32, 1},    {ElementType::F16, "f16", 16, 10},
    {ElementType::BF16, "bf16", 16, 16}, {ElementType::F64, "f64", 64, 11},
    {ElementType::I64, "i64", 64, 7},    {ElementType::I32, "i32", 32, 6},
    {ElementType::I16, "i16", 16, 5},    {ElementType::I8, "i8", 8, 3},
    {ElementType::U64, "u64", 64, 13},   {ElementType::U32, "u32", 32, 12},
    {ElementType::U16, "u16", 16, 4},    {ElementType::U8, "u8", 8, 2},
    {ElementType::Bool, "bool", 8, 9},   {ElementType::I4, "i4", 4, 22},
    {ElementType::U4, "u4", 4, 21},
};
const TypeRow &row(ElementType type) { return typeRows[static_cast<int>(type)]; }
} // namespace

const char *llmc::onnx::elementTypeName(ElementType type) { return row(type).name; }
unsigned llmc::onnx::elementBits(ElementType type) { return row(type).bits; }
int llmc::onnx::toOnnxType(ElementType type) { return row(type).onnx; }

bool llmc::onnx::isFloat(ElementType type) {
  return type == ElementType::F32 || type == ElementType::F16 || type == ElementType::BF16 ||
         type == ElementType::F64;
}

bool llmc::onnx::fromOnnxType(int onnxType, ElementType &type) {
  for (const TypeRow &r : typeRows)
    if (r.onnx == onnxType) {
      type = r.type;
      return true;
    }
  return false;
}

int64_t llmc::onnx::elementCount(const Shape &shape) {
  int64_t count = 1;
  bool empty = false;
  for (int64_t dim : shape) {
    if (dim < 0)
      failLimit("negative dimension in shape ", shapeString(shape));
    empty |= dim == 0;
    if (dim != 0 && __builtin_mul_overflow(count, dim, &count))
      failLimit("shape ", shapeString(shape), " has more elements than fit in 64 bits");
  }
  return empty ? 0 : count;
}

std::string llmc::onnx::shapeString(const Shape &shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

std::vector<int64_t> llmc::onnx::rowMajorStrides(const Shape &shape) {
  std::vector<int64_t> strides(shape.size(), 1);
  for (size_t i = shape.size(); i-- > 1;)
    strides[i - 1] = strides[i] * shape[i];
  return strides;
}

uint16_t llmc::onnx::floatToHalf(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  uint32_t sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000)
    return sign | 0x7e00;
  if (magnitude >= 0x477ff000) // rounds to 65536 or more
    return sign | 0x7c00;
  if (magnitude < 0x38800000) { // subnormal in half: scale so that the unit is 2^-24
    float scaled = std::fabs(value) * 16777216.0f;
    return sign | static_cast<uint16_t>(std::nearbyint(scaled));
  }
  uint32_t rounded = magnitude + 0xfff + ((magnitude >> 13) & 1);
  return sign | ((rounded - 0x38000000) >> 13);
}

float llmc::onnx::halfToFloat(uint16_t half) {
  uint32_t sign = uint32_t(half & 0x8000) << 16, exponent = (half >> 10) & 31,
           mantissa = half & 1023;
  uint32_t bits;
  if (exponent == 0) {
    float value = static_cast<float>(mantissa) / 16777216.0f;
    return sign ? -value : value;
  }
  if (exponent == 31)
    bits = sign | 0x7f800000 | (mantissa << 13);
  else
    bits = sign | ((exponent + 112) << 23) | (mantissa << 13);
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

uint16_t llmc::onnx::floatToBFloat(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return static_cast<uint16_t>((bits >> 16) | 0x40);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

float llmc::onnx::bfloatToFloat(uint16_t bfloat) {
  uint32_t bits = uint32_t(bfloat) << 16;
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

ExactHalf::ExactHalf(bool exact) : before(exactHalf) { exactHalf = exact; }
ExactHalf::~ExactHalf() { exactHalf = before; }

float llmc::onnx::roundToType(float value, ElementType type) {
  if (exactHalf)
    return value;
  if (type == ElementType::F16)
    return halfToFloat(floatToHalf(value));
  if (type == ElementType::BF16)
    return bfloatToFloat(floatToBFloat(value));
  return value;
}

int64_t llmc::onnx::wrapToType(int64_t value, ElementType type) {
  switch (type) {
  case ElementType::I32:
    return static_cast<int32_t>(value);
  case ElementType::I16:
    return static_cast<int16_t>(value);
  case ElementType::I8:
    return static_cast<int8_t>(value);
  case ElementType::U32:
    return static_cast<uint32_t>(value);
  case ElementType::U16:
    return static_cast<uint16_t>(value);
  case ElementType::U8:
    return static_cast<uint8_t>(value);
  case ElementType::Bool:
    return value != 0;
  case ElementType::I4:
    return ((value & 15) ^ 8) - 8;
  case ElementType::U4:
    return value & 15;
  default:
    return value;
  }
}

int64_t OnnxTensor::checkedBytes(ElementType type, const Shape &shape) {
  bool narrow = type == ElementType::F32 || type == ElementType::F16 || type == ElementType::BF16;
  int64_t bytes;
  if (__builtin_mul_overflow(elementCount(shape), narrow ? 4 : 8, &bytes) || bytes > maxBytes)
    failLimit("a tensor of shape ", shapeString(shape), " needs more than ", maxBytes, " bytes");
  return bytes;
}

OnnxTensor OnnxTensor::unset(ElementType type, Shape shape) {
  OnnxTensor tensor;
  tensor.elementType = type;
  tensor.dims = std::move(shape);
  tensor.count = elementCount(tensor.dims);
  tensor.storage = StoragePool::get().take(checkedBytes(type, tensor.dims));
  if (!tensor.storage)
    failLimit("out of memory for a tensor of shape ", shapeString(tensor.dims));
  return tensor;
}

OnnxTensor::OnnxTensor(ElementType type, Shape shape)
    : elementType(type), dims(std::move(shape)), count(elementCount(dims)) {
  int64_t bytes = checkedBytes(type, dims);
  // What is too large for the pool costs nothing until it is touched.
  bool pooled = bytes <= StoragePool::largest;
  storage = pooled ? StoragePool::get().take(bytes)
                   : std::shared_ptr<void>(std::calloc(bytes, 1), std::free);
  if (!storage)
    failLimit("out of memory for a tensor of shape ", shapeString(dims));
  if (pooled)
    std::memset(storage.get(), 0, bytes);
}

OnnxTensor OnnxTensor::fromInts(std::vector<int64_t> values, Shape shape, ElementType type) {
  OnnxTensor tensor = unset(type, std::move(shape));
  if (tensor.count != static_cast<int64_t>(values.size()))
    fail("expected ", tensor.count, " values for shape ", shapeString(tensor.dims), ", got ",
         values.size());
  if (!values.empty())
    std::memcpy(tensor.mutableInts(), values.data(), values.size() * sizeof(int64_t));
  return tensor;
}

OnnxTensor OnnxTensor::fromFloats(std::vector<float> values, Shape shape, ElementType type) {
  OnnxTensor tensor = unset(type, std::move(shape));
  if (tensor.count != static_cast<int64_t>(values.size()))
    fail("expected ", tensor.count, " values for shape ", shapeString(tensor.dims), ", got ",
         values.size());
  if (!values.empty())
    std::memcpy(tensor.mutableFloats(), values.data(), values.size() * sizeof(float));
  return tensor;
}

OnnxTensor OnnxTensor::scalar(int64_t value, ElementType type) {
  return fromInts({value}, {}, type);
}

OnnxTensor OnnxTensor::borrow(const uint8_t *data, Shape shape, ElementType type,
                              std::shared_ptr<const void> owner) {
  OnnxTensor tensor;
  tensor.elementType = type;
  tensor.dims = std::move(shape);
  tensor.count = elementCount(tensor.dims);
  tensor.foreign = std::move(owner);
  tensor.lying = {data, type, false};
  return tensor;
}

OnnxTensor OnnxTensor::swapped() const {
  if (!lying.data || !isFloat32Like() || dims.size() != 2)
    fail("only a borrowed matrix of floats is swapped where it lies");
  OnnxTensor result = *this;
  std::swap(result.dims[0], result.dims[1]);
  result.lying.swapped = !lying.swapped;
  result.storage = nullptr;
  return result;
}

OnnxTensor OnnxTensor::asF32() const {
  OnnxTensor result = *this;
  result.elementType = ElementType::F32;
  return result;
}

double OnnxTensor::Source::at(int64_t i) const {
  if (type == ElementType::F32) {
    float value;
    std::memcpy(&value, data + 4 * i, 4);
    return value;
  }
  if (type != ElementType::F16 && type != ElementType::BF16)
    return static_cast<double>(wrapToType(data[i], type));
  uint16_t bits;
  std::memcpy(&bits, data + 2 * i, 2);
  return type == ElementType::F16 ? halfToFloat(bits) : bfloatToFloat(bits);
}

const float *OnnxTensor::floats() const {
  if (!isFloat32Like())
    fail("expected a float tensor, got ", elementTypeName(elementType));
  bool aligned = reinterpret_cast<uintptr_t>(lying.data) % alignof(float) == 0;
  if (lying.data && lying.type == ElementType::F32 && !lying.swapped && aligned)
    return reinterpret_cast<const float *>(lying.data);
  if (!storage && lying.data) {
    OnnxTensor wide = unset(elementType, dims);
    float *out = static_cast<float *>(wide.storage.get());
    for (int64_t i = 0; i < count; ++i)
      out[i] = static_cast<float>(at(i));
    storage = wide.storage;
  }
  return static_cast<const float *>(storage.get());
}

const double *OnnxTensor::doubles() const {
  if (!isDouble())
    fail("expected an f64 tensor, got ", elementTypeName(elementType));
  return static_cast<const double *>(storage.get());
}

const int64_t *OnnxTensor::ints() const {
  if (!isInteger())
    fail("expected an integer tensor, got ", elementTypeName(elementType));
  if (!storage && lying.data) {
    OnnxTensor wide = unset(elementType, dims);
    int64_t *out = static_cast<int64_t *>(wide.storage.get());
    for (int64_t i = 0; i < count; ++i)
      out[i] = wrapToType(lying.data[i], elementType);
    storage = wide.storage;
  }
  return static_cast<const int64_t *>(storage.get());
}

float *OnnxTensor::mutableFloats() { return const_cast<float *>(floats()); }
double *OnnxTensor::mutableDoubles() { return const_cast<double *>(doubles()); }
int64_t *OnnxTensor::mutableInts() { return const_cast<int64_t *>(ints()); }

double OnnxTensor::at(int64_t i) const {
  if (lying.data && !storage)
    return lying.at(lying.swapped ? i % dims[1] * dims[0] + i / dims[1] : i);
  if (isFloat32Like())
    return floats()[i];
  if (isDouble())
    return doubles()[i];
  if (elementType == ElementType::U64)
    return static_cast<double>(static_cast<uint64_t>(ints()[i]));
  return static_cast<double>(ints()[i]);
}

void OnnxTensor::set(int64_t i, double value) {
  if (isFloat32Like())
    mutableFloats()[i] = roundToType(static_cast<float>(value), elementType);
  else if (isDouble())
    mutableDoubles()[i] = value;
  else
    mutableInts()[i] = static_cast<int64_t>(value);
}

std::vector<int64_t> OnnxTensor::toInts() const {
  const int64_t *data = ints();
  return std::vector<int64_t>(data, data + count);
}

OnnxTensor OnnxTensor::reshaped(Shape shape) const {
  if (elementCount(shape) != count)
    fail("cannot reshape ", shapeString(dims), " to ", shapeString(shape));
  OnnxTensor result = *this;
  if (lying.swapped && shape != dims) {
    floats(); // In the order that the new shape counts in.
    result.storage = storage;
    result.lying = {};
  }
  result.dims = std::move(shape);
  return result;
}
