/* A pool of threads with a barrier, for stages that are tens of microseconds apart: waiting spins
 * for a bounded time and then sleeps in a futex. A thread learns how long to spin: a little longer
 * each time that was enough, and but shortly once it was not, as then the processors are wanted by
 * others, and who spins is given less of them. With more threads than processors, whom a waiting
 * thread waits for may want its processor, so it gives that away instead of spinning. All state is
 * made at creation; dispatch and barrier only touch it. A child of fork has the state and none of
 * the threads: its first dispatch begins with fresh state and threads of its own. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "Forks.h"

#include "llmc/Runtime/llmcrt.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { CacheLine = 64, SpinBatch = 32, Yields = 64 };
enum { LeastSpin = 20000, MoreSpin = 20000, MostSpin = 300000 }; /* nanoseconds */

/* Something that happens again and again: waiters know the epoch they saw, the raiser advances it.
 */
typedef struct {
  uint32_t epoch;
  uint32_t sleepers;
} __attribute__((aligned(CacheLine))) Event;

/* One thread of the pool; the first is the caller's. */
typedef struct {
  struct llmcrt_pool *pool;
  int32_t index;
  pthread_t thread;
  int64_t spin; /* how long to wait before sleeping, in nanoseconds */
} __attribute__((aligned(CacheLine))) Worker;

struct llmcrt_pool {
  Event start;
  Event done;
  Event passed; /* the barrier's */
  uint32_t running __attribute__((aligned(CacheLine)));
  uint32_t arrived __attribute__((aligned(CacheLine)));
  int32_t count __attribute__((aligned(CacheLine))); /* with the caller's */
  int32_t crowded;                                   /* more threads than processors */
  int32_t stop;
  uint32_t forks; /* how many lay behind the process when it started the threads */
  void (*body)(void *argument, int32_t index, int32_t count);
  void *argument;
  Worker *workers;
};

static void relax(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__(
      "isb" ::
          : "memory"); /* "yield" is a no-op on most cores and spins far too fast */
#else
  __asm__ __volatile__("" ::: "memory");
#endif
}

static int64_t nanoseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* The sleeper announces itself before the kernel compares the epoch, the raiser advances the epoch
 * before it looks for sleepers (all sequentially consistent): one of the two sees the other, so no
 * wake-up is lost. */
