//===- RaiseInputs.cpp - Graph inputs, and what follows from them ------===//
//
// Binds inputs to what they were taken for, evaluates values that follow from constants, shapes,
// positions and masks, and stands in for them what a far look sees.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <algorithm>
#include <cmath>
#include <set>

using namespace llmc::onnx;

static constexpr const char *kDequantized = "dequantized";

bool Raiser::isPast(const DeclaredValue &input) {
  return isFloat(input.type) && input.dims.size() == 4;
}

bool Raiser::hasPast(const OnnxModel &model) {
  return std::any_of(model.inputs().begin(), model.inputs().end(), isPast);
}

/// [batch, heads, past, size]; a size that is left open is only read by operators that know it
/// themselves.
Shape Raiser::pastShape(const DeclaredValue &input, const Sizes &sizes) {
  Shape shape = {sizes.batch, std::max<int64_t>(input.dims[1].value, 1), sizes.past,
                 std::max<int64_t>(input.dims[3].value, 1)};
  return shape;
}

ValueMap Raiser::knownInputs(const OnnxModel &model, const Sizes &sizes) {
  ValueMap known;
  for (const DeclaredValue &input : model.inputs()) {
    if (input.role == InputRole::Positions) {
      Shape shape = input.dims.size() == 2 ? Shape{sizes.batch, sizes.length} : Shape{sizes.length};
      OnnxTensor positions(input.type, input.dims.empty() ? Shape{} : shape);
      for (int64_t i = 0; i < positions.size(); ++i)
        positions.mutableInts()[i] = sizes.past + i % sizes.length;
      known.emplace(input.name, positions);
    } else if (input.role == InputRole::Mask || input.role == InputRole::AdditiveMask) {
      OnnxTensor mask(input.type, {sizes.batch, sizes.total()});
      for (int64_t i = 0; i < mask.size(); ++i) {
        bool visible = i < mask.size() - sizes.padding;
        mask.set(i, input.role == InputRole::Mask ? visible : visible ? 0.0 : -60000.0);
      }
      known.emplace(input.name, mask);
    }
  }
  return known;
}

void Raiser::lazyInputs(const OnnxModel &model, const Sizes &sizes,
                        std::map<std::string, LazyTensor> &known,
                        std::map<std::string, std::pair<ElementType, Shape>> &shapes) {
  // What an input is at sizes that no other dimension has says what it is at all sizes.
  Sizes near = {sizes.batch, hasPast(model) ? 1013 : 0, 11, 0};
  ValueMap nearInputs = knownInputs(model, near);
  auto farDim = [&](int64_t dim) {
    return dim == near.length                  ? sizes.length
           : dim == near.total()               ? sizes.total()
           : dim == near.past && near.past > 0 ? sizes.past
                                               : dim;
  };
  for (const DeclaredValue &input : model.inputs()) {
    auto found = nearInputs.find(input.name);
    if (found == nearInputs.end()) {
      Shape shape;
      for (const DeclaredDim &dim : input.dims)
        shape.push_back(std::max<int64_t>(dim.value, 1));
      if (isPast(input))
        shape = pastShape(input, sizes);
      else if (input.dims.size() == 2)
        shape = {sizes.batch, sizes.length};
      shapes[input.name] = {input.type, shape};
      continue;
    }
    const OnnxTensor &values = found->second;
    Shape shape = values.shape();
    for (int64_t &dim : shape)
      dim = farDim(dim);
    bool same = true, positions = true;
    for (int64_t i = 0; i < values.size(); ++i) {
      same &= values.at(i) == values.at(0);
      positions &= values.at(i) == static_cast<double>(near.past + i % near.length);
    }
    if (!same && !positions)
      fail("graph input '", input.name, "' is neither the same everywhere nor positions");
    int64_t past = sizes.past, length = sizes.length;
    double constant = values.size() ? values.at(0) : 0;
    known.emplace(input.name, lazyRange(values.type(), shape, [=](int64_t i) {
                    return positions ? static_cast<double>(past + i % length) : constant;
                  }));
  }
}

