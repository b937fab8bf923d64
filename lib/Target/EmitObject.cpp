//===- EmitObject.cpp - LLVM IR to machine code -----------------------------------------===//
//
// Emits into memory, so that a failure leaves nothing on disk.
//
#include "llmc/Target/Target.h"

#include "llvm/IR/LegacyPassManager.h"
#include "llvm/Support/raw_ostream.h"
#include "llvm/Target/TargetMachine.h"

using namespace llvm;

Expected<std::string> llmc::emitCode(Module &module, TargetMachine &machine, bool assembly) {
  SmallString<0> buffer;
  raw_svector_ostream stream(buffer);
  legacy::PassManager passes;
  auto kind = assembly ? CodeGenFileType::AssemblyFile : CodeGenFileType::ObjectFile;
  if (machine.addPassesToEmitFile(passes, stream, nullptr, kind))
    return createStringError(inconvertibleErrorCode(), "the target cannot emit this file type");
  passes.run(module);
  return std::string(buffer);
}
