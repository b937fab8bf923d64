//===- llmc-evaluate.cpp - Runs ONNX models with the evaluator, for tests -===//
//
// llmc-evaluate MODEL --input=NAME=FILE.pb.. --output=NAME=FILE.pb.. runs a model on serialized
// TensorProtos. llmc-evaluate --node-tests reads folders of the ONNX backend test layout from stdin
// and prints one verdict per line: ok, skip (an operator or type is not supported) or fail.
//
//===----------------------------------------------------------------------===//

#include "Onnx.pb.h"
#include "llmc/Import/Evaluator.h"
#include "llmc/Import/ImportError.h"

#include <cmath>
#include <cstring>
#include <deque>
#include <fstream>
#include <iostream>
#include <sys/stat.h>

using namespace llmc::onnx;

/// Tensors decoded from these messages point into them.
static std::deque<TensorProto> messages;

static OnnxTensor readTensor(const OnnxModel &model, const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  messages.emplace_back();
  if (!file || !messages.back().ParseFromIstream(&file))
    fail("cannot read tensor '", path, "'");
  return model.decode(messages.back(), path);
}

static void writeTensor(const OnnxTensor &tensor, const std::string &path) {
  TensorProto message;
  for (int64_t dim : tensor.shape())
    message.add_dims(dim);
  if (tensor.isInteger()) {
    message.set_data_type(TensorProto::INT64);
    message.set_raw_data(tensor.ints(), tensor.size() * sizeof(int64_t));
  } else {
    message.set_data_type(TensorProto::DOUBLE);
    std::vector<double> values;
    for (int64_t i = 0; i < tensor.size(); ++i)
      values.push_back(tensor.at(i));
    message.set_raw_data(values.data(), values.size() * sizeof(double));
  }
  std::ofstream file(path, std::ios::binary);
  if (!message.SerializeToOstream(&file))
    fail("cannot write tensor '", path, "'");
}

/// Empty when `got` equals `expected` within what the type can tell apart.
static std::string compare(const OnnxTensor &got, const OnnxTensor &expected) {
  if (got.type() != expected.type() || got.shape() != expected.shape())
    return std::string("got ") + elementTypeName(got.type()) + shapeString(got.shape()) +
           ", expected " + elementTypeName(expected.type()) + shapeString(expected.shape());
  double tolerance = got.type() == ElementType::F16    ? 2e-3
                     : got.type() == ElementType::BF16 ? 1.6e-2
                     : got.isInteger()                 ? 0
                                                       : 1e-5;
  for (int64_t i = 0; i < got.size(); ++i) {
    double a = got.at(i), b = expected.at(i);
    bool same = a == b || (std::isnan(a) && std::isnan(b)) ||
                std::fabs(a - b) <= tolerance * (std::fabs(b) + 0.1);
    if (!same)
      return "element " + std::to_string(i) + ": got " + std::to_string(a) + ", expected " +
             std::to_string(b);
  }
  return "";
}

static bool exists(const std::string &path) {
  struct stat status;
  return ::stat(path.c_str(), &status) == 0;
}

static std::string runNodeTest(const std::string &folder) {
  LoadOptions options;
  options.minOpset = 1;
  options.maxOpset = 64;
  std::unique_ptr<OnnxModel> model;
  ValueMap inputs, expected;
  try {
    model = OnnxModel::load(folder + "/model.onnx", options);
    for (const NodeProto *node : model->nodes())
      if (!Evaluator::supports(*node))
        return "skip " + describeNode(*node);
    std::string data = folder + "/test_data_set_0/";
    for (size_t i = 0; i < model->inputs().size(); ++i) {
      std::string path = data + "input_" + std::to_string(i) + ".pb";
      inputs.emplace(model->inputs()[i].name, readTensor(*model, path));
    }
    for (size_t i = 0; i < model->outputs().size(); ++i)
      if (exists(data + "output_" + std::to_string(i) + ".pb"))
        expected.emplace(model->outputs()[i].name,
                         readTensor(*model, data + "output_" + std::to_string(i) + ".pb"));
  } catch (const ImportError &error) {
    return std::string("skip ") + error.what();
  }
  try {
    ValueMap outputs = Evaluator(*model).runAll(inputs);
    for (const auto &entry : expected) {
      std::string difference = compare(outputs.at(entry.first), entry.second);
      if (!difference.empty())
        return "fail '" + entry.first + "': " + difference;
    }
  } catch (const ImportError &error) {
    bool unsupported = std::string(error.what()).find("not supported") != std::string::npos ||
                       std::string(error.what()).find("unsupported") != std::string::npos;
    return std::string(unsupported ? "skip " : "fail ") + error.what();
  }
  return "ok";
}

int main(int argc, char **argv) {
  std::vector<std::string> arguments(argv + 1, argv + argc);
  try {
    if (arguments.size() == 1 && arguments[0] == "--node-tests") {
      std::string folder;
      while (std::getline(std::cin, folder)) {
        std::cout << folder << '\t' << runNodeTest(folder) << '\n';
        messages.clear();
      }
      return 0;
    }
    if (arguments.empty())
      fail("usage: llmc-evaluate MODEL [--float-activations] [--exact-half] --input=NAME=FILE "
           "--output=NAME=FILE");
    std::unique_ptr<OnnxModel> model = OnnxModel::load(arguments[0]);
    ValueMap inputs;
    std::vector<std::pair<std::string, std::string>> outputs;
    EvaluatorOptions options;
    for (size_t i = 1; i < arguments.size(); ++i) {
      const std::string &argument = arguments[i];
      if (argument == "--float-activations") {
        options.floatActivations = true;
        continue;
      }
      if (argument == "--exact-half") {
        options.exactHalf = true;
        continue;
      }
      size_t name = argument.find('='), file = argument.find('=', name + 1);
      if (name == std::string::npos || file == std::string::npos)
        fail("unknown argument '", argument, "'");
      std::string value = argument.substr(name + 1, file - name - 1),
                  path = argument.substr(file + 1);
      if (argument.compare(0, name, "--input") == 0)
        inputs.emplace(value, readTensor(*model, path));
      else
        outputs.emplace_back(value, path);
    }
    std::vector<std::string> names;
    for (const auto &output : outputs)
      names.push_back(output.first);
    ValueMap results = Evaluator(*model, options).run(inputs, names);
    for (const auto &output : outputs)
      writeTensor(results.at(output.first), output.second);
  } catch (const ImportError &error) {
    std::cerr << "llmc-evaluate: error: " << error.what() << '\n';
    return static_cast<int>(error.kind());
  }
  return 0;
}
