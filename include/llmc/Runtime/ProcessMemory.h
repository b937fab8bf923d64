// The memory this program holds, as the kernel counts it.
#ifndef LLMC_RUNTIME_PROCESSMEMORY_H
#define LLMC_RUNTIME_PROCESSMEMORY_H

#include <cstdint>

namespace llmc {

/// The largest resident memory of this program so far, in bytes. Not from getrusage, whose maximum
/// includes the process that started this one.
int64_t peakResident();

/// The resident memory of this program now, in bytes.
int64_t currentResident();

/// Lets peakResident() begin anew from what is resident now; does nothing where the system forbids
/// it.
void resetPeakResident();

} // namespace llmc

#endif // LLMC_RUNTIME_PROCESSMEMORY_H
