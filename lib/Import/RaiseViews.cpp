//===- RaiseViews.cpp - Views: where each element comes from --------------===//
//
// Operators that move elements are run by the evaluator on indices and factors instead of on data.
// Views become canonical nodes again where an operator needs a tensor: as they are, scaled, or as a
// selection of features.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <set>

using namespace llmc::onnx;

/// Operators whose output elements are input elements, moved.
bool llmc::onnx::movesElements(const std::string &op) {
  static const std::set<std::string> ops = {"Reshape",  "Transpose", "Squeeze",  "Unsqueeze",
                                            "Expand",   "Slice",     "Split",    "Flatten",
                                            "Identity", "Tile",      "Cast",     "Dropout",
                                            "Gather",   "CastLike",  "GatherND", "GatherElements"};
  return ops.count(op) != 0;
}

int64_t Raiser::nodeSize(int node) const {
  if (node >= pastBase)
    return elementCount(pastShapes[node - pastBase]);
  return sizes.batch * sizes.length * graph.nodes[node].width;
}

View Raiser::viewOf(int node, Shape shape) const {
  View view;
  view.shape = std::move(shape);
  Term term;
  term.index = OnnxTensor(ElementType::I64, view.shape);
  if (view.size() != nodeSize(node))
    notUnderstood("a tensor of shape " + shapeString(view.shape) + " for " +
                  std::to_string(nodeSize(node)) + " elements");
  int64_t *index = term.index.mutableInts();
  for (int64_t i = 0; i < view.size(); ++i)
    index[i] = makeIndex(node, i);
  view.terms.push_back(std::move(term));
  return view;
}

View Raiser::constantView(const OnnxTensor &constant) const {
  View view;
  view.shape = constant.shape();
  Term term;
  term.index = OnnxTensor(ElementType::I64, view.shape);
  term.factor = castTo(constant, ElementType::F64);
  view.terms.push_back(std::move(term));
  return view;
}

Value Raiser::dataValue(int node, const Shape &shape) const {
  Value value;
  value.kind = Value::Kind::Data;
  value.view = viewOf(node, shape);
  value.shape = shape;
  return value;
}

View Raiser::applyTo(const NodeProto &node, const Values &in, size_t operand, const View &view,
                     int output) {
  View result;
  std::vector<const OnnxTensor *> inputs;
  for (const Value *value : in)
    inputs.push_back(value ? &value->tensor : nullptr);
  for (const Term &term : view.terms) {
    Term moved;
    moved.uniform = term.uniform;
    inputs[operand] = &term.index;
    moved.index = evaluator.runNode(node, inputs)[output];
    if (term.factor) {
      inputs[operand] = &*term.factor;
      moved.factor = evaluator.runNode(node, inputs)[output];
    }
    result.shape = moved.index.shape();
    result.terms.push_back(std::move(moved));
  }
  return result;
}

View Raiser::concatViews(const NodeProto &node, const Values &in) {
  std::vector<View> parts;
  size_t terms = 0;
  for (const Value *value : in) {
    if (value->kind == Value::Kind::Known)
      parts.push_back(constantView(value->tensor));
    else
      parts.push_back(dataOf(*value));
    terms = std::max(terms, parts.back().terms.size());
  }
  int64_t axis = Attributes(node).requireInt("axis");
  for (size_t i = 0; i < in.size(); ++i)
    ReadRecord::inputRead(i);
  View result;
  for (size_t t = 0; t < terms; ++t) {
    std::vector<OnnxTensor> indices, factors;
    for (const View &part : parts) {
      OnnxTensor factor(ElementType::F64, part.shape);
      // A part with fewer terms contributes zero times the constant.
      bool present = t < part.terms.size();
      for (int64_t i = 0; present && i < part.size(); ++i)
        factor.mutableDoubles()[i] = part.terms[t].at(i);
      indices.push_back(present ? part.terms[t].index : OnnxTensor(ElementType::I64, part.shape));
      factors.push_back(std::move(factor));
    }
    std::vector<const OnnxTensor *> indexParts, factorParts;
    for (size_t p = 0; p < parts.size(); ++p) {
      indexParts.push_back(&indices[p]);
      factorParts.push_back(&factors[p]);
    }
    Term term;
    term.index = concat(indexParts, axis);
    term.factor = concat(factorParts, axis);
    result.shape = term.index.shape();
    result.terms.push_back(std::move(term));
  }
  return result;
}

