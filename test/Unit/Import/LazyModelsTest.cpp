//===- LazyModelsTest.cpp - Lazy values of real exports -------------------===//
//
// Every value of an export that follows from shapes, positions, masks and constants only, at
// several sizes, equals what the reference evaluator makes of the whole graph, element by element;
// and at 100000 positions single elements cost little.
//
//===----------------------------------------------------------------------===//

#include "LazyTestSupport.h"
#include "Raiser.h"

#include <algorithm>
#include <ctime>
#include <dirent.h>
#include <fstream>
#include <iostream>
#include <set>

using namespace llmc::onnx;
using namespace llmc::onnx::test;

static std::vector<std::string> foldersIn(const std::string &path) {
  std::set<std::string> names;
  if (DIR *folder = ::opendir(path.c_str())) {
    while (dirent *entry = ::readdir(folder))
      if (entry->d_name[0] != '.')
        names.insert(path + "/" + entry->d_name);
    ::closedir(folder);
  }
  return {names.begin(), names.end()};
}

/// The models beneath a folder, at most two folders down.
static std::vector<std::string> modelsIn(const std::string &path) {
  std::vector<std::string> models;
  for (const std::string &folder : foldersIn(path)) {
    std::vector<std::string> candidates = foldersIn(folder);
    candidates.push_back(folder);
    for (const std::string &candidate : candidates)
      if (std::ifstream(candidate + "/model.onnx"))
        models.push_back(candidate + "/model.onnx");
  }
  return models;
}

namespace {
struct Setting {
  std::map<std::string, LazyTensor> known;
  std::map<std::string, std::pair<ElementType, Shape>> data;
  ValueMap whole; // of the known inputs and, as zeros, of data
};
} // namespace

static Setting settingOf(const OnnxModel &model, const Sizes &sizes) {
  Setting setting;
  ValueMap known = Raiser::knownInputs(model, sizes);
  for (const DeclaredValue &input : model.inputs()) {
    auto found = known.find(input.name);
    if (found != known.end()) {
      OnnxTensor tensor = found->second;
      setting.known.emplace(input.name, lazyRange(tensor.type(), tensor.shape(),
                                                  [=](int64_t i) { return tensor.at(i); }));
      setting.whole.insert(*found);
      continue;
    }
    Shape shape =
        Raiser::isPast(input) ? Raiser::pastShape(input, sizes) : Shape{sizes.batch, sizes.length};
    setting.data.emplace(input.name, std::make_pair(input.type, shape));
    setting.whole.emplace(input.name, OnnxTensor(input.type, shape));
  }
  return setting;
}

/// The values that no contents of data reach. How many elements NonZero finds are contents, too.
static std::vector<std::string> metaValues(const OnnxModel &model, const Setting &setting) {
  std::set<std::string> data, counted;
  for (const auto &input : setting.data)
    data.insert(input.first);
  std::vector<std::string> meta;
  for (const NodeProto *node : model.nodes()) {
    bool isData = false, isCounted = false, isShape = node->op_type() == "Shape";
    for (const std::string &name : valuesRead(*node)) {
      isCounted |= counted.count(name) || (node->op_type() == "NonZero" && data.count(name));
      isData |= isShape ? counted.count(name) : data.count(name);
    }
    for (const std::string &output : node->output()) {
      if (output.empty())
        continue;
      if (isCounted)
        counted.insert(output);
      if (isData)
        data.insert(output);
      else
        meta.push_back(output);
    }
  }
  return meta;
}

