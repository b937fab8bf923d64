//===- AttentionKernelsTest.cpp - attention against a naive reference -------------------===//
//
// Shapes with grouped heads, windows, soft caps, odd head sizes and several blocks of keys, with
// and without cache, all memory that no one wrote full of NaN.
//
#include "KernelRunner.h"

#include "llmc/Lower/Cpu/AttentionKernels.h"

#include "gtest/gtest.h"

#include <cmath>

using namespace llmc;
using namespace llmc::test;

namespace {
struct Case {
  int64_t heads, kvHeads, headSize, valueSize;
  bool causal;
  int64_t window;
  double softcap;
};

std::ostream &operator<<(std::ostream &out, const Case &c) {
  return out << c.heads << '/' << c.kvHeads << " heads of " << c.headSize << " and " << c.valueSize
             << (c.causal ? " causal" : "") << " window " << c.window << " cap " << c.softcap;
}

AttentionShape makeShape(const Case &c) {
  AttentionShape shape;
  shape.heads = c.heads;
  shape.kvHeads = c.kvHeads;
  shape.headSize = c.headSize;
  shape.valueSize = c.valueSize;
  shape.scale = 1 / std::sqrt(double(c.headSize));
  shape.causal = c.causal;
  shape.window = c.window;
  shape.softcap = c.softcap;
  return shape;
}

/// One row of one head; key(i) and value(i) point to the head's parts of position i.
template <typename Row>
std::vector<double> reference(const Case &c, const float *q, Row key, Row value, int64_t position,
                              int64_t total, const int32_t *mask) {
  std::vector<double> result(c.valueSize, 0.0);
  double sum = 0;
  for (int64_t i = 0; i < total; ++i) {
    if ((c.causal && i > position) || (c.window > 0 && position - i >= c.window) ||
        (mask && mask[i] == 0))
      continue;
    double score = 0;
    for (int64_t d = 0; d < c.headSize; ++d)
      score += double(q[d]) * key(i)[d];
    score /= std::sqrt(double(c.headSize));
    if (c.softcap != 0)
      score = c.softcap * std::tanh(score / c.softcap);
    double weight = std::exp(score);
    sum += weight;
    for (int64_t d = 0; d < c.valueSize; ++d)
      result[d] += weight * value(i)[d];
  }
  for (double &element : result)
    element = sum == 0 ? 0 : element / sum;
  return result;
}

constexpr double kBound = 4e-6;

/// One head of one position as a cache of `element` gives it back, by the rule in the header.
std::vector<float> throughCache(const float *row, int64_t size, Type element) {
  std::vector<float> result(row, row + size);
  float peak = 0;
  for (float value : result)
    peak = std::max(peak, std::abs(value));
  for (float &value : result) {
    if (element.isF16()) {
      value = static_cast<float>(static_cast<_Float16>(value));
    } else if (element.isBF16()) {
      uint32_t bits = llvm::bit_cast<uint32_t>(value);
      uint32_t low = bits & 0xffff, high = bits >> 16;
      high += low > 0x8000 || (low == 0x8000 && high % 2 == 1);
      value = llvm::bit_cast<float>(high << 16);
    } else if (element.isInteger(8)) {
      value = peak == 0 ? 0 : std::nearbyint(value * (127.0f / peak)) * (peak / 127.0f);
    }
  }
  return result;
}

Type cacheElement(MLIRContext *context, StringRef name) {
  Builder b(context);
  return name == "f16"    ? Type(b.getF16Type())
         : name == "bf16" ? Type(b.getBF16Type())
         : name == "i8"   ? Type(b.getI8Type())
                          : Type(b.getF32Type());
}

/// How a cache stores its elements, and what multiplies them.
struct Storage {
  const char *element = "f32";
  bool byteProducts = false;
  DotKind dot = DotKind::None;
};

/// As reference(), with weights of each 64 keys rounded as the header says. `slack` is how much a
/// weight that lies between two codes may change the result.
template <typename Row>
std::vector<double> roundedReference(const Case &c, const std::vector<float> &q, Row key, Row value,
                                     int64_t position, int64_t total, double &slack) {
  std::vector<double> result(c.valueSize, 0.0), scores(total, -INFINITY);
  double sum = 0, most = -INFINITY;
  slack = 0;
  for (int64_t i = 0; i < total; ++i) {
    if ((c.causal && i > position) || (c.window > 0 && position - i >= c.window))
      continue;
    std::vector<float> row = key(i);
    double score = 0;
    for (int64_t d = 0; d < c.headSize; ++d)
      score += double(q[d]) * row[d];
    score /= std::sqrt(double(c.headSize));
    scores[i] = c.softcap != 0 ? c.softcap * std::tanh(score / c.softcap) : score;
    most = std::max(most, scores[i]);
  }
  for (int64_t start = 0; start < total; start += 64) {
    std::vector<double> weights;
    std::vector<std::vector<float>> rows;
    std::vector<double> scales;
    double largest = 0;
    for (int64_t i = start; i < std::min(start + 64, total); ++i) {
      rows.push_back(value(i));
      double weight = std::exp(scores[i] - most), peak = 0;
      sum += weight;
      for (float element : rows.back())
        peak = std::max(peak, std::abs(double(element)));
      scales.push_back(peak / 127);
      weights.push_back(weight * scales.back());
      largest = std::max(largest, weights.back());
    }
    for (size_t i = 0; largest > 0 && i < weights.size(); ++i) {
      double exact = weights[i] * 127 / largest, code = std::nearbyint(exact);
      if (scales[i] == 0)
        continue;
      double factor = largest / 127 / scales[i];
      // Scores may differ by a few units in the last place.
      if (std::abs(std::abs(exact - code) - 0.5) < 1e-3)
        slack += factor * 127 * scales[i];
      for (int64_t d = 0; d < c.valueSize; ++d)
        result[d] += code * factor * rows[i][d];
    }
  }
  for (double &element : result)
    element = sum == 0 ? 0 : element / sum;
  slack = sum == 0 ? 0 : slack / sum;
  return result;
}

/// Fills a cache in calls of the given lengths, and checks the result of each.
void checkCached(int64_t lanes, const Case &c, const std::vector<int64_t> &calls,
                 Storage storage = {}) {
  SCOPED_TRACE(std::string(storage.element) + (storage.byteProducts ? " products of bytes " : "") +
               dotKindName(storage.dot).str());
  SCOPED_TRACE(::testing::Message() << c << ", " << lanes << " lanes");
  std::mt19937 random(lanes * 1000 + c.heads * 100 + c.headSize);
  KernelRunner runner(lanes, storage.dot);
  Memory arena(1 << 20), weights(0), kv(1 << 20);
  int64_t total = 0;
  for (int64_t rows : calls)
    total += rows;
  AttentionShape shape = makeShape(c);
  shape.cacheElement = cacheElement(runner.builder().context(), storage.element);
  shape.byteProducts = storage.byteProducts;
  CacheLayout layout = shape.cache();
  // Queries, keys and values are views of one buffer.
  int64_t queries = c.heads * c.headSize, keys = c.kvHeads * c.headSize;
  Rows all = Rows::make(arena, total, queries + keys + c.kvHeads * c.valueSize);
  all.fill(arena, random, -2, 2);
  Rows q = all.view(0, queries), k = all.view(queries, keys);
  Rows v = all.view(queries + keys, c.kvHeads * c.valueSize);
  Rows y = Rows::make(arena, total, c.heads * c.valueSize);
  Rows again = Rows::make(arena, total, c.heads * c.valueSize);
  shape.q = q.buffer, shape.k = k.buffer, shape.v = v.buffer, shape.y = y.buffer;
  Kernel keyStore = getKeyStoreKernel(runner.builder(), layout, shape.k);
  Kernel valueStore = getValueStoreKernel(runner.builder(), layout, shape.v);
  Kernel attention = getCachedAttentionKernel(runner.builder(), shape);
  // Another cache of the model sits before this one in each block.
  int64_t stride = layout.blockBytes() + 192, place = 128;
  int64_t past = 0;
  for (int64_t rows : calls) {
    auto at = [&](const Rows &b) {
      return b.offset + past * b.buffer.stride * int64_t(sizeof(float));
    };
    runner.run(keyStore, arena, weights, kv, {rows, rows, past, 3, {at(k), place, stride}});
    runner.run(valueStore, arena, weights, kv, {rows, rows, past, 2, {at(v), place, stride}});
    runner.run(attention, arena, weights, kv, {rows, rows, past, 1, {at(q), at(y), place, stride}});
    runner.run(attention, arena, weights, kv,
               {rows, rows, past, 3, {at(q), at(again), place, stride}});
    for (int64_t r = past; r < past + rows; ++r)
      for (int64_t h = 0; h < c.heads; ++h) {
        int64_t kvHead = h / (c.heads / c.kvHeads);
        std::function<std::vector<float>(int64_t)> key = [&](int64_t i) {
          return throughCache(k.row(arena, i) + kvHead * c.headSize, c.headSize, layout.element);
        };
        std::function<std::vector<float>(int64_t)> value = [&](int64_t i) {
          return throughCache(v.row(arena, i) + kvHead * c.valueSize, c.valueSize, layout.element);
        };
        const float *query = q.row(arena, r) + h * c.headSize;
        double slack = 0;
        std::vector<double> expected =
            storage.byteProducts
                ? roundedReference(c, throughCache(query, c.headSize, layout.element), key, value,
                                   r, past + rows, slack)
                : reference(c, query, key, value, r, past + rows, nullptr);
        const float *actual = y.row(arena, r) + h * c.valueSize;
        expectClose({actual, actual + c.valueSize}, expected, kBound + slack, "cached attention");
      }
    past += rows;
  }
  std::vector<float> one = y.values(arena), three = again.values(arena);
  EXPECT_EQ(std::memcmp(one.data(), three.data(), one.size() * sizeof(float)), 0);
}

void checkRows(int64_t lanes, const Case &c, int64_t batch, int64_t sequence, bool hasMask) {
  SCOPED_TRACE(::testing::Message() << c << ", " << lanes << " lanes, " << batch << "x" << sequence
                                    << (hasMask ? " masked" : ""));
  std::mt19937 random(lanes * 1000 + c.heads * 100 + c.headSize);
  KernelRunner runner(lanes);
  Memory arena(1 << 20), weights(0);
  AttentionShape shape = makeShape(c);
  shape.hasMask = hasMask;
  int64_t rows = batch * sequence;
  Rows q = Rows::make(arena, rows, c.heads * c.headSize);
  Rows k = Rows::make(arena, rows, c.kvHeads * c.headSize);
  Rows v = Rows::make(arena, rows, c.kvHeads * c.valueSize);
  Rows y = Rows::make(arena, rows, c.heads * c.valueSize);
  Rows again = Rows::make(arena, rows, c.heads * c.valueSize);
  for (const Rows &buffer : {q, k, v})
    buffer.fill(arena, random, -2, 2);
  int64_t maskPlace = arena.allocate(rows * sizeof(int32_t));
  int32_t *mask = arena.at<int32_t>(maskPlace);
  for (int64_t i = 0; i < rows; ++i)
    mask[i] = random() % 3 != 0;
  // A sequence of padding only.
  if (batch > 1)
    std::fill_n(mask + sequence, sequence, 0);
  shape.q = q.buffer, shape.k = k.buffer, shape.v = v.buffer, shape.y = y.buffer;
  Kernel kernel = getAttentionKernel(runner.builder(), shape);
  for (auto [result, threads] : {std::pair(y, 1), std::pair(again, 3)}) {
    Call call{rows, sequence, 0, threads, {q.offset, k.offset, v.offset}};
    if (hasMask)
      call.offsets.push_back(maskPlace);
    call.offsets.push_back(result.offset);
    runner.run(kernel, arena, weights, call);
  }
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t h = 0; h < c.heads; ++h) {
      int64_t kvHead = h / (c.heads / c.kvHeads), start = r / sequence * sequence;
      std::function<const float *(int64_t)> key = [&](int64_t i) {
        return k.row(arena, start + i) + kvHead * c.headSize;
      };
      std::function<const float *(int64_t)> value = [&](int64_t i) {
        return v.row(arena, start + i) + kvHead * c.valueSize;
      };
      std::vector<double> expected =
          reference(c, q.row(arena, r) + h * c.headSize, key, value, r - start, sequence,
                    hasMask ? mask + start : nullptr);
      const float *actual = y.row(arena, r) + h * c.valueSize;
      expectClose({actual, actual + c.valueSize}, expected, kBound, "attention");
    }
  std::vector<float> one = y.values(arena), three = again.values(arena);
  EXPECT_EQ(std::memcmp(one.data(), three.data(), one.size() * sizeof(float)), 0);
}

