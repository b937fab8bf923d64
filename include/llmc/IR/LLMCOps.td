// All operations of the dialect in one file for TableGen.
include "llmc/IR/GraphOps.td"
include "llmc/IR/LayerOps.td"
include "llmc/IR/CheckOps.td"
include "llmc/IR/KernelOps.td"
