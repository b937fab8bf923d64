//===- EmitModule.cpp - From the raised graph to the llmc dialect ---------===//
//
// One function, role step (with cache) or run. Fused projections become one linear and a split;
// where a file interleaves their rows, the rows are put in order. Equal embedding and head become
// one weight.
//
//===----------------------------------------------------------------------===//

#include "EmitModule.h"
#include "EmitWeights.h"
#include "llmc/Import/ImportError.h"

#include <algorithm>
#include <numeric>
#include <optional>

using namespace llmc;
using namespace llmc::onnx;
using mlir::Value;

namespace {
class Emitter {
public:
  Emitter(MLIRContext *context, RaisedGraph &graph, const OnnxModel &model,
          std::vector<Value> &values)
      : builder(context), graph(graph), model(model), values(values) {}
  OwningOpRef<ModuleOp> run();

private:
  void planSelections();
  void tieHead();
  void makeFunction(ModuleOp module);
  void emitNode(int number);
  Value weight(int number);
  Value attention(const RaisedNode &node);
  Value rope(Location loc, Value input, const RaisedRope &rope, int64_t heads);
  int64_t uses(int weight) const;
  Location locationOf(const RaisedNode &node) {
    return NameLoc::get(builder.getStringAttr(node.location.empty() ? "input" : node.location));
  }
  RankedTensorType tensorType(int64_t width) {
    return RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic, width},
                                 builder.getF32Type());
  }
  NamedAttribute named(StringRef name, Attribute value) {
    return builder.getNamedAttr(name, value);
  }

  OpBuilder builder;
  RaisedGraph &graph;
  const OnnxModel &model;
  std::vector<Value> &values;
  std::vector<EmittedWeight> emitted;
  std::vector<Value> weights;
  Value mask;
  int64_t caches = 0;
  Block *body = nullptr;
  /// For each node with selections: the pieces of its result, in order.
  std::vector<std::vector<int>> pieces;
};
} // namespace

int64_t Emitter::uses(int weight) const {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(), [&](const RaisedNode &node) {
    return node.weight == weight || node.bias == weight;
  });
}

/// Makes the selections of a node consecutive pieces of it, reordering the rows of its weight where
/// needed.
void Emitter::planSelections() {
  pieces.resize(graph.nodes.size());
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    if (graph.nodes[i].kind == RaisedKind::Select)
      pieces[graph.nodes[i].inputs[0]].push_back(static_cast<int>(i));
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    if (pieces[i].empty())
      continue;
    RaisedNode &source = graph.nodes[i];
    std::string where = "node '" + source.location + "'";
    std::sort(pieces[i].begin(), pieces[i].end(),
              [&](int a, int b) { return graph.nodes[a].selection < graph.nodes[b].selection; });
    std::vector<int64_t> order;
    for (int piece : pieces[i])
      order.insert(order.end(), graph.nodes[piece].selection.begin(),
                   graph.nodes[piece].selection.end());
    std::vector<int64_t> sorted = order;
    std::sort(sorted.begin(), sorted.end());
    bool whole = static_cast<int64_t>(order.size()) == source.width;
    for (size_t k = 0; k < sorted.size() && whole; ++k)
      whole = sorted[k] == static_cast<int64_t>(k);
    if (!whole)
      fail(where, ": its features are used in overlapping or incomplete parts");
    if (order == sorted)
      continue;
    bool onlySplit =
        std::all_of(graph.nodes.begin(), graph.nodes.end(), [&](const RaisedNode &user) {
          return user.kind == RaisedKind::Select ||
                 std::count(user.inputs.begin(), user.inputs.end(), static_cast<int>(i)) == 0;
        });
    if (source.kind != RaisedKind::Linear || !onlySplit || uses(source.weight) != 1 ||
        (source.bias >= 0 && uses(source.bias) != 1))
      fail(where, ": its features are used interleaved, and it is no linear of its own");
    emitted[source.weight].order = order;
    if (source.bias >= 0)
      emitted[source.bias].order = order;
    // The node's own result is reordered, so it cannot be compared with the original element by
    // element.
    source.output.clear();
  }
}

/// Exporters that fold transpositions write a tied head as a second, transposed matrix; it is the
/// same weight.
void Emitter::tieHead() {
  for (RaisedNode &node : graph.nodes) {
    if (node.kind != RaisedKind::Embedding || graph.weights[node.weight].bits)
      continue;
    const RaisedWeight &table = graph.weights[node.weight];
    for (RaisedNode &linear : graph.nodes) {
      if (linear.kind != RaisedKind::Linear || linear.weight == node.weight)
        continue;
      const RaisedWeight &matrix = graph.weights[linear.weight];
      if (matrix.bits || matrix.rows != table.rows || matrix.columns != table.columns ||
          !emitted[linear.weight].order.empty())
        continue;
      bool same = true;
      for (int64_t r = 0; r < table.rows && same; ++r)
        for (int64_t c = 0; c < table.columns && same; ++c)
          same = table.values.at(r * table.columns + c) ==
                 matrix.values.at(matrix.transposed ? c * matrix.rows + r : r * matrix.columns + c);
      if (same)
        linear.weight = node.weight;
    }
  }
}

