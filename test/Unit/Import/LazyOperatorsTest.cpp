//===- LazyOperatorsTest.cpp - Each lazy operator against the reference ---===//
//
// One graph per family whose inputs are not held as tensors, so that every operator is followed by
// elements; all elements equal those of the reference evaluator.
//
//===----------------------------------------------------------------------===//

#include "LazyTestSupport.h"

#include <cmath>

using namespace llmc::onnx;
using namespace llmc::onnx::test;

static const ElementType floatTypes[] = {ElementType::F32, ElementType::F16, ElementType::BF16,
                                         ElementType::F64};
static const ElementType integerTypes[] = {ElementType::I64, ElementType::I32, ElementType::I8,
                                           ElementType::U64, ElementType::U8};

TEST(LazyOperators, FloatArithmetic) {
  for (ElementType type : floatTypes) {
    SCOPED_TRACE(elementTypeName(type));
    GraphBuilder graph;
    std::vector<std::string> names;
    for (const char *input : {"a", "b", "c"})
      graph.input(input, type);
    for (const char *op : {"Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Mean"}) {
      graph.node(op, {"a", "b"}, {std::string(op) + "ab"});
      graph.node(op, {"c", "a"}, {std::string(op) + "ca"});
      names.insert(names.end(), {std::string(op) + "ab", std::string(op) + "ca"});
    }
    for (const char *op : {"Neg", "Abs", "Sign", "Sqrt", "Reciprocal", "Exp", "Log", "Cos", "Sin",
                           "Floor", "Ceil", "Round", "IsNaN", "IsInf"}) {
      graph.node(op, {"a"}, {op});
      names.push_back(op);
    }
    setInt(graph.node("Mod", {"a", "b"}, {"fmod"}), "fmod", 1);
    graph.node("Clip", {"a", "low", "high"}, {"clip"});
    graph.node("Clip", {"a", "", "high"}, {"clipHigh"});
    graph.node("IsNaN", {"Sqrt"}, {"nan of root"});
    names.insert(names.end(), {"fmod", "clip", "clipHigh", "nan of root"});
    graph.input("low", type);
    graph.input("high", type);
    for (const std::string &name : names)
      graph.output(name);
    expectSame(*graph.load(),
               {{"a", someFloats(type, {3, 4, 5}, 3)},
                {"b", someFloats(type, {4, 1}, 2)},
                {"c", someFloats(type, {2, 3, 1, 5}, 90)},
                {"low", lazyRange(type, {}, [](int64_t) { return -1.1; })},
                {"high", lazyRange(type, {}, [](int64_t) { return 1.3; })}},
               names);
  }
}

TEST(LazyOperators, IntegerArithmetic) {
  for (ElementType type : integerTypes) {
    SCOPED_TRACE(elementTypeName(type));
    GraphBuilder graph;
    std::vector<std::string> names;
    for (const char *input : {"a", "b"})
      graph.input(input, type);
    for (const char *op : {"Add", "Sub", "Mul", "Div", "Mod", "Min", "Max", "Sum", "Equal", "Less",
                           "LessOrEqual", "Greater", "GreaterOrEqual"}) {
      graph.node(op, {"a", "b"}, {op});
      names.push_back(op);
    }
    for (const char *op : {"Neg", "Abs", "Sign"}) {
      graph.node(op, {"a"}, {op});
      names.push_back(op);
    }
    setInt(graph.node("Mod", {"a", "b"}, {"fmod"}), "fmod", 1);
    names.push_back("fmod");
    for (const std::string &name : names)
      graph.output(name);
    expectSame(*graph.load(),
               {{"a", someInts(type, {6, 7}, -100, 120)}, {"b", someInts(type, {6, 1}, 1, 9)}},
               names);
  }
}

