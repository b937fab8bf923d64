//===- LazyEvaluatorTest.cpp - What lazy values promise -------------------===//
//
// Branches, data, errors, and the cost of an element in graphs made to be dear.
//
//===----------------------------------------------------------------------===//

#include "LazyTestSupport.h"

#include <ctime>

using namespace llmc::onnx;
using namespace llmc::onnx::test;

static LazyTensor scalarInt(int64_t value) { return lazyWhole(OnnxTensor::scalar(value)); }

/// y = x + n when n > 10, else y = -(x - inner If on n > 5).
static std::unique_ptr<OnnxModel> branching() {
  GraphBuilder graph;
  graph.input("n", ElementType::I64);
  graph.input("x", ElementType::I64);
  graph.constant("ten", std::vector<int64_t>{10}, {});
  graph.constant("five", std::vector<int64_t>{5}, {});
  graph.node("Greater", {"n", "ten"}, {"large"});
  NodeProto &outer = graph.node("If", {"large"}, {"y"});
  GraphBuilder then = graph.branch(outer, "then_branch");
  then.node("Add", {"x", "n"}, {"made"});
  then.output("made");
  GraphBuilder otherwise = graph.branch(outer, "else_branch");
  otherwise.node("Greater", {"n", "five"}, {"middle"});
  NodeProto &inner = otherwise.node("If", {"middle"}, {"chosen"});
  GraphBuilder yes = graph.branch(inner, "then_branch");
  yes.constant("own", std::vector<int64_t>{100}, {});
  yes.node("Add", {"own", "five"}, {"yes"});
  yes.output("yes");
  GraphBuilder no = graph.branch(inner, "else_branch");
  no.output("n");
  otherwise.node("Sub", {"x", "chosen"}, {"made"});
  otherwise.node("Neg", {"made"}, {"negative"});
  otherwise.output("negative");
  graph.output("y");
  return graph.load();
}

TEST(LazyEvaluator, TakesTheBranchOfAKnownCondition) {
  std::unique_ptr<OnnxModel> model = branching();
  int64_t length = 5000;
  auto at = [&](int64_t n, int64_t i) {
    LazyTensor x = lazyRange(ElementType::I64, {length}, [](int64_t k) { return double(3 * k); });
    LazyEvaluator lazy(*model, {{"n", scalarInt(n)}, {"x", x}}, {});
    return lazy.value("y").intAt(i);
  };
  EXPECT_EQ(at(11, 4000), 12011);
  EXPECT_EQ(at(7, 4000), 105 - 12000);
  EXPECT_EQ(at(2, 4000), 2 - 12000);
}

TEST(LazyEvaluator, FindsValuesInsideTheTakenBranch) {
  std::unique_ptr<OnnxModel> model = branching();
  LazyEvaluator lazy(*model, {{"n", scalarInt(7)}, {"x", scalarInt(1)}}, {});
  EXPECT_EQ(lazy.value("y").intAt(0), 104);
  EXPECT_EQ(lazy.value("chosen").intAt(0), 105);
  EXPECT_NE(errorOf([&] { lazy.value("nowhere"); }).find("'nowhere'"), std::string::npos);
}

TEST(LazyEvaluator, NamesTheNodeThatDependsOnData) {
  GraphBuilder graph;
  graph.input("ids", ElementType::I64);
  graph.constant("zero", std::vector<int64_t>{0}, {});
  graph.node("Equal", {"ids", "zero"}, {"padded"});
  graph.node("Not", {"padded"}, {"mask"});
  graph.node("Shape", {"mask"}, {"shape"});
  NodeProto &branch = graph.node("If", {"mask"}, {"chosen"});
  graph.branch(branch, "then_branch").output("shape");
  graph.branch(branch, "else_branch").output("shape");
  graph.node("Softmax", {"unknown"}, {"soft"});
  graph.node("Softplus", {"ids"}, {"unknown"});
  graph.output("mask");
  std::unique_ptr<OnnxModel> model = graph.load();
  LazyEvaluator lazy(*model, {}, {{"ids", {ElementType::I64, {2, 70000}}}});
  EXPECT_EQ(errorOf([&] { lazy.value("mask"); }),
            "node 'make mask' (Not): it depends on the contents of 'ids'");
  EXPECT_EQ(lazy.value("shape").intAt(1), 70000);
  std::string condition = errorOf([&] { lazy.value("chosen"); });
  EXPECT_NE(condition.find("node 'make chosen' (If)"), std::string::npos) << condition;
  EXPECT_NE(condition.find("'ids'"), std::string::npos) << condition;
}

