//===- MachineLoops.cpp - the inner loops that show what a core can do ------------------===//
//
// Values pass through empty assembly so that the compiler neither folds nor hoists anything; what
// remains is one instruction for each written operation (see the disassembly).
//
#include "MachineLoops.h"

#include "llmc/Runtime/llmcrt.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

using namespace llmc::bench;

// Pieces of `streams` equal parts in turn.
template <typename Read>
static inline __attribute__((always_inline)) void
forEachPiece(const char *data, size_t bytes, int streams, size_t piece, Read read) {
  const size_t part = bytes / static_cast<size_t>(streams);
  for (size_t at = 0; at < part; at += piece)
    for (size_t start = 0; start < bytes; start += part)
      read(data + start + at);
}

#if defined(__x86_64__)

#define OPAQUE(value) __asm__ __volatile__("" : "+x"(value))
#define OPAQUE512(value) __asm__ __volatile__("" : "+v"(value))

namespace {

constexpr int kSteps = 8; ///< Operations of each chain in one iteration.

// --- AVX2 ------------------------------------------------------------------------------

__attribute__((target("avx2"))) uint64_t readAvx2(const char *data, size_t bytes, int streams) {
  __m256i sums[8] = {};
  forEachPiece(data, bytes, streams, sizeof(sums),
               [&](const char *at) __attribute__((target("avx2"))) {
                 for (int i = 0; i < 8; ++i)
                   sums[i] = _mm256_xor_si256(
                       sums[i], _mm256_load_si256(reinterpret_cast<const __m256i *>(at) + i));
               });
  for (int i = 1; i < 8; ++i)
    sums[0] = _mm256_xor_si256(sums[0], sums[i]);
  return static_cast<uint64_t>(_mm256_extract_epi64(sums[0], 0));
}

__attribute__((target("avx2,fma"))) double fmaAvx2(int64_t iterations) {
  constexpr int chains = 10;
  __m256 sums[chains] = {}, a = _mm256_set1_ps(1.0f), b = _mm256_set1_ps(1e-9f);
  for (int64_t i = 0; i < iterations; ++i)
    for (int step = 0; step < kSteps; ++step) {
      OPAQUE(a);
      for (__m256 &sum : sums)
        sum = _mm256_fmadd_ps(a, b, sum);
    }
  for (__m256 &sum : sums)
    OPAQUE(sum);
  return 2.0 * 8 * chains * kSteps * static_cast<double>(iterations);
}

__attribute__((target("avx2"))) double dotAvx2(int64_t iterations) {
  constexpr int chains = 8;
  __m256i sums[chains] = {}, a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  __m256i ones = _mm256_set1_epi16(1);
  OPAQUE(ones);
  for (int64_t i = 0; i < iterations; ++i)
    for (int step = 0; step < kSteps; ++step)
      for (__m256i &sum : sums) {
        OPAQUE(a);
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), ones));
      }
  for (__m256i &sum : sums)
    OPAQUE(sum);
  return 2.0 * 32 * chains * kSteps * static_cast<double>(iterations);
}

// 8 products of 15 * 127 * 2 still fit in 16 bits.
__attribute__((target("avx2"))) double narrowDotAvx2(int64_t iterations) {
  constexpr int chains = 4;
  __m256i sums[chains] = {}, a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  __m256i ones = _mm256_set1_epi16(1);
  OPAQUE(ones);
  for (int64_t i = 0; i < iterations; ++i) {
    __m256i narrow[chains] = {};
    for (int step = 0; step < kSteps; ++step)
      for (__m256i &sum : narrow) {
        OPAQUE(a);
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(a, b));
      }
    for (int chain = 0; chain < chains; ++chain)
      sums[chain] = _mm256_add_epi32(sums[chain], _mm256_madd_epi16(narrow[chain], ones));
  }
  for (__m256i &sum : sums)
    OPAQUE(sum);
  return 2.0 * 32 * chains * kSteps * static_cast<double>(iterations);
}

// --- AVX-VNNI, 256 bits ----------------------------------------------------------------