/// Casts between float types are passed over; token ids keep their values as wide integers too.
void Raiser::requireFloatCast(const NodeProto &node, const Values &in) const {
  auto isIds = [&](const Value &value) {
    if (value.kind != Value::Kind::Data || value.view.terms.size() != 1 || value.view.size() == 0)
      return false;
    int source = sourceOf(value.view.terms[0].index.ints()[0]);
    return source >= 0 && source < pastBase && graph.nodes[source].kind == RaisedKind::Input;
  };
  ElementType type = ElementType::F32;
  if (node.op_type() == "CastLike") {
    const Value &like = *in[1];
    type = like.kind == Value::Kind::Known ? like.tensor.type()
           : isIds(like)                   ? ElementType::I64
                                           : ElementType::F32;
  } else if (!fromOnnxType(static_cast<int>(Attributes(node).requireInt("to")), type)) {
    notUnderstood("data is cast to an unsupported element type");
  }
  bool test = in[0]->kind == Value::Kind::NaNTest;
  bool wide = type == ElementType::I64 || type == ElementType::I32 || type == ElementType::U64 ||
              type == ElementType::U32;
  if (test ? type != ElementType::Bool : !isFloat(type) && !(wide && isIds(*in[0])))
    notUnderstood(std::string("data is cast to ") + elementTypeName(type) +
                  ", which changes its values");
}

/// A statistic keeps its rows: only dimensions of 1 come and go, or it is repeated along each row.
bool Raiser::moveRows(const NodeProto &node, const Values &in) {
  View rows;
  rows.shape = in[0]->shape;
  Term term;
  term.index = OnnxTensor(ElementType::I64, rows.shape);
  for (int64_t i = 0; i < rows.size(); ++i)
    term.index.mutableInts()[i] = i;
  rows.terms.push_back(std::move(term));
  View moved = applyTo(node, in, 0, rows, 0);
  int64_t repeats = rows.size() && moved.size() % rows.size() == 0 ? moved.size() / rows.size() : 0;
  for (int64_t i = 0; i < moved.size(); ++i)
    if (!repeats || moved.terms[0].index.ints()[i] != i / repeats)
      notUnderstood("statistics of rows are moved about");
  Value result = *in[0];
  result.shape = moved.shape;
  set(node, 0, std::move(result));
  return true;
}

bool Raiser::applyStructural(const NodeProto &node, const Values &in) {
  const std::string &op = node.op_type();
  if (!node.domain().empty() && node.domain() != "ai.onnx")
    return false;
  auto isData = [](const Value *v) {
    return v->kind == Value::Kind::Data || v->kind == Value::Kind::Pointwise;
  };
  if (op == "Concat") {
    for (const Value *value : in)
      if (!value || (!isData(value) && value->kind != Value::Kind::Known))
        return false;
    Value result;
    result.kind = Value::Kind::Data;
    result.view = concatViews(node, in);
    result.shape = result.view.shape;
    set(node, 0, std::move(result));
    return true;
  }
  if (!movesElements(op) || !in[0])
    return false;
  for (size_t i = 1; i < in.size(); ++i)
    if (in.peek(i) && in.peek(i)->kind != Value::Kind::Known && op != "CastLike")
      return false;
  const Value &data = *in[0];
  bool keepsElements = op == "Cast" || op == "Identity" || op == "Dropout" || op == "CastLike";
  if (keepsElements) {
    if (op == "Cast" || op == "CastLike")
      requireFloatCast(node, in);
    if (op == "Cast" && data.kind == Value::Kind::CodeRows) {
      Value result = data;
      result.part = Value::Part::Scale; // What is left to come.
      set(node, 0, std::move(result));
      return true;
    }
    if (op == "Dropout") {
      ReadRecord::inputRead(1); // The ratio matters in training only.
      if (in.size() > 2 && in[2] && (in[2]->tensor.size() != 1 || in[2]->tensor.at(0) != 0))
        notUnderstood("training mode is not supported");
    }
    set(node, 0, data);
    return true;
  }
  if (data.kind == Value::Kind::RowStat)
    return moveRows(node, in);
  if (!isData(&data))
    return false;
  for (int output = 0; output < node.output_size(); ++output) {
    Value result = data;
    result.view = applyTo(node, in, 0, data.view, output);
    result.shape = result.view.shape;
    set(node, output, std::move(result));
  }
  return true;
}

/// `view` times (or divided by) a known tensor, under broadcasting to `shape`.
View Raiser::scaled(const View &view, const OnnxTensor &factor, const Shape &shape,
                    bool reciprocal) const {
  View result;
  result.shape = shape;
  bool same = true;
  for (int64_t i = 1; i < factor.size(); ++i)
    same &= factor.at(i) == factor.at(0);
  BroadcastIndex fromView(view.shape, shape), fromFactor(factor.shape(), shape);
  for (const Term &term : view.terms) {
    Term out;
    out.uniform = term.uniform;
    if (view.shape == shape) {
      out.index = term.index;
      out.factor = term.factor;
    } else {
      out.index = OnnxTensor(ElementType::I64, shape);
      for (int64_t i = 0; i < out.index.size(); ++i)
        out.index.mutableInts()[i] = term.index.ints()[fromView[i]];
    }
    if (same && factor.size() > 0 && (view.shape == shape || !term.factor)) {
      out.uniform *= reciprocal ? 1 / factor.at(0) : factor.at(0);
    } else {
      OnnxTensor product(ElementType::F64, shape);
      for (int64_t i = 0; i < product.size(); ++i) {
        double f = factor.at(fromFactor[i]);
        product.mutableDoubles()[i] = term.at(fromView[i]) * (reciprocal ? 1 / f : f);
      }
      out.factor = product;
      out.uniform = 1;
    }
    result.terms.push_back(std::move(out));
  }
  return result;
}

