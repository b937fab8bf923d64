/* Links a compiled model (prefix model) and prints what P_check_cpu and P_init answer, and why;
 * needs no library. */
#include "model.h"
#include <stdio.h>

static union {
  char bytes[64];
  double aligned;
} memory[1 << 16];

int main(void) {
  char why[LLMC_WHY + 1] = "";
  uint64_t arena_bytes = 0, kv_bytes = 0;
  llmc_model model;
  char *arena = memory[0].bytes;
  why[LLMC_WHY] = '!';
  arena += (64 - (uintptr_t)arena % 64) % 64;
  const int32_t checked = model_check_cpu(why);
  const int32_t sized = model_sizes(MODEL_CONTEXT, MODEL_CHUNK, 1, &arena_bytes, &kv_bytes);
  const int32_t begun = model_init(&model, arena, arena, NULL);
  printf("%d %d %d %c %s\n", (int)checked, (int)sized, (int)begun, why[LLMC_WHY], why);
  return 0;
}