__attribute__((target("avx2,avxvnni"))) double dotAvxVnni(int64_t iterations) {
  constexpr int chains = 12;
  __m256i sums[chains] = {}, a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(5);
  for (int64_t i = 0; i < iterations; ++i)
    for (int step = 0; step < kSteps; ++step) {
      OPAQUE(a);
      for (__m256i &sum : sums)
        sum = _mm256_dpbusd_avx_epi32(sum, a, b);
    }
  for (__m256i &sum : sums)
    OPAQUE(sum);
  return 2.0 * 32 * chains * kSteps * static_cast<double>(iterations);
}

// --- AVX-512 ---------------------------------------------------------------------------

__attribute__((target("avx512f"))) uint64_t readAvx512(const char *data, size_t bytes,
                                                       int streams) {
  __m512i sums[8] = {};
  forEachPiece(data, bytes, streams, sizeof(sums),
               [&](const char *at) __attribute__((target("avx512f"))) {
                 for (int i = 0; i < 8; ++i)
                   sums[i] = _mm512_xor_si512(
                       sums[i], _mm512_load_si512(reinterpret_cast<const __m512i *>(at) + i));
               });
  for (int i = 1; i < 8; ++i)
    sums[0] = _mm512_xor_si512(sums[0], sums[i]);
  return static_cast<uint64_t>(_mm512_reduce_add_epi64(sums[0]));
}

__attribute__((target("avx512f"))) double fmaAvx512(int64_t iterations) {
  constexpr int chains = 16;
  __m512 sums[chains] = {}, a = _mm512_set1_ps(1.0f), b = _mm512_set1_ps(1e-9f);
  for (int64_t i = 0; i < iterations; ++i)
    for (int step = 0; step < kSteps; ++step) {
      OPAQUE512(a);
      for (__m512 &sum : sums)
        sum = _mm512_fmadd_ps(a, b, sum);
    }
  for (__m512 &sum : sums)
    OPAQUE512(sum);
  return 2.0 * 16 * chains * kSteps * static_cast<double>(iterations);
}

__attribute__((target("avx512f,avx512vnni"))) double dotAvx512(int64_t iterations) {
  constexpr int chains = 16;
  __m512i sums[chains] = {}, a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(5);
  for (int64_t i = 0; i < iterations; ++i)
    for (int step = 0; step < kSteps; ++step) {
      OPAQUE512(a);
      for (__m512i &sum : sums)
        sum = _mm512_dpbusd_epi32(sum, a, b);
    }
  for (__m512i &sum : sums)
    OPAQUE512(sum);
  return 2.0 * 64 * chains * kSteps * static_cast<double>(iterations);
}

// --- AMX -------------------------------------------------------------------------------

// Four tiles of sums, as in kernels: a product starts every 16 cycles and takes 52.
__attribute__((target("amx-tile,amx-int8"))) double dotAmx(int64_t iterations) {
  constexpr int tiles = 8, chains = 4;
  struct {
    uint8_t palette = 1, start = 0, reserved[14] = {};
    uint16_t bytes[16] = {};
    uint8_t rows[16] = {};
  } shapes;
  static_assert(sizeof(shapes) == 64);
  for (int tile = 0; tile < tiles; ++tile) {
    shapes.bytes[tile] = 64;
    shapes.rows[tile] = 16;
  }
  _tile_loadconfig(&shapes);
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  _tile_zero(4);
  _tile_zero(5);
  _tile_zero(6);
  _tile_zero(7);
  for (int64_t i = 0; i < iterations; ++i) {
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
  _tile_release();
  return 2.0 * 16 * 16 * 64 * chains * static_cast<double>(iterations);
}

// --- What every x86-64 has -------------------------------------------------------------

uint64_t readSse(const char *data, size_t bytes, int streams) {
  __m128i sums[8] = {};
  forEachPiece(data, bytes, streams, sizeof(sums), [&](const char *at) {
    for (int i = 0; i < 8; ++i)
      sums[i] = _mm_xor_si128(sums[i], _mm_load_si128(reinterpret_cast<const __m128i *>(at) + i));
  });
  for (int i = 1; i < 8; ++i)
    sums[0] = _mm_xor_si128(sums[0], sums[i]);
  return static_cast<uint64_t>(_mm_cvtsi128_si64(sums[0]));
}

bool has(const char *feature) { return llmcrt_cpu_has(feature) == 1; }

MachineLoops chooseLoops() {
  if (has("amx-int8") && has("amx-tile") && has("avx512vnni"))
    return {"amx-int8", readAvx512, fmaAvx512, dotAmx, dotAmx};
  if (has("avx512vnni") && has("avx512f"))
    return {"avx512vnni", readAvx512, fmaAvx512, dotAvx512, dotAvx512};
  if (has("avxvnni") && has("fma"))
    return {"avxvnni", readAvx2, fmaAvx2, dotAvxVnni, dotAvxVnni};
  if (has("avx2") && has("fma"))
    return {"avx2", readAvx2, fmaAvx2, dotAvx2, narrowDotAvx2};
  return {"sse", readSse, nullptr, nullptr, nullptr};
}

} // namespace

