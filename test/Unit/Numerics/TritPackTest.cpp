//===- TritPackTest.cpp - ternary codes, five to a byte ---------------------------------------===//
//
// Every byte there is, and rows that do not fill their last byte.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/TritPack.h"
#include <gtest/gtest.h>
#include <random>

using namespace llmc;

TEST(TritPack, EveryByte) {
  std::vector<bool> used(256);
  for (int value = 0; value < 243; ++value) {
    uint8_t codes[5];
    for (int i = 4, rest = value; i >= 0; --i, rest /= 3)
      codes[i] = static_cast<uint8_t>(rest % 3);
    uint8_t byte = packTritByte(codes);
    EXPECT_EQ(byte, (256 * value + 242) / 243);
    for (int i = 0; i < 5; ++i)
      EXPECT_EQ(tritOfByte(byte, i), codes[i]) << value << ", code " << i;
    used[byte] = true;
  }
  for (int byte = 0; byte < 256; ++byte)
    EXPECT_EQ(isTritByte(static_cast<uint8_t>(byte)), used[byte]) << byte;
}

// The identity that kernels use: the digits times inputs, without a digit being taken out.
TEST(TritPack, DigitsTelescope) {
  std::mt19937 random(1);
  for (int trial = 0; trial < 1000; ++trial) {
    int digits = 0, first = 0, rest = 0;
    uint8_t codes[5];
    for (uint8_t &code : codes)
      code = random() % 3;
    uint8_t byte = packTritByte(codes);
    for (uint8_t code : codes) {
      int input = static_cast<int>(random() % 255) - 127;
      digits += code * input;
      first += byte * input;
      byte = static_cast<uint8_t>(3 * byte);
      rest += byte * input;
    }
    ASSERT_EQ(3 * first - rest, 256 * digits);
  }
}

TEST(TritPack, RowsOfAnyLength) {
  std::mt19937 random(2);
  for (int64_t cols : {1, 4, 5, 6, 20, 203}) {
    std::vector<uint8_t> codes(7 * cols);
    for (uint8_t &code : codes)
      code = random() % 3;
    auto packed = packTrits(codes, 7, cols);
    ASSERT_TRUE(packed);
    EXPECT_EQ(packed->size(), static_cast<size_t>(7 * ((cols + 4) / 5)));
    auto back = unpackTrits(*packed, 7, cols);
    ASSERT_TRUE(back);
    EXPECT_EQ(*back, codes);
    for (int64_t i = cols % 5; i && i < 5; ++i)
      EXPECT_EQ(tritOfByte(packed->back(), static_cast<int>(i)), 1) << "behind the last code";
  }
}

TEST(TritPack, Errors) {
  EXPECT_EQ(packTrits(std::vector<uint8_t>{0, 1, 2, 3}, 2, 2).message(),
            "code 3 at row 1, column 1 is not ternary (0 to 2)");
  EXPECT_FALSE(packTrits(std::vector<uint8_t>(5), 2, 2));
  EXPECT_EQ(unpackTrits(std::vector<uint8_t>(3), 2, 6).message(),
            "expected 4 bytes for 2 rows, found 3");
}