class AttentionKernels : public ::testing::TestWithParam<int64_t> {};
INSTANTIATE_TEST_SUITE_P(Lanes, AttentionKernels, ::testing::Values(4, 8, 16));
} // namespace

TEST_P(AttentionKernels, CachedGroupedHeads) {
  for (Case c :
       {Case{8, 4, 8, 8, true, 0, 0}, Case{4, 4, 16, 16, true, 0, 0},
        Case{4, 1, 32, 32, true, 0, 0}, Case{6, 2, 10, 10, true, 0, 0},
        Case{5, 1, 12, 12, true, 0, 0}, Case{3, 3, 64, 64, true, 0, 0},
        Case{7, 1, 8, 8, true, 0, 0}, Case{16, 2, 8, 8, true, 0, 0}, Case{9, 1, 8, 8, true, 0, 0}})
    checkCached(GetParam(), c, {21, 1, 1, 13, 1, 30, 1});
}

TEST_P(AttentionKernels, CachedOneByOne) {
  checkCached(GetParam(), {4, 2, 16, 16, true, 0, 0}, std::vector<int64_t>(35, 1));
}

TEST_P(AttentionKernels, CachedWindow) {
  for (int64_t window : {1, 5, 16, 20, 64})
    checkCached(GetParam(), {4, 2, 16, 16, true, window, 0}, {37, 1, 18, 1});
  // Tiles of a block begin in different steps.
  for (int64_t window : {20, 70})
    checkCached(GetParam(), {7, 1, 8, 8, true, window, 0}, {150, 1, 40, 1});
}