#elif defined(__aarch64__)

#define OPAQUE(value) __asm__ __volatile__("" : "+w"(value))

namespace {

constexpr int kSteps = 8;
constexpr int kChains = 16;

uint64_t readNeon(const char *data, size_t bytes, int streams) {
  uint64x2_t sums[8] = {};
  forEachPiece(data, bytes, streams, sizeof(sums), [&](const char *at) {
    for (int i = 0; i < 8; ++i)
      sums[i] = veorq_u64(sums[i], vld1q_u64(reinterpret_cast<const uint64_t *>(at) + 2 * i));
  });
  for (int i = 1; i < 8; ++i)
    sums[0] = veorq_u64(sums[0], sums[i]);
  return vgetq_lane_u64(sums[0], 0);
}

double fmaNeon(int64_t iterations) {
  float32x4_t sums[kChains] = {}, a = vdupq_n_f32(1.0f), b = vdupq_n_f32(1e-9f);
  for (int64_t i = 0; i < iterations; ++i)
    for (int step = 0; step < kSteps; ++step) {
      OPAQUE(a);
      for (float32x4_t &sum : sums)
        sum = vfmaq_f32(sum, a, b);
    }
  for (float32x4_t &sum : sums)
    OPAQUE(sum);
  return 2.0 * 4 * kChains * kSteps * static_cast<double>(iterations);
}

__attribute__((target("dotprod"))) double dotNeon(int64_t iterations) {
  int32x4_t sums[kChains] = {};
  int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
  for (int64_t i = 0; i < iterations; ++i)
    for (int step = 0; step < kSteps; ++step) {
      OPAQUE(a);
      for (int32x4_t &sum : sums)
        sum = vdotq_s32(sum, a, b);
    }
  for (int32x4_t &sum : sums)
    OPAQUE(sum);
  return 2.0 * 16 * kChains * kSteps * static_cast<double>(iterations);
}

__attribute__((target("i8mm"))) double dotI8mm(int64_t iterations) {
  int32x4_t sums[kChains] = {};
  int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(5);
  for (int64_t i = 0; i < iterations; ++i)
    for (int step = 0; step < kSteps; ++step) {
      OPAQUE(a);
      for (int32x4_t &sum : sums)
        sum = vmmlaq_s32(sum, a, b);
    }
  for (int32x4_t &sum : sums)
    OPAQUE(sum);
  return 2.0 * 32 * kChains * kSteps * static_cast<double>(iterations);
}

MachineLoops chooseLoops() {
  if (llmcrt_cpu_has("i8mm") == 1)
    return {"neon-i8mm", readNeon, fmaNeon, dotI8mm, dotI8mm};
  if (llmcrt_cpu_has("dotprod") == 1)
    return {"neon-dotprod", readNeon, fmaNeon, dotNeon, dotNeon};
  return {"neon", readNeon, fmaNeon, nullptr, nullptr};
}

} // namespace

#else
#error "llmc-bench knows x86-64 and AArch64"
#endif

const MachineLoops &llmc::bench::machineLoops() {
  static const MachineLoops loops = chooseLoops();
  return loops;
}

uint64_t llmc::bench::dependentAdditions(int64_t count) {
  uint64_t value = 1;
  for (int64_t i = 0; i < count; i += 16)
    for (int step = 0; step < 16; ++step) {
      value += 3;
      __asm__ __volatile__("" : "+r"(value));
    }
  return value;
}
