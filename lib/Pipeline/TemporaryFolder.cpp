//===- TemporaryFolder.cpp - a folder that is gone with its owner -----------------------===//
//
// $TMPDIR names the place.
//
#include "llmc/Pipeline/TemporaryFolder.h"

#include "llvm/Support/FileSystem.h"

#include <cstdlib>

using namespace llmc;

TemporaryFolder::~TemporaryFolder() {
  if (!path.empty())
    (void)llvm::sys::fs::remove_directories(path, /*IgnoreErrors=*/true);
}

bool TemporaryFolder::create() {
  const char *parent = std::getenv("TMPDIR");
  path = std::string(parent ? parent : "/tmp") + "/llmc-run-XXXXXX";
  if (mkdtemp(path.data()))
    return true;
  path.clear();
  return false;
}
