// What is said of the time that is left. The line itself is tested on a terminal:
// test/Tools/test_progress.py.
#include "llmc/Numerics/Progress.h"

#include "gtest/gtest.h"

using namespace llmc;

TEST(Progress, TimeLeft) {
  EXPECT_EQ(timeLeft(0.5, 10), "about 10 s left");
  EXPECT_EQ(timeLeft(0.1, 10), "about 1 min 30 s left");
  EXPECT_EQ(timeLeft(0.01, 60), "about 1 h 39 min left");
  EXPECT_EQ(timeLeft(0.999, 2), "about 1 s left");
}

TEST(Progress, SaysNothingWhileItCannotTell) {
  EXPECT_EQ(timeLeft(0, 10), "");
  EXPECT_EQ(timeLeft(1, 10), "");
  EXPECT_EQ(timeLeft(0.5, 0.2), "");
  EXPECT_EQ(timeLeft(1e-9, 10), "");
}
