// The pool: every index runs once, the barrier separates stages, also with far more threads than
// processors.
#include "llmc/Runtime/llmcrt.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <gtest/gtest.h>
#include <memory>
#include <numeric>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace {

struct PoolDestroy {
  void operator()(llmcrt_pool *pool) const { llmcrt_pool_destroy(pool); }
};

class ThreadPoolTest : public ::testing::TestWithParam<int32_t> {
protected:
  void SetUp() override {
    pool.reset(llmcrt_pool_create_exactly(GetParam(), &threads));
    ASSERT_TRUE(pool);
    ASSERT_EQ(threads.count, GetParam());
  }
  llmc_threads threads = {};
  std::unique_ptr<llmcrt_pool, PoolDestroy> pool;
};

/// Neighbours are averaged stage after stage: a stage that begins early reads values that are not
/// there yet.
struct Smoothing {
  const llmc_threads *threads;
  int stages;
  std::vector<int64_t> now, next;
};

void smooth(void *argument, int32_t index, int32_t count) {
  auto &work = *static_cast<Smoothing *>(argument);
  const int64_t n = static_cast<int64_t>(work.now.size());
  std::vector<int64_t> *from = &work.now, *to = &work.next;
  for (int stage = 0; stage < work.stages; ++stage, std::swap(from, to)) {
    for (int64_t i = index; i < n; i += count)
      (*to)[i] = ((*from)[(i + n - 1) % n] * 3 + (*from)[(i + 1) % n] + stage) & 0xffffff;
    if (count > 1)
      work.threads->barrier(work.threads->context, index);
  }
}

std::vector<int64_t> smoothed(const llmc_threads *threads, int calls, int stages) {
  Smoothing work = {threads, stages, std::vector<int64_t>(61), std::vector<int64_t>(61)};
  std::iota(work.now.begin(), work.now.end(), 1);
  for (int call = 0; call < calls; ++call) {
    if (threads)
      threads->parallel(threads->context, smooth, &work);
    else
      smooth(&work, 0, 1);
  }
  return work.now;
}

TEST_P(ThreadPoolTest, RunsEveryIndexOnce) {
  struct Counts {
    std::vector<std::atomic<int>> runs;
    std::atomic<int> wrongCount{0};
  } counts{std::vector<std::atomic<int>>(GetParam())};
  const auto body = [](void *argument, int32_t index, int32_t count) {
    auto &all = *static_cast<Counts *>(argument);
    ++all.runs.at(index);
    all.wrongCount += count != static_cast<int32_t>(all.runs.size());
  };
  for (int i = 0; i < 1000; ++i)
    threads.parallel(threads.context, body, &counts);
  for (const auto &runs : counts.runs)
    EXPECT_EQ(runs, 1000);
  EXPECT_EQ(counts.wrongCount, 0);
}

TEST_P(ThreadPoolTest, BarrierSeparatesStages) {
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(smoothed(&threads, 50, 100), smoothed(nullptr, 50, 100));
  // 5000 barriers; what must not happen is a thread that spins out its time slice at each.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(60));
}

TEST_P(ThreadPoolTest, WakesSleepers) {
  for (int i = 0; i < 20; ++i) {
    const struct timespec pause = {0, 1000000};
    nanosleep(&pause, nullptr);
    EXPECT_EQ(smoothed(&threads, 1, 4), smoothed(nullptr, 1, 4));
  }
}

/// Exit code of a child that runs `body`; 99 when it hangs for 60 seconds.
int exitOfChild(const std::function<int()> &body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    _exit(body());
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 99;
}

int32_t threadsOfProcess() {
  int32_t count = 0;
  for (const auto &task : std::filesystem::directory_iterator("/proc/self/task"))
    count += task.exists();
  return count;
}

TEST_P(ThreadPoolTest, WorksInChildrenOfFork) {
  const auto expected = smoothed(nullptr, 5, 20);
  const auto works = [&] { return smoothed(&threads, 5, 20) == expected; };
  const int32_t others = threadsOfProcess() - (GetParam() - 1);
  for (const bool worked : {false, true}) {
    // Before its first dispatch and behind some: the child begins where the parent never was.
    if (worked)
      EXPECT_TRUE(works());
    EXPECT_EQ(exitOfChild([&] {
                const int32_t before = threadsOfProcess();
                if (!works() || !works() || threadsOfProcess() != before + GetParam() - 1)
                  return 1;
                // A grandchild too, and a pool can be ended that has no threads here.
                if (exitOfChild([&] { return works() ? 0 : 1; }))
                  return 2;
                if (exitOfChild([&] {
                      pool.reset();
                      return 0;
                    }))
                  return 3;
                pool.reset();
                return threadsOfProcess() == before ? 0 : 4;
              }),
              0);
    EXPECT_TRUE(works());
  }
  EXPECT_EQ(threadsOfProcess() - (GetParam() - 1), others);
}

