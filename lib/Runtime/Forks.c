/* Counts forks by a handler that runs in each child, so that asking costs one load. A child made
 * past the C library (a bare clone) is not seen; it could not start threads either. */
#include "Forks.h"

#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int32_t watching;
static uint32_t forks;

/* The child has but this thread. */
static void countFork(void) { ++forks; }

static void watch(void) { watching = pthread_atfork(NULL, NULL, countFork) == 0; }

int32_t llmcrt_watch_forks(void) {
  pthread_once(&once, watch);
  return watching;
}

uint32_t llmcrt_forks(void) { return forks; }