bool Raiser::isUniform(const View &view) const {
  if (view.terms.size() != 1)
    return false;
  const Term &term = view.terms[0];
  for (int64_t i = 1; term.factor && i < view.size(); ++i)
    if (term.factor->doubles()[i] != term.factor->doubles()[0])
      return false;
  return true;
}

bool Raiser::isIdentity(const View &view, int &node, double &factor) const {
  if (!isUniform(view) || view.size() == 0)
    return false;
  const int64_t *index = view.terms[0].index.ints();
  node = sourceOf(index[0]);
  if (node < 0 || view.size() != nodeSize(node))
    return false;
  for (int64_t i = 0; i < view.size(); ++i)
    if (index[i] != makeIndex(node, i))
      return false;
  factor = view.terms[0].at(0);
  return true;
}

bool Raiser::sameElements(const View &a, const View &b) const {
  if (a.shape != b.shape || a.terms.size() != 1 || b.terms.size() != 1)
    return false;
  return std::equal(a.terms[0].index.ints(), a.terms[0].index.ints() + a.size(),
                    b.terms[0].index.ints());
}

int Raiser::addNode(RaisedNode node) {
  node.output.clear();
  if (current) {
    node.location = current->name().empty() ? current->output(0) : current->name();
    node.scope = scopeOf(*current);
  }
  graph.nodes.push_back(std::move(node));
  return static_cast<int>(graph.nodes.size()) - 1;
}

bool Raiser::isIdentityOf(const View &view, int node) const {
  int source;
  double factor;
  return isIdentity(view, source, factor) && source == node && factor == 1;
}

/// A node whose elements, in row-major order, are those of the view.
int Raiser::materialize(const View &view) {
  if (isUniform(view) && view.terms[0].at(0) != 1) {
    View plain = view;
    plain.terms[0].factor.reset();
    plain.terms[0].uniform = 1;
    return scaleNode(materialize(plain), view.terms[0].at(0));
  }
  if (!isUniform(view) && view.terms.size() == 1) {
    // A factor for each feature.
    OnnxTensor factors(ElementType::F64, view.shape);
    for (int64_t i = 0; i < view.size(); ++i)
      factors.mutableDoubles()[i] = view.terms[0].at(i);
    View plain = view;
    plain.terms[0].factor.reset();
    plain.terms[0].uniform = 1;
    int source = materialize(plain);
    std::optional<OnnxTensor> vector = perFeature(viewOf(source, view.shape), factors, source);
    if (!vector)
      notUnderstood("it is multiplied by a constant that differs between positions");
    Value known;
    known.tensor = *vector;
    RaisedNode product = makeNode(RaisedKind::MultiplyVector, {source}, graph.nodes[source].width);
    product.weight = vectorWeight(known);
    return addNode(std::move(product));
  }
  int node;
  double factor;
  if (isIdentity(view, node, factor) && node < pastBase)
    return node;
  int64_t rows = sizes.batch * sizes.length;
  if (view.terms.size() != 1 || view.size() == 0 || view.size() % rows != 0)
    notUnderstood("its input is no plain tensor, but a mixture of elements");
  const int64_t *index = view.terms[0].index.ints();
  int64_t width = view.size() / rows;
  node = sourceOf(index[0]);
  if (node < 0 || node >= pastBase)
    notUnderstood("its input is a constant or a cache");
  int64_t stride = graph.nodes[node].width;
  std::vector<int64_t> selection(width);
  std::string key = "select " + std::to_string(node);
  for (int64_t f = 0; f < width; ++f) {
    selection[f] = elementOf(index[f]);
    key += " " + std::to_string(selection[f]);
    if (selection[f] >= stride)
      notUnderstood("its input mixes positions");
  }
  for (int64_t i = 0; i < view.size(); ++i)
    if (index[i] != makeIndex(node, i / width * stride + selection[i % width]))
      notUnderstood("its input mixes positions or features");
  auto known = nodeKeys.find(key);
  if (known != nodeKeys.end())
    return known->second;
  RaisedNode select = makeNode(RaisedKind::Select, {node}, width);
  select.selection = std::move(selection);
  return nodeKeys[key] = addNode(std::move(select));
}

/// The node times a number.
int Raiser::scaleNode(int node, double factor) {
  char digits[32];
  std::snprintf(digits, sizeof(digits), "%.17g", factor);
  std::string key = "scale " + std::to_string(node) + " " + digits;
  auto known = nodeKeys.find(key);
  if (known != nodeKeys.end())
    return known->second;
  RaisedNode scale = makeNode(RaisedKind::Scale, {node}, graph.nodes[node].width);
  scale.number = factor;
  return nodeKeys[key] = addNode(std::move(scale));
}
