//===- VectorClones.h - one loop for several vector widths
//-------------------------------------===//
//
// Marks a function to be compiled for wider x86 vectors too, chosen when it is first called. Such
// functions keep the order of every sum, and fused multiply-add is off, so all clones agree bit for
// bit.
//
//===----------------------------------------------------------------------------------------===//
#ifndef LLMC_LIB_NUMERICS_VECTORCLONES_H
#define LLMC_LIB_NUMERICS_VECTORCLONES_H

#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
#define LLMC_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LLMC_VECTOR_CLONES
#endif

#endif // LLMC_LIB_NUMERICS_VECTORCLONES_H
