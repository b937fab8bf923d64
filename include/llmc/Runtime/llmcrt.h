/* libllmcrt: what a program needs beside a compiled model, in plain C99: threads, mapped weights, a
 * processor check.
 *
 * Linux only (futex). Links nothing but libc and pthreads, and never LLVM. The usual order, with
 * small.h generated:
 *
 *   char why[LLMCRT_ERROR];
 *   if (llmcrt_cpu_check(features, count, why)) ...            features of "target" in small.json
 *   llmcrt_weights weights;
 *   if (llmcrt_weights_open("small.safetensors", &weights, why)) ...
 *   llmcrt_weights_settle(&weights, NULL);                     huge pages; may be left out
 *   llmc_threads threads;
 *   llmcrt_pool *pool = llmcrt_pool_create(4, &threads);       NULL: no memory or no threads
 *   small_init(&model, arena, weights.data, &threads);
 *   ...
 *   llmcrt_pool_destroy(pool);
 *   llmcrt_weights_close(&weights);
 *
 * `why` may be NULL; otherwise it holds LLMCRT_ERROR bytes and receives one line without a newline.
 */
#ifndef LLMC_RUNTIME_LLMCRT_H
#define LLMC_RUNTIME_LLMCRT_H

#include "llmc/Runtime/llmc.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { LLMCRT_ERROR = 512 };

/* --- Threads --- */

typedef struct llmcrt_pool llmcrt_pool;

enum { LLMCRT_MAX_THREADS = 1024 };

/* Starts workers for `count` threads, the caller being index 0, and fills *threads, which stays
 * valid until destroy. There are at most as many as llmcrt_cpu_count() says, as more would wait for
 * each other; threads->count is how many, and what a model computes does not depend on it. 1 <=
 * count <= LLMCRT_MAX_THREADS. Returns NULL when an argument is wrong or the system gives no memory
 * or thread. A pool serves one parallel() at a time, from any thread; neither parallel() nor
 * barrier() allocates. In a child of fork the pool works too: its first parallel() there starts
 * threads of the child's own (fewer, down to the caller alone, where the system gives fewer). */
llmcrt_pool *llmcrt_pool_create(int32_t count, llmc_threads *threads);

/* The same with `count` threads on any machine: a model of 24 million weights runs about three
 * times slower with eight on two processors than with two. */
llmcrt_pool *llmcrt_pool_create_exactly(int32_t count, llmc_threads *threads);

/* Ends the workers. Not to be called inside parallel(). NULL is fine. */
void llmcrt_pool_destroy(llmcrt_pool *pool);

/* Processors this process may use, at least 1: those it may run on, or as many as the quota of its
 * control group pays for (containers), where that is less. */
int32_t llmcrt_cpu_count(void);

/* --- Weights --- */

/* A mapped .safetensors file: https://huggingface.co/docs/safetensors (8-byte little-endian header
 * size, JSON header, data section). */
typedef struct llmcrt_weights {
  const void *data; /* start of the data section, 64-byte aligned: what P_init takes */
  uint64_t bytes;   /* size of the data section */
  void *map;
  uint64_t map_bytes;
  void *mover; /* of llmcrt_weights_settle */
} llmcrt_weights;

/* Maps path read-only, after checking it whole: header of at most 100 MB, strict JSON, known
 * dtypes, shape and range of every tensor equal (no overflow), ranges that cover the data section
 * with neither overlap nor hole (padding is an entry of its own), no name twice, data section
 * 64-byte aligned (the header is padded with spaces). Returns 0, or 1 with *why filled and *weights
 * zeroed. */
int32_t llmcrt_weights_open(const char *path, llmcrt_weights *weights, char *why);
void llmcrt_weights_close(llmcrt_weights *weights);

/* Moves the weights into huge pages of this process's own, on a thread of its own and while they
 * are in use: data stays where it is and says the same. Decoding reads memory some percent faster
 * that way; the file's pages are then no longer shared with other processes. Returns 0 when that
 * began, or 1 with *why when there is nothing to gain or to have: weights of a few MB, a system
 * without transparent huge pages, or too little memory. Once for each open. */
int32_t llmcrt_weights_settle(llmcrt_weights *weights, char *why);
/* Waits until the weights have settled, or does nothing. A child of fork has what was moved before
 * and moves no more. */
void llmcrt_weights_wait(llmcrt_weights *weights);
/* Leaves what has not moved yet as it is. llmcrt_weights_close does this too. */
void llmcrt_weights_stop(llmcrt_weights *weights);

/* The same checks on a header in memory: `header` is the JSON text, data_bytes the size of what
 * follows it in the file. The alignment is not checked here. */
int32_t llmcrt_weights_check(const char *header, uint64_t header_bytes, uint64_t data_bytes,
                             char *why);

/* XXH64 with seed 0 (https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md): the artifact
 * states that of its data section. */
uint64_t llmcrt_hash(const void *data, uint64_t bytes);

/* --- Processor --- */

/* 1 when this machine (processor and operating system) has the feature, 0 when not, -1 when the
 * name is not known. Names are LLVM's ("avx2", "avx512vnni", "dotprod", "i8mm"); a leading '+' is
 * skipped. A leading '-' (feature not used), tuning flags and features that no generated code
 * relies on answer 1. For "amx-tile" and "amx-int8" this also asks Linux for the tile registers,
 * which a process must do once before it runs code that uses them. */
int32_t llmcrt_cpu_has(const char *feature);

/* 0 when the machine has all; otherwise 1, and *why names the first that is missing or unknown. To
 * be called before any code of a model runs. */
int32_t llmcrt_cpu_check(const char *const *features, int32_t count, char *why);

#ifdef __cplusplus
}
#endif

#endif /* LLMC_RUNTIME_LLMCRT_H */
