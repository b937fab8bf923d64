//===- OnnxWeights.cpp - Tensors of an ONNX file --------------------------===//
//
// Turns a TensorProto into a OnnxTensor. The number of elements is computed with overflow checks
// and compared with the bytes that are there, wherever they are, before anything is allocated.
//
//===----------------------------------------------------------------------===//

#include "Onnx.pb.h"
#include "llmc/Import/ImportError.h"
#include "llmc/Import/OnnxModel.h"

#include <cstring>
#include <limits>

using namespace llmc::onnx;

/// The element type and shape, with the byte count a packed row-major file would have.
static uint64_t checkedBytes(const TensorProto &tensor, const std::string &what, ElementType &type,
                             Shape &shape) {
  if (tensor.has_segment())
    fail(what, ": segmented tensors are not supported");
  if (!fromOnnxType(tensor.data_type(), type)) {
    const std::string &name =
        TensorProto::DataType_IsValid(tensor.data_type())
            ? TensorProto::DataType_Name(static_cast<TensorProto::DataType>(tensor.data_type()))
            : std::to_string(tensor.data_type());
    fail(what, ": element type ", name, " is not supported");
  }
  shape.assign(tensor.dims().begin(), tensor.dims().end());
  uint64_t count = 1;
  bool empty = false;
  for (int64_t dim : shape) {
    if (dim < 0)
      fail(what, ": negative dimension in shape ", shapeString(shape));
    empty |= dim == 0;
    if (dim != 0 && __builtin_mul_overflow(count, static_cast<uint64_t>(dim), &count))
      fail(what, ": the product of shape ", shapeString(shape), " overflows");
  }
  if (empty)
    count = 0;
  uint64_t bits;
  if (__builtin_mul_overflow(count, uint64_t(elementBits(type)), &bits) ||
      bits > uint64_t(std::numeric_limits<int64_t>::max()) - 7)
    fail(what, ": the product of shape ", shapeString(shape), " overflows");
  return (bits + 7) / 8;
}

static uint64_t parseUnsigned(const std::string &text, const std::string &what, const char *key) {
  uint64_t value = 0;
  if (text.empty())
    fail(what, ": external data ", key, " is empty");
  for (char c : text) {
    if (c < '0' || c > '9' || __builtin_mul_overflow(value, uint64_t(10), &value) ||
        __builtin_add_overflow(value, uint64_t(c - '0'), &value))
      fail(what, ": external data ", key, " '", text, "' is not a non-negative 64-bit number");
  }
  return value;
}

namespace {
struct ExternalRange {
  std::shared_ptr<const ExternalFiles::Mapping> mapping;
  const uint8_t *data = nullptr;
};
} // namespace

static ExternalRange openExternal(const TensorProto &tensor, const std::string &what,
                                  uint64_t expected, ExternalFiles &files) {
  std::string location;
  uint64_t offset = 0, length = 0;
  bool hasLocation = false, hasLength = false;
  for (const StringStringEntryProto &entry : tensor.external_data()) {
    if (entry.key() == "location") {
      location = entry.value();
      hasLocation = true;
    } else if (entry.key() == "offset") {
      offset = parseUnsigned(entry.value(), what, "offset");
    } else if (entry.key() == "length") {
      length = parseUnsigned(entry.value(), what, "length");
      hasLength = true;
    } else if (entry.key() == "basepath") {
      // Older writers left it empty; elsewhere it would move the location.
      if (!entry.value().empty() && entry.value() != ".")
        fail(what, ": external data has basepath '", entry.value(), "'; expected an empty one");
    } else if (entry.key() != "checksum" && entry.key().compare(0, 10, "prepacked_") != 0) {
      fail(what, ": unknown external data key '", entry.key(),
           "'; expected location, offset, length, checksum, basepath or prepacked_N");
    }
  }
  if (!hasLocation)
    fail(what, ": external data has no location");
  if (tensor.has_raw_data())
    fail(what, ": has both raw and external data");
  ExternalRange range;
  range.mapping = files.open(location, what);
  if (hasLength && length != expected)
    fail(what, ": external data length is ", length, " bytes, expected ", expected,
         " for its shape");
  uint64_t end;
  if (__builtin_add_overflow(offset, expected, &end) || end > range.mapping->size)
    fail(what, ": external data at offset ", offset, " of ", expected,
         " bytes lies outside the file '", location, "' of ", range.mapping->size, " bytes");
  range.data = expected ? range.mapping->data + offset : nullptr;
  return range;
}

/// Elements in the typed fields (float_data and so on); int32_data also carries every narrower
/// type.
static int64_t typedElements(const TensorProto &tensor, ElementType type) {
  switch (type) {
  case ElementType::F32:
    return tensor.float_data_size();
  case ElementType::F64:
    return tensor.double_data_size();
  case ElementType::I64:
    return tensor.int64_data_size();
  case ElementType::U64:
  case ElementType::U32:
    return tensor.uint64_data_size();
  default:
    return tensor.int32_data_size();
  }
}