Value Emitter::weight(int number) {
  if (!weights[number]) {
    OpBuilder::InsertionGuard guard(builder);
    if (body->empty() || !isa<WeightOp>(body->front()))
      builder.setInsertionPointToStart(body);
    else
      builder.setInsertionPointAfter(&*std::prev(std::find_if(
          body->begin(), body->end(), [](Operation &op) { return !isa<WeightOp>(op); })));
    const RaisedWeight &raised = graph.weights[number];
    Location loc = NameLoc::get(builder.getStringAttr(raised.key.text()));
    weights[number] = emitWeight(builder, loc, emitted[number]);
  }
  return weights[number];
}

Value Emitter::rope(Location loc, Value input, const RaisedRope &rope, int64_t heads) {
  if (!rope.present)
    return input;
  auto layout = rope.interleaved ? RopeLayout::Interleaved : RopeLayout::Half;
  // The factor is 1 up to rounding for all but scaled rotations.
  double factor = std::abs(rope.factor - 1) < 1e-6 ? 1 : rope.factor;
  bool hasLong = rope.originalContext > 0;
  return RopeOp::create(
      builder, loc, input.getType(), input, builder.getI64IntegerAttr(heads),
      builder.getDenseF64ArrayAttr(rope.frequencies),
      RopeLayoutAttr::get(builder.getContext(), layout), builder.getF64FloatAttr(factor),
      hasLong ? builder.getDenseF64ArrayAttr(rope.longFrequencies) : DenseF64ArrayAttr(),
      builder.getI64IntegerAttr(rope.originalContext));
}

Value Emitter::attention(const RaisedNode &node) {
  Location loc = locationOf(node);
  Value query = rope(loc, values[node.inputs[0]], node.queryRope, node.heads);
  Value key = rope(loc, values[node.inputs[1]], node.keyRope, node.kvHeads),
        value = values[node.inputs[2]];
  FlatSymbolRefAttr cache;
  if (graph.hasCache) {
    std::string name = "kv." + std::to_string(caches++);
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPoint(body->getParentOp());
    auto type = RankedTensorType::get(
        {node.kvHeads, graph.nodes[node.inputs[2]].width / node.kvHeads}, builder.getF32Type());
    CacheOp::create(builder, locationOf(node), builder.getStringAttr(name), TypeAttr::get(type));
    cache = FlatSymbolRefAttr::get(builder.getContext(), name);
  }
  return AttentionOp::create(
      builder, locationOf(node), query.getType(), query, key, value,
      node.usesPadding ? mask : Value(), cache, builder.getI64IntegerAttr(node.heads),
      builder.getI64IntegerAttr(node.kvHeads), builder.getF64FloatAttr(node.scale),
      node.causal ? builder.getUnitAttr() : UnitAttr(), builder.getI64IntegerAttr(node.window),
      builder.getF64FloatAttr(node.softcap));
}

void Emitter::emitNode(int number) {
  const RaisedNode &node = graph.nodes[number];
  Location loc = locationOf(node);
  Type type = tensorType(node.width);
  auto in = [&](size_t i) { return values[node.inputs[i]]; };
  auto kind = [&] {
    return ActivationKindAttr::get(builder.getContext(), *symbolizeActivationKind(node.text));
  };
  Value &result = values[number];
  switch (node.kind) {
  case RaisedKind::Input:
  case RaisedKind::Select:
    return; // Bound to arguments, or made with the node they select from.
  case RaisedKind::Embedding:
    result = EmbeddingOp::create(builder, loc, type, weight(node.weight), in(0));
    break;
  case RaisedKind::PositionEmbedding: {
    Value positions = PositionsOp::create(builder, loc, in(0).getType(), in(0),
                                          builder.getI64IntegerAttr(node.integer));
    result = EmbeddingOp::create(builder, loc, type, weight(node.weight), positions);
    break;
  }
  case RaisedKind::Linear: {
    Value matrix = weight(node.weight), bias = node.bias >= 0 ? weight(node.bias) : Value();
    auto linear =
        LinearOp::create(builder, loc, type, in(0), matrix, bias, /*activations=*/nullptr);
    if (node.integer)
      linear.getInputMutable().assign(quantizeOnce(
          in(0), DynamicQuantAttr::get(builder.getContext(), builder.getI8Type(), node.integer),
          /*scale=*/{}, linear));
    result = linear;
    break;
  }
  case RaisedKind::RMSNorm:
  case RaisedKind::LayerNorm: {
    Value scale = weight(node.weight), bias = node.bias >= 0 ? weight(node.bias) : Value();
    if (node.kind == RaisedKind::RMSNorm)
      result =
          RMSNormOp::create(builder, loc, type, in(0), scale, builder.getF64FloatAttr(node.number),
                            builder.getI64IntegerAttr(node.integer));
    else
      result = LayerNormOp::create(builder, loc, type, in(0), scale, bias,
                                   builder.getF64FloatAttr(node.number));
    break;
  }
  case RaisedKind::Attention:
    result = attention(node);
    break;
  case RaisedKind::Activation:
    result = ActivationOp::create(builder, loc, type, in(0), kind());
    break;
  case RaisedKind::Gated:
    result = GatedActivationOp::create(builder, loc, type, in(0), in(1), kind());
    break;
  case RaisedKind::Add:
    result = arith::AddFOp::create(builder, loc, in(0), in(1));
    break;
  case RaisedKind::Multiply:
    result = arith::MulFOp::create(builder, loc, in(0), in(1));
    break;
  case RaisedKind::Scale:
    result = ScaleOp::create(builder, loc, type, in(0), builder.getF64FloatAttr(node.number));
    break;
  case RaisedKind::AddVector:
  case RaisedKind::MultiplyVector:
    result = in(0); // The vector went into a weight.
    break;
  }
  if (pieces[number].empty())
    return;
  SmallVector<Type> types;
  for (int piece : pieces[number])
    types.push_back(tensorType(graph.nodes[piece].width));
  auto split = SplitOp::create(builder, loc, types, result);
  for (auto [piece, value] : llvm::zip(pieces[number], split.getResults()))
    values[piece] = value;
}