TEST(LazyEvaluator, AsksForShapesOfData) {
  GraphBuilder graph;
  graph.input("ids", ElementType::I64);
  graph.node("Einsum", {"ids"}, {"hidden"});
  graph.node("Shape", {"hidden"}, {"shape"});
  graph.node("Exp", {"hidden"}, {"behind"});
  graph.node("Shape", {"behind"}, {"shapeBehind"});
  graph.output("shape");
  std::unique_ptr<OnnxModel> model = graph.load();
  std::map<std::string, std::pair<ElementType, Shape>> data = {{"ids", {ElementType::I64, {1, 9}}}};
  LazyEvaluator blind(*model, {}, data);
  std::string problem = errorOf([&] { blind.value("shape"); });
  EXPECT_NE(problem.find("node 'make hidden' (Einsum)"), std::string::npos) << problem;
  LazyEvaluator lazy(*model, {}, data,
                     [](const std::string &name, ElementType &type, Shape &shape) {
                       type = ElementType::F32;
                       shape = {1, 9, 64};
                       return name == "hidden";
                     });
  EXPECT_EQ(lazy.value("shape").intAt(2), 64);
  EXPECT_EQ(lazy.value("shapeBehind").intAt(1), 9);
}

TEST(LazyEvaluator, NamesTheNodeWhereAnElementCannotBeComputed) {
  GraphBuilder graph;
  graph.input("positions", ElementType::I64);
  graph.input("table", ElementType::F32);
  graph.node("Gather", {"table", "positions"}, {"row"});
  graph.node("Div", {"positions", "positions"}, {"ratio"});
  graph.output("row");
  std::unique_ptr<OnnxModel> model = graph.load();
  LazyTensor positions = lazyRange(ElementType::I64, {5000}, [](int64_t i) { return double(i); });
  LazyEvaluator lazy(
      *model, {{"positions", positions}, {"table", someFloats(ElementType::F32, {4096, 8})}}, {});
  const LazyTensor &row = lazy.value("row");
  EXPECT_EQ(row.at(4095 * 8), someFloats(ElementType::F32, {4096, 8}).at(4095 * 8));
  EXPECT_EQ(errorOf([&] { row.at(4096 * 8); }),
            "node 'make row' (Gather): index 4096 is outside a dimension of 4096");
  EXPECT_EQ(errorOf([&] { lazy.value("ratio").at(0); }),
            "node 'make ratio' (Div): integer division by zero");
  EXPECT_EQ(lazy.value("ratio").at(7), 1);
  EXPECT_NE(errorOf([&] { row.at(5000 * 8); }), "");
}

/// x_{n+1} = x_n + roll(x_n): an element reads 2^60 others through all paths.
TEST(LazyEvaluator, ManyPathsAreNoManySteps) {
  GraphBuilder graph;
  graph.input("x0", ElementType::I64);
  graph.constant("one", std::vector<int64_t>{1}, {1});
  graph.constant("zero", std::vector<int64_t>{0}, {1});
  graph.constant("far", std::vector<int64_t>{INT64_MAX}, {1});
  for (int n = 0; n < 60; ++n) {
    std::string x = "x" + std::to_string(n), next = "x" + std::to_string(n + 1);
    graph.node("Slice", {x, "one", "far", "zero"}, {x + "tail"});
    graph.node("Slice", {x, "zero", "one", "zero"}, {x + "head"});
    setInt(graph.node("Concat", {x + "tail", x + "head"}, {x + "rolled"}), "axis", 0);
    graph.node("Add", {x, x + "rolled"}, {next});
  }
  graph.output("x60");
  std::unique_ptr<OnnxModel> model = graph.load();
  LazyTensor ones = lazyRange(ElementType::I64, {100000}, [](int64_t) { return 1.0; });
  LazyEvaluator lazy(*model, {{"x0", ones}}, {});
  std::clock_t start = std::clock();
  EXPECT_EQ(lazy.value("x60").intAt(5), int64_t(1) << 60);
  EXPECT_EQ(lazy.value("x60").intAt(99990), int64_t(1) << 60);
  EXPECT_LT(double(std::clock() - start) / CLOCKS_PER_SEC, 1);
}

