//===- OnnxTensor.h - A dense tensor on the host --------------------------===//
//
// The value type of the ONNX evaluator. Element types keep their ONNX meaning, storage is widened:
// every 16- and 32-bit float is held as float (rounded to its type), every integer and bool as
// int64_t, 4-bit types unpacked. Elements are row-major.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_IMPORT_ONNXTENSOR_H
#define LLMC_IMPORT_ONNXTENSOR_H

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace llmc::onnx {

enum class ElementType { F32, F16, BF16, F64, I64, I32, I16, I8, U64, U32, U16, U8, Bool, I4, U4 };

const char *elementTypeName(ElementType type);
/// Bits of one element in a file; 4 for the packed types.
unsigned elementBits(ElementType type);
bool isFloat(ElementType type);
/// The ONNX TensorProto.DataType number of `type`, and back; `fromOnnxType` returns false for types
/// that are not read (strings, complex, 8-bit floats).
int toOnnxType(ElementType type);
bool fromOnnxType(int onnxType, ElementType &type);

using Shape = std::vector<int64_t>;

/// The number of elements. Throws ImportError (ResourceLimit) on a negative dimension or on
/// overflow.
int64_t elementCount(const Shape &shape);
std::string shapeString(const Shape &shape);
std::vector<int64_t> rowMajorStrides(const Shape &shape);

/// Round to nearest even in the given 16-bit format.
uint16_t floatToHalf(float value);
float halfToFloat(uint16_t bits);
uint16_t floatToBFloat(float value);
float bfloatToFloat(uint16_t bits);
/// `value` rounded to `type` (F16, BF16; F32 is unchanged, and so is all where ExactHalf holds).
float roundToType(float value, ElementType type);
/// While one of these lives in a thread (and none that says no within it), values of 16-bit types
/// keep the precision of f32.
class ExactHalf {
public:
  explicit ExactHalf(bool exact);
  ~ExactHalf();
  ExactHalf(const ExactHalf &) = delete;
  ExactHalf &operator=(const ExactHalf &) = delete;

private:
  bool before;
};
/// `value` wrapped to the width of an integer type, as a C conversion does.
int64_t wrapToType(int64_t value, ElementType type);

/// A tensor; copies share the elements.
class OnnxTensor {
public:
  OnnxTensor() = default;
  /// Zero-filled. Throws ImportError (ResourceLimit) above `maxBytes` of storage.
  OnnxTensor(ElementType type, Shape shape);
  /// The same, but elements are whatever lay there: the caller writes all of them.
  static OnnxTensor unset(ElementType type, Shape shape);
  /// The bytes that a tensor of this shape needs. Throws ImportError (ResourceLimit) above
  /// `maxBytes`.
  static int64_t checkedBytes(ElementType type, const Shape &shape);

  static OnnxTensor fromInts(std::vector<int64_t> values, Shape shape,
                             ElementType type = ElementType::I64);
  static OnnxTensor fromFloats(std::vector<float> values, Shape shape,
                               ElementType type = ElementType::F32);
  static OnnxTensor scalar(int64_t value, ElementType type = ElementType::I64);
  /// A tensor of f32, f16, bf16, i8 or u8 over foreign memory that `owner` keeps alive. Elements
  /// are read where they lie; those that are not f32 are widened when first asked for as an array.
  static OnnxTensor borrow(const uint8_t *data, Shape shape, ElementType type,
                           std::shared_ptr<const void> owner);
  /// A matrix of floats with its dimensions swapped, still read where it lies; only for a tensor
  /// that source() finds.
  OnnxTensor swapped() const;
  /// A borrowed tensor of 16-bit floats that means f32: every value is the same.
  OnnxTensor asF32() const;

  ElementType type() const { return elementType; }
  const Shape &shape() const { return dims; }
  int64_t rank() const { return static_cast<int64_t>(dims.size()); }
  int64_t size() const { return count; }
  bool isFloat32Like() const {
    return elementType == ElementType::F32 || elementType == ElementType::F16 ||
           elementType == ElementType::BF16;
  }
  bool isDouble() const { return elementType == ElementType::F64; }
  bool isInteger() const { return !isFloat32Like() && !isDouble(); }

  /// Elements by storage class; asking for the wrong class throws.
  const float *floats() const;
  const double *doubles() const;
  const int64_t *ints() const;
  float *mutableFloats();
  double *mutableDoubles();
  int64_t *mutableInts();
  /// The bytes of a borrowed 8-bit tensor, or nullptr.
  const uint8_t *bytes() const { return isInteger() ? lying.data : nullptr; }
  /// Where the elements of a borrowed tensor lie, as which type, and whether row-major in the
  /// swapped dimensions. `data` is null for a tensor that owns its elements.
  struct Source {
    const uint8_t *data = nullptr;
    ElementType type = ElementType::F32;
    bool swapped = false;
    double at(int64_t i) const;
  };
  const Source &source() const { return lying; }

  /// Element `i` as double, whatever the type (int64 beyond 2^53 rounds).
  double at(int64_t i) const;
  void set(int64_t i, double value);
  std::vector<int64_t> toInts() const;

  /// The same elements under another shape of the same size.
  OnnxTensor reshaped(Shape shape) const;

  /// Upper bound on the storage of one tensor (8 GiB).
  static constexpr int64_t maxBytes = int64_t(8) << 30;

private:
  ElementType elementType = ElementType::F32;
  Shape dims;
  int64_t count = 0;
  mutable std::shared_ptr<void> storage;
  std::shared_ptr<const void> foreign;
  Source lying;
};

} // namespace llmc::onnx

#endif // LLMC_IMPORT_ONNXTENSOR_H
