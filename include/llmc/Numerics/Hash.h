//===- Hash.h - a stable hash of contents
//-------------------------------------------------------===//
//
// XXH64 (Yann Collet, "xxHash fast digest algorithm", doc/xxhash_spec.md of the xxHash project).
// It identifies the inputs of a pass in the provenance record; it is not a cryptographic hash.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_NUMERICS_HASH_H
#define LLMC_NUMERICS_HASH_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace llmc {

/// XXH64 of `size` bytes. The same on every machine. To hash several pieces, pass the hash of the
/// pieces before as the seed.
uint64_t hashBytes(const void *data, size_t size, uint64_t seed = 0);

/// A hash as 16 lower-case hexadecimal digits.
std::string hashText(uint64_t hash);

} // namespace llmc

#endif // LLMC_NUMERICS_HASH_H