TEST(LazyEvaluator, DeepGraphsDoNotOverflowTheStack) {
  GraphBuilder graph;
  graph.input("x0", ElementType::F32);
  graph.input("ids", ElementType::F32);
  int depth = 20000;
  for (int n = 0; n < depth; ++n) {
    std::string from = std::to_string(n), to = std::to_string(n + 1);
    graph.node("Neg", {"x" + from}, {"x" + to});
    graph.node("Neg", {n ? "d" + from : "ids"}, {"d" + to});
  }
  graph.node("Shape", {"d" + std::to_string(depth)}, {"shape"});
  graph.output("shape");
  graph.output("x" + std::to_string(depth));
  std::unique_ptr<OnnxModel> model = graph.load();
  LazyTensor x = lazyRange(ElementType::F32, {16}, [](int64_t i) { return double(i); });
  LazyEvaluator lazy(*model, {{"x0", x}}, {{"ids", {ElementType::F32, {3}}}});
  EXPECT_EQ(lazy.value("x" + std::to_string(depth)).at(13), 13);
  EXPECT_EQ(lazy.value("shape").intAt(0), 3);
}

TEST(LazyEvaluator, RefusesAnElementThatIsTooDear) {
  GraphBuilder graph;
  graph.input("x", ElementType::F32);
  graph.input("y", ElementType::F32);
  graph.node("Mul", {"x", "y"}, {"product"});
  graph.node("Exp", {"product"}, {"exponential"});
  graph.node("ReduceSum", {"exponential"}, {"sum"});
  graph.node("NonZero", {"exponential"}, {"places"});
  graph.output("sum");
  std::unique_ptr<OnnxModel> model = graph.load();
  int64_t length = 100000;
  auto element = [](int64_t i) { return double(i) * 1e-5; };
  LazyEvaluator lazy(*model,
                     {{"x", lazyRange(ElementType::F32, {length, 1}, element)},
                      {"y", lazyRange(ElementType::F32, {length}, element)}},
                     {});
  EXPECT_NE(errorOf([&] { lazy.value("sum").at(0); }).find("steps"), std::string::npos);
  std::string places = errorOf([&] { lazy.value("places"); });
  EXPECT_NE(places.find("node 'make places' (NonZero)"), std::string::npos) << places;
  EXPECT_NE(places.find("elements"), std::string::npos) << places;
  EXPECT_NE(errorOf([&] { lazy.value("product").whole(); }), "");
}

/// A causal mask with a window, as torch exports spell it, at 131072 positions.
TEST(LazyEvaluator, MaskOfALongContext) {
  GraphBuilder graph;
  graph.input("length", ElementType::I64);
  for (const char *name : {"zero", "one"})
    graph.constant(name, std::vector<int64_t>{name[0] == 'o'}, {});
  graph.constant("window", std::vector<int64_t>{4096}, {});
  graph.constant("axis0", std::vector<int64_t>{0}, {1});
  graph.constant("axis1", std::vector<int64_t>{1}, {1});
  graph.constant("shown", std::vector<float>{0}, {});
  graph.constant("hidden", std::vector<float>{-3e38f}, {});
  graph.node("Range", {"zero", "length", "one"}, {"positions"});
  graph.node("Unsqueeze", {"positions", "axis1"}, {"queries"});
  graph.node("Unsqueeze", {"positions", "axis0"}, {"keys"});
  graph.node("LessOrEqual", {"keys", "queries"}, {"causal"});
  graph.node("Sub", {"queries", "window"}, {"bound"});
  graph.node("Greater", {"keys", "bound"}, {"near"});
  graph.node("And", {"causal", "near"}, {"seen"});
  graph.node("Where", {"seen", "shown", "hidden"}, {"mask"});
  graph.output("mask");
  std::unique_ptr<OnnxModel> model = graph.load();
  int64_t length = 131072;
  LazyEvaluator lazy(*model, {{"length", scalarInt(length)}}, {});
  const LazyTensor &mask = lazy.value("mask");
  ASSERT_EQ(mask.shape(), (Shape{length, length}));
  EXPECT_FALSE(mask.isWhole());
  std::clock_t start = std::clock();
  int64_t row = 100000, visible = 0;
  for (int64_t key = 0; key < length; ++key) {
    bool seen = mask.at(row * length + key) == 0;
    visible += seen;
    ASSERT_EQ(seen, key <= row && key > row - 4096) << key;
  }
  EXPECT_EQ(visible, 4096);
  double nanoseconds = double(std::clock() - start) / CLOCKS_PER_SEC / double(length) * 1e9;
  EXPECT_LT(nanoseconds, 1000);
  RecordProperty("nanoseconds_per_element", int(nanoseconds));
}
