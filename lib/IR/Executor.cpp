//===- Executor.cpp - anchors of the executor interface ---------------------------------===//
//
// The virtual tables live here; the implementation is Pipeline's.
//
#include "llmc/IR/Executor.h"

llmc::ExecutableModel::~ExecutableModel() = default;
llmc::Executor::~Executor() = default;