void Emitter::makeFunction(ModuleOp module) {
  SmallVector<Type> argumentTypes, resultTypes;
  SmallVector<DictionaryAttr> argumentAttrs, resultAttrs;
  auto ids =
      RankedTensorType::get({ShapedType::kDynamic, ShapedType::kDynamic}, builder.getI64Type());
  auto describe = [&](StringRef name, ArrayRef<StringRef> dims) {
    return builder.getDictionaryAttr({named("llmc.dims", builder.getStrArrayAttr(dims)),
                                      named("llmc.name", builder.getStringAttr(name))});
  };
  std::vector<int> inputNodes;
  bool needsMask = false;
  for (const RaisedNode &node : graph.nodes)
    needsMask |= node.usesPadding;
  for (const DeclaredValue &input : model.inputs()) {
    bool isMask = needsMask && input.name == graph.maskInput;
    int number = -1;
    for (size_t i = 0; i < graph.nodes.size(); ++i)
      if (graph.nodes[i].kind == RaisedKind::Input && graph.nodes[i].text == input.name)
        number = static_cast<int>(i);
    if (!isMask && number < 0)
      continue; // Positions and caches are state; a mask of ones says nothing.
    inputNodes.push_back(isMask ? -1 : number);
    argumentTypes.push_back(ids);
    argumentAttrs.push_back(describe(input.name, {"batch", "sequence"}));
  }
  for (const RaisedOutput &output : graph.outputs) {
    int64_t width = graph.nodes[output.node].width;
    resultTypes.push_back(tensorType(width));
    std::string features = std::to_string(width);
    resultAttrs.push_back(describe(output.name, {"batch", "sequence", features}));
  }
  auto function = func::FuncOp::create(builder, module.getLoc(), "main",
                                       builder.getFunctionType(argumentTypes, resultTypes));
  function->setAttr("llmc.role", builder.getStringAttr(graph.hasCache ? "step" : "run"));
  function.setAllArgAttrs(argumentAttrs);
  function.setAllResultAttrs(resultAttrs);
  body = function.addEntryBlock();
  builder.setInsertionPointToStart(body);
  for (size_t i = 0; i < inputNodes.size(); ++i)
    (inputNodes[i] < 0 ? mask : values[inputNodes[i]]) = body->getArgument(i);
}

OwningOpRef<ModuleOp> Emitter::run() {
  values.assign(graph.nodes.size(), Value());
  weights.resize(graph.weights.size());
  for (const RaisedWeight &raised : graph.weights) {
    EmittedWeight plain;
    plain.weight = &raised;
    emitted.push_back(plain);
  }
  planSelections();
  tieHead();
  StringRef file = StringRef(model.path());
  OwningOpRef<ModuleOp> module = ModuleOp::create(NameLoc::get(
      builder.getStringAttr(file.rsplit('/').second.empty() ? file : file.rsplit('/').second)));
  if (graph.context > 0)
    (*module)->setAttr("llmc.context", builder.getI64IntegerAttr(graph.context));
  if (graph.context > 0 && !graph.contextReason.empty())
    (*module)->setAttr("llmc.context_reason", builder.getStringAttr(graph.contextReason));
  builder.setInsertionPointToStart(module->getBody());
  makeFunction(*module);
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    emitNode(static_cast<int>(i));
  SmallVector<Value> results;
  for (const RaisedOutput &output : graph.outputs)
    results.push_back(values[output.node]);
  func::ReturnOp::create(builder, module->getLoc(), results);
  return module;
}

OwningOpRef<ModuleOp> llmc::emitModule(MLIRContext *context, RaisedGraph &graph,
                                       const OnnxModel &model, std::vector<Value> &values) {
  context->loadDialect<LLMCDialect, arith::ArithDialect, func::FuncDialect>();
  return Emitter(context, graph, model, values).run();
}
