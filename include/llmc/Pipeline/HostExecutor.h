//===- HostExecutor.h - the executor of this machine ------------------------------------===//
//
// Compiles through the same pipeline as an artifact, into a temporary folder that is gone when the
// model is.
//
#ifndef LLMC_PIPELINE_HOSTEXECUTOR_H
#define LLMC_PIPELINE_HOSTEXECUTOR_H

#include "llmc/IR/Executor.h"

namespace llmc {

/// The executor the tools hand to Import, Calibrate and Compress.
std::shared_ptr<Executor> makeHostExecutor();

} // namespace llmc

#endif // LLMC_PIPELINE_HOSTEXECUTOR_H