TEST(LazyOperators, CastsTruncateAndRound) {
  GraphBuilder graph;
  graph.input("x", ElementType::F32);
  graph.input("n", ElementType::I64);
  std::vector<std::string> names;
  for (ElementType to : {ElementType::F16, ElementType::BF16, ElementType::F64, ElementType::I64,
                         ElementType::I32, ElementType::U8, ElementType::Bool, ElementType::F32})
    for (const char *from : {"x", "n"}) {
      std::string name = std::string(from) + " to " + elementTypeName(to);
      setInt(graph.node("Cast", {from}, {name}), "to", toOnnxType(to));
      names.push_back(name);
    }
  graph.node("CastLike", {"x", "n"}, {"like"});
  graph.node("Identity", {"like"}, {"same"});
  graph.node("Dropout", {"x"}, {"kept", "mask"});
  names.insert(names.end(), {"like", "same", "kept", "mask"});
  for (const std::string &name : names)
    graph.output(name);
  LazyTensor x = lazyRange(ElementType::F32, {9}, [](int64_t i) {
    static const double values[] = {1.7, -1.7, 1e30, -1e30, NAN, INFINITY, 300.5, -0.5, 65519.9};
    return values[i];
  });
  expectSame(*graph.load(), {{"x", x}, {"n", someInts(ElementType::I64, {9}, -70000, 70000)}},
             names);
}

TEST(LazyOperators, Logic) {
  GraphBuilder graph;
  graph.input("p", ElementType::Bool);
  graph.input("q", ElementType::Bool);
  graph.input("x", ElementType::F32);
  graph.input("y", ElementType::F32);
  std::vector<std::string> names;
  for (const char *op : {"And", "Or", "Xor"}) {
    graph.node(op, {"p", "q"}, {op});
    names.push_back(op);
  }
  for (const char *op : {"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"}) {
    graph.node(op, {"x", "y"}, {op});
    names.push_back(op);
  }
  graph.node("Not", {"p"}, {"Not"});
  graph.node("Where", {"p", "x", "y"}, {"Where"});
  names.insert(names.end(), {"Not", "Where"});
  for (const std::string &name : names)
    graph.output(name);
  expectSame(*graph.load(),
             {{"p", someInts(ElementType::Bool, {4, 1, 3}, 0, 2)},
              {"q", someInts(ElementType::Bool, {5, 3}, 0, 2)},
              {"x", someFloats(ElementType::F32, {5, 3})},
              {"y", someFloats(ElementType::F32, {4, 5, 1})}},
             names);
}

TEST(LazyOperators, Views) {
  GraphBuilder graph;
  graph.input("x", ElementType::F32);
  graph.input("row", ElementType::F32);
  graph.constant("axis1", std::vector<int64_t>{1}, {1});
  graph.constant("shape", std::vector<int64_t>{0, -1}, {2});
  graph.constant("wide", std::vector<int64_t>{2, 3, 1, 5}, {4});
  graph.constant("repeats", std::vector<int64_t>{2, 1, 3}, {3});
  graph.constant("begins", std::vector<int64_t>{-1, 1}, {2});
  graph.constant("ends", std::vector<int64_t>{-100, 100}, {2});
  graph.constant("axes", std::vector<int64_t>{2, -2}, {2});
  graph.constant("steps", std::vector<int64_t>{-2, 2}, {2});
  graph.constant("sizes", std::vector<int64_t>{1, 0, 3}, {3});
  graph.constant("pads", std::vector<int64_t>{1, -1, 0, 2}, {4});
  graph.constant("padAxes", std::vector<int64_t>{0, 2}, {2});
  graph.constant("seven", std::vector<float>{7}, {});
  graph.constant("diagonal", std::vector<int64_t>{-1}, {});
  setInts(graph.node("Transpose", {"x"}, {"transposed"}), "perm", {2, 0, 1});
  graph.node("Transpose", {"transposed"}, {"turned"});
  graph.node("Reshape", {"turned", "shape"}, {"reshaped"});
  setInt(graph.node("Flatten", {"x"}, {"flat"}), "axis", -1);
  graph.node("Unsqueeze", {"x", "axis1"}, {"unsqueezed"});
  graph.node("Squeeze", {"unsqueezed", "axis1"}, {"squeezed"});
  graph.node("Expand", {"row", "wide"}, {"expanded"});
  graph.node("Tile", {"x", "repeats"}, {"tiled"});
  graph.node("Slice", {"x", "begins", "ends", "axes", "steps"}, {"sliced"});
  setInt(graph.node("Split", {"x", "sizes"}, {"part0", "part1", "part2"}), "axis", 1);
  setInt(graph.node("Concat", {"x", "sliced2", "x"}, {"joined"}), "axis", 2);
  graph.node("Slice", {"x", "axis1", "ends2", "axes2"}, {"sliced2"});
  graph.constant("ends2", std::vector<int64_t>{INT64_MAX}, {1});
  graph.constant("axes2", std::vector<int64_t>{2}, {1});
  graph.node("Pad", {"x", "pads", "seven", "padAxes"}, {"padded"});
  setInt(graph.node("Trilu", {"x", "diagonal"}, {"lower"}), "upper", 0);
  graph.node("Trilu", {"x"}, {"upper"});
  setInt(graph.node("Shape", {"tiled"}, {"shapeOf"}), "start", 1);
  graph.node("Size", {"tiled"}, {"sizeOf"});
  std::vector<std::string> names = {"transposed", "turned",   "reshaped", "flat",   "unsqueezed",
                                    "squeezed",   "expanded", "tiled",    "sliced", "part0",
                                    "part1",      "part2",    "joined",   "padded", "lower",
                                    "upper",      "shapeOf",  "sizeOf",   "sliced2"};
  for (const std::string &name : names)
    graph.output(name);
  expectSame(*graph.load(),
             {{"x", someFloats(ElementType::F32, {3, 4, 5})},
              {"row", someFloats(ElementType::F32, {3, 1, 1})}},
             names);
}

