//===- HashTest.cpp
//-----------------------------------------------------------------------------------===//
//
// Published XXH64 digests: short, seeded, and longer than one stripe of 32 bytes.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Hash.h"
#include <gtest/gtest.h>
#include <string>

using namespace llmc;

static uint64_t hashOf(const std::string &text, uint64_t seed = 0) {
  return hashBytes(text.data(), text.size(), seed);
}

TEST(Hash, MatchesPublishedDigests) {
  EXPECT_EQ(hashText(hashOf("")), "ef46db3751d8e999");
  EXPECT_EQ(hashText(hashOf("a")), "d24ec4f1a98c6e5b");
  EXPECT_EQ(hashText(hashOf("abc")), "44bc2cf5ad770999");
  EXPECT_EQ(hashText(hashOf("xxhash", 20141025)), "b559b98d844e0635");
  EXPECT_EQ(hashText(hashOf("Nobody inspects the spammish repetition")), "fbcea83c8a378bf1");
}

TEST(Hash, SeesEveryByteAndTheOrderOfPieces) {
  std::string text(100, 'x');
  uint64_t whole = hashOf(text);
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] ^= 1;
    EXPECT_NE(hashOf(changed), whole) << i;
  }
  EXPECT_NE(hashOf("b", hashOf("a")), hashOf("a", hashOf("b")));
}
