// A file appears whole or not at all; leftovers of dead writers go, temporaries of living ones
// stay.
#include "llmc/Pipeline/AtomicOutput.h"

#include "gtest/gtest.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <sys/wait.h>
#include <unistd.h>

using namespace llmc;
namespace fs = std::filesystem;

namespace {

class AtomicOutputTest : public ::testing::Test {
protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "llmc-output-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder = pattern;
    path = (folder / "model.bin").string();
  }
  void TearDown() override { fs::remove_all(folder); }

  std::string read(const fs::path &file) {
    std::ifstream stream(file, std::ios::binary);
    std::stringstream text;
    text << stream.rdbuf();
    return text.str();
  }
  size_t files() { return std::distance(fs::directory_iterator(folder), fs::directory_iterator()); }

  fs::path folder;
  std::string path, error;
};

TEST_F(AtomicOutputTest, AppearsOnCommitOnly) {
  auto output = AtomicOutput::create(path, error);
  ASSERT_TRUE(output) << error;
  EXPECT_TRUE(output->write("whole", 5, error));
  EXPECT_FALSE(fs::exists(path));
  EXPECT_TRUE(output->commit(error)) << error;
  EXPECT_EQ(read(path), "whole");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicOutputTest, LeavesNothingWithoutCommit) {
  std::ofstream(path) << "old";
  {
    auto output = AtomicOutput::create(path, error);
    ASSERT_TRUE(output) << error;
    EXPECT_TRUE(output->write("part", 4, error));
  }
  EXPECT_EQ(read(path), "old");
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicOutputTest, FollowsTheUmask) {
  mode_t before = umask(027);
  auto output = AtomicOutput::create(path, error);
  umask(before);
  ASSERT_TRUE(output) << error;
  ASSERT_TRUE(output->commit(error)) << error;
  EXPECT_EQ(fs::status(path).permissions(), static_cast<fs::perms>(0640));
}

TEST_F(AtomicOutputTest, RemovesWhatADeadWriterLeft) {
  pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    std::string childError;
    auto output = AtomicOutput::create(path, childError);
    _exit(output && output->write("part", 4, childError) ? 0
                                                         : 1); // as if killed: no destructor runs
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  EXPECT_EQ(files(), 1u);
  auto output = AtomicOutput::create(path, error);
  ASSERT_TRUE(output) << error;
  EXPECT_EQ(files(), 1u); // only the new temporary
  EXPECT_TRUE(output->commit(error)) << error;
  EXPECT_EQ(files(), 1u);
}

TEST_F(AtomicOutputTest, KeepsTemporariesOfLivingWritersAndOtherFiles) {
  std::ofstream(folder / ".model.bin.12-x.tmp") << "someone else's";
  std::ofstream(folder / ".other.bin.12-0.tmp") << "of another file";
  auto first = AtomicOutput::create(path, error);
  ASSERT_TRUE(first) << error;
  auto second = AtomicOutput::create(path, error);
  ASSERT_TRUE(second) << error;
  EXPECT_NE(first->temporaryPath(), second->temporaryPath());
  EXPECT_EQ(files(), 4u);
  EXPECT_TRUE(second->write("second", 6, error));
  EXPECT_TRUE(second->commit(error)) << error;
  EXPECT_TRUE(first->write("first", 5, error));
  EXPECT_TRUE(first->commit(error)) << error;
  EXPECT_EQ(read(path), "first");
}

TEST_F(AtomicOutputTest, NamesTheFileAndTheReason) {
  EXPECT_FALSE(AtomicOutput::create((folder / "no" / "file").string(), error));
  EXPECT_NE(error.find("no/file' cannot be created: No such file or directory"), std::string::npos)
      << error;
  EXPECT_FALSE(AtomicOutput::create(folder.string(), error));
  EXPECT_NE(error.find("Is a directory"), std::string::npos) << error;
}

TEST_F(AtomicOutputTest, WritesStraightToWhatIsNoRegularFile) {
  auto output = AtomicOutput::create("/dev/null", error);
  ASSERT_TRUE(output) << error;
  EXPECT_TRUE(output->write("x", 1, error));
  EXPECT_TRUE(output->commit(error)) << error;
  EXPECT_FALSE(fs::is_regular_file("/dev/null"));
}

TEST_F(AtomicOutputTest, SeveralAppearTogether) {
  std::string other = (folder / "model.json").string();
  std::ofstream(path) << "old";
  auto first = AtomicOutput::create(path, error);
  auto second = AtomicOutput::create(other, error);
  ASSERT_TRUE(first && second) << error;
  EXPECT_TRUE(first->write("new", 3, error));
  EXPECT_TRUE(second->write("json", 4, error));
  ASSERT_TRUE(AtomicOutput::commitAll({first.get(), second.get()}, error)) << error;
  EXPECT_EQ(read(path), "new");
  EXPECT_EQ(read(other), "json");
  EXPECT_EQ(files(), 2u);
}

TEST_F(AtomicOutputTest, WhereOneCannotBePutInPlaceTheOthersGoBack) {
  for (size_t bad : {0, 1, 2}) {
    std::vector<std::string> paths;
    std::vector<std::unique_ptr<AtomicOutput>> outputs;
    std::vector<AtomicOutput *> all;
    for (size_t i = 0; i < 3; ++i) {
      paths.push_back((folder / ("file" + std::to_string(i))).string());
      if (i != 1) // One of them is new.
        std::ofstream(paths[i]) << "old " << i;
      outputs.push_back(AtomicOutput::create(paths[i], error));
      ASSERT_TRUE(outputs[i]) << error;
      EXPECT_TRUE(outputs[i]->write("new", 3, error));
      all.push_back(outputs[i].get());
    }
    fs::remove(paths[bad]);
    fs::create_directory(paths[bad]);
    EXPECT_FALSE(AtomicOutput::commitAll(all, error));
    EXPECT_NE(error.find("file" + std::to_string(bad) + "' cannot be put in place: Is a directory"),
              std::string::npos)
        << error;
    outputs.clear();
    for (size_t i = 0; i < 3; ++i) {
      if (i == bad)
        EXPECT_TRUE(fs::is_directory(paths[i]));
      else if (i == 1)
        EXPECT_FALSE(fs::exists(paths[i]));
      else
        EXPECT_EQ(read(paths[i]), "old " + std::to_string(i));
      fs::remove_all(paths[i]);
    }
    EXPECT_EQ(files(), 0u);
  }
}

TEST_F(AtomicOutputTest, KnowsSameFilesThroughLinks) {
  std::ofstream(path) << "x";
  fs::create_symlink(path, folder / "link");
  fs::create_hard_link(path, folder / "hard");
  std::ofstream(folder / "copy") << "x";
  EXPECT_TRUE(isSameFile(path, (folder / "link").string()));
  EXPECT_TRUE(isSameFile(path, (folder / "hard").string()));
  EXPECT_FALSE(isSameFile(path, (folder / "copy").string()));
  EXPECT_FALSE(isSameFile(path, (folder / "missing").string()));
}

} // namespace
