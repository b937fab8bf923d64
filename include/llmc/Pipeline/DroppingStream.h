//===- DroppingStream.h - a large model on its way to a file ------------------------------===//
//
// What is written of mapped weights does not stay in memory (see Numerics/MappedPages.h).
//
#ifndef LLMC_PIPELINE_DROPPINGSTREAM_H
#define LLMC_PIPELINE_DROPPINGSTREAM_H

#include "llmc/Numerics/MappedPages.h"
#include "llvm/Support/raw_ostream.h"

namespace llmc {

/// Writes to another stream, and drops the pages that were written.
class DroppingStream : public llvm::raw_ostream {
public:
  explicit DroppingStream(llvm::raw_ostream &to) : llvm::raw_ostream(/*unbuffered=*/true), to(to) {}
  ~DroppingStream() override { flush(); }

private:
  void write_impl(const char *data, size_t bytes) override {
    to.write(data, bytes);
    dropPages(data, bytes);
  }
  uint64_t current_pos() const override { return to.tell(); }
  llvm::raw_ostream &to;
};

} // namespace llmc

#endif // LLMC_PIPELINE_DROPPINGSTREAM_H
