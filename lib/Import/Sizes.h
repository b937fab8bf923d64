//===- Sizes.h - Sizes at which a graph is looked at ----------------------===//

#ifndef LLMC_LIB_IMPORT_SIZES_H
#define LLMC_LIB_IMPORT_SIZES_H

#include <cstdint>

namespace llmc::onnx {

/// The last `padding` keys of the last batch row are masked.
struct Sizes {
  int64_t batch = 1, past = 0, length = 1, padding = 0;
  int64_t total() const { return past + length; }
};

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_SIZES_H
