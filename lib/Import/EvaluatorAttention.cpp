//===- EvaluatorAttention.cpp - Fused attention ---------------------------===//
//
// Attention of ai.onnx (opset 23 on) and com.microsoft.GroupQueryAttention. A row whose every key
// is masked gives zeros, as the specification of Attention says.
//
//===----------------------------------------------------------------------===//

#include "EvaluatorOps.h"
#include "llmc/Numerics/Parallel.h"
#include "llmc/Numerics/StoredProduct.h"

#include <cmath>
#include <limits>

using namespace llmc::onnx;

static constexpr double minusInfinity = -std::numeric_limits<double>::infinity();

/// [batch, seq, heads * size] as [batch, heads, seq, size].
static OnnxTensor splitHeads(const OnnxTensor &x, int64_t heads) {
  if (x.rank() != 3 || heads <= 0 || x.shape()[2] % heads != 0)
    fail("cannot split ", shapeString(x.shape()), " into ", heads, " heads");
  return transpose(x.reshaped({x.shape()[0], x.shape()[1], heads, x.shape()[2] / heads}),
                   {0, 2, 1, 3});
}

static OnnxTensor mergeHeads(const OnnxTensor &x) {
  const Shape &s = x.shape();
  return transpose(x, {0, 2, 1, 3}).reshaped({s[0], s[2], s[1] * s[3]});
}

namespace {
struct AttentionCore {
  double scale = 1, softcap = 0;
  /// Added to scores; -inf masks. Called with (batch, head, query, key).
  std::function<double(int64_t, int64_t, int64_t, int64_t)> bias;
  /// Which intermediate of the scores to keep in `scores`, as qk_matmul_output_mode; -1 for none.
  int64_t keep = -1;
  OnnxTensor scores;

  /// q [B,H,S,D], k [B,KV,T,D], v [B,KV,T,E] -> [B,H,S,E].
  OnnxTensor run(const OnnxTensor &q, const OnnxTensor &k, const OnnxTensor &v);
};
} // namespace

OnnxTensor AttentionCore::run(const OnnxTensor &q, const OnnxTensor &k, const OnnxTensor &v) {
  if (q.rank() != 4 || k.rank() != 4 || v.rank() != 4)
    fail("expected 4 dimensions of query, key and value");
  int64_t batch = q.shape()[0], heads = q.shape()[1], seq = q.shape()[2], size = q.shape()[3];
  int64_t groups = k.shape()[1], total = k.shape()[2], width = v.shape()[3];
  if (k.shape()[0] != batch || v.shape()[0] != batch || v.shape()[1] != groups ||
      v.shape()[2] != total || k.shape()[3] != size || groups == 0 || heads % groups != 0)
    fail("query ", shapeString(q.shape()), ", key ", shapeString(k.shape()), " and value ",
         shapeString(v.shape()), " do not fit");
  OnnxTensor out(q.type(), {batch, heads, seq, width});
  if (keep >= 0)
    scores = OnnxTensor(q.type(), {batch, heads, seq, total});
  std::vector<double> qd = toDoubles(q), kd = toDoubles(k), vd = toDoubles(v);
  std::vector<double> results(out.size());
  bool wide = batch * heads * seq * total * size > (1 << 18) && keep < 0;
  int threads = wide ? productThreads() : 1;
  llmc::parallelFor(batch * heads * seq, threads, [&](int64_t base) {
    int64_t b = base / (heads * seq), h = base / seq % heads, i = base % seq;
    int64_t kv = b * groups + h / (heads / groups);
    std::vector<double> row(total), mixed(width, 0.0);
    double top = minusInfinity, topBias = minusInfinity, sum = 0;
    for (int64_t t = 0; t < total; ++t) {
      double score = scale * llmc::dotProduct(&qd[base * size], &kd[(kv * total + t) * size], size);
      if (keep == 0)
        scores.set(base * total + t, score);
      if (softcap > 0)
        score = softcap * std::tanh(score / softcap);
      if (keep == 1)
        scores.set(base * total + t, score);
      double extra = bias ? bias(b, h, i, t) : 0;
      topBias = std::fmax(topBias, extra);
      row[t] = score + extra;
      if (keep == 2)
        scores.set(base * total + t, row[t]);
      top = std::fmax(top, row[t]);
    }
    bool masked = topBias == minusInfinity;
    for (int64_t t = 0; t < total; ++t)
      sum += row[t] = masked ? 0 : std::exp(row[t] - top);
    for (int64_t t = 0; t < total; ++t) {
      row[t] = masked ? 0 : row[t] / sum;
      if (keep == 3)
        scores.set(base * total + t, row[t]);
      if (row[t] != 0)
        llmc::addScaled(mixed.data(), row[t], &vd[(kv * total + t) * width], width);
    }
    std::copy(mixed.begin(), mixed.end(), results.begin() + base * width);
  });
  return fromDoubles(results, out.shape(), out.type());
}

