//===- BitPackTest.cpp
//--------------------------------------------------------------------------------===//
//
// Packing is the inverse of unpacking for every width and length, and its layout is the documented
// one.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/BitPack.h"
#include "SyntheticLayer.h"
#include <gtest/gtest.h>

using namespace llmc;

TEST(BitPack, UnpackInvertsPackForEveryWidth) {
  Normal random(1);
  for (int bits = 1; bits <= 8; ++bits)
    for (int64_t cols : {0, 1, 2, 3, 7, 8, 9, 31, 172}) {
      const int64_t rows = 3;
      std::vector<uint8_t> codes(rows * cols);
      for (uint8_t &c : codes)
        c = random.bits() & ((1 << bits) - 1);
      auto packed = packBits(codes, rows, cols, bits);
      ASSERT_TRUE(packed) << packed.message();
      EXPECT_EQ(packed->size(), size_t(rows * ((cols * bits + 7) / 8)));
      auto unpacked = unpackBits(*packed, rows, cols, bits);
      ASSERT_TRUE(unpacked) << unpacked.message();
      EXPECT_EQ(*unpacked, codes) << bits << " bits, " << cols << " columns";
    }
}

TEST(BitPack, BitKOfCodeJIsBitJTimesBPlusKOfTheRow) {
  for (int bits = 1; bits <= 8; ++bits)
    for (int64_t j = 0; j < 11; ++j)
      for (int k = 0; k < bits; ++k) {
        std::vector<uint8_t> codes(11);
        codes[j] = 1 << k;
        std::vector<uint8_t> expected(packedRowBytes(11, bits));
        expected[(j * bits + k) / 8] = 1 << ((j * bits + k) % 8);
        EXPECT_EQ(*packBits(codes, 1, 11, bits), expected);
      }
}

TEST(BitPack, FourBitsPutTheEvenColumnLow) {
  std::vector<uint8_t> codes = {0x1, 0x2, 0x3, 0xf, 0x4, 0x5};
  EXPECT_EQ(*packBits(codes, 2, 3, 4), (std::vector<uint8_t>{0x21, 0x03, 0x4f, 0x05}));
}

TEST(BitPack, RefusesWhatDoesNotFit) {
  std::vector<uint8_t> codes = {1, 2, 8, 0};
  EXPECT_EQ(packBits(codes, 2, 2, 3).message(), "code 8 at row 1, column 0 does not fit 3 bits");
  EXPECT_FALSE(packBits(codes, 2, 2, 0));
  EXPECT_FALSE(packBits(codes, 2, 2, 9));
  EXPECT_FALSE(packBits(codes, 2, 3, 4));
  EXPECT_FALSE(unpackBits(codes, 2, 5, 4));
}
