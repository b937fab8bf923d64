/* embed.c WEIGHTS THREADS FEATURE...: a C99 program with a model in it; prints 32 greedy ids. */
#define _POSIX_C_SOURCE 200112L
#include "llmc/Runtime/llmcrt.h"
#include <stdio.h>
#include <stdlib.h>

int32_t toy_sizes(int64_t context, int64_t chunk, int32_t threads, uint64_t *arena, uint64_t *kv);
int32_t toy_init(llmc_model *, void *arena, const void *weights, const llmc_threads *threads);
int32_t toy_state_init(llmc_state *, void *kv);
int32_t toy_prefill(llmc_model *, llmc_state *, const int32_t *ids, int64_t n, float *logits);
int32_t toy_decode(llmc_model *, llmc_state *const[], const int32_t[], int64_t n, float *logits);

static int fail(const char *why) {
  fprintf(stderr, "%s\n", why);
  return 2;
}

int main(int argc, char **argv) {
  char why[LLMCRT_ERROR];
  llmcrt_weights weights;
  llmc_threads threads;
  llmc_model model;
  llmc_state state, *states[] = {&state};
  uint64_t arena_bytes, kv_bytes;
  void *arena, *kv;
  float logits[50];
  const int32_t prompt[] = {1, 42, 7};
  if (llmcrt_cpu_check((const char *const *)argv + 3, argc - 3, why))
    return fail(why);
  if (llmcrt_weights_open(argv[1], &weights, why))
    return fail(why);
  llmcrt_pool *pool = llmcrt_pool_create(atoi(argv[2]), &threads);
  if (!pool || toy_sizes(64, 8, threads.count, &arena_bytes, &kv_bytes) ||
      posix_memalign(&arena, 64, arena_bytes) || posix_memalign(&kv, 64, kv_bytes) ||
      toy_init(&model, arena, weights.data, &threads) || toy_state_init(&state, kv) ||
      toy_prefill(&model, &state, prompt, 3, logits))
    return fail("cannot start");
  for (int i = 0; i < 32; ++i) {
    int32_t best = 0;
    for (int32_t v = 1; v < 50; ++v)
      best = logits[v] > logits[best] ? v : best;
    printf("%d%s", (int)best, i < 31 ? " " : "\n");
    if (toy_decode(&model, states, &best, 1, logits))
      return fail("cannot continue");
  }
  llmcrt_pool_destroy(pool);
  llmcrt_weights_close(&weights);
  free(arena);
  free(kv);
  return 0;
}
