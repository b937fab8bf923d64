//===- TemporaryFolder.h - a folder that is gone with its owner -------------------------===//
//
// For code that is compiled and loaded at once: it stays mapped after the folder is gone.
//
#ifndef LLMC_PIPELINE_TEMPORARYFOLDER_H
#define LLMC_PIPELINE_TEMPORARYFOLDER_H

#include <string>

namespace llmc {

/// A folder of our own under $TMPDIR or /tmp, removed with everything in it.
struct TemporaryFolder {
  std::string path;

  TemporaryFolder() = default;
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder &) = delete;
  TemporaryFolder &operator=(const TemporaryFolder &) = delete;
  /// False when none can be made; `path` is empty then.
  bool create();
};

} // namespace llmc

#endif // LLMC_PIPELINE_TEMPORARYFOLDER_H
