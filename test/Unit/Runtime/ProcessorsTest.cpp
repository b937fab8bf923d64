// Processors: of the affinity mask, and what quotas of control groups leave of them.
#include "Processors.h"

#include "llmc/Runtime/llmcrt.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <sched.h>
#include <thread>

namespace {

/// A made-up /sys/fs/cgroup and /proc/self/cgroup.
class Quota : public ::testing::Test {
protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "llmc-quota-XXXXXX").string();
    ASSERT_TRUE(mkdtemp(name.data()));
    root = name;
  }
  void TearDown() override { std::filesystem::remove_all(root); }
  void write(const std::string &file, const std::string &text) {
    std::filesystem::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  }
  int32_t quotaOf(const std::string &membership) {
    write("membership", membership);
    return llmcrt_quota((root / "membership").c_str(), (root / "cgroup").c_str());
  }
  std::filesystem::path root;
};

TEST_F(Quota, OfOneGroup) {
  write("cgroup/cpu.max", "200000 100000\n");
  EXPECT_EQ(quotaOf("0::/\n"), 2);
  write("cgroup/cpu.max", "150000 100000\n");
  EXPECT_EQ(quotaOf("0::/\n"), 2);
  write("cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(quotaOf("0::/\n"), 1);
  write("cgroup/cpu.max", "max 100000\n");
  EXPECT_EQ(quotaOf("0::/\n"), LLMCRT_MAX_THREADS);
}

TEST_F(Quota, OfTheGroupsAround) {
  write("cgroup/system.slice/cpu.max", "300000 100000\n");
  write("cgroup/system.slice/one/cpu.max", "max 100000\n");
  write("cgroup/system.slice/two/cpu.max", "100000 100000\n");
  EXPECT_EQ(quotaOf("0::/system.slice/one\n"), 3);
  EXPECT_EQ(quotaOf("0::/system.slice/two\n"), 1);
}

TEST_F(Quota, OfAContainerThatSeesItsHostsPath) {
  write("cgroup/cpu,cpuacct/cpu.cfs_quota_us", "400000\n");
  write("cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  write("cgroup/memory/cpu.cfs_quota_us", "100000\n");
  write("cgroup/memory/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quotaOf("9:memory:/docker/1f\n4:cpu,cpuacct:/docker/1f\n0::/docker/1f\n"), 4);
}

TEST_F(Quota, NoneWithoutOne) {
  EXPECT_EQ(quotaOf(""), LLMCRT_MAX_THREADS);
  EXPECT_EQ(quotaOf("0::/\nnonsense\n1:2\n"), LLMCRT_MAX_THREADS);
  EXPECT_EQ(llmcrt_quota((root / "none").c_str(), root.c_str()), LLMCRT_MAX_THREADS);
  write("cgroup/cpu/cpu.cfs_quota_us", "-1\n");
  write("cgroup/cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quotaOf("1:cpu:/\n"), LLMCRT_MAX_THREADS);
  write("cgroup/cpu.max", "1 0\n");
  EXPECT_EQ(quotaOf("0::/\n"), LLMCRT_MAX_THREADS);
}

TEST(Processors, AreThoseOfTheAffinityMask) {
  EXPECT_GE(llmcrt_cpu_count(), 1);
  // On a thread of its own, whose mask nobody else has.
  int32_t counted = 0;
  std::thread([&] {
    cpu_set_t mask, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof mask, &mask), 0);
    int first = 0;
    while (!CPU_ISSET(first, &mask))
      ++first;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    counted = llmcrt_cpu_count();
  }).join();
  EXPECT_EQ(counted, 1);
}

} // namespace
