//===- RowKernelsTest.cpp - row kernels against double precision ------------------------===//
//
// Every kernel over widths around the number of lanes, from views and in place, with 1 and 3
// threads.
//
#include "KernelRunner.h"

#include "llmc/Lower/RowKernels.h"

#include "gtest/gtest.h"

#include <cmath>

using namespace llmc;
using namespace llmc::test;