/// What each input was taken for.
static std::string describeRoles(const OnnxModel &model) {
  static const char *roles[] = {"token ids", "a mask",  "a mask that is added",
                                "positions", "a cache", "unknown"};
  std::string text;
  for (const DeclaredValue &input : model.inputs())
    text += (text.empty() ? "; '" : ", '") + input.name + "' is taken for " +
            roles[static_cast<int>(input.role)];
  return text;
}

void Raiser::bindInputs() {
  for (const std::string &name : model.initializerNames()) {
    if (pool.values.count(name))
      continue;
    Value value;
    value.kind = Value::Kind::Known;
    value.tensor = model.initializer(name);
    value.shape = value.tensor.shape();
    value.type = value.tensor.type();
    value.grain = grainOf(value.type);
    value.constant = true;
    value.origin = value.name = name;
    pool.values.emplace(name, std::move(value));
  }
  ValueMap known = knownInputs(model, sizes);
  for (const DeclaredValue &input : model.inputs()) {
    Value value;
    auto found = known.find(input.name);
    if (found != known.end()) {
      value.kind = Value::Kind::Known;
      value.tensor = found->second;
      value.shape = value.tensor.shape();
      if (input.role != InputRole::Positions)
        graph.maskInput = input.name;
    } else if (isPast(input)) {
      pastNames.push_back(input.name);
      pastShapes.push_back(pastShape(input, sizes));
      int node = pastBase + static_cast<int>(pastNames.size()) - 1;
      value = dataValue(node, pastShapes.back());
      value.type = input.type;
      value.grain = value.view.grain = grainOf(input.type);
    } else if (input.role == InputRole::Ids) {
      RaisedNode node = makeNode(RaisedKind::Input, {}, 1);
      node.location = node.output = input.name;
      node.text = input.name;
      graph.nodes.push_back(std::move(node));
      if (graph.idsInput.empty()) {
        graph.idsInput = input.name;
        fixedLength = std::max<int64_t>(input.dims[1].value, 0);
      }
      value = dataValue(static_cast<int>(graph.nodes.size()) - 1, {sizes.batch, sizes.length});
    } else {
      fail(model.path(), ": graph input '", input.name, "' of type ", elementTypeName(input.type),
           " with ", input.dims.size(),
           " dimensions is neither token ids, a mask, positions nor a cache, by its name or by "
           "what ",
           "reads it");
    }
    values[input.name] = std::move(value);
  }
  if (graph.idsInput.empty())
    fail(model.path(), ": no graph input holds token ids (integers of two dimensions)",
         describeRoles(model));
}

/// Rows [1, .., rows, width] of a constant, sliced: which rows, the same slice of their numbers
/// says.
void Raiser::sliceRows(const NodeProto &node, std::vector<const OnnxTensor *> inputs,
                       const Value &table, Value &result) const {
  Shape shape = table.tensor.shape();
  if (shape.size() < 2 || shape.back() < 1 || !isFloat(table.tensor.type()))
    return;
  int64_t width = shape.back(), count = shape[shape.size() - 2];
  if (table.tensor.size() != count * width)
    return;
  shape.back() = 1;
  OnnxTensor numbers(ElementType::I64, shape);
  for (int64_t i = 0; i < count; ++i)
    numbers.mutableInts()[i] = i;
  inputs[0] = &numbers;
  OnnxTensor rows = evaluator.runNode(node, inputs)[0];
  if (rows.size() == 0 || rows.shape().back() != 1)
    return;
  result.table = table.origin;
  result.rows = rows.reshaped({rows.size()});
  result.tableValues = table.tensor.reshaped({count, width});
}

