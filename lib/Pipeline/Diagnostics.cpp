//===- Diagnostics.cpp - how the tools print what MLIR has to say ---------------------------===//
//
// MLIR's own handlers print "<unknown>:0: error: loc("name"): " for a location that is a name.
//
#include "llmc/Pipeline/Diagnostics.h"

#include "llmc/Numerics/Progress.h"

#include "mlir/IR/Location.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/ErrorHandling.h"
#include "llvm/Support/raw_ostream.h"

#include <atomic>
#include <cstring>
#include <unistd.h>

using namespace mlir;
using namespace llmc;

bool llmc::hasFilePosition(Location loc) {
  bool found = false;
  loc->walk([&](Location inner) {
    auto position = dyn_cast<FileLineColRange>(inner);
    found = position && position.getStartLine() != 0;
    return found ? WalkResult::interrupt() : WalkResult::advance();
  });
  return found;
}

/// "up_proj", "model.mlir:3:8", "model.mlirbc", or nothing.
static std::string nameOf(Location loc) {
  return llvm::TypeSwitch<LocationAttr, std::string>(loc)
      .Case([](NameLoc named) {
        std::string child = nameOf(named.getChildLoc());
        return hasFilePosition(named.getChildLoc()) ? child : named.getName().str();
      })
      .Case([](FileLineColRange position) {
        std::string file = position.getFilename().str();
        if (file == "-")
          file = "standard input";
        if (position.getStartLine() == 0)
          return file;
        return file + ":" + std::to_string(position.getStartLine()) + ":" +
               std::to_string(position.getStartColumn());
      })
      .Case([](CallSiteLoc call) { return nameOf(call.getCallee()); })
      .Case([](OpaqueLoc opaque) { return nameOf(opaque.getFallbackLocation()); })
      .Case([](FusedLoc fused) {
        std::string first;
        for (Location part : fused.getLocations())
          if (first.empty() || hasFilePosition(part))
            first = nameOf(part);
        return first;
      })
      .Default([](LocationAttr) { return std::string(); });
}

static const char *wordOf(DiagnosticSeverity severity) {
  switch (severity) {
  case DiagnosticSeverity::Note:
    return "note";
  case DiagnosticSeverity::Warning:
    return "warning";
  case DiagnosticSeverity::Error:
    return "error";
  case DiagnosticSeverity::Remark:
    return "remark";
  }
  return "error";
}

// A file as a whole is named as compilers do, in front: it is where all other positions begin.
static void print(StringRef tool, Diagnostic &diagnostic) {
  Location loc = diagnostic.getLocation();
  std::string name = nameOf(loc);
  bool inFront = !name.empty() && (isa<FileLineColRange>(loc) || hasFilePosition(loc));
  llvm::errs() << (inFront ? name : tool.str()) << ": " << wordOf(diagnostic.getSeverity()) << ": "
               << (inFront || name.empty() ? "" : name + ": ") << diagnostic.str() << "\n";
}

void llmc::installDiagnostics(MLIRContext *context, StringRef tool, bool leaveFilePositions) {
  context->getDiagEngine().registerHandler(
      [tool = tool.str(), leaveFilePositions](Diagnostic &diagnostic) {
        clearProgressLine();
        if (leaveFilePositions && hasFilePosition(diagnostic.getLocation()))
          return failure();
        print(tool, diagnostic);
        for (Diagnostic &note : diagnostic.getNotes())
          print(tool, note);
        return success();
      });
}

static std::atomic<bool> limitMet{false};

InFlightDiagnostic llmc::emitLimit(Location loc) {
  limitMet = true;
  return mlir::emitError(loc);
}

ExitCode llmc::exitCodeOfFailure() { return limitMet ? kExitResource : kExitBadInput; }

ExitCode llmc::flushStandardOutput(StringRef tool) {
  llvm::outs().flush();
  if (!llvm::outs().has_error())
    return kExitOk;
  llvm::errs() << tool
               << ": error: standard output cannot be written: " << llvm::outs().error().message()
               << "\n";
  llvm::outs().clear_error();
  return kExitResource;
}

// There may be no memory left to make a string with.
[[noreturn]] static void endWith(ExitCode code, void *tool, const char *reason) {
  for (const char *part : {static_cast<const char *>(tool), ": error: ", reason, "\n"})
    static_cast<void>(write(STDERR_FILENO, part, std::strlen(part)));
  _exit(code);
}

void llmc::handleFatalErrors(const char *tool) {
  void *name = const_cast<char *>(tool);
  llvm::install_bad_alloc_error_handler(
      [](void *name, const char *reason, bool) { endWith(kExitResource, name, reason); }, name);
  llvm::install_fatal_error_handler(
      [](void *name, const char *reason, bool) { endWith(kExitInternal, name, reason); }, name);
}
