/* How this process came about, as threads do not come along. */
#ifndef LLMC_RUNTIME_FORKS_H
#define LLMC_RUNTIME_FORKS_H

#include <stdint.h>

/* Begins to count; 0 when the system has no memory for that. To be called before threads are
 * started that llmcrt_forks() is to tell the end of. */
int32_t llmcrt_watch_forks(void);

/* How many forks lie between the process that began to count and this one. A thread is there while
 * the number is what it was when the thread was started. */
uint32_t llmcrt_forks(void);

#endif /* LLMC_RUNTIME_FORKS_H */