TEST(LazyOperators, MadeValues) {
  GraphBuilder graph;
  graph.input("limit", ElementType::I64);
  graph.input("start", ElementType::F32);
  graph.input("shape", ElementType::I64);
  graph.constant("one", std::vector<int64_t>{1}, {});
  graph.constant("three", std::vector<int64_t>{-3}, {});
  graph.constant("zero", std::vector<float>{0}, {});
  graph.constant("step", std::vector<float>{-0.3f}, {});
  graph.node("Range", {"one", "limit", "one"}, {"up"});
  graph.node("Range", {"limit", "one", "three"}, {"down"});
  graph.node("Range", {"start", "zero", "step"}, {"floats"});
  graph.node("ConstantOfShape", {"shape"}, {"zeros"});
  std::vector<std::string> names = {"up", "down", "floats", "zeros"};
  for (const std::string &name : names)
    graph.output(name);
  auto fixed = [](ElementType type, Shape shape, double value) {
    return lazyRange(type, shape, [=](int64_t i) { return value + double(i); });
  };
  expectSame(*graph.load(),
             {{"limit", fixed(ElementType::I64, {}, 6000)},
              {"start", fixed(ElementType::F32, {}, 2000)},
              {"shape", fixed(ElementType::I64, {2}, 70)}},
             names);
}

TEST(LazyOperators, IdentityMatrix) {
  GraphBuilder graph;
  graph.input("x", ElementType::F32);
  setInt(graph.node("EyeLike", {"x"}, {"eye"}), "k", 1);
  graph.output("eye");
  std::unique_ptr<OnnxModel> model = graph.load();
  LazyEvaluator lazy(*model, {{"x", someFloats(ElementType::F32, {3, 4})}}, {});
  const LazyTensor &eye = lazy.value("eye");
  for (int64_t i = 0; i < 12; ++i)
    EXPECT_EQ(eye.at(i), i % 4 == i / 4 + 1) << i;
}