TEST_P(ThreadPoolTest, WorksInAChildForkedInTheMiddleOfADispatch) {
  std::atomic<bool> stop{false};
  const auto expected = smoothed(nullptr, 5, 20);
  std::thread busy([&] {
    while (!stop)
      smoothed(&threads, 1, 20);
  });
  for (int i = 0; i < 20; ++i)
    EXPECT_EQ(exitOfChild([&] { return smoothed(&threads, 5, 20) == expected ? 0 : 1; }), 0);
  stop = true;
  busy.join();
  EXPECT_EQ(smoothed(&threads, 5, 20), expected);
}

INSTANTIATE_TEST_SUITE_P(Counts, ThreadPoolTest, ::testing::Values(1, 2, 3, 8));

TEST(ThreadPool, RefusesWrongArguments) {
  llmc_threads threads;
  EXPECT_FALSE(llmcrt_pool_create(0, &threads));
  EXPECT_FALSE(llmcrt_pool_create(-1, &threads));
  EXPECT_FALSE(llmcrt_pool_create(LLMCRT_MAX_THREADS + 1, &threads));
  EXPECT_FALSE(llmcrt_pool_create_exactly(LLMCRT_MAX_THREADS + 1, &threads));
  EXPECT_FALSE(llmcrt_pool_create(2, nullptr));
  llmcrt_pool_destroy(nullptr);
}

TEST(ThreadPool, EndsWithoutHavingWorked) {
  for (int i = 0; i < 100; ++i) {
    llmc_threads threads;
    llmcrt_pool *pool = llmcrt_pool_create_exactly(4, &threads);
    ASSERT_TRUE(pool);
    llmcrt_pool_destroy(pool);
  }
}

TEST(ThreadPool, HasAtMostAsManyThreadsAsProcessors) {
  llmc_threads threads;
  std::unique_ptr<llmcrt_pool, PoolDestroy> pool(llmcrt_pool_create(LLMCRT_MAX_THREADS, &threads));
  ASSERT_TRUE(pool);
  EXPECT_EQ(threads.count, std::min<int32_t>(llmcrt_cpu_count(), LLMCRT_MAX_THREADS));
  EXPECT_EQ(smoothed(&threads, 5, 10), smoothed(nullptr, 5, 10));
}

TEST(ThreadPool, WorksAloneInAChildThatGetsNoThreads) {
#if defined(__has_feature) && __has_feature(address_sanitizer)
  GTEST_SKIP() << "the address sanitizer ends a process without address space";
#endif
  llmc_threads threads;
  std::unique_ptr<llmcrt_pool, PoolDestroy> pool(llmcrt_pool_create_exactly(4, &threads));
  ASSERT_TRUE(pool);
  const auto expected = smoothed(nullptr, 5, 20);
  EXPECT_EQ(exitOfChild([&] {
              Smoothing work = {&threads, 20, std::vector<int64_t>(61), std::vector<int64_t>(61)};
              std::iota(work.now.begin(), work.now.end(), 1);
              const struct rlimit none = {0, RLIM_INFINITY}; // No address space for a stack.
              if (setrlimit(RLIMIT_AS, &none))
                return 1;
              // Others take the stacks that the parent's threads left.
              pthread_t other;
              int32_t before = 1;
              while (pthread_create(
                         &other, nullptr, [](void *) -> void * { return pause(), nullptr; },
                         nullptr) == 0)
                ++before;
              for (int call = 0; call < 5; ++call)
                threads.parallel(threads.context, smooth, &work);
              const struct rlimit all = {RLIM_INFINITY, RLIM_INFINITY};
              if (setrlimit(RLIMIT_AS, &all) || work.now != expected)
                return 2;
              return threadsOfProcess() == before ? 0 : 3;
            }),
            0);
}

} // namespace
