//===- RaiseFused.cpp - Fused attention and rotation operators ------------===//
//
// Attention and RotaryEmbedding of ai.onnx and GroupQueryAttention of com.microsoft, taken apart
// into the views that the primitive spelling gives, so that both are understood by the same code.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <cmath>

using namespace llmc::onnx;

/// The rotation of [batch, heads, rows, size] by tables [.., positions, pairs], as a view of two
/// terms.
View Raiser::rotary(const View &view, const OnnxTensor &cosines, const OnnxTensor &sines,
                    const OnnxTensor *positions, bool interleaved) const {
  const Shape &s = view.shape;
  int64_t pairs = cosines.rank() ? cosines.shape().back() : 0;
  if (view.terms.size() != 1 || pairs == 0 || 2 * pairs > s[3] ||
      cosines.shape() != sines.shape() || s[2] != sizes.length)
    notUnderstood("rotary tables of shape " + shapeString(cosines.shape()));
  int64_t tableRows = cosines.size() / pairs, count = sizes.batch * sizes.length;
  if (positions ? positions->size() != count && positions->size() != sizes.length
                : tableRows != count && tableRows != sizes.length)
    notUnderstood("rotary positions do not fit");
  View result;
  result.shape = s;
  Term own = view.terms[0], other = view.terms[0];
  other.index = OnnxTensor(ElementType::I64, s);
  OnnxTensor ownFactor(ElementType::F64, s), otherFactor(ElementType::F64, s);
  for (int64_t i = 0; i < view.size(); ++i) {
    int64_t d = i % s[3], r = i / s[3] % s[2], b = i / (s[1] * s[2] * s[3]);
    int64_t position = b * sizes.length + r;
    if (positions)
      position = positions->ints()[positions->size() == count ? position : r];
    else if (tableRows != count)
      position = r;
    if (position < 0 || position >= tableRows)
      notUnderstood("position " + std::to_string(position) + " is outside the rotary table of " +
                    std::to_string(tableRows));
    double f = view.terms[0].at(i);
    ownFactor.mutableDoubles()[i] = f;
    if (d < 2 * pairs) {
      int64_t pair = interleaved ? d / 2 : d % pairs;
      bool isFirst = interleaved ? d % 2 == 0 : d < pairs;
      int64_t partner = interleaved ? d ^ 1 : isFirst ? d + pairs : d - pairs;
      double sine = sines.at(position * pairs + pair);
      ownFactor.mutableDoubles()[i] = f * cosines.at(position * pairs + pair);
      otherFactor.mutableDoubles()[i] =
          view.terms[0].at(i - d + partner) * (isFirst ? -sine : sine);
      other.index.mutableInts()[i] = view.terms[0].index.ints()[i - d + partner];
    }
  }
  own.factor = ownFactor;
  other.factor = otherFactor;
  own.uniform = other.uniform = 1;
  result.terms = {own, other};
  return result;
}

void Raiser::rotaryOp(const NodeProto &node, const Values &in) {
  Attributes attributes(node);
  bool microsoft = node.domain() == "com.microsoft";
  size_t first = microsoft ? 2 : 1;
  const Value *positions = microsoft ? in[1] : in.size() > 3 ? in[3] : nullptr;
  if (in.size() < first + 2 || in[first]->kind != Value::Kind::Known ||
      in[first + 1]->kind != Value::Kind::Known ||
      (positions && positions->kind != Value::Kind::Known))
    notUnderstood("its tables or positions depend on data");
  if (attributes.getInt("is_packed_batching", 0) != 0 || attributes.getFloat("scale", 1) != 1)
    notUnderstood("packed batching and scales are not supported");
  View data = dataOf(*in[0]);
  bool flat = data.shape.size() == 3;
  int64_t heads = attributes.getInt("num_heads", 0),
          rotated = attributes.getInt("rotary_embedding_dim", 0);
  const OnnxTensor &cosines = in[first]->tensor, &sines = in[first + 1]->tensor;
  if (flat && heads == 0 && cosines.rank() && cosines.shape().back() > 0)
    heads = data.shape[2] / (2 * cosines.shape().back());
  View split = headView(data, flat ? heads : 0);
  int64_t width = rotated ? rotated : split.shape[3];
  if (cosines.rank() == 0 || 2 * cosines.shape().back() != width)
    notUnderstood("rotary tables of shape " + shapeString(cosines.shape()) + " for " +
                  std::to_string(width) + " rotated elements");
  View turned = rotary(split, cosines, sines, positions ? &positions->tensor : nullptr,
                       attributes.getInt("interleaved", 0) != 0);
  if (flat)
    for (Term &term : turned.terms) {
      term.index = transpose(term.index, {0, 2, 1, 3}).reshaped(data.shape);
      term.factor = transpose(*term.factor, {0, 2, 1, 3}).reshaped(data.shape);
      turned.shape = data.shape;
    }
  Value result;
  result.kind = Value::Kind::Data;
  result.shape = turned.shape;
  result.view = std::move(turned);
  set(node, 0, std::move(result));
}

