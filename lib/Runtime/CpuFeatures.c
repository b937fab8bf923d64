/* Compares the features an artifact was compiled for, in LLVM's spelling, with the machine: cpuid
 * and xgetbv on x86, the auxiliary vector on AArch64. Bit numbers: Intel SDM volume 2A (CPUID), AMD
 * APM volume 3 appendix E, and the kernel's Documentation/arch/arm64/elf_hwcaps.rst. Tiles:
 * Documentation/arch/x86/xstate.rst. Both tables are there on every machine: the compiler writes
 * the same check into the code of either. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "llmc/Runtime/CpuFeatures.h"
#include "llmc/Runtime/llmcrt.h"

#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- Tables --- */

/* What the operating system must save for the registers to be usable: bits of XCR0. */
enum { NoState = 0, AvxState = 0x6, Avx512State = 0xe6, AmxState = LLMCRT_AMX_STATE };

/* Leaf of cpuid, subleaf, register from eax 0 to edx 3. */
#define L1C 1, 0, 2
#define L1D 1, 0, 3
#define L7B 7, 0, 1
#define L7C 7, 0, 2
#define L7D 7, 0, 3
#define L71A 7, 1, 0
#define L71D 7, 1, 3
#define X1C 0x80000001u, 0, 2

static const llmcrt_x86_feature x86Features[] = {
    {"sse3", L1C, 0, NoState},
    {"pclmul", L1C, 1, NoState},
    {"ssse3", L1C, 9, NoState},
    {"fma", L1C, 12, AvxState},
    {"cx16", L1C, 13, NoState},
    {"sse4.1", L1C, 19, NoState},
    {"sse4.2", L1C, 20, NoState},
    {"crc32", L1C, 20, NoState},
    {"movbe", L1C, 22, NoState},
    {"popcnt", L1C, 23, NoState},
    {"aes", L1C, 25, NoState},
    {"avx", L1C, 28, AvxState},
    {"f16c", L1C, 29, AvxState},
    {"x87", L1D, 0, NoState},
    {"cx8", L1D, 8, NoState},
    {"cmov", L1D, 15, NoState},
    {"mmx", L1D, 23, NoState},
    {"fxsr", L1D, 24, NoState},
    {"sse", L1D, 25, NoState},
    {"sse2", L1D, 26, NoState},
    {"bmi", L7B, 3, NoState},
    {"avx2", L7B, 5, AvxState},
    {"bmi2", L7B, 8, NoState},
    {"avx512f", L7B, 16, Avx512State},
    {"evex512", L7B, 16, Avx512State},
    {"avx512dq", L7B, 17, Avx512State},
    {"adx", L7B, 19, NoState},
    {"avx512ifma", L7B, 21, Avx512State},
    {"avx512cd", L7B, 28, Avx512State},
    {"sha", L7B, 29, NoState},
    {"avx512bw", L7B, 30, Avx512State},
    {"avx512vl", L7B, 31, Avx512State},
    {"avx512vbmi", L7C, 1, Avx512State},
    {"avx512vbmi2", L7C, 6, Avx512State},
    {"gfni", L7C, 8, NoState},
    {"vaes", L7C, 9, AvxState},
    {"vpclmulqdq", L7C, 10, AvxState},
    {"avx512vnni", L7C, 11, Avx512State},
    {"avx512bitalg", L7C, 12, Avx512State},
    {"avx512vpopcntdq", L7C, 14, Avx512State},
    {"avx512vp2intersect", L7D, 8, Avx512State},
    {"amx-bf16", L7D, 22, AmxState},
    {"avx512fp16", L7D, 23, Avx512State},
    {"amx-tile", L7D, 24, AmxState},
    {"amx-int8", L7D, 25, AmxState},
    {"sha512", L71A, 0, AvxState},
    {"sm3", L71A, 1, AvxState},
    {"sm4", L71A, 2, AvxState},
    {"avxvnni", L71A, 4, AvxState},
    {"avx512bf16", L71A, 5, Avx512State},
    {"cmpccxadd", L71A, 7, NoState},
    {"amx-fp16", L71A, 21, AmxState},
    {"avxifma", L71A, 23, AvxState},
    {"avxvnniint8", L71D, 4, AvxState},
    {"avxneconvert", L71D, 5, AvxState},
    {"amx-complex", L71D, 8, AmxState},
    {"avxvnniint16", L71D, 10, AvxState},
    {"sahf", X1C, 0, NoState},
    {"lzcnt", X1C, 5, NoState},
    {"sse4a", X1C, 6, NoState},
    {"xop", X1C, 11, AvxState},
    {"fma4", X1C, 16, AvxState},
    {"tbm", X1C, 21, NoState},
};

#define BIT(n) (UINT64_C(1) << (n))

