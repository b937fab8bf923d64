//===- CommandLine.h - what the tools built on LLVM's command line share ----------------===//
//
// Exit codes, and a --help that shows only what is ours.
//
#ifndef LLMC_PIPELINE_COMMANDLINE_H
#define LLMC_PIPELINE_COMMANDLINE_H

#include "llvm/Support/CommandLine.h"

namespace llmc {

/// Exit codes of every tool.
enum ExitCode : int {
  kExitOk = 0,
  kExitUsage = 1,    ///< unknown option, missing argument, output equal to input
  kExitBadInput = 2, ///< a file that cannot be read or is not what it should be
  kExitResource = 3, ///< out of memory or disk
  kExitInternal = 4, ///< a fault of llmc
};

/// What to print at the end of --help.
inline constexpr const char kExitCodeHelp[] =
    "\nEXIT CODES:\n"
    "  0 done, 1 wrong usage, 2 bad input, 3 out of memory or disk, 4 internal error\n";

/// The shared library of LLVM brings hundreds of options of its own. Called first thing in main,
/// this moves them to `--help-hidden`, and with them the tool's own that exist by then: those are
/// shown again, or kept in a category and the others hidden by cl::HideUnrelatedOptions.
inline void hideForeignOptions() {
  for (auto [name, option] : llvm::cl::getRegisteredOptions())
    if (option->getOptionHiddenFlag() == llvm::cl::NotHidden && name != "help" && name != "version")
      option->setHiddenFlag(llvm::cl::Hidden);
}

/// --pass-statistics and, in a build with assertions, --debug-only=. Called before the command line
/// is parsed.
void registerDeveloperOptions();
/// What --pass-statistics asks for, on standard error, once all passes have run.
void printPassStatistics();

} // namespace llmc

#endif // LLMC_PIPELINE_COMMANDLINE_H