static void raiseEvent(Event *event) {
  __atomic_add_fetch(&event->epoch, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&event->sleepers, __ATOMIC_SEQ_CST))
    syscall(SYS_futex, &event->epoch, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* True when the event came within so many looks at it, with `pause` behind each. */
static inline int32_t lookFor(const Event *event, uint32_t seen, int32_t looks,
                              void (*pause)(void)) {
  for (int32_t i = 0; i < looks; ++i) {
    if (__atomic_load_n(&event->epoch, __ATOMIC_ACQUIRE) != seen)
      return 1;
    pause();
  }
  return 0;
}

static int32_t spinBatch(const Event *event, uint32_t seen) {
  return lookFor(event, seen, SpinBatch, relax);
}

/* True when the event came while spinning. The clock is read behind the first batch: most waits are
 * over by then. */
static int32_t spinFor(const Event *event, uint32_t seen, int64_t *spin) {
  if (spinBatch(event, seen))
    return 1;
  const int64_t begin = nanoseconds();
  do {
    if (spinBatch(event, seen)) {
      *spin = *spin < MostSpin ? *spin + MoreSpin : MostSpin;
      return 1;
    }
  } while (nanoseconds() - begin < *spin);
  *spin = LeastSpin;
  return 0;
}

static void giveWay(void) { sched_yield(); }

/* The same by giving the processor to others, which costs less than a sleep and a wake-up. */
static int32_t yieldFor(const Event *event, uint32_t seen) {
  return lookFor(event, seen, Yields, giveWay);
}

static void awaitEvent(Event *event, uint32_t seen, Worker *self) {
  if (self->pool->crowded ? yieldFor(event, seen) : spinFor(event, seen, &self->spin))
    return;
  __atomic_add_fetch(&event->sleepers, 1, __ATOMIC_SEQ_CST);
  while (__atomic_load_n(&event->epoch, __ATOMIC_SEQ_CST) == seen)
    syscall(SYS_futex, &event->epoch, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
  __atomic_sub_fetch(&event->sleepers, 1, __ATOMIC_SEQ_CST);
}

static void *work(void *opaque) {
  Worker *worker = opaque;
  llmcrt_pool *pool = worker->pool;
  for (uint32_t seen = 0;; ++seen) {
    awaitEvent(&pool->start, seen, worker);
    if (__atomic_load_n(&pool->stop, __ATOMIC_ACQUIRE))
      return NULL;
    pool->body(pool->argument, worker->index, pool->count);
    if (__atomic_sub_fetch(&pool->running, 1, __ATOMIC_ACQ_REL) == 0)
      raiseEvent(&pool->done);
  }
}

/* Starts the workers 1 to wanted - 1 over fresh state; the pool then has as many threads as the
 * system gave. */
static void startWorkers(llmcrt_pool *pool, int32_t wanted) {
  pool->start = pool->done = pool->passed = (Event){0, 0};
  pool->running = pool->arrived = 0;
  pool->stop = 0;
  pool->forks = llmcrt_forks();
  /* Signals are the program's business: its own threads take them. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int32_t next = 1;
  for (; next < wanted; ++next) {
    Worker *worker = &pool->workers[next];
    worker->spin = LeastSpin;
    if (pthread_create(&worker->thread, NULL, work, worker))
      break;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  /* Workers read it behind the first start event. */
  pool->count = next;
}

static void parallel(void *context, void (*body)(void *, int32_t, int32_t), void *argument) {
  llmcrt_pool *pool = context;
  /* No thread of a parent lives on in its child; where the system gives the child fewer, fewer do
   * the work. */
  if (pool->count > 1 && pool->forks != llmcrt_forks())
    startWorkers(pool, pool->count);
  if (pool->count == 1) {
    body(argument, 0, 1);
    return;
  }
  const uint32_t seen = __atomic_load_n(&pool->done.epoch, __ATOMIC_ACQUIRE);
  pool->body = body;
  pool->argument = argument;
  __atomic_store_n(&pool->running, (uint32_t)(pool->count - 1), __ATOMIC_RELEASE);
  raiseEvent(&pool->start);
  body(argument, 0, pool->count);
  awaitEvent(&pool->done, seen, &pool->workers[0]);
}

static void barrier(void *context, int32_t index) {
  llmcrt_pool *pool = context;
  /* Cannot advance before this thread arrives, so reading it first is safe. */
  const uint32_t seen = __atomic_load_n(&pool->passed.epoch, __ATOMIC_ACQUIRE);
  if (__atomic_add_fetch(&pool->arrived, 1, __ATOMIC_ACQ_REL) == (uint32_t)pool->count) {
    __atomic_store_n(&pool->arrived, 0, __ATOMIC_RELAXED);
    raiseEvent(&pool->passed);
    return;
  }
  awaitEvent(&pool->passed, seen, &pool->workers[index]);
}

llmcrt_pool *llmcrt_pool_create(int32_t count, llmc_threads *threads) {
  const int32_t processors = llmcrt_cpu_count();
  return llmcrt_pool_create_exactly(
      count > processors && count <= LLMCRT_MAX_THREADS ? processors : count, threads);
}

llmcrt_pool *llmcrt_pool_create_exactly(int32_t count, llmc_threads *threads) {
  if (count < 1 || count > LLMCRT_MAX_THREADS || !threads || !llmcrt_watch_forks())
    return NULL;
  void *memory = NULL;
  if (posix_memalign(&memory, CacheLine, sizeof(llmcrt_pool)))
    return NULL;
  llmcrt_pool *pool = memory;
  *pool = (llmcrt_pool){.count = count};
  pool->crowded = count > llmcrt_cpu_count();
  if (posix_memalign(&memory, CacheLine, (size_t)count * sizeof(Worker))) {
    free(pool);
    return NULL;
  }
  pool->workers = memory;
  for (int32_t i = 0; i < count; ++i)
    pool->workers[i] = (Worker){.pool = pool, .index = i, .spin = LeastSpin};
  startWorkers(pool, count);
  if (pool->count < count) {
    llmcrt_pool_destroy(pool);
    return NULL;
  }
  *threads = (llmc_threads){count, pool, parallel, barrier};
  return pool;
}

void llmcrt_pool_destroy(llmcrt_pool *pool) {
  if (!pool)
    return;
  if (pool->forks == llmcrt_forks()) {
    __atomic_store_n(&pool->stop, 1, __ATOMIC_RELEASE);
    raiseEvent(&pool->start);
    for (int32_t i = 1; i < pool->count; ++i)
      pthread_join(pool->workers[i].thread, NULL);
  }
  free(pool->workers);
  free(pool);
}
