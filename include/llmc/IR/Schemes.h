//===- Schemes.h - schemes from what they store -----------------------------------------===//
//
// For whoever decides how a weight is stored: importers, readers of files, compression passes.
//
//===------------------------------------------------------------------------------------===//
#ifndef LLMC_IR_SCHEMES_H
#define LLMC_IR_SCHEMES_H

#include "llmc/IR/LLMCDialect.h"
#include "llmc/Numerics/Quantize.h"

namespace llmc {

/// Every weight as a value of `type`: f32, f16 or bf16.
SchemeAttrInterface getValueScheme(Type type);
/// Integers, and their stored form.
SchemeAttrInterface getIntScheme(MLIRContext *context, const IntFormat &format);
PlainCodes plainCodes(MLIRContext *context, const IntWeight &weight);
/// Codes into a table of levels.
SchemeAttrInterface getTableScheme(MLIRContext *context, const TableFormat &format);
/// -s, 0 and s, in 2 bits or five to a byte.
SchemeAttrInterface getTernaryScheme(MLIRContext *context, bool base3);

/// `inner` for n of each m inputs, or for those of any mask.
SchemeAttrInterface getNMScheme(SchemeAttrInterface inner, int64_t n, int64_t m);
SchemeAttrInterface getMaskScheme(SchemeAttrInterface inner);

} // namespace llmc

#endif // LLMC_IR_SCHEMES_H
