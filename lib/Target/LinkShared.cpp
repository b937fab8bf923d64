//===- LinkShared.cpp - object to shared object -----------------------------------------===//
//
// lld as a process: the object needs no library and no start files, so nothing of the target system
// has to be installed.
//
#include "llmc/Target/Target.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/Program.h"

using namespace llvm;

// The linker the build found, else one on PATH: a package may have moved.
static std::string findLinker() {
  if (sys::fs::can_execute(LLMC_LLD_PATH))
    return LLMC_LLD_PATH;
  for (const char *name : {"ld.lld-22", "ld.lld"})
    if (ErrorOr<std::string> path = sys::findProgramByName(name))
      return *path;
  return "";
}

// The linker writes to its standard output, which is the file itself: a killed run leaves no file
// of a name only the linker knows.
Error llmc::linkShared(StringRef object, StringRef output, StringRef soname) {
  std::string linker = findLinker();
  if (linker.empty())
    return createStringError(inconvertibleErrorCode(),
                             "no linker: ld.lld was not found (Debian package lld-22)");
  SmallString<128> log;
  if (std::error_code error = sys::fs::createTemporaryFile("llmc-link", "log", log))
    return createStringError(error, "cannot make a temporary file for the linker's messages");
  StringRef arguments[] = {linker,    "-shared",     "--build-id=none",
                           "-z",      "noexecstack", "--no-undefined-version",
                           "-soname", soname,        "-o",
                           "-",       object};
  std::string message;
  int code = sys::ExecuteAndWait(linker, arguments, std::nullopt,
                                 {std::nullopt, output, StringRef(log)}, 0, 0, &message);
  if (code != 0) {
    if (auto text = MemoryBuffer::getFile(log))
      message += (*text)->getBuffer().str();
    (void)sys::fs::remove(log);
    return createStringError(inconvertibleErrorCode(), "linking " + output + ": " + message);
  }
  (void)sys::fs::remove(log);
  return Error::success();
}
