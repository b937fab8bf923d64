/* XXH64, seed 0, after the specification:
 * https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md */
#include "llmc/Runtime/llmcrt.h"

#include <string.h>

static const uint64_t prime1 = UINT64_C(0x9E3779B185EBCA87);
static const uint64_t prime2 = UINT64_C(0xC2B2AE3D27D4EB4F);
static const uint64_t prime3 = UINT64_C(0x165667B19E3779F9);
static const uint64_t prime4 = UINT64_C(0x85EBCA77C2B2AE63);
static const uint64_t prime5 = UINT64_C(0x27D4EB2F165667C5);

static uint64_t rotate(uint64_t x, int n) { return x << n | x >> (64 - n); }

/* Both targets are little-endian, as the specification wants the lanes. */
static uint64_t read64(const unsigned char *p) {
  uint64_t x;
  memcpy(&x, p, sizeof(x));
  return x;
}

static uint32_t read32(const unsigned char *p) {
  uint32_t x;
  memcpy(&x, p, sizeof(x));
  return x;
}

static uint64_t mixLane(uint64_t acc, uint64_t lane) {
  return rotate(acc + lane * prime2, 31) * prime1;
}

static uint64_t mergeLane(uint64_t acc, uint64_t lane) {
  return (acc ^ mixLane(0, lane)) * prime1 + prime4;
}

uint64_t llmcrt_hash(const void *data, uint64_t bytes) {
  const unsigned char *p = data;
  uint64_t left = bytes, acc;
  if (bytes >= 32) {
    uint64_t a = prime1 + prime2, b = prime2, c = 0, d = 0 - prime1;
    for (; left >= 32; left -= 32, p += 32) {
      a = mixLane(a, read64(p));
      b = mixLane(b, read64(p + 8));
      c = mixLane(c, read64(p + 16));
      d = mixLane(d, read64(p + 24));
    }
    acc = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
    acc = mergeLane(acc, a);
    acc = mergeLane(acc, b);
    acc = mergeLane(acc, c);
    acc = mergeLane(acc, d);
  } else {
    acc = prime5;
  }
  acc += bytes;
  for (; left >= 8; left -= 8, p += 8)
    acc = rotate(acc ^ mixLane(0, read64(p)), 27) * prime1 + prime4;
  if (left >= 4) {
    acc = rotate(acc ^ read32(p) * prime1, 23) * prime2 + prime3;
    left -= 4;
    p += 4;
  }
  for (; left; --left, ++p)
    acc = rotate(acc ^ *p * prime5, 11) * prime1;
  acc = (acc ^ acc >> 33) * prime2;
  acc = (acc ^ acc >> 29) * prime3;
  return acc ^ acc >> 32;
}
