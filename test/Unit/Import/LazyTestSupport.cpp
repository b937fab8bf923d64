//===- LazyTestSupport.cpp - Graphs for tests of lazy values --------------===//
//
// See LazyTestSupport.h.
//
//===----------------------------------------------------------------------===//

#include "LazyTestSupport.h"

#include <cmath>
#include <fstream>
#include <unistd.h>

using namespace llmc::onnx;
using namespace llmc::onnx::test;

GraphBuilder::GraphBuilder() : graph(model.mutable_graph()) {
  model.set_ir_version(8);
  OperatorSetIdProto *opset = model.add_opset_import();
  opset->set_domain("");
  opset->set_version(18);
  graph->set_name("test");
}

void GraphBuilder::input(const std::string &name, ElementType type) {
  ValueInfoProto *info = graph->add_input();
  info->set_name(name);
  info->mutable_type()->mutable_tensor_type()->set_elem_type(toOnnxType(type));
}

void GraphBuilder::constant(const std::string &name, const std::vector<int64_t> &values,
                            Shape shape) {
  TensorProto *tensor = graph->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(TensorProto::INT64);
  for (int64_t dim : shape)
    tensor->add_dims(dim);
  for (int64_t value : values)
    tensor->add_int64_data(value);
}

void GraphBuilder::constant(const std::string &name, const std::vector<float> &values,
                            Shape shape) {
  TensorProto *tensor = graph->add_initializer();
  tensor->set_name(name);
  tensor->set_data_type(TensorProto::FLOAT);
  for (int64_t dim : shape)
    tensor->add_dims(dim);
  for (float value : values)
    tensor->add_float_data(value);
}

NodeProto &GraphBuilder::node(const std::string &op, const std::vector<std::string> &inputs,
                              const std::vector<std::string> &outputs) {
  NodeProto *node = graph->add_node();
  node->set_op_type(op);
  node->set_name("make " + outputs[0]);
  for (const std::string &input : inputs)
    node->add_input(input);
  for (const std::string &output : outputs)
    node->add_output(output);
  return *node;
}

GraphBuilder GraphBuilder::branch(NodeProto &node, const std::string &attribute) {
  AttributeProto *made = node.add_attribute();
  made->set_name(attribute);
  made->set_type(AttributeProto::GRAPH);
  made->mutable_g()->set_name(attribute);
  return GraphBuilder(made->mutable_g());
}

void GraphBuilder::output(const std::string &name) {
  ValueInfoProto *info = graph->add_output();
  info->set_name(name);
  info->mutable_type()->mutable_tensor_type()->set_elem_type(TensorProto::FLOAT);
}

std::unique_ptr<OnnxModel> GraphBuilder::load() {
  std::string path = testing::TempDir() + "/lazy-" + std::to_string(::getpid()) + ".onnx";
  std::ofstream(path, std::ios::binary) << model.SerializeAsString();
  std::unique_ptr<OnnxModel> loaded = OnnxModel::load(path);
  ::unlink(path.c_str());
  return loaded;
}

void llmc::onnx::test::setInt(NodeProto &node, const std::string &name, int64_t value) {
  AttributeProto *attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(AttributeProto::INT);
  attribute->set_i(value);
}

void llmc::onnx::test::setFloat(NodeProto &node, const std::string &name, float value) {
  AttributeProto *attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(AttributeProto::FLOAT);
  attribute->set_f(value);
}

void llmc::onnx::test::setInts(NodeProto &node, const std::string &name,
                               const std::vector<int64_t> &values) {
  AttributeProto *attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(AttributeProto::INTS);
  for (int64_t value : values)
    attribute->add_ints(value);
}

void llmc::onnx::test::setString(NodeProto &node, const std::string &name,
                                 const std::string &value) {
  AttributeProto *attribute = node.add_attribute();
  attribute->set_name(name);
  attribute->set_type(AttributeProto::STRING);
  attribute->set_s(value);
}

LazyTensor llmc::onnx::test::someFloats(ElementType type, Shape shape, double scale) {
  return lazyRange(type, std::move(shape),
                   [=](int64_t i) { return scale * std::sin(1.7 * double(i) + 0.3); });
}

LazyTensor llmc::onnx::test::someInts(ElementType type, Shape shape, int64_t low, int64_t high) {
  return lazyRange(type, std::move(shape), [=](int64_t i) {
    return double(low + int64_t(uint64_t(i) * 2654435761u % uint64_t(high - low)));
  });
}

void llmc::onnx::test::expectSame(const LazyTensor &got, const OnnxTensor &expected,
                                  const std::string &what) {
  ASSERT_EQ(got.type(), expected.type()) << what;
  ASSERT_EQ(got.shape(), expected.shape()) << what;
  int64_t wrong = 0;
  for (int64_t i = 0; i < expected.size(); ++i) {
    bool same;
    if (expected.isInteger())
      same = got.intAt(i) == expected.ints()[i];
    else
      same = got.at(i) == expected.at(i) || (std::isnan(got.at(i)) && std::isnan(expected.at(i)));
    if (!same && ++wrong <= 3)
      ADD_FAILURE() << what << ": element " << i << " is " << got.at(i) << ", expected "
                    << expected.at(i);
  }
}

void llmc::onnx::test::expectSame(const OnnxModel &model,
                                  const std::map<std::string, LazyTensor> &inputs,
                                  const std::vector<std::string> &names) {
  ValueMap whole;
  for (const auto &input : inputs)
    whole.emplace(input.first, input.second.whole());
  ValueMap expected = Evaluator(model).run(whole, names);
  LazyEvaluator lazy(model, inputs, {});
  for (const std::string &name : names)
    expectSame(lazy.value(name), expected.at(name), name);
}

std::string llmc::onnx::test::errorOf(const std::function<void()> &f) {
  try {
    f();
  } catch (const ImportError &error) {
    return error.what();
  }
  return "";
}