/// The rows of a table that these values are, where no value says their numbers.
static OnnxTensor findRows(const OnnxTensor &values, const OnnxTensor &table, int64_t count) {
  int64_t width = table.shape()[1];
  OnnxTensor rows(ElementType::I64, {count});
  for (int64_t r = 0; r < count && values.size() == count * width; ++r) {
    int64_t &row = rows.mutableInts()[r];
    auto differs = [&] {
      for (int64_t f = 0; f < width; ++f)
        if (values.at(r * width + f) != table.at(row * width + f))
          return true;
      return false;
    };
    for (row = 0; row < table.shape()[0] && differs();)
      ++row;
  }
  return rows;
}

bool Raiser::evaluateKnown(const NodeProto &node, const Values &in) {
  const std::string &op = node.op_type();
  bool standard = node.domain().empty() || node.domain() == "ai.onnx";
  Value result;
  result.kind = Value::Kind::Known;
  if (standard && (op == "Shape" || op == "Size") && in[0]->kind != Value::Kind::Known) {
    OnnxTensor probe = OnnxTensor::borrow(nullptr, in[0]->shape, ElementType::F32, nullptr);
    result.tensor = evaluator.runNode(node, {&probe})[0];
    set(node, 0, std::move(result));
    return true;
  }
  std::vector<const OnnxTensor *> inputs;
  result.constant = true;
  for (const Value *value : in) {
    if (value && value->kind != Value::Kind::Known)
      return false;
    inputs.push_back(value ? &value->tensor : nullptr);
    result.constant &= !value || value->constant;
    if (!value)
      continue;
    result.grain = std::max(result.grain, value->grain);
    result.angleGrain = std::max(result.angleGrain, value->angleGrain);
    result.positionGrain = std::max(result.positionGrain, value->positionGrain);
  }
  if (result.constant && pool.values.count(node.output(0)))
    return true;
  auto lookup = [&](const std::string &name) -> const OnnxTensor * {
    const Value *value = find(name);
    return value && value->kind == Value::Kind::Known ? &value->tensor : nullptr;
  };
  std::vector<OnnxTensor> outputs = evaluator.runNode(node, inputs, lookup);

  static const std::set<std::string> keepsOrigin = {"Identity", "Cast", "Reshape", "Unsqueeze",
                                                    "Squeeze"};
  if (standard && in.size() && in[0]) {
    const Value &first = *in[0];
    bool sameKind = isFloat(first.tensor.type()) == isFloat(outputs[0].type());
    if (sameKind && (keepsOrigin.count(op) || (op == "Transpose" && first.tensor.rank() == 2))) {
      result.origin = first.origin;
      result.transposed = first.transposed != (op == "Transpose");
    }
    bool keepsRows = keepsOrigin.count(op) || op == "Expand";
    if (keepsRows && !first.table.empty() &&
        outputs[0].shape().back() == first.tableValues.shape()[1] &&
        outputs[0].size() == first.tensor.size()) {
      result.table = first.table;
      result.rows = first.rows;
      result.rowsName = first.rowsName;
      result.tableValues = first.tableValues;
    }
    if (op == "Gather" && first.constant && first.tensor.rank() == 2 && !in[1]->constant &&
        Attributes(node).getInt("axis", 0) == 0) {
      result.table = first.origin.empty() ? first.name : first.origin;
      result.rows = in[1]->tensor;
      result.rowsName = node.input(1);
      result.tableValues = first.tensor;
    }
    if (op == "Slice" && first.constant && !first.origin.empty() && !result.constant)
      sliceRows(node, inputs, first, result);
  }
  // Rows of a table of codes, and what makes numbers of them: the same is done to the whole table.
  static const std::set<std::string> byElement = {"DequantizeLinear", "Cast", "Mul"};
  bool single = standard && byElement.count(op) && !result.constant && in[0] &&
                !in[0]->table.empty() &&
                (!isFloat(in[0]->tableValues.type()) || in[0]->derived == kDequantized);
  for (size_t i = 1; i < in.size() && single; ++i)
    single = !in[i] || (in[i]->constant && in[i]->tensor.size() == 1);
  if (single && outputs[0].shape() == in[0]->tensor.shape()) {
    std::vector<const OnnxTensor *> whole = inputs;
    whole[0] = &in[0]->tableValues;
    result.table = in[0]->table;
    result.rows = in[0]->rows;
    result.rowsName = in[0]->rowsName;
    result.tableValues = evaluator.runNode(node, whole)[0];
    result.derived = kDequantized;
  }
  if (node.domain() == "com.microsoft" && op == "GatherBlockQuantized" && !in[0]->origin.empty() &&
      in[0]->constant && !in[1]->constant && in[0]->tensor.rank() == 2) {
    // All rows of the table, as floats.
    OnnxTensor all(ElementType::I64, {in[0]->tensor.shape()[0]});
    for (int64_t r = 0; r < all.size(); ++r)
      all.mutableInts()[r] = r;
    std::vector<const OnnxTensor *> rows = inputs;
    rows[1] = &all;
    result.table = in[0]->origin;
    result.rows = in[1]->tensor;
    result.rowsName = node.input(1);
    result.tableValues = evaluator.runNode(node, rows)[0];
  }
  for (int i = 0; i < node.output_size() && i < static_cast<int>(outputs.size()); ++i) {
    Value value = result;
    value.tensor = outputs[i];
    value.shape = value.tensor.shape();
    value.type = value.tensor.type();
    value.grain = std::max(value.grain, grainOf(value.type));
    value.name = node.output(i);
    if (op == "Cos" || op == "Sin")
      value.angleGrain = value.positionGrain;
    if (!result.constant)
      value.positionGrain = std::max(value.positionGrain, grainOf(value.type));
    if (result.constant)
      pool.values[node.output(i)] = std::move(value);
    else
      set(node, i, std::move(value));
  }
  return true;
}