/* Bits of AT_HWCAP and AT_HWCAP2. */
static const llmcrt_aarch64_feature aarch64Features[] = {
    {"fp-armv8", BIT(0), 0},
    {"neon", BIT(1), 0},
    {"aes", BIT(3) | BIT(4), 0},
    {"sha2", BIT(5) | BIT(6), 0},
    {"crc", BIT(7), 0},
    {"lse", BIT(8), 0},
    {"fullfp16", BIT(9) | BIT(10), 0},
    {"rdm", BIT(12), 0},
    {"jsconv", BIT(13), 0},
    {"complxnum", BIT(14), 0},
    {"rcpc", BIT(15), 0},
    {"sha3", BIT(17) | BIT(21), 0},
    {"sm4", BIT(18) | BIT(19), 0},
    {"dotprod", BIT(20), 0},
    {"sve", BIT(22), 0},
    {"fp16fml", BIT(23), 0},
    {"lse2", BIT(25), 0},
    {"rcpc-immo", BIT(26), 0},
    {"flagm", BIT(27), 0},
    {"pauth", BIT(30) | BIT(31), 0},
    {"sve2", 0, BIT(1)},
    {"sve2-aes", 0, BIT(2) | BIT(3)},
    {"sve-aes", 0, BIT(2) | BIT(3)},
    {"sve2-bitperm", 0, BIT(4)},
    {"sve-bitperm", 0, BIT(4)},
    {"sve2-sha3", 0, BIT(5)},
    {"sve-sha3", 0, BIT(5)},
    {"sve2-sm4", 0, BIT(6)},
    {"sve-sm4", 0, BIT(6)},
    {"altnzcv", 0, BIT(7)},
    {"fptoint", 0, BIT(8)},
    {"f32mm", 0, BIT(10)},
    {"f64mm", 0, BIT(11)},
    {"i8mm", 0, BIT(13)},
    {"bf16", 0, BIT(14)},
    {"sme", 0, BIT(23)},
    {"sme-i16i64", 0, BIT(24)},
    {"sme-f64f64", 0, BIT(25)},
    {"sme-fa64", 0, BIT(30)},
    {"cssc", 0, BIT(34)},
    {"sve2p1", 0, BIT(36)},
    {"sme2", 0, BIT(37)},
    {"sme2p1", 0, BIT(38)},
    {"mops", 0, BIT(43)},
};

const llmcrt_x86_feature *llmcrt_find_x86_feature(const char *name) {
  for (size_t i = 0; i < COUNT(x86Features); ++i)
    if (strcmp(name, x86Features[i].name) == 0)
      return &x86Features[i];
  return NULL;
}

const llmcrt_aarch64_feature *llmcrt_find_aarch64_feature(const char *name) {
  for (size_t i = 0; i < COUNT(aarch64Features); ++i)
    if (strcmp(name, aarch64Features[i].name) == 0)
      return &aarch64Features[i];
  return NULL;
}

/* --- This machine --- */

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Instructions that only an intrinsic or the operating system brings in, and hints; a virtual
 * machine often hides them. */
static const char *const ignored[] = {
    "64bit",
    "64bit-mode",
    "allow-light-256-bit",
    "branch-hint",
    "branchfusion",
    "cldemote",
    "clflushopt",
    "clwb",
    "clzero",
    "enqcmd",
    "ermsb",
    "fsgsbase",
    "fsrm",
    "hreset",
    "invpcid",
    "kl",
    "lwp",
    "macrofusion",
    "movdir64b",
    "movdiri",
    "mwaitx",
    "nopl",
    "pconfig",
    "pku",
    "prefetchi",
    "prfchw",
    "ptwrite",
    "rdpid",
    "rdpru",
    "rdrnd",
    "rdseed",
    "rtm",
    "sbb-dep-breaking",
    "serialize",
    "sgx",
    "shstk",
    "tagged-globals",
    "tsxldtrk",
    "uintr",
    "usermsr",
    "vzeroupper",
    "waitpkg",
    "wbnoinvd",
    "widekl",
    "xsave",
    "xsavec",
    "xsaveopt",
    "xsaves",
};
static const char *const ignoredPrefixes[] = {
    "fast-",   "faster-", "slow-",      "tuning-",     "prefer-",    "false-deps-",
    "idivl-",  "idivq-",  "no-bypass-", "lea-",        "pad-short-", "use-",
    "harden-", "lvi-",    "retpoline",  "inline-asm-",
};

/* Linux gives a process tile registers when it asks, until then their instructions trap; asking
 * again is harmless. All threads of the process have them then, older ones too. */
static int32_t linuxGrantsTiles(void) {
  enum { RequestPermission = 0x1023, TileData = 18 };
  return syscall(SYS_arch_prctl, RequestPermission, TileData) == 0;
}

