// Names of processor features, and the hash of weights against published values.
#include "llmc/Runtime/llmcrt.h"

#include <gtest/gtest.h>
#include <string>

namespace {

TEST(CpuFeatures, KnowsWhatEveryMachineHas) {
#if defined(__x86_64__)
  EXPECT_EQ(llmcrt_cpu_has("sse2"), 1);
  EXPECT_EQ(llmcrt_cpu_has("+sse2"), 1);
  EXPECT_EQ(llmcrt_cpu_has("dotprod"), -1);
#elif defined(__aarch64__)
  EXPECT_EQ(llmcrt_cpu_has("neon"), 1);
  EXPECT_EQ(llmcrt_cpu_has("avx2"), -1);
#endif
}

#if defined(__x86_64__)
TEST(CpuFeatures, AgreesWithTheCompilersLibrary) {
  __builtin_cpu_init();
  EXPECT_EQ(llmcrt_cpu_has("avx2"), __builtin_cpu_supports("avx2") != 0);
  EXPECT_EQ(llmcrt_cpu_has("fma"), __builtin_cpu_supports("fma") != 0);
  EXPECT_EQ(llmcrt_cpu_has("bmi2"), __builtin_cpu_supports("bmi2") != 0);
  EXPECT_EQ(llmcrt_cpu_has("avx512f"), __builtin_cpu_supports("avx512f") != 0);
  EXPECT_EQ(llmcrt_cpu_has("avx512vnni"), __builtin_cpu_supports("avx512vnni") != 0);
}

TEST(CpuFeatures, TuningFlagsAlwaysPass) {
  EXPECT_EQ(llmcrt_cpu_has("fast-gather"), 1);
  EXPECT_EQ(llmcrt_cpu_has("false-deps-popcnt"), 1);
  EXPECT_EQ(llmcrt_cpu_has("xsaves"), 1);
}
#endif

TEST(CpuFeatures, NamesTheFirstUnknown) {
  const char *names[] = {"-anything", "telepathy", "clairvoyance"};
  char why[LLMCRT_ERROR] = "";
  EXPECT_EQ(llmcrt_cpu_check(names, 1, why), 0);
  EXPECT_EQ(llmcrt_cpu_check(names, 3, why), 1);
  EXPECT_STREQ(why, "unknown processor feature 'telepathy'");
  EXPECT_EQ(llmcrt_cpu_check(names, 3, nullptr), 1);
}

TEST(CpuFeatures, RefusesNull) {
  const char *names[] = {nullptr};
  char why[LLMCRT_ERROR] = "";
  EXPECT_EQ(llmcrt_cpu_has(nullptr), -1);
  EXPECT_EQ(llmcrt_cpu_check(names, 1, why), 1);
  EXPECT_STREQ(why, "the name of processor feature 0 is NULL");
}

TEST(Hash, EqualsPublishedValues) {
  const auto hash = [](const std::string &text) { return llmcrt_hash(text.data(), text.size()); };
  EXPECT_EQ(hash(""), 0xef46db3751d8e999u);
  EXPECT_EQ(hash("a"), 0xd24ec4f1a98c6e5bu);
  EXPECT_EQ(hash("abc"), 0x44bc2cf5ad770999u);
  EXPECT_EQ(hash("xxhash"), 0x32dd38952c4bc720u);
  EXPECT_EQ(hash("Nobody inspects the spammish repetition"), 0xfbcea83c8a378bf1u);
}

} // namespace
