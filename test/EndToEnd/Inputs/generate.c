/* generate.c WEIGHTS THREADS: links a compiled model (prefix model) and prints 24 greedy ids behind
 * 1, 42, 7. WEIGHTS is a file, or - for weights in the object. */
#define _POSIX_C_SOURCE 200112L
#include "llmc/Runtime/llmcrt.h"
#include "model.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv) {
  char why[LLMCRT_ERROR] = "cannot start";
  llmcrt_weights weights = {0};
  llmc_threads threads;
  llmc_model model;
  llmc_state state, *states[] = {&state};
  uint64_t arena_bytes, kv_bytes;
  void *arena, *kv;
  float logits[MODEL_WIDTH];
  const int32_t prompt[] = {1, 42, 7};
  if (argc < 3 || model_check_cpu(why) || model_check_cpu(NULL) ||
      (strcmp(argv[1], "-") && llmcrt_weights_open(argv[1], &weights, why)))
    return fprintf(stderr, "%s\n", why), 2;
  llmcrt_pool *pool = llmcrt_pool_create(atoi(argv[2]), &threads);
  if (!pool || model_abi() != LLMC_ABI ||
      model_sizes(64, 16, threads.count, &arena_bytes, &kv_bytes) ||
      posix_memalign(&arena, 64, arena_bytes) || posix_memalign(&kv, 64, kv_bytes) ||
      model_init(&model, arena, weights.data, &threads) || model_state_init(&state, kv) ||
      model_prefill(&model, &state, prompt, 3, logits))
    return fprintf(stderr, "%s\n", why), 2;
  for (int i = 0; i < 24; ++i) {
    int32_t best = 0;
    for (int32_t v = 1; v < MODEL_VOCABULARY; ++v)
      best = logits[v] > logits[best] ? v : best;
    printf("%d%s", (int)best, i < 23 ? " " : "\n");
    if (model_decode(&model, states, &best, 1, logits))
      return fprintf(stderr, "cannot continue\n"), 2;
  }
  llmcrt_pool_destroy(pool);
  llmcrt_weights_close(&weights);
  return 0;
}
