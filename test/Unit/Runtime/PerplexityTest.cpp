// The numbers of a quality report, against values that numpy gives for the same formulas:
//   lse = log(exp(l - l.max(-1)).sum(-1)) + l.max(-1); nll = lse - l[target]; d = nll - nll_base
//   ratio = exp(d.mean()); stderr = ratio * d.std(ddof=1) / sqrt(n); kl = (p * (log p - log
//   q)).sum(-1)
#include "ToyArtifact.h"

#include "llmc/Runtime/Perplexity.h"

#include <cmath>
#include <cstring>
#include <gtest/gtest.h>
#include <limits>

using namespace llmc;
using namespace llmc::test;

namespace {

/// logit[i][j] = ((17 i + 5 j + shift) % 11) / 4 - 1: 40 rows of 7, exact in f32.
std::vector<float> rows(int shift) {
  std::vector<float> logits;
  for (int i = 0; i < 40; ++i)
    for (int j = 0; j < 7; ++j)
      logits.push_back(static_cast<float>((17 * i + 5 * j + shift * (i % 3 + 1)) % 11) / 4 - 1);
  return logits;
}

Score scoreOf(bool withBaseline) {
  const std::vector<float> model = rows(3), baseline = rows(0);
  Score score(7);
  for (int i = 0; i < 40; ++i)
    EXPECT_TRUE(score.add(&model[7 * i], withBaseline ? &baseline[7 * i] : nullptr, (3 * i) % 7));
  return score;
}

TEST(Perplexity, EqualsNumpy) {
  const PerplexityResult result = scoreOf(false).result();
  EXPECT_EQ(result.tokens, 40);
  EXPECT_NEAR(result.nll, 2.174828675894278, 1e-12);
  EXPECT_NEAR(result.ppl, 8.800677224866417, 1e-12);
  EXPECT_FALSE(result.comparison);
}

TEST(Perplexity, ComparisonEqualsNumpy) {
  const PerplexityResult result = scoreOf(true).result();
  ASSERT_TRUE(result.comparison);
  EXPECT_NEAR(result.comparison->ratio, 0.9761836825387155, 1e-12);
  EXPECT_NEAR(result.comparison->ratioStderr, 0.15562378752554493, 1e-12);
  EXPECT_NEAR(result.comparison->klMean, 0.6288553946746477, 1e-12);
  EXPECT_NEAR(result.comparison->klQuantile999, 0.8598881310391505, 1e-12);
  EXPECT_NEAR(result.comparison->sameTop1, 0.05, 1e-12);
}

TEST(Perplexity, AModelComparedWithItselfIsEqual) {
  const std::vector<float> logits = rows(1);
  Score score(7);
  for (int i = 0; i < 40; ++i)
    ASSERT_TRUE(score.add(&logits[7 * i], &logits[7 * i], i % 7));
  const Comparison same = *score.result().comparison;
  EXPECT_EQ(same.ratio, 1);
  EXPECT_EQ(same.ratioStderr, 0);
  EXPECT_EQ(same.klMean, 0);
  EXPECT_EQ(same.klQuantile999, 0);
  EXPECT_EQ(same.sameTop1, 1);
}

TEST(Perplexity, LargeLogitsDoNotOverflow) {
  const float logits[] = {3e38f, 3e38f, -3e38f};
  Score score(3);
  ASSERT_TRUE(score.add(logits, nullptr, 1));
  EXPECT_NEAR(score.result().nll, std::log(2.0), 1e-12);
}

TEST(Perplexity, RefusesLogitsThatAreNotFinite) {
  const float good[] = {1, 2, 3};
  const float nan[] = {1, std::numeric_limits<float>::quiet_NaN(), 3};
  const float lost[] = {1, -std::numeric_limits<float>::infinity(), 3};
  Score score(3);
  EXPECT_FALSE(score.add(nan, nullptr, 0));
  EXPECT_FALSE(score.add(lost, nullptr, 1));
  EXPECT_FALSE(score.add(lost, good, 0)); // infinite divergence
  EXPECT_FALSE(score.add(good, nan, 0));
  EXPECT_TRUE(score.add(good, lost, 0)); // the baseline excludes an id: nothing to lose there
  EXPECT_EQ(score.result().tokens, 1);
}

Array ids(std::vector<int64_t> shape) {
  Array array{LLMC_I32, std::move(shape), {}};
  for (int32_t i = 0; i < array.count(); ++i) {
    const int32_t id = i % toyVocab;
    array.data.insert(array.data.end(), reinterpret_cast<const char *>(&id),
                      reinterpret_cast<const char *>(&id) + 4);
  }
  return array;
}

TEST(Windows, AreCutAndTheRemainderDropped) {
  const Windows cut = cutWindows(ids({25}), 10, toyVocab, "a.npy");
  EXPECT_EQ(cut.rows, 2);
  EXPECT_EQ(cut.length, 10);
  EXPECT_EQ(cut.ids.size(), 20u);
  EXPECT_EQ(cut.ids[10], 10);
}

TEST(Windows, RowsStayRows) {
  const Windows cut = cutWindows(ids({3, 7}), 5, toyVocab, "a.npy");
  EXPECT_EQ(cut.rows, 3);
  EXPECT_EQ(cut.length, 7);
}

TEST(Windows, RefuseWhatCannotBeScored) {
  const auto refusal = [](const Array &array, int64_t vocab) {
    return failureOf([&] { cutWindows(array, 10, vocab, "a.npy"); });
  };
  EXPECT_EQ(refusal(ids({9}), 50), "a.npy: expected at least one window of 10 ids, found 9 ids");
  EXPECT_EQ(refusal(ids({3, 1}), 50), "a.npy: expected windows of at least 2 ids, found 1");
  EXPECT_EQ(refusal(ids({0, 9}), 50), "a.npy: expected at least one window of 9 ids, found 0 ids");
  EXPECT_EQ(refusal(ids({2, 2, 9}), 50),
            "a.npy: expected ids of shape [n] or [rows, n], found [2, 2, 9]");
  EXPECT_EQ(refusal(ids({20}), 15),
            "a.npy: id 15 at position 15 is outside the vocabulary of 15 ids");
  EXPECT_EQ(refusal(Array{LLMC_F32, {10}, std::vector<char>(40)}, 50),
            "a.npy: expected integers of 32 or 64 bits, found f32");
}

} // namespace