TEST(LazyOperators, ComputedPlaces) {
  GraphBuilder graph;
  graph.input("x", ElementType::F32);
  graph.input("n", ElementType::I64);
  graph.input("grid", ElementType::I64);
  graph.input("pairs", ElementType::I64);
  graph.input("batched", ElementType::I64);
  graph.input("updates", ElementType::F32);
  graph.input("slices", ElementType::F32);
  graph.input("values", ElementType::F16);
  graph.input("depth", ElementType::I64);
  setInt(graph.node("Gather", {"x", "n"}, {"gathered"}), "axis", 1);
  graph.node("Gather", {"x", "first"}, {"row"});
  graph.constant("first", std::vector<int64_t>{-1}, {});
  setInt(graph.node("GatherElements", {"x", "grid"}, {"elements"}), "axis", 1);
  graph.node("GatherND", {"x", "pairs"}, {"tuples"});
  setInt(graph.node("GatherND", {"x", "batched"}, {"batchedTuples"}), "batch_dims", 1);
  std::vector<std::string> names = {"gathered", "row", "elements", "tuples", "batchedTuples"};
  for (const char *reduction : {"none", "add", "mul", "min", "max"}) {
    std::string elements = std::string("elements ") + reduction,
                slices = std::string("slices ") + reduction;
    NodeProto &node = graph.node("ScatterElements", {"x", "grid", "updates"}, {elements});
    setInt(node, "axis", 1);
    setString(node, "reduction", reduction);
    setString(graph.node("ScatterND", {"x", "pairs", "slices"}, {slices}), "reduction", reduction);
    names.insert(names.end(), {elements, slices});
  }
  setInt(graph.node("OneHot", {"n", "depth", "values"}, {"hot"}), "axis", 1);
  names.push_back("hot");
  for (const std::string &name : names)
    graph.output(name);
  expectSame(*graph.load(),
             {{"x", someFloats(ElementType::F32, {3, 4, 5})},
              {"n", someInts(ElementType::I64, {2, 3}, -4, 4)},
              {"grid", someInts(ElementType::I64, {3, 6, 2}, -4, 4)},
              {"pairs", someInts(ElementType::I64, {6, 2}, -3, 3)},
              {"batched", someInts(ElementType::I64, {3, 2, 1}, 0, 4)},
              {"updates", someFloats(ElementType::F32, {3, 6, 2}, 5)},
              {"slices", someFloats(ElementType::F32, {6, 5}, 5)},
              {"values", someFloats(ElementType::F16, {2})},
              {"depth", someInts(ElementType::I64, {}, 4, 5)}},
             names);
}

TEST(LazyOperators, Reductions) {
  for (ElementType type : {ElementType::F32, ElementType::F16, ElementType::I64}) {
    SCOPED_TRACE(elementTypeName(type));
    GraphBuilder graph;
    graph.input("x", type);
    graph.constant("middle", std::vector<int64_t>{-2}, {1});
    graph.constant("ends", std::vector<int64_t>{0, 2}, {2});
    graph.constant("axis", std::vector<int64_t>{1}, {});
    std::vector<std::string> names;
    for (const char *op : {"ReduceSum", "ReduceMean", "ReduceProd", "ReduceMax", "ReduceMin",
                           "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"}) {
      std::string name = op;
      graph.node(op, {"x", "middle"}, {name + " middle"});
      setInt(graph.node(op, {"x", "ends"}, {name + " ends"}), "keepdims", 0);
      graph.node(op, {"x"}, {name + " all"});
      setInt(graph.node(op, {"x"}, {name + " none"}), "noop_with_empty_axes", 1);
      for (const char *which : {" middle", " ends", " all", " none"})
        names.push_back(name + which);
    }
    for (int64_t exclusive : {0, 1})
      for (int64_t reverse : {0, 1}) {
        std::string name = "sum" + std::to_string(exclusive) + std::to_string(reverse);
        NodeProto &node = graph.node("CumSum", {"x", "axis"}, {name});
        setInt(node, "exclusive", exclusive);
        setInt(node, "reverse", reverse);
        names.push_back(name);
      }
    for (const std::string &name : names)
      graph.output(name);
    LazyTensor x =
        isFloat(type) ? someFloats(type, {3, 9, 5}, 1.5) : someInts(type, {3, 9, 5}, -3, 4);
    expectSame(*graph.load(), {{"x", x}}, names);
  }
}