TEST_P(AttentionKernels, CachedSoftcap) {
  checkCached(GetParam(), {4, 2, 16, 16, true, 0, 2.5}, {19, 1, 18});
}

TEST_P(AttentionKernels, CachedValuesOfOtherSize) {
  checkCached(GetParam(), {4, 2, 8, 24, true, 0, 0}, {19, 1, 18});
  checkCached(GetParam(), {2, 2, 24, 7, true, 0, 0}, {19, 1, 18});
}

TEST_P(AttentionKernels, CachedBidirectional) {
  checkCached(GetParam(), {4, 2, 16, 16, false, 0, 0}, {19, 3});
}

TEST_P(AttentionKernels, LargeHead) {
  checkCached(GetParam(), {2, 1, 128, 128, true, 0, 0}, {18, 1});
  checkRows(GetParam(), {2, 1, 128, 128, false, 0, 0}, 1, 19, false);
}

TEST_P(AttentionKernels, Rows) {
  for (Case c : {Case{4, 4, 8, 8, false, 0, 0}, Case{4, 4, 16, 16, false, 0, 0},
                 Case{4, 2, 10, 12, false, 0, 0}, Case{3, 1, 20, 20, false, 0, 0}}) {
    checkRows(GetParam(), c, 3, 18, false);
    checkRows(GetParam(), c, 3, 37, true);
  }
}

