// Records of work: what comes back is what was kept, whole, for the same key and seed only.
#include "llmc/Numerics/Checkpoint.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>

using namespace llmc;
namespace fs = std::filesystem;

namespace {

class Checkpoint : public testing::Test {
protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "/checkpoint-XXXXXX";
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    folder = name + "/kept";
  }
  void TearDown() override {
    endCheckpoint(/*done=*/true);
    fs::remove_all(fs::path(folder).parent_path());
  }

  static RecordWriter sample() {
    RecordWriter record;
    std::vector<float> values{1.5f, -2, 0};
    record.add<int64_t>(-7).addArray(Span<const float>(values)).addText("type").add(0.25);
    return record;
  }
  size_t files() const {
    return fs::exists(folder) ? std::distance(fs::directory_iterator(folder), {}) : 0;
  }

  std::string folder;
};

TEST_F(Checkpoint, WhatComesBackIsWhatWasKept) {
  beginCheckpoint(folder, 0, 1);
  EXPECT_FALSE(findCheckpoint(5));
  EXPECT_FALSE(fs::exists(folder)); // Nothing is made before there is something.
  keepCheckpoint(5, 1, sample());
  auto record = findCheckpoint(5);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->number<int64_t>(), -7);
  EXPECT_EQ(record->array<float>(), (std::vector<float>{1.5f, -2, 0}));
  EXPECT_EQ(record->text(), "type");
  EXPECT_EQ(record->number<double>(), 0.25);
  EXPECT_EQ(record->number<int64_t>(), 0); // Past the end.
  EXPECT_EQ(record->array<double>(), std::vector<double>());
  EXPECT_EQ(endCheckpoint(/*done=*/false), 1u);
  EXPECT_EQ(files(), 1u);
}

TEST_F(Checkpoint, OtherKeysAndSeedsFindNothing) {
  beginCheckpoint(folder, 0, 1);
  keepCheckpoint(5, 1, sample());
  EXPECT_FALSE(findCheckpoint(6));
  beginCheckpoint(folder, 0, 2);
  EXPECT_FALSE(findCheckpoint(5));
  beginCheckpoint(folder, 0, 1);
  EXPECT_TRUE(findCheckpoint(5));
}

TEST_F(Checkpoint, ShortWorkIsNotKept) {
  beginCheckpoint(folder, 2, 1);
  keepCheckpoint(5, 1.9, sample());
  EXPECT_EQ(files(), 0u);
  keepCheckpoint(5, 2, sample());
  EXPECT_EQ(files(), 1u);
}

TEST_F(Checkpoint, TornOrChangedFilesAreNone) {
  beginCheckpoint(folder, 0, 1);
  keepCheckpoint(5, 1, sample());
  const fs::path file = fs::directory_iterator(folder)->path();
  const auto size = fs::file_size(file);
  std::string whole(size, 0);
  std::ifstream(file, std::ios::binary).read(whole.data(), static_cast<std::streamsize>(size));
  for (size_t cut = 0; cut < size; ++cut) {
    std::ofstream(file, std::ios::binary).write(whole.data(), static_cast<std::streamsize>(cut));
    EXPECT_FALSE(findCheckpoint(5)) << cut;
    std::string other = whole;
    other[cut] ^= 1;
    std::ofstream(file, std::ios::binary) << other;
    EXPECT_FALSE(findCheckpoint(5)) << cut;
  }
  std::ofstream(file, std::ios::binary) << whole;
  EXPECT_TRUE(findCheckpoint(5));
}

TEST_F(Checkpoint, WhereNothingCanBeWrittenNothingIsKept) {
  std::ofstream(folder) << "a file in its place";
  beginCheckpoint(folder, 0, 1);
  keepCheckpoint(5, 1, sample());
  EXPECT_FALSE(findCheckpoint(5));
}

TEST_F(Checkpoint, NothingIsLeftWhenAllIsDone) {
  beginCheckpoint(folder, 0, 1);
  keepCheckpoint(5, 1, sample());
  endCheckpoint(/*done=*/true);
  EXPECT_FALSE(fs::exists(folder));
  EXPECT_FALSE(hasCheckpoint());
  keepCheckpoint(5, 1, sample()); // No one asked for it.
  EXPECT_FALSE(fs::exists(folder));
}

} // namespace
