/* The processor features that can be checked, by LLVM's names: where cpuid shows one on x86, or
 * which bits of the auxiliary vector on AArch64. Behind llmcrt_cpu_has, and behind the check that
 * the compiler writes into every object. */
#ifndef LLMC_RUNTIME_CPUFEATURES_H
#define LLMC_RUNTIME_CPUFEATURES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bits of XCR0 for the tile registers, which a process has to ask Linux for as well. */
#define LLMCRT_AMX_STATE 0x60000u

typedef struct llmcrt_x86_feature {
  const char *name;
  uint32_t leaf; /* of cpuid */
  uint8_t subleaf;
  uint8_t reg; /* 0 eax, 1 ebx, 2 ecx, 3 edx */
  uint8_t bit;
  uint32_t state; /* bits of XCR0 that must all be set */
} llmcrt_x86_feature;

typedef struct llmcrt_aarch64_feature {
  const char *name;
  uint64_t low;  /* bits of AT_HWCAP that must all be set, */
  uint64_t high; /* and of AT_HWCAP2 */
} llmcrt_aarch64_feature;

/* The feature of that name, or NULL: no machine can be asked for it. Both answer on any machine. */
const llmcrt_x86_feature *llmcrt_find_x86_feature(const char *name);
const llmcrt_aarch64_feature *llmcrt_find_aarch64_feature(const char *name);

#ifdef __cplusplus
}
#endif

#endif /* LLMC_RUNTIME_CPUFEATURES_H */
