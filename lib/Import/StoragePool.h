//===- StoragePool.h - Memory that tensors gave back ----------------------===//

#ifndef LLMC_LIB_IMPORT_STORAGEPOOL_H
#define LLMC_LIB_IMPORT_STORAGEPOOL_H

namespace llmc::onnx {

/// Frees what is kept for further tensors: raising makes many of the same sizes, writing weights
/// none.
void releasePooledStorage();

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_STORAGEPOOL_H
