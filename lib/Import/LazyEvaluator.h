//===- LazyEvaluator.h - Single elements of large values ------------------===//
//
// Masks, rotary tables, scales and conditions are functions of shapes, positions and lengths only.
// At the context of a model they are large (a mask of 131072 positions has 2^34 elements), but what
// the importer asks about are single elements. Here a value is a tree of operators over its inputs
// that computes an element when it is asked for; no large tensor is ever made.
//
// Small values are evaluated whole by the Evaluator, which also is the reference: an element is
// equal, bit for bit, to the one that Evaluator::run would give.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_LAZYEVALUATOR_H
#define LLMC_LIB_IMPORT_LAZYEVALUATOR_H

#include "llmc/Import/OnnxModel.h"
#include "llmc/Import/OnnxTensor.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

namespace llmc::onnx {

class LazyNode;

/// A value whose elements are computed when asked for. Copies share the value; since elements are
/// cached behind it, one value is not for several threads at once.
class LazyTensor {
public:
  LazyTensor() = default;
  explicit LazyTensor(std::shared_ptr<const LazyNode> node) : node(std::move(node)) {}

  ElementType type() const;
  const Shape &shape() const;
  int64_t size() const;
  /// Element `flatIndex` (row-major) as double; integers beyond 2^53 round. Throws ImportError
  /// where the element cannot be computed: an index outside its dimension, a division by zero, or
  /// (ResourceLimit) more than 2^28 steps for one element.
  double at(int64_t flatIndex) const;
  /// The same as an exact integer; floats are truncated and saturate.
  int64_t intAt(int64_t flatIndex) const;
  /// Held as an OnnxTensor: all elements are there already.
  bool isWhole() const;
  /// All elements. Throws ImportError (ResourceLimit) above 2^24 elements.
  OnnxTensor whole() const;

  const std::shared_ptr<const LazyNode> &get() const { return node; }

private:
  std::shared_ptr<const LazyNode> node;
};

class LazyEvaluator {
public:
  /// `inputs`: graph inputs (or inner values) that are known, such as positions, masks and lengths.
  /// `shapes`: types and shapes of inputs whose contents are not known (ids, pasts); only Shape and
  /// Size of them, and of what is made of them, have a value. `shapeOf` gives type and shape of
  /// inner values where they do not follow from `shapes`; it may return false. `model` must outlive
  /// every value.
  LazyEvaluator(const OnnxModel &model, const std::map<std::string, LazyTensor> &inputs,
                const std::map<std::string, std::pair<ElementType, Shape>> &shapes,
                std::function<bool(const std::string &, ElementType &, Shape &)> shapeOf = nullptr);
  ~LazyEvaluator();

  /// A value of the main graph, or of a branch of an If that a value asked for before has taken.
  /// Throws ImportError naming the node where an operator cannot be followed or where the value
  /// depends on the contents of data.
  const LazyTensor &value(const std::string &name);

private:
  struct Impl;
  std::unique_ptr<Impl> impl;
};

/// A value given by a function of the flat index, rounded to `type`: positions, masks, lengths.
LazyTensor lazyRange(ElementType type, Shape shape, std::function<double(int64_t)> element);
LazyTensor lazyWhole(OnnxTensor tensor);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_LAZYEVALUATOR_H