void Raiser::attentionOp(const NodeProto &node, const Values &in) {
  Attributes attributes(node);
  for (size_t i : {0, 1, 2})
    if (in.size() <= i || !in[i])
      notUnderstood("query, key or value is missing");
  auto at = [&](size_t i) { return i < in.size() ? in[i] : nullptr; };
  if (at(6))
    notUnderstood("nonpad_kv_seqlen is not supported");
  View query = dataOf(*in[0]), key = dataOf(*in[1]), value = dataOf(*in[2]);
  bool flat = query.shape.size() == 3;
  query = headView(query, attributes.getInt("q_num_heads", 0));
  key = headView(key, attributes.getInt("kv_num_heads", 0));
  value = headView(value, attributes.getInt("kv_num_heads", 0));
  int64_t heads = query.shape[1];
  // A past is put before the new rows, term by term.
  auto withPast = [&](const Value *past, View &now) {
    if (!past)
      return;
    View old = dataOf(*past), joined;
    for (size_t t = 0; t < std::max(old.terms.size(), now.terms.size()); ++t) {
      auto part = [&](const View &v) {
        Term term;
        term.index = t < v.terms.size() ? v.terms[t].index : OnnxTensor(ElementType::I64, v.shape);
        OnnxTensor factor(ElementType::F64, v.shape);
        for (int64_t i = 0; t < v.terms.size() && i < v.size(); ++i)
          factor.mutableDoubles()[i] = v.terms[t].at(i);
        term.factor = factor;
        return term;
      };
      Term a = part(old), b = part(now), both;
      both.index = concat({&a.index, &b.index}, 2);
      both.factor = concat({&*a.factor, &*b.factor}, 2);
      joined.shape = both.index.shape();
      joined.terms.push_back(std::move(both));
    }
    now = joined;
  };
  withPast(at(4), key);
  withPast(at(5), value);
  double scale = attributes.has("scale") ? attributes.getFloat("scale", 1)
                                         : 1 / std::sqrt(static_cast<double>(query.shape[3]));
  double softcap = attributes.getFloat("softcap", 0);
  std::vector<double> scores;
  for (double x : pointwiseGrid())
    scores.push_back(softcap > 0 ? softcap * std::tanh(scale * x / softcap) : scale * x);
  Value mask;
  if (at(3)) {
    if (in[3]->kind != Value::Kind::Known)
      notUnderstood("the mask depends on data");
    mask.tensor = in[3]->tensor;
    mask.maskSources = {{node.input(3), false}};
  }
  int64_t left = attributes.getInt("left_window_size", -1);
  bool causal = attributes.getInt("is_causal", 0) != 0;
  if (attributes.getInt("right_window_size", -1) >= 0 || (left >= 0 && !causal))
    notUnderstood("a window that is not causal");
  // Without a past input the mask of is_causal is aligned to the first key, wrong for a cached
  // step.
  if (causal && !at(4) && key.shape[2] != query.shape[2])
    notUnderstood("is_causal with a cache that is concatenated outside");
  Shape shape;
  Value result = attention(query, key, value, scores, at(3) ? &mask : nullptr, causal,
                           left >= 0 ? left + 1 : 0, shape);
  if (flat) {
    Shape merged = {sizes.batch, sizes.length, heads * shape[3]};
    result.view.terms[0].index =
        transpose(result.view.terms[0].index, {0, 2, 1, 3}).reshaped(merged);
    result.view.shape = result.shape = merged;
  }
  set(node, 0, std::move(result));
  for (int output = 1; output < node.output_size() && output < 3; ++output) {
    Value present;
    present.kind = Value::Kind::Present;
    if (node.input_size() > 3 + output)
      present.origin = node.input(3 + output);
    present.shape = output == 1 ? key.shape : value.shape;
    set(node, output, present);
  }
}

