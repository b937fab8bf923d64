//===- Span.h - a view of contiguous elements ---------------------------------------------===//
//
// C++17 has no std::span. This one is a pointer and a length, never owns, and is passed by value.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_SPAN_H
#define LLMC_NUMERICS_SPAN_H

#include <cstddef>
#include <type_traits>
#include <vector>

namespace llmc {

/// A view of `size()` contiguous elements. `Span<const T>` is made from `Span<T>`, vectors, or a
/// pointer with a length; a default span is empty and stands for "not given" in options.
template <typename T> class Span {
  using Value = std::remove_const_t<T>;

public:
  Span() = default;
  Span(T *data, size_t size) : first(data), count(size) {}
  Span(std::vector<Value> &v) : first(v.data()), count(v.size()) {}
  template <typename U = T, typename = std::enable_if_t<std::is_const_v<U>>>
  Span(const std::vector<Value> &v) : first(v.data()), count(v.size()) {}
  template <typename U, typename = std::enable_if_t<std::is_const_v<T> && std::is_same_v<U, Value>>>
  Span(Span<U> v) : first(v.data()), count(v.size()) {}

  T *data() const { return first; }
  size_t size() const { return count; }
  bool empty() const { return count == 0; }
  T &operator[](size_t i) const { return first[i]; }
  T *begin() const { return first; }
  T *end() const { return first + count; }
  Span subspan(size_t offset, size_t size) const { return Span(first + offset, size); }

private:
  T *first = nullptr;
  size_t count = 0;
};

} // namespace llmc

#endif // LLMC_NUMERICS_SPAN_H
