/* run_bodies.c WEIGHTS THREADS BATCH LENGTH BYTES... < INPUTS > OUTPUTS: links a compiled graph
 * (prefix bodies), gives it three inputs of BATCH x LENGTH 64-bit integers each, and writes its
 * outputs, which have so many bytes, one behind the other. */
#define _POSIX_C_SOURCE 200112L
#include "bodies.h"
#include "llmc/Runtime/llmcrt.h"
#include <stdio.h>
#include <stdlib.h>

enum { kInputs = 3, kMostOutputs = 32 };

int main(int argc, char **argv) {
  char why[LLMCRT_ERROR] = "cannot start";
  llmcrt_weights weights = {0};
  llmc_threads threads;
  llmc_model model;
  llmc_tensor inputs[kInputs] = {{0}}, outputs[kMostOutputs] = {{0}};
  uint64_t arena_bytes, kv_bytes;
  void *arena;
  if (argc < 6 || argc - 5 > kMostOutputs || bodies_check_cpu(why) ||
      llmcrt_weights_open(argv[1], &weights, why))
    return fprintf(stderr, "%s\n", why), 2;
  llmcrt_pool *pool = llmcrt_pool_create(atoi(argv[2]), &threads);
  const int64_t batch = atoll(argv[3]), length = atoll(argv[4]);
  if (!pool || bodies_sizes(0, 0, threads.count, &arena_bytes, &kv_bytes) ||
      posix_memalign(&arena, 64, arena_bytes) || bodies_init(&model, arena, weights.data, &threads))
    return fprintf(stderr, "%s\n", why), 2;
  for (int i = 0; i < kInputs; ++i) {
    inputs[i].type = LLMC_I64;
    inputs[i].rank = 2;
    inputs[i].shape[0] = batch;
    inputs[i].shape[1] = length;
    inputs[i].bytes = (uint64_t)(batch * length) * 8;
    if (posix_memalign(&inputs[i].data, 64, inputs[i].bytes) ||
        fread(inputs[i].data, inputs[i].bytes, 1, stdin) != 1)
      return fprintf(stderr, "cannot read input %d\n", i), 2;
  }
  for (int i = 5; i < argc; ++i) {
    outputs[i - 5].bytes = strtoull(argv[i], NULL, 10);
    if (posix_memalign(&outputs[i - 5].data, 64, outputs[i - 5].bytes))
      return 2;
  }
  const int code = bodies_run(&model, inputs, outputs);
  if (code)
    return fprintf(stderr, "run: %d\n", code), 2;
  for (int i = 0; i < argc - 5; ++i)
    fwrite(outputs[i].data, outputs[i].bytes, 1, stdout);
  llmcrt_pool_destroy(pool);
  llmcrt_weights_close(&weights);
  return 0;
}
