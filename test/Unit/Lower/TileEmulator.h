//===- TileEmulator.h - tile instructions on machines without them ----------------------===//
//
// Instructions of AMX trap where the processor lacks them; the handler of the trap does what they
// would. So code with them runs on any x86-64 machine under Linux, slowly.
//
#ifndef LLMC_TEST_UNIT_LOWER_TILEEMULATOR_H
#define LLMC_TEST_UNIT_LOWER_TILEEMULATOR_H

#include <cstdint>

namespace llmc::test {

/// Whether code with tile instructions can run here: by the processor, or, from now on, by traps.
bool enableTiles();

/// Products of tiles that were emulated so far.
int64_t emulatedProducts();

} // namespace llmc::test

#endif // LLMC_TEST_UNIT_LOWER_TILEEMULATOR_H