void Raiser::groupQueryAttention(const NodeProto &node, const Values &in) {
  Attributes attributes(node);
  auto at = [&](size_t i) { return i < in.size() ? in[i] : nullptr; };
  for (size_t i = 10; i < in.size(); ++i)
    if (in[i])
      notUnderstood("input " + std::to_string(i) + " is not supported");
  int64_t heads = attributes.requireInt("num_heads"),
          kvHeads = attributes.requireInt("kv_num_heads");
  if (heads <= 0 || kvHeads <= 0 || heads % kvHeads != 0)
    notUnderstood("num_heads " + std::to_string(heads) + ", kv_num_heads " +
                  std::to_string(kvHeads));
  View packed = dataOf(*in[0]), query, key, value;
  if (at(1)) {
    query = headView(packed, heads);
    key = headView(dataOf(*in[1]), kvHeads);
    value = headView(dataOf(*in[2]), kvHeads);
  } else {
    View all = headView(packed, heads + 2 * kvHeads);
    auto part = [&](int64_t first, int64_t count) {
      View view;
      for (const Term &term : all.terms) {
        Term some;
        some.uniform = term.uniform;
        Shape s = all.shape;
        s[1] = count;
        some.index = OnnxTensor(ElementType::I64, s);
        if (term.factor)
          some.factor = OnnxTensor(ElementType::F64, s);
        int64_t each = s[2] * s[3];
        for (int64_t i = 0; i < some.index.size(); ++i) {
          int64_t from = (i / (count * each) * all.shape[1] + first) * each + i % (count * each);
          some.index.mutableInts()[i] = term.index.ints()[from];
          if (term.factor)
            some.factor->mutableDoubles()[i] = term.factor->doubles()[from];
        }
        view.shape = s;
        view.terms.push_back(std::move(some));
      }
      return view;
    };
    query = part(0, heads);
    key = part(heads, kvHeads);
    value = part(heads + kvHeads, kvHeads);
  }
  const Value *lengths = at(5);
  if (!lengths || lengths->kind != Value::Kind::Known || lengths->tensor.size() != sizes.batch)
    notUnderstood("sequence lengths depend on data");
  int64_t total = far ? far->total() : sizes.total();
  for (int64_t b = 0; b < sizes.batch; ++b)
    if (lengths->tensor.ints()[b] + 1 != total)
      notUnderstood("sequence length " + std::to_string(lengths->tensor.ints()[b] + 1) +
                    ", expected " + std::to_string(total));
  const Value *longest = at(6);
  if (longest && (longest->kind != Value::Kind::Known || longest->tensor.size() != 1 ||
                  longest->tensor.at(0) != static_cast<double>(total)))
    notUnderstood("its total sequence length is not that of mask and cache");
  // Without a rotation its tables and positions say nothing.
  for (size_t i : {7, 8, 9})
    at(i);
  bool interleaved = attributes.getInt("rotary_interleaved", 0) != 0;
  if (attributes.getInt("do_rotary", 0) != 0) {
    if (!at(7) || !at(8) || in[7]->kind != Value::Kind::Known ||
        in[8]->kind != Value::Kind::Known || (at(9) && in[9]->kind != Value::Kind::Known))
      notUnderstood("rotary tables are missing or depend on data");
    OnnxTensor positions(ElementType::I64, {sizes.length});
    for (int64_t r = 0; r < sizes.length; ++r)
      positions.mutableInts()[r] = position(r);
    const OnnxTensor *rows = at(9) ? &in[9]->tensor : &positions;
    query = rotary(query, in[7]->tensor, in[8]->tensor, rows, interleaved);
    key = rotary(key, in[7]->tensor, in[8]->tensor, rows, interleaved);
    if (in[7]->tensor.rank() == 2)
      limitContext(in[7]->tensor.shape()[0], "the rotary table ends there");
  }
  double scale = attributes.getFloat("scale", 0);
  if (scale == 0)
    scale = 1 / std::sqrt(static_cast<double>(query.shape[3]));
  double softcap = attributes.getFloat("softcap", 0);
  std::vector<double> scores;
  for (double x : pointwiseGrid())
    scores.push_back(softcap > 0 ? softcap * std::tanh(scale * x / softcap) : scale * x);
  Shape shape;
  Value result = attention(query, key, value, scores, nullptr, true,
                           std::max<int64_t>(0, attributes.getInt("local_window_size", -1)), shape);
  RaisedNode &made = graph.nodes.back();
  if (at(3) && at(4)) {
    made.pastKey = node.input(3);
    made.pastValue = node.input(4);
  }
  Shape merged = {sizes.batch, sizes.length, heads * shape[3]};
  result.view.terms[0].index = transpose(result.view.terms[0].index, {0, 2, 1, 3}).reshaped(merged);
  result.view.shape = result.shape = merged;
  set(node, 0, std::move(result));
  for (int output = 1; output < node.output_size() && output < 3; ++output) {
    Value present;
    present.kind = Value::Kind::Present;
    present.origin = node.input(2 + output);
    set(node, output, present);
  }
}
