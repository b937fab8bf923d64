//===- MappedPages.h - pages of mapped files that may leave memory ------------------------===//
//
// Weights are read from mapped files and written to others. The kernel takes such pages back when
// memory is short; a tool that is done with them gives them back at once, so that its peak is that
// of what it works on and not of the whole model.
//
#ifndef LLMC_NUMERICS_MAPPEDPAGES_H
#define LLMC_NUMERICS_MAPPEDPAGES_H

#include <cstddef>

namespace llmc {

/// Says that these bytes are a mapping of a file (shared, or private and never written), whose
/// pages come back from the file when they are read again. Ends with unregisterMapping of its
/// start. Any thread.
void registerMapping(const void *data, size_t bytes);
void unregisterMapping(const void *data);

/// Gives back the whole pages of [data, data + bytes), if that lies in a registered mapping.
void dropPages(const void *data, size_t bytes);

} // namespace llmc

#endif // LLMC_NUMERICS_MAPPEDPAGES_H
