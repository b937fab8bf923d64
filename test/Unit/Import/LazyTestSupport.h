//===- LazyTestSupport.h - Graphs for tests of lazy values ----------------===//
//
// Builds small graphs, loads them as a file would be, and compares every element of a lazy value
// with the reference evaluator.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_TEST_UNIT_IMPORT_LAZYTESTSUPPORT_H
#define LLMC_TEST_UNIT_IMPORT_LAZYTESTSUPPORT_H

#include "LazyEvaluator.h"
#include "Onnx.pb.h"
#include "llmc/Import/Evaluator.h"
#include "llmc/Import/ImportError.h"

#include <gtest/gtest.h>

namespace llmc::onnx::test {

/// A graph being written; all inputs are declared without a shape.
class GraphBuilder {
public:
  GraphBuilder();
  explicit GraphBuilder(GraphProto *graph) : graph(graph) {}

  void input(const std::string &name, ElementType type);
  void constant(const std::string &name, const std::vector<int64_t> &values, Shape shape);
  void constant(const std::string &name, const std::vector<float> &values, Shape shape);
  /// A node with outputs named `outputs`; attributes are added to the result.
  NodeProto &node(const std::string &op, const std::vector<std::string> &inputs,
                  const std::vector<std::string> &outputs);
  /// A branch of an If node.
  GraphBuilder branch(NodeProto &node, const std::string &attribute);
  void output(const std::string &name);
  /// Writes and loads the model.
  std::unique_ptr<OnnxModel> load();

private:
  ModelProto model;
  GraphProto *graph;
};

void setInt(NodeProto &node, const std::string &name, int64_t value);
void setFloat(NodeProto &node, const std::string &name, float value);
void setInts(NodeProto &node, const std::string &name, const std::vector<int64_t> &values);
void setString(NodeProto &node, const std::string &name, const std::string &value);

/// Values that differ from element to element, of either sign.
LazyTensor someFloats(ElementType type, Shape shape, double scale = 1);
LazyTensor someInts(ElementType type, Shape shape, int64_t low, int64_t high);

/// Every element of `names`, computed lazily, against the reference evaluator.
void expectSame(const OnnxModel &model, const std::map<std::string, LazyTensor> &inputs,
                const std::vector<std::string> &names);
void expectSame(const LazyTensor &got, const OnnxTensor &expected, const std::string &what);

/// The message of the ImportError that `f` throws; empty when it throws none.
std::string errorOf(const std::function<void()> &f);

} // namespace llmc::onnx::test

#endif // LLMC_TEST_UNIT_IMPORT_LAZYTESTSUPPORT_H
