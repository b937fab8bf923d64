//===- SizeLaws.cpp - How shapes depend on positions and lengths ----------===//
//
// Every number seen at the small points is fitted by a + b * past + c * length in whole numbers;
// what no such law fits has none.
//
//===----------------------------------------------------------------------===//

#include "FarLook.h"

using namespace llmc::onnx;

/// The law through what was seen at the points, at (past, length). Solved by Cramer's rule on the
/// first points that are independent, checked on all.
bool SizeLaws::solve(const std::vector<int64_t> &seen, int64_t past, int64_t length,
                     int64_t &value) const {
  bool same = true;
  for (int64_t x : seen)
    same &= x == seen[0];
  if (same) {
    value = seen[0];
    return true;
  }
  // Differences of sentinels such as INT64_MAX would overflow; they only occur as constants.
  constexpr int64_t limit = int64_t(1) << 40;
  for (int64_t x : seen)
    if (x > limit || x < -limit)
      return false;
  size_t n = seen.size();
  auto fits = [&](double a, double b, double c) {
    for (size_t i = 0; i < n; ++i) {
      double expected = a + b * static_cast<double>(points[i].sizes.past) +
                        c * static_cast<double>(points[i].sizes.length);
      if (expected != static_cast<double>(seen[i]))
        return false;
    }
    value =
        static_cast<int64_t>(a + b * static_cast<double>(past) + c * static_cast<double>(length));
    return true;
  };
  for (size_t i = 0; i < n; ++i)
    for (size_t j = i + 1; j < n; ++j) {
      auto at = [&](size_t k, bool isPast) {
        return static_cast<double>(isPast ? points[k].sizes.past - points[i].sizes.past
                                          : points[k].sizes.length - points[i].sizes.length);
      };
      double dj = static_cast<double>(seen[j] - seen[i]);
      // One direction alone, where the points differ in one only.
      for (bool isPast : {false, true})
        if (at(j, isPast) != 0 && at(j, !isPast) == 0) {
          double slope = dj / at(j, isPast);
          double a =
              static_cast<double>(seen[i]) -
              slope * static_cast<double>(isPast ? points[i].sizes.past : points[i].sizes.length);
          if (fits(a, isPast ? slope : 0, isPast ? 0 : slope))
            return true;
        }
      for (size_t k = j + 1; k < n; ++k) {
        double determinant = at(j, true) * at(k, false) - at(k, true) * at(j, false);
        if (determinant == 0)
          continue;
        double dk = static_cast<double>(seen[k] - seen[i]);
        double b = (dj * at(k, false) - dk * at(j, false)) / determinant;
        double c = (at(j, true) * dk - at(k, true) * dj) / determinant;
        double a = static_cast<double>(seen[i]) - b * static_cast<double>(points[i].sizes.past) -
                   c * static_cast<double>(points[i].sizes.length);
        if (fits(a, b, c))
          return true;
      }
    }
  return false;
}

bool SizeLaws::shapeAt(const std::string &name, int64_t past, int64_t length, Shape &shape) const {
  std::vector<const Shape *> seen;
  for (const Point &point : points) {
    auto found = point.dataShapes.find(name);
    if (found == point.dataShapes.end())
      return false;
    seen.push_back(&found->second);
  }
  if (seen.empty())
    return false;
  shape.assign(seen[0]->size(), 0);
  for (size_t d = 0; d < shape.size(); ++d) {
    std::vector<int64_t> dims;
    for (const Shape *one : seen) {
      if (one->size() != shape.size())
        return false;
      dims.push_back((*one)[d]);
    }
    if (!solve(dims, past, length, shape[d]))
      return false;
  }
  return true;
}

bool SizeLaws::valueAt(const std::string &name, int64_t past, int64_t length, int64_t i,
                       int64_t &value) const {
  // The law of the first element, and the step from one element to the next.
  std::vector<int64_t> firsts, steps, exact;
  for (const Point &point : points) {
    auto found = point.shapeValues.find(name);
    if (found == point.shapeValues.end() || found->second.empty())
      return false;
    const std::vector<int64_t> &values = found->second;
    firsts.push_back(values[0]);
    if (i < static_cast<int64_t>(values.size()))
      exact.push_back(values[i]);
    for (size_t k = 1; k < values.size(); ++k)
      steps.push_back(values[k] - values[k - 1]);
  }
  if (exact.size() == points.size())
    return solve(exact, past, length, value);
  for (int64_t step : steps)
    if (step != steps[0])
      return false;
  if (steps.empty() || !solve(firsts, past, length, value))
    return false;
  value += steps[0] * i;
  return true;
}

std::vector<std::string> SizeLaws::operands() const {
  std::vector<std::string> names;
  if (!points.empty())
    for (const auto &entry : points[0].shapeValues)
      names.push_back(entry.first);
  return names;
}