static OnnxTensor decodeTyped(const TensorProto &tensor, ElementType type, const Shape &shape) {
  OnnxTensor result(type, shape);
  int64_t count = result.size();
  for (int64_t i = 0; i < count; ++i) {
    int at = static_cast<int>(i);
    switch (type) {
    case ElementType::F32:
      result.mutableFloats()[i] = tensor.float_data(at);
      break;
    case ElementType::F16:
      result.mutableFloats()[i] = halfToFloat(static_cast<uint16_t>(tensor.int32_data(at)));
      break;
    case ElementType::BF16:
      result.mutableFloats()[i] = bfloatToFloat(static_cast<uint16_t>(tensor.int32_data(at)));
      break;
    case ElementType::F64:
      result.mutableDoubles()[i] = tensor.double_data(at);
      break;
    case ElementType::I64:
      result.mutableInts()[i] = tensor.int64_data(at);
      break;
    case ElementType::U64:
    case ElementType::U32:
      result.mutableInts()[i] = wrapToType(static_cast<int64_t>(tensor.uint64_data(at)), type);
      break;
    case ElementType::I4:
    case ElementType::U4:
      result.mutableInts()[i] =
          wrapToType(tensor.int32_data(static_cast<int>(i / 2)) >> (i % 2 * 4), type);
      break;
    default:
      result.mutableInts()[i] = wrapToType(tensor.int32_data(at), type);
    }
  }
  return result;
}

template <typename T> static T loadAs(const uint8_t *data, int64_t i) {
  T value;
  std::memcpy(&value, data + i * sizeof(T), sizeof(T));
  return value;
}

static OnnxTensor decodeBytes(const uint8_t *data, ElementType type, const Shape &shape,
                              const std::shared_ptr<const void> &owner) {
  bool isByte = type == ElementType::U8 || type == ElementType::I8;
  bool isNarrowFloat = isFloat(type) && type != ElementType::F64;
  if (data && (isByte || isNarrowFloat))
    return OnnxTensor::borrow(data, shape, type, owner);
  OnnxTensor result(type, shape);
  int64_t count = result.size();
  if (count == 0)
    return result;
  if (result.isDouble()) {
    std::memcpy(result.mutableDoubles(), data, count * sizeof(double));
    return result;
  }
  int64_t *out = result.mutableInts();
  for (int64_t i = 0; i < count; ++i) {
    switch (elementBits(type)) {
    case 64:
      out[i] = loadAs<int64_t>(data, i);
      break;
    case 32:
      out[i] = wrapToType(loadAs<uint32_t>(data, i), type);
      break;
    case 16:
      out[i] = wrapToType(loadAs<uint16_t>(data, i), type);
      break;
    case 8:
      out[i] = wrapToType(data[i], type);
      break;
    default:
      out[i] = wrapToType(data[i / 2] >> (i % 2 * 4), type);
    }
  }
  return result;
}

void OnnxModel::checkTensor(const TensorProto &tensor, const std::string &what) {
  ElementType type;
  Shape shape;
  uint64_t bytes = checkedBytes(tensor, what, type, shape);
  totalWeightBytes += bytes;
  if (tensor.data_location() == TensorProto::EXTERNAL) {
    openExternal(tensor, what, bytes, *external);
    return;
  }
  if (tensor.has_raw_data()) {
    if (tensor.raw_data().size() != bytes)
      fail(what, ": holds ", tensor.raw_data().size(), " bytes, expected ", bytes, " for shape ",
           shapeString(shape), " of ", elementTypeName(type));
    return;
  }
  uint64_t count = elementBits(type) == 4 ? bytes : bytes * 8 / elementBits(type);
  if (static_cast<uint64_t>(typedElements(tensor, type)) != count)
    fail(what, ": holds ", typedElements(tensor, type), " elements, expected ", count,
         " for shape ", shapeString(shape), " of ", elementTypeName(type));
}

OnnxTensor OnnxModel::decode(const TensorProto &tensor, const std::string &what) const {
  ElementType type;
  Shape shape;
  uint64_t bytes = checkedBytes(tensor, what, type, shape);
  if (tensor.data_location() == TensorProto::EXTERNAL) {
    ExternalRange range = openExternal(tensor, what, bytes, *external);
    return decodeBytes(range.data, type, shape, range.mapping);
  }
  if (tensor.has_raw_data()) {
    // The message outlives every tensor decoded from it: the evaluator and the raising hold the
    // model.
    return decodeBytes(reinterpret_cast<const uint8_t *>(tensor.raw_data().data()), type, shape,
                       nullptr);
  }
  return decodeTyped(tensor, type, shape);
}

const OnnxTensor &OnnxModel::initializer(const std::string &name) const {
  auto cached = decoded.find(name);
  if (cached != decoded.end())
    return cached->second;
  auto found = initializers.find(name);
  if (found == initializers.end())
    fail(filePath, ": no initializer '", name, "'");
  return decoded.emplace(name, decode(*found->second, filePath + ": tensor '" + name + "'"))
      .first->second;
}