void Raiser::limitContext(int64_t positions, const std::string &reason) {
  if (graph.context > 0 && graph.context <= positions)
    return;
  graph.context = positions;
  graph.contextReason = describeNode(*current) + ": " + reason;
}

/// Known values that meet data become those of the far look, but for what moves data about (it
/// follows a law that is checked apart) and masks (which are scanned apart).
void Raiser::lookFar(const NodeProto &node, Values &in) {
  using Kind = Value::Kind;
  auto anyOf = [&](Kind kind) {
    return std::any_of(in.begin(), in.end(),
                       [&](const Value *value) { return value && value->kind == kind; });
  };
  bool scores = anyOf(Kind::Scores), attention = node.op_type() == "Attention";
  bool moves = movesElements(node.op_type()) && node.op_type() != "CastLike";
  for (size_t i = 0; i < in.size(); ++i) {
    if (!in.peek(i) || in.peek(i)->kind != Kind::Known || in.peek(i)->constant ||
        (moves && i > 0) || (scores && in.peek(i)->tensor.size() != 1) || (attention && i == 3))
      continue;
    Value value = *in.peek(i);
    value.tensor = far->sample(node.input(static_cast<int>(i)), value.tensor);
    if (!value.table.empty())
      value.rows = value.rowsName.empty()
                       ? findRows(value.tensor, value.tableValues, value.rows.size())
                       : far->sample(value.rowsName, value.rows);
    farValues.push_back(std::move(value));
    in.replace(i, &farValues.back());
  }
}

void Raiser::noteShapes(const NodeProto &node, const Values &in) {
  for (size_t i = 1; i < in.size() && node.op_type() != "Concat"; ++i)
    if (in.peek(i) && in.peek(i)->kind == Value::Kind::Known && !in.peek(i)->constant &&
        in.peek(i)->tensor.isInteger())
      shapeValues[node.input(static_cast<int>(i))] = in.peek(i)->tensor.toInts();
}

SizeLaws::Point Raiser::point() const {
  SizeLaws::Point result;
  result.sizes = sizes;
  result.shapeValues = shapeValues;
  for (const auto &entry : values)
    if (entry.second.kind != Value::Kind::Known && entry.second.kind != Value::Kind::Unknown)
      result.dataShapes[entry.first] = entry.second.shape;
  return result;
}
