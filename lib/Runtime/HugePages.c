/* Moves mapped weights into huge pages while they are read. Decoding walks through all weights for
 * each token; with pages of 4 KB each of them costs an entry of the processor's page cache, which
 * in a virtual machine is walked for in two tables. Few file systems have huge pages, so the bytes
 * are copied to memory that has, piece by piece, and each piece takes the place of its part of the
 * mapping: mremap changes both at once for every reader. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "Forks.h"

#include "llmc/Runtime/llmcrt.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HugePage = 2 << 20, LeastPages = 4, Niceness = 10 };

typedef struct {
  pthread_t thread;
  int stop;
  int joined;
  uint32_t forks; /* a child of fork has the pages that were moved, and no mover */
  char *mapped;   /* the first huge page that is whole, and how many */
  size_t pages;
} Mover;

static char *roundUp(char *address) {
  return address + (HugePage - (uintptr_t)address % HugePage) % HugePage;
}

static void *moveAll(void *argument) {
  Mover *mover = argument;
  /* What computes goes first. */
  setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), Niceness);
  const size_t bytes = mover->pages * HugePage;
  char *reserved = mmap(NULL, bytes + HugePage, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED)
    return NULL;
  char *end = reserved + bytes + HugePage, *from = roundUp(reserved);
  if (from > reserved)
    munmap(reserved, (size_t)(from - reserved));
  madvise(from, bytes, MADV_HUGEPAGE);
  /* What was moved may belong to others at once, so only the rest is given back. */
  for (char *to = mover->mapped; to < mover->mapped + bytes; from += HugePage, to += HugePage) {
    if (__atomic_load_n(&mover->stop, __ATOMIC_RELAXED))
      break;
    memcpy(from, to, HugePage);
    if (mprotect(from, HugePage, PROT_READ) ||
        mremap(from, HugePage, HugePage, MREMAP_MAYMOVE | MREMAP_FIXED, to) == MAP_FAILED)
      break;
  }
  if (from < end)
    munmap(from, (size_t)(end - from));
  return NULL;
}

/* The first line of `path` that begins with `start`, without it; NULL when there is none. */
static const char *findLine(const char *path, const char *start, char *line, int size) {
  FILE *file = fopen(path, "r");
  if (!file)
    return NULL;
  const char *found = NULL;
  while (!found && fgets(line, size, file))
    if (strncmp(line, start, strlen(start)) == 0)
      found = line + strlen(start);
  fclose(file);
  return found;
}

static int haveHugePages(void) {
  char line[256];
  const char *modes =
      findLine("/sys/kernel/mm/transparent_hugepage/enabled", "", line, sizeof(line));
  return modes && !strstr(modes, "[never]");
}

/* Memory that this process may still take: what the system says is available, and half of what its
 * control group may have, since the file's own pages count there too. */
static uint64_t availableBytes(void) {
  char line[4096], path[4200];
  const char *found = findLine("/proc/meminfo", "MemAvailable:", line, sizeof(line));
  uint64_t most = found ? strtoull(found, NULL, 10) * 1024 : 0;
  const char *group = findLine("/proc/self/cgroup", "0::", line, sizeof(line));
  while (group && *group == '/') {
    char limit[64];
    line[strcspn(line, "\n")] = 0;
    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.max", group);
    found = findLine(path, "", limit, sizeof(limit));
    if (found && *found >= '0' && *found <= '9') {
      const uint64_t half = strtoull(found, NULL, 10) / 2;
      most = half < most ? half : most;
    }
    char *up = strrchr(line, '/'); /* Limits of groups above hold too. */
    if (!up || up < group || !up[1])
      break;
    up[up == group] = 0;
  }
  return most;
}

int32_t llmcrt_weights_settle(llmcrt_weights *weights, char *why) {
  char unused[LLMCRT_ERROR];
  if (!why)
    why = unused;
  if (weights->mover || !weights->map) {
    snprintf(why, LLMCRT_ERROR, "expected weights that were just opened");
    return 1;
  }
  char *map = weights->map, *first = roundUp(map);
  const uint64_t skipped = (uint64_t)(first - map);
  const uint64_t pages =
      weights->map_bytes > skipped ? (weights->map_bytes - skipped) / HugePage : 0;
  if (pages < LeastPages) {
    snprintf(why, LLMCRT_ERROR, "%llu bytes of weights are too few to gain by huge pages",
             (unsigned long long)weights->map_bytes);
    return 1;
  }
  if (!haveHugePages()) {
    snprintf(why, LLMCRT_ERROR, "the system has no transparent huge pages");
    return 1;
  }
  if (availableBytes() < weights->map_bytes + weights->map_bytes / 4) {
    snprintf(why, LLMCRT_ERROR, "too little memory is free for %llu bytes of weights of its own",
             (unsigned long long)weights->map_bytes);
    return 1;
  }
  Mover *mover = calloc(1, sizeof(Mover));
  if (mover) {
    mover->mapped = first;
    mover->pages = (size_t)pages;
    mover->forks = llmcrt_forks();
  }
  if (!mover || !llmcrt_watch_forks() || pthread_create(&mover->thread, NULL, moveAll, mover)) {
    free(mover);
    snprintf(why, LLMCRT_ERROR, "the system gives no thread");
    return 1;
  }
  weights->mover = mover;
  return 0;
}

void llmcrt_weights_wait(llmcrt_weights *weights) {
  Mover *mover = weights->mover;
  if (mover && !mover->joined) {
    if (mover->forks == llmcrt_forks())
      pthread_join(mover->thread, NULL);
    mover->joined = 1;
  }
}

void llmcrt_weights_stop(llmcrt_weights *weights) {
  Mover *mover = weights->mover;
  if (!mover)
    return;
  __atomic_store_n(&mover->stop, 1, __ATOMIC_RELAXED);
  llmcrt_weights_wait(weights);
  free(mover);
  weights->mover = NULL;
}