/* What the system saves of the registers: XCR0, 0 when it may not be read. */
static uint32_t savedState(void) {
  uint32_t a = 0, b = 0, c = 0, d = 0, low, high;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27))) /* OSXSAVE */
    return 0;
  __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

/* 1, 0, or -1 for a name that is in no table. */
static int32_t machineHas(const char *name) {
  const llmcrt_x86_feature *feature = llmcrt_find_x86_feature(name);
  uint32_t words[4] = {0};
  if (!feature)
    return -1;
  if (feature->subleaf > 0) {
    /* Subleaf 0 names the last one. */
    if (!__get_cpuid_count(feature->leaf, 0, &words[0], &words[1], &words[2], &words[3]) ||
        words[0] < feature->subleaf)
      return 0;
  }
  if (!__get_cpuid_count(feature->leaf, feature->subleaf, &words[0], &words[1], &words[2],
                         &words[3]))
    return 0;
  return (words[feature->reg] >> feature->bit & 1) &&
         (savedState() & feature->state) == feature->state &&
         (feature->state != AmxState || linuxGrantsTiles());
}

#elif defined(__aarch64__)
#include <sys/auxv.h>

/* Privileged or hint instructions, and tuning. The versions stand for features that LLVM lists one
 * by one as well. */
static const char *const ignored[] = {
    "CONTEXTIDREL2",
    "am",
    "amvs",
    "aggressive-fma",
    "arith-bcc-fusion",
    "arith-cbz-fusion",
    "balance-fp-ops",
    "brbe",
    "bti",
    "ccdp",
    "ccidx",
    "ccpp",
    "chk",
    "clrbhb",
    "cmp-bcc-fusion",
    "dit",
    "ecv",
    "el2vmsa",
    "el3",
    "enable-select-opt",
    "ete",
    "fgt",
    "fpac",
    "hbc",
    "hcx",
    "lor",
    "mec",
    "mpam",
    "mpamv2",
    "mte",
    "nmi",
    "nv",
    "outline-atomics",
    "pan",
    "pan-rwv",
    "perfmon",
    "predictable-select-expensive",
    "predres",
    "rand",
    "ras",
    "rasv2",
    "rme",
    "sb",
    "sel2",
    "spe",
    "spe-eef",
    "specres2",
    "specrestrict",
    "ssbs",
    "store-pair-suppress",
    "tagged-globals",
    "tlb-rmi",
    "tracev8.4",
    "trbe",
    "uaops",
    "vh",
    "wfxt",
    "xs",
};
static const char *const ignoredPrefixes[] = {
    "v8",       "v9",  "fuse-",           "zcm-",     "zcz-",    "slow-",    "use-",
    "disable-", "no-", "addr-lsl-",       "alu-lsl-", "cortex-", "neoverse", "a5",
    "a6",       "a7",  "max-interleave-", "harden-",  "avoid-",
};

static int32_t machineHas(const char *name) {
  const llmcrt_aarch64_feature *feature = llmcrt_find_aarch64_feature(name);
  const uint64_t low = getauxval(AT_HWCAP), high = getauxval(AT_HWCAP2);
  if (!feature)
    return -1;
  return (low & feature->low) == feature->low && (high & feature->high) == feature->high;
}

#else
static const char *const ignored[] = {""};
static const char *const ignoredPrefixes[] = {"\n"};
static int32_t machineHas(const char *name) { return name != NULL ? -1 : 0; }
#endif

int32_t llmcrt_cpu_has(const char *name) {
  if (!name)
    return -1;
  if (name[0] == '-')
    return 1;
  if (name[0] == '+')
    ++name;
  const int32_t known = machineHas(name);
  if (known >= 0)
    return known;
  for (size_t i = 0; i < COUNT(ignored); ++i)
    if (strcmp(name, ignored[i]) == 0)
      return 1;
  for (size_t i = 0; i < COUNT(ignoredPrefixes); ++i)
    if (strncmp(name, ignoredPrefixes[i], strlen(ignoredPrefixes[i])) == 0)
      return 1;
  return -1;
}

int32_t llmcrt_cpu_check(const char *const *names, int32_t count, char *why) {
  for (int32_t i = 0; i < count; ++i) {
    const int32_t has = llmcrt_cpu_has(names[i]);
    if (has == 1)
      continue;
    if (why && names[i])
      snprintf(why, LLMCRT_ERROR,
               has == 0 ? "this machine lacks the processor feature '%.64s'"
                        : "unknown processor feature '%.64s'",
               names[i]);
    else if (why)
      snprintf(why, LLMCRT_ERROR, "the name of processor feature %d is NULL", (int)i);
    return 1;
  }
  return 0;
}