static void checkModel(const std::string &path) {
  SCOPED_TRACE(path);
  std::unique_ptr<OnnxModel> model = OnnxModel::load(path);
  std::vector<Sizes> points = {{2, 0, 7, 2}, {1, 0, 40, 0}};
  if (Raiser::hasPast(*model))
    points = {{2, 3, 5, 0}, {1, 0, 6, 0}, {1, 40, 3, 0}};
  for (const Sizes &sizes : points) {
    SCOPED_TRACE("batch " + std::to_string(sizes.batch) + " past " + std::to_string(sizes.past) +
                 " length " + std::to_string(sizes.length));
    Setting setting = settingOf(*model, sizes);
    std::vector<std::string> meta = metaValues(*model, setting);
    EXPECT_GT(meta.size(), 2u);
    // Shapes of what experts are chosen by follow from no rule of the lazy evaluator.
    std::vector<std::string> chosen, wanted = meta;
    for (const NodeProto *node : model->nodes())
      if (node->op_type() == "TopK")
        chosen.insert(chosen.end(), node->output().begin(), node->output().end());
    wanted.insert(wanted.end(), chosen.begin(), chosen.end());
    ValueMap expected = Evaluator(*model).run(setting.whole, wanted);
    auto shapeOf = [&](const std::string &name, ElementType &type, Shape &shape) {
      if (std::find(chosen.begin(), chosen.end(), name) == chosen.end())
        return false;
      type = expected.at(name).type();
      shape = expected.at(name).shape();
      return true;
    };
    LazyEvaluator lazy(*model, setting.known, setting.data, shapeOf);
    for (const std::string &name : meta) {
      const LazyTensor *value = nullptr;
      std::string problem = errorOf([&] { value = &lazy.value(name); });
      EXPECT_EQ(problem, "") << name;
      if (value)
        expectSame(*value, expected.at(name), name);
    }
  }
}

TEST(LazyModels, FixturesMeanTheSame) {
  std::vector<std::string> models = modelsIn(LLMC_FIXTURES);
  ASSERT_GE(models.size(), 9u);
  for (const std::string &path : models)
    checkModel(path);
}

TEST(LazyModels, ArchitecturesMeanTheSame) {
  std::vector<std::string> models = modelsIn(LLMC_SHARED_MODELS "/architectures");
  if (models.empty())
    GTEST_SKIP() << "../shared/models/architectures is not there";
  for (const std::string &path : models)
    checkModel(path);
}

/// Samples of every meta value at 100000 positions: their masks have 10^10 elements.
TEST(LazyModels, FarOutIsCheap) {
  for (const std::string name :
       {"qwen2-dynamo-18", "qwen2-optimum", "llama-uncached-optimum", "llama-uncached-dynamo-23"}) {
    SCOPED_TRACE(name);
    std::unique_ptr<OnnxModel> model =
        OnnxModel::load(std::string(LLMC_FIXTURES) + "/" + name + "/model.onnx");
    int64_t length = 100000;
    std::map<std::string, LazyTensor> known;
    std::map<std::string, std::pair<ElementType, Shape>> data;
    for (const DeclaredValue &input : model->inputs()) {
      if (Raiser::isPast(input))
        data.emplace(input.name,
                     std::make_pair(input.type, Raiser::pastShape(input, {1, 0, length, 0})));
      else if (input.name.find("position") != std::string::npos)
        known.emplace(input.name,
                      lazyRange(input.type, {1, length}, [](int64_t i) { return double(i); }));
      else if (input.name.find("mask") != std::string::npos)
        known.emplace(input.name, lazyRange(input.type, {1, length}, [](int64_t) { return 1.0; }));
      else
        data.emplace(input.name, std::make_pair(input.type, Shape{1, length}));
    }
    Setting small = settingOf(*model, {1, 0, 5, 0});
    std::clock_t start = std::clock();
    LazyEvaluator lazy(*model, known, data);
    int64_t asked = 0, large = 0;
    double most = 0;
    for (const std::string &value : metaValues(*model, small)) {
      const LazyTensor &tensor = lazy.value(value);
      large += tensor.size() >= length * length;
      for (int64_t n = 0; n < 1000 && tensor.size(); ++n, ++asked)
        most = std::max(
            most, tensor.at(int64_t(uint64_t(n) * 0x9e3779b97f4a7c15u % uint64_t(tensor.size()))));
      // Along one row, as a search for a window would.
      for (int64_t n = 0; n < std::min<int64_t>(tensor.size(), length); ++n, ++asked)
        most = std::max(most, tensor.at(tensor.size() - 1 - n));
    }
    double seconds = double(std::clock() - start) / CLOCKS_PER_SEC;
    std::cout << name << ": " << asked << " elements, " << seconds / double(asked) * 1e9
              << " ns each, " << large << " values of " << length << " squared\n";
    EXPECT_GE(large, 1);
    EXPECT_GT(asked, length);
    EXPECT_LT(seconds / double(asked), 2e-6);
  }
  // Nothing large was made: the resident set at its highest, in kilobytes.
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line))
    if (line.rfind("VmHWM:", 0) == 0) {
      EXPECT_LT(std::stol(line.substr(6)), 1500000) << line;
      std::cout << line << "\n";
    }
}
