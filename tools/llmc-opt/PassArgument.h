//===- PassArgument.h - paths in the options of a pass --------------------------------------===//
//
// MLIR splits the options of a pass at spaces and lets quotes and braces group them, so a path that
// has such characters needs quotes of its own, inside those of the shell.
//
#ifndef LLMC_TOOLS_OPT_PASSARGUMENT_H
#define LLMC_TOOLS_OPT_PASSARGUMENT_H

#include <string>

namespace llmc {

/// An argument `--calibrate=...` with quotes around the token file where it needs some and has
/// none; any other argument as it is. Sets `error` for a path that no quotes fit.
std::string quoteTokenFile(const std::string &argument, std::string &error);

} // namespace llmc

#endif // LLMC_TOOLS_OPT_PASSARGUMENT_H