static void attention(OpCall &call) {
  OnnxTensor q = call.input(0), k = call.input(1), v = call.input(2);
  bool flat = q.rank() == 3;
  int64_t heads = call.attributes.getInt("q_num_heads", 0),
          kvHeads = call.attributes.getInt("kv_num_heads", 0);
  if (flat) {
    q = splitHeads(q, heads);
    k = splitHeads(k, kvHeads);
    v = splitHeads(v, kvHeads);
  } else if (q.rank() == 4 && k.rank() == 4 &&
             ((heads && heads != q.shape()[1]) || (kvHeads && kvHeads != k.shape()[1]))) {
    fail("q_num_heads ", heads, " and kv_num_heads ", kvHeads, " for ", q.shape()[1], " and ",
         k.shape()[1], " heads");
  }
  const OnnxTensor *mask = call.optional(3), *pastKey = call.optional(4);
  const OnnxTensor *pastValue = call.optional(5), *valid = call.optional(6);
  if (!pastKey != !pastValue || (pastKey && valid))
    fail("past key and value must come together and without nonpad_kv_seqlen");
  int64_t past = 0;
  if (pastKey) {
    past = pastKey->rank() == 4 ? pastKey->shape()[2] : 0;
    k = concat({pastKey, &k}, 2);
    v = concat({pastValue, &v}, 2);
  }
  if (q.rank() != 4 || k.rank() != 4)
    fail("expected 3 or 4 dimensions of query, key and value");
  int64_t seq = q.shape()[2], total = k.shape()[2];
  if (valid && valid->size() != q.shape()[0])
    fail("expected ", q.shape()[0], " sequence lengths, got ", valid->size());

  AttentionCore core;
  core.scale = call.attributes.has("scale") ? call.attributes.getFloat("scale", 1)
                                            : 1 / std::sqrt(static_cast<double>(q.shape()[3]));
  core.softcap = call.attributes.getFloat("softcap", 0);
  int64_t mode = call.attributes.getInt("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3)
    fail("qk_matmul_output_mode is ", mode, ", expected 0 to 3");
  core.keep = call.wants(3) ? mode : -1;
  bool causal = call.attributes.getInt("is_causal", 0) != 0;
  int64_t left = call.attributes.getInt("left_window_size", -1);
  int64_t right = call.attributes.getInt("right_window_size", -1);

  std::vector<int64_t> maskStrides(4, 0);
  int64_t maskKeys = 0;
  if (mask) {
    Shape full = {q.shape()[0], q.shape()[1], seq, total};
    if (mask->rank() > 4 || mask->rank() < 1)
      fail("a mask of ", mask->rank(), " dimensions");
    maskKeys = mask->shape().back();
    std::vector<int64_t> strides = rowMajorStrides(mask->shape());
    for (int64_t d = 0; d < mask->rank(); ++d) {
      int64_t to = 4 - mask->rank() + d, length = mask->shape()[d];
      // A mask may be shorter than the keys; the rest is masked.
      if (length != 1 && length != full[to] && !(to == 3 && length < total))
        fail("mask ", shapeString(mask->shape()), " does not fit scores ", shapeString(full));
      maskStrides[to] = length == 1 && full[to] != 1 ? 0 : strides[d];
    }
    if (maskKeys == 1)
      maskKeys = total;
  }
  core.bias = [&](int64_t b, int64_t h, int64_t i, int64_t t) {
    int64_t position = (valid ? valid->ints()[b] - seq : past) + i;
    if ((causal && t > position) || (left >= 0 && position - t > left) ||
        (right >= 0 && t - position > right) || (valid && t >= valid->ints()[b]))
      return minusInfinity;
    if (!mask)
      return 0.0;
    if (t >= maskKeys)
      return minusInfinity;
    double value =
        mask->at(b * maskStrides[0] + h * maskStrides[1] + i * maskStrides[2] + t * maskStrides[3]);
    return mask->type() == ElementType::Bool ? (value != 0 ? 0.0 : minusInfinity) : value;
  };
  OnnxTensor y = core.run(q, k, v);
  call.set(0, flat ? mergeHeads(y) : y);
  call.set(1, k);
  call.set(2, v);
  if (core.keep >= 0)
    call.set(3, core.scores);
}

/// The first `length` rows of a cache [B, heads, T, size].
static OnnxTensor firstRows(const OnnxTensor &x, int64_t length) {
  Shape shape = x.shape();
  int64_t total = shape[2], size = shape[3];
  shape[2] = length;
  OnnxTensor y(x.type(), shape);
  for (int64_t i = 0; i < y.size(); ++i)
    y.set(i, x.at((i / (length * size) * total + i / size % length) * size + i % size));
  return y;
}

static void groupQueryAttention(OpCall &call) {
  int64_t heads = call.attributes.requireInt("num_heads");
  int64_t kvHeads = call.attributes.requireInt("kv_num_heads");
  if (heads <= 0 || kvHeads <= 0 || heads % kvHeads != 0)
    fail("num_heads ", heads, " and kv_num_heads ", kvHeads);
  for (size_t i = 11; i < call.inputs.size(); ++i)
    if (call.optional(i))
      fail("input ", i, " (sinks, cache scales or norms) is not supported");
  OnnxTensor query = call.input(0);
  if (query.rank() != 3)
    fail("expected a query of 3 dimensions, got ", shapeString(query.shape()));
  int64_t batch = query.shape()[0], seq = query.shape()[1];
  OnnxTensor q, k, v;
  if (call.optional(1)) {
    q = splitHeads(query, heads);
    k = splitHeads(call.input(1), kvHeads);
    v = splitHeads(call.input(2), kvHeads);
  } else {
    OnnxTensor packed = transpose(splitHeads(query, heads + 2 * kvHeads), {1, 0, 2, 3});
    int64_t size = packed.shape()[3], each = batch * seq * size;
    auto part = [&](int64_t first, int64_t count) {
      OnnxTensor y(packed.type(), {count, batch, seq, size});
      for (int64_t i = 0; i < count * each; ++i)
        y.set(i, packed.at(first * each + i));
      return transpose(y, {1, 0, 2, 3});
    };
    q = part(0, heads);
    k = part(heads, kvHeads);
    v = part(heads + kvHeads, kvHeads);
  }
  int64_t size = q.shape()[3];
  const OnnxTensor &lengths = call.input(5);
  if (lengths.size() != batch || batch == 0)
    fail("expected ", batch, " sequence lengths, got ", lengths.size());
  int64_t total = lengths.ints()[0] + 1;
  for (int64_t b = 1; b < batch; ++b)
    if (lengths.ints()[b] + 1 != total)
      fail("sequences of different lengths in one batch are not supported");
  int64_t past = total - seq;
  if (past < 0)
    fail("total length ", total, " is less than the ", seq, " new positions");
  const OnnxTensor *longest = call.optional(6);
  if (longest && (longest->size() != 1 || longest->at(0) != static_cast<double>(total)))
    fail("the total sequence length is not ", total);

  // Without a rotation its tables and positions say nothing.
  const OnnxTensor *cosineTable = call.optional(7), *sineTable = call.optional(8);
  const OnnxTensor *positions = call.optional(9);
  bool interleaved = call.attributes.getInt("rotary_interleaved", 0) != 0;
  if (call.attributes.getInt("do_rotary", 0) != 0) {
    if (!cosineTable || !sineTable)
      fail("rotary tables are missing");
    const OnnxTensor &cosines = *cosineTable, &sines = *sineTable;
    if (positions && positions->size() != batch * seq)
      fail("expected ", batch * seq, " positions, got ", positions->size());
    if (cosines.rank() != 2 || cosines.shape() != sines.shape() || 2 * cosines.shape()[1] > size)
      fail("rotary tables of shape ", shapeString(cosines.shape()), " for heads of ", size);
    int64_t half = cosines.shape()[1];
    auto row = [&](int64_t b, int64_t s) {
      int64_t position = positions ? positions->ints()[b * seq + s] : past + s;
      if (position < 0 || position >= cosines.shape()[0])
        fail("position ", position, " is outside the rotary table of ", cosines.shape()[0]);
      return position;
    };
    auto turn = [&](OnnxTensor &x, int64_t count) {
      OnnxTensor flat = transpose(x, {0, 2, 1, 3});
      std::vector<double> values = toDoubles(flat);
      rotate(
          values, batch, seq, count, size, 2 * half, interleaved,
          [&](int64_t b, int64_t s, int64_t d) { return cosines.at(row(b, s) * half + d); },
          [&](int64_t b, int64_t s, int64_t d) { return sines.at(row(b, s) * half + d); });
      x = transpose(fromDoubles(values, flat.shape(), x.type()), {0, 2, 1, 3});
    };
    turn(q, heads);
    turn(k, kvHeads);
  }
  const OnnxTensor *givenKey = call.optional(3), *givenValue = call.optional(4);
  if (past > 0) {
    if (!givenKey || !givenValue)
      fail("past keys or values are missing for ", past, " positions");
    const OnnxTensor &pastKey = *givenKey, &pastValue = *givenValue;
    if (pastKey.rank() != 4 || pastKey.shape()[2] < past || pastValue.shape() != pastKey.shape())
      fail("a past of shape ", shapeString(pastKey.shape()), " for ", past, " positions");
    OnnxTensor oldKey = firstRows(pastKey, past), oldValue = firstRows(pastValue, past);
    k = concat({&oldKey, &k}, 2);
    v = concat({&oldValue, &v}, 2);
  }
  float scale = call.attributes.getFloat("scale", 0);
  int64_t window = call.attributes.getInt("local_window_size", -1);
  const OnnxTensor *extra = call.optional(10);
  BroadcastIndex extraAt(extra ? extra->shape() : Shape(),
                         extra ? Shape{batch, heads, seq, total} : Shape());
  AttentionCore core;
  core.scale = scale != 0 ? scale : 1 / std::sqrt(static_cast<double>(size));
  core.softcap = call.attributes.getFloat("softcap", 0);
  core.bias = [&](int64_t b, int64_t h, int64_t i, int64_t t) {
    int64_t position = past + i;
    if (t > position || (window > 0 && position - t >= window))
      return minusInfinity;
    return extra ? extra->at(extraAt[((b * heads + h) * seq + i) * total + t]) : 0.0;
  };
  call.set(0, mergeHeads(core.run(q, k, v)));
  call.set(1, k);
  call.set(2, v);
}

void llmc::onnx::registerAttention(OpTable &table) {
  table[{"", "Attention"}] = attention;
  table[{"com.microsoft", "GroupQueryAttention"}] = groupQueryAttention;
}