TEST(LazyOperators, MatrixProducts) {
  for (ElementType type :
       {ElementType::F32, ElementType::BF16, ElementType::F64, ElementType::I32}) {
    SCOPED_TRACE(elementTypeName(type));
    GraphBuilder graph;
    for (const char *name : {"a", "b", "v", "w"})
      graph.input(name, type);
    graph.node("MatMul", {"a", "b"}, {"ab"});
    graph.node("MatMul", {"v", "b"}, {"vb"});
    graph.node("MatMul", {"a", "w"}, {"aw"});
    std::vector<std::string> names = {"ab", "vb", "aw"};
    if (isFloat(type)) {
      NodeProto &node = graph.node("Gemm", {"p", "q", "v"}, {"gemm"});
      setInt(node, "transA", 1);
      setFloat(node, "alpha", 0.7f);
      setFloat(node, "beta", -0.3f);
      setInt(graph.node("Gemm", {"q", "p"}, {"plain"}), "transB", 1);
      graph.input("p", type);
      graph.input("q", type);
      names.insert(names.end(), {"gemm", "plain"});
    }
    for (const std::string &name : names)
      graph.output(name);
    auto some = [&](Shape shape) {
      return isFloat(type) ? someFloats(type, shape) : someInts(type, shape, -50, 50);
    };
    std::map<std::string, LazyTensor> inputs = {
        {"a", some({2, 1, 4, 3})}, {"b", some({5, 3, 6})}, {"v", some({3})}, {"w", some({3})}};
    if (isFloat(type)) {
      inputs.emplace("p", some({3, 3}));
      inputs.emplace("q", some({3, 3}));
    }
    expectSame(*graph.load(), inputs, names);
  }
}

/// An assignment to a slice, as exporters spell it: a place for every element of a grid. The
/// reference lists the places, the lazy value inverts each coordinate.
TEST(LazyOperators, WritesOnAGrid) {
  GraphBuilder graph;
  graph.input("x", ElementType::F32);
  graph.input("updates", ElementType::F32);
  graph.input("rows", ElementType::I64);    // [700, 1]
  graph.input("columns", ElementType::I64); // [800]
  graph.constant("grid", std::vector<int64_t>{700, 800}, {2});
  graph.constant("last", std::vector<int64_t>{2}, {1});
  for (const char *name : {"rows", "columns"}) {
    std::string coordinate = name;
    graph.node("Expand", {coordinate, "grid"}, {coordinate + " wide"});
    graph.node("Unsqueeze", {coordinate + " wide", "last"}, {coordinate + " behind"});
  }
  setInt(graph.node("Concat", {"rows behind", "columns behind"}, {"places"}), "axis", 2);
  graph.node("ScatterND", {"x", "places", "updates"}, {"assigned"});
  setInt(graph.node("ScatterElements", {"x", "rows wide", "updates"}, {"elements"}), "axis", 0);
  std::vector<std::string> names = {"assigned", "elements"};
  for (const std::string &name : names)
    graph.output(name);
  std::unique_ptr<OnnxModel> model = graph.load();
  std::map<std::string, LazyTensor> inputs = {
      {"x", someFloats(ElementType::F32, {900, 1000})},
      {"updates", someFloats(ElementType::F32, {700, 800}, 9)},
      {"rows", lazyRange(ElementType::I64, {700, 1}, [](int64_t i) { return double(i / 2 + 9); })},
      {"columns", lazyRange(ElementType::I64, {800}, [](int64_t i) { return double(-1 - i); })}};
  expectSame(*model, inputs, names);
}

TEST(LazyOperators, WritesAtManyPlacesThatAreNoGridAreRefused) {
  GraphBuilder graph;
  graph.input("x", ElementType::F32);
  graph.input("places", ElementType::I64);
  graph.node("ScatterND", {"x", "places", "x"}, {"y"});
  graph.output("y");
  std::unique_ptr<OnnxModel> model = graph.load();
  LazyEvaluator lazy(*model,
                     {{"x", someFloats(ElementType::F32, {1200, 1000})},
                      {"places", someInts(ElementType::I64, {1200, 1000, 2}, 0, 1000)}},
                     {});
  std::string problem = errorOf([&] { lazy.value("y"); });
  EXPECT_NE(problem.find("node 'make y' (ScatterND)"), std::string::npos) << problem;
  EXPECT_NE(problem.find("no grid"), std::string::npos) << problem;
}
