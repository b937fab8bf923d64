//===- GraphRunner.h - a compiled graph without cache, called with made-up ids ----------===//
//
// For chains of linears and for encoders: one sequence of so many ids.
//
#ifndef LLMC_TOOLS_BENCH_GRAPHRUNNER_H
#define LLMC_TOOLS_BENCH_GRAPHRUNNER_H

#include "llmc/Runtime/Session.h"

namespace llmc::bench {

/// Ids below this are always fed, so that a table needs no more rows.
constexpr int64_t kGraphIds = 64;

class GraphRunner {
public:
  /// Throws Failure (BadInput) for an input that is no matrix of ids or an output that is not
  /// [batch, sequence, width].
  GraphRunner(const Artifact &artifact, const ThreadPool &threads, int64_t rows);
  /// Seconds of one call.
  double run();

private:
  llmc_tensor allocate(int32_t type, const std::vector<int64_t> &shape, int64_t elementBytes);

  Session session;
  std::vector<std::unique_ptr<PageBuffer>> buffers; ///< Pages are aligned as the C ABI wants.
  std::vector<llmc_tensor> in, out;
};

} // namespace llmc::bench

#endif // LLMC_TOOLS_BENCH_GRAPHRUNNER_H
