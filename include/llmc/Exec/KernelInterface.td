// What stages, memory planning and verification ask of any kernel.
#ifndef LLMC_EXEC_KERNELINTERFACE_TD
#define LLMC_EXEC_KERNELINTERFACE_TD

include "mlir/IR/OpBase.td"

def KernelOpInterface : OpInterface<"KernelOpInterface"> {
  let cppNamespace = "::llmc::exec";
  let description = [{
    An operation of a stage: reads buffers and arrays of the weight file, writes a buffer (or several, a body) or a cache. A kernel with a private destination is
    computed whole by every worker; with a share, by columns; else by rows.
  }];
  let methods = [
    InterfaceMethod<"The buffer that is written, or null.", "::mlir::Value", "getDestination", (ins),
      /*methodBody=*/"", /*defaultImplementation=*/"return $_op.getOutput();">,
    InterfaceMethod<"All buffers that are written.", "::llvm::SmallVector<::mlir::Value>", "getWrites", (ins),
      /*methodBody=*/"", /*defaultImplementation=*/[{
        ::mlir::Value destination = $_op.getDestination();
        return destination ? ::llvm::SmallVector<::mlir::Value>{destination} : ::llvm::SmallVector<::mlir::Value>{};
      }]>,
    InterfaceMethod<"The buffers that are read.", "::llvm::SmallVector<::mlir::Value>", "getReads", (ins),
      /*methodBody=*/"", /*defaultImplementation=*/"return detail::readBuffers($_op, $_op.getDestination());">,
    InterfaceMethod<"Of those, the buffers of which a column of the result needs the same column only.",
      "::llvm::SmallVector<::mlir::Value>", "getColumnReads", (ins),
      /*methodBody=*/"", /*defaultImplementation=*/"return {};">,
    InterfaceMethod<"Columns of the result that cannot be computed apart, like those of a head.", "int64_t", "getGranule",
      (ins), /*methodBody=*/"", /*defaultImplementation=*/"return 1;">,
    InterfaceMethod<"Columns of the result.", "int64_t", "getColumns", (ins),
      /*methodBody=*/"", /*defaultImplementation=*/"return getBufferType($_op.getOutput()).getWidth();">,
    InterfaceMethod<"The columns that are a worker's, or null.", "::llmc::exec::ShareAttr", "getPartition", (ins),
      /*methodBody=*/"", /*defaultImplementation=*/[{
        return $_op->template getAttrOfType<ShareAttr>("share");
      }]>,
  ];
  let verify = "return detail::verifyKernel(::mlir::cast<KernelOpInterface>($_op));";
}

#endif // LLMC_EXEC_KERNELINTERFACE_TD
