//===- Einsum.cpp - The equation of an Einsum -----------------------------===//
//
// Letters name dimensions; what the output does not name is summed over.
//
//===----------------------------------------------------------------------===//

#include "Einsum.h"
#include "llmc/Import/ImportError.h"

#include <algorithm>
#include <cctype>

using namespace llmc::onnx;

constexpr int kEllipsis = 0, kFirstEllipsis = 256;

/// Letters of one term; kEllipsis stands for "...".
static std::vector<int> readTerm(const std::string &term, const std::string &equation) {
  std::vector<int> labels;
  for (size_t i = 0; i < term.size(); ++i) {
    if (std::isalpha(static_cast<unsigned char>(term[i]))) {
      labels.push_back(static_cast<unsigned char>(term[i]));
    } else if (term.compare(i, 3, "...") == 0 &&
               std::find(labels.begin(), labels.end(), kEllipsis) == labels.end()) {
      labels.push_back(kEllipsis);
      i += 2;
    } else {
      fail("equation '", equation, "' has '", term.substr(i, 1), "' where a letter was expected");
    }
  }
  return labels;
}

/// The term with `count` labels for its ellipsis, the last of `most`.
static std::vector<int> spread(const std::vector<int> &term, int64_t count, int64_t most) {
  std::vector<int> labels;
  for (int label : term) {
    if (label != kEllipsis) {
      labels.push_back(label);
      continue;
    }
    for (int64_t i = most - count; i < most; ++i)
      labels.push_back(kFirstEllipsis + static_cast<int>(i));
  }
  return labels;
}

EinsumPlan llmc::onnx::planEinsum(const std::string &equation, const std::vector<Shape> &shapes) {
  std::string text;
  for (char c : equation)
    if (c != ' ')
      text += c;
  size_t arrow = text.find("->");
  std::string left = text.substr(0, arrow);
  std::vector<std::vector<int>> terms;
  for (size_t begin = 0; begin <= left.size();) {
    size_t end = std::min(left.find(',', begin), left.size());
    terms.push_back(readTerm(left.substr(begin, end - begin), equation));
    begin = end + 1;
  }
  if (terms.size() != shapes.size())
    fail("equation '", equation, "' has ", terms.size(), " operands, the node ", shapes.size());

  EinsumPlan plan;
  int64_t most = 0;
  std::vector<int64_t> counts;
  for (size_t t = 0; t < terms.size(); ++t) {
    bool open = std::count(terms[t].begin(), terms[t].end(), kEllipsis) > 0;
    int64_t count = static_cast<int64_t>(shapes[t].size()) - static_cast<int64_t>(terms[t].size());
    count += open;
    if (open ? count < 0 : count != 0)
      fail("equation '", equation, "' does not fit operand ", t, " of shape ",
           shapeString(shapes[t]));
    counts.push_back(open ? count : 0);
    most = std::max(most, counts.back());
  }
  std::map<int, int> uses;
  for (size_t t = 0; t < terms.size(); ++t) {
    plan.operands.push_back(spread(terms[t], counts[t], most));
    for (size_t d = 0; d < shapes[t].size(); ++d) {
      int label = plan.operands[t][d];
      ++uses[label];
      int64_t &size = plan.sizes.emplace(label, 1).first->second;
      if (size != 1 && shapes[t][d] != 1 && size != shapes[t][d])
        fail("equation '", equation, "' names dimensions of ", size, " and ", shapes[t][d],
             " the same");
      size = shapes[t][d] == 1 ? size : shapes[t][d];
    }
  }
  if (arrow != std::string::npos) {
    plan.output = spread(readTerm(text.substr(arrow + 2), equation), most, most);
  } else {
    plan.output = spread({kEllipsis}, most, most);
    for (auto [label, count] : uses)
      if (label < kFirstEllipsis && count == 1)
        plan.output.push_back(label);
  }
  for (int label : plan.output)
    if (!uses.count(label) || std::count(plan.output.begin(), plan.output.end(), label) != 1)
      fail("equation '", equation, "' has an output that does not follow from its operands");
  return plan;
}

/// How far one goes in an operand where the label goes on by one; a dimension of 1 stays.
static int64_t strideOf(int label, const std::vector<int> &labels, const Shape &shape) {
  int64_t stride = 1, total = 0;
  for (size_t d = shape.size(); d-- > 0; stride *= shape[d])
    if (labels[d] == label && shape[d] != 1)
      total += stride;
  return total;
}

EinsumLoops llmc::onnx::einsumLoops(const EinsumPlan &plan, const std::vector<Shape> &shapes) {
  std::vector<int> order = plan.output;
  for (auto [label, size] : plan.sizes)
    if (std::find(order.begin(), order.end(), label) == order.end())
      order.push_back(label);
  EinsumLoops loops;
  loops.outer = plan.output.size();
  for (int label : order) {
    loops.extents.push_back(plan.sizes.at(label));
    loops.strides.emplace_back();
    for (size_t i = 0; i < shapes.size(); ++i)
      loops.strides.back().push_back(strideOf(label, plan.operands[i], shapes[i]));
  }
  loops.shape.assign(loops.extents.begin(),
                     loops.extents.begin() + static_cast<int64_t>(loops.outer));
  for (size_t l = loops.outer; l < order.size(); ++l)
    if (__builtin_mul_overflow(loops.terms, loops.extents[l], &loops.terms))
      failLimit("its sums are too long");
  return loops;
}