TEST_P(AttentionKernels, RowsCausal) {
  for (int64_t window : {0, 7})
    for (bool mask : {false, true})
      checkRows(GetParam(), {4, 2, 16, 16, true, window, window ? 3.0 : 0.0}, 2, 35, mask);
}

TEST_P(AttentionKernels, OneRow) { checkRows(GetParam(), {4, 2, 16, 16, false, 0, 0}, 1, 1, true); }

TEST_P(AttentionKernels, CachedNarrow) {
  for (const char *element : {"f16", "bf16", "i8"}) {
    checkCached(GetParam(), {8, 4, 8, 8, true, 0, 0}, {21, 1, 1, 13}, {element});
    checkCached(GetParam(), {6, 2, 10, 10, true, 5, 0}, {21, 1, 30, 1}, {element});
    checkCached(GetParam(), {2, 1, 64, 64, true, 0, 2.5}, {19, 1, 18}, {element});
  }
}

TEST_P(AttentionKernels, CachedByteProducts) {
  for (DotKind dot : {DotKind::Maddubs, DotKind::Vnni}) {
    Storage bytes = {"i8", true, dot};
    checkCached(GetParam(), {8, 4, 8, 8, true, 0, 0}, {21, 1, 1, 13, 70, 1}, bytes);
    checkCached(GetParam(), {6, 2, 10, 10, true, 5, 0}, {21, 1, 30, 1}, bytes);
    checkCached(GetParam(), {7, 1, 8, 8, true, 70, 0}, {150, 1, 40, 1}, bytes);
    checkCached(GetParam(), {2, 1, 64, 64, true, 0, 2.5}, {19, 1, 18}, bytes);
    checkCached(GetParam(), {9, 1, 24, 7, true, 0, 0}, {19, 1, 60}, bytes);
    checkCached(GetParam(), {2, 2, 7, 24, false, 0, 0}, {19, 3}, bytes);
    checkCached(GetParam(), {4, 1, 128, 128, true, 0, 0}, {66, 1}, bytes);
  }
}

TEST(AttentionKernelsLayout, BlockBytes) {
  MLIRContext context;
  EXPECT_EQ((CacheLayout{cacheElement(&context, "f32"), 4, 8, 8}.blockBytes()), 2 * 4 * 8 * 16 * 4);
  EXPECT_EQ((CacheLayout{cacheElement(&context, "f16"), 4, 8, 8}.blockBytes()), 2 * 4 * 8 * 16 * 2);
  // Codes, then a scale for each head and position of keys and of values.
  EXPECT_EQ((CacheLayout{cacheElement(&context, "i8"), 4, 8, 8}.blockBytes()),
            2 * 4 * 8 * 16 + 2 * 4 * 16 * 4);
  EXPECT_EQ((CacheLayout{cacheElement(&context, "i8"), 1, 5, 5}.blockBytes()) % 64, 0);
  // Heads of keys fill up quads.
  CacheLayout quads{cacheElement(&context, "i8"), 4, 10, 10, true};
  EXPECT_EQ(quads.blockBytes(), 4 * (12 + 10) * 16 + 2 * 4 * 16 * 4);
}
