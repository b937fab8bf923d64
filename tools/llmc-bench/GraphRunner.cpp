//===- GraphRunner.cpp - a compiled graph without cache, called with made-up ids --------===//
//
// Inputs as exporters name them: masks are 1, types 0, positions count, all else are ids.
//
#include "GraphRunner.h"

#include "MachineProbe.h"

#include "llmc/Runtime/Failure.h"

#include <algorithm>

using namespace llmc;
using namespace llmc::bench;

static int64_t valueAt(const std::string &name, int64_t i) {
  if (name == "attention_mask")
    return 1;
  if (name == "token_type_ids")
    return 0;
  return name == "position_ids" ? i : i * 7 % kGraphIds;
}

llmc_tensor GraphRunner::allocate(int32_t type, const std::vector<int64_t> &shape,
                                  int64_t elementBytes) {
  llmc_tensor result = {};
  int64_t count = 1;
  for (const int64_t size : shape)
    count *= size;
  result.type = type;
  result.rank = static_cast<int32_t>(shape.size());
  result.bytes = static_cast<uint64_t>(count * elementBytes);
  std::copy(shape.begin(), shape.end(), result.shape);
  buffers.push_back(std::make_unique<PageBuffer>(result.bytes, "a tensor"));
  result.data = buffers.back()->data();
  return result;
}

GraphRunner::GraphRunner(const Artifact &artifact, const ThreadPool &threads, int64_t rows)
    : session(artifact, threads, /*context=*/0) {
  for (const TensorInfo &input : artifact.info().inputs) {
    if (input.shape.size() != 2 || input.type == LLMC_F32)
      failInput(artifact.base() + ": input '" + input.name + "' is no matrix of ids");
    in.push_back(allocate(LLMC_I64, {1, rows}, sizeof(int64_t)));
    int64_t *values = static_cast<int64_t *>(in.back().data);
    for (int64_t i = 0; i < rows; ++i)
      values[i] = valueAt(input.name, i);
  }
  for (const TensorInfo &output : artifact.info().outputs) {
    if (output.shape.size() != 3 || output.shape[2].size < 1)
      failInput(artifact.base() + ": output '" + output.name + "' is not [batch, sequence, width]");
    out.push_back(allocate(LLMC_F32, {1, rows, output.shape[2].size}, sizeof(float)));
  }
}

double GraphRunner::run() {
  const double begin = now();
  session.run(in, out);
  return now() - begin;
}
