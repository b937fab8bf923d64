//===- DescribeInterface.h - an entry function as JSON ----------------------------------===//
//
// Private to the Pipeline room.
//
#ifndef LLMC_LIB_PIPELINE_DESCRIBEINTERFACE_H
#define LLMC_LIB_PIPELINE_DESCRIBEINTERFACE_H

#include "llmc/IR/LLMCDialect.h"

namespace llmc {

/// JSON of what must be read before the entry function is lowered: role, inputs, outputs,
/// provenance.
std::string describeInterface(ModuleOp module, func::FuncOp entry);

/// An error when a stop id of the module is none of the entry's vocabulary.
LogicalResult verifyStopIds(ModuleOp module, func::FuncOp entry);

} // namespace llmc

#endif // LLMC_LIB_PIPELINE_DESCRIBEINTERFACE_H
