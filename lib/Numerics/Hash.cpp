//===- Hash.cpp - a stable hash of contents
//----------------------------------------------------===//
//
// XXH64 after its specification; input is read as little-endian words byte by byte, so the result
// is the same on any machine.
//
//===----------------------------------------------------------------------------------------===//
#include "llmc/Numerics/Hash.h"

namespace llmc {

static constexpr uint64_t prime1 = 0x9E3779B185EBCA87ull, prime2 = 0xC2B2AE3D27D4EB4Full,
                          prime3 = 0x165667B19E3779F9ull, prime4 = 0x85EBCA77C2B2AE63ull,
                          prime5 = 0x27D4EB2F165667C5ull;

static uint64_t rotateLeft(uint64_t x, int n) { return (x << n) | (x >> (64 - n)); }

static uint64_t readWord(const uint8_t *p, int bytes) {
  uint64_t word = 0;
  for (int i = 0; i < bytes; ++i)
    word |= static_cast<uint64_t>(p[i]) << (8 * i);
  return word;
}

static uint64_t round(uint64_t lane, uint64_t word) {
  return rotateLeft(lane + word * prime2, 31) * prime1;
}

uint64_t hashBytes(const void *data, size_t size, uint64_t seed) {
  const auto *p = static_cast<const uint8_t *>(data);
  size_t left = size;
  uint64_t hash = seed + prime5;
  if (size >= 32) {
    uint64_t lanes[4] = {seed + prime1 + prime2, seed + prime2, seed, seed - prime1};
    for (; left >= 32; left -= 32)
      for (uint64_t &lane : lanes) {
        lane = round(lane, readWord(p, 8));
        p += 8;
      }
    hash = rotateLeft(lanes[0], 1) + rotateLeft(lanes[1], 7) + rotateLeft(lanes[2], 12) +
           rotateLeft(lanes[3], 18);
    for (uint64_t lane : lanes)
      hash = (hash ^ round(0, lane)) * prime1 + prime4;
  }
  hash += size;
  for (; left >= 8; left -= 8, p += 8)
    hash = rotateLeft(hash ^ round(0, readWord(p, 8)), 27) * prime1 + prime4;
  for (; left >= 4; left -= 4, p += 4)
    hash = rotateLeft(hash ^ (readWord(p, 4) * prime1), 23) * prime2 + prime3;
  for (; left > 0; --left, ++p)
    hash = rotateLeft(hash ^ (*p * prime5), 11) * prime1;
  hash = (hash ^ (hash >> 33)) * prime2;
  hash = (hash ^ (hash >> 29)) * prime3;
  return hash ^ (hash >> 32);
}

std::string hashText(uint64_t hash) {
  std::string text(16, '0');
  for (int i = 15; i >= 0; --i, hash >>= 4)
    text[i] = "0123456789abcdef"[hash & 15];
  return text;
}

} // namespace llmc
