//===- LLMCDialect.cpp - registration, version, attributes on other operations ----------===//
//
// The version goes into bytecode, so that a file written by a newer llmc is refused by message
// instead of misread.
//
#include "llmc/IR/LLMCDialect.h"

#include "mlir/Bytecode/BytecodeImplementation.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace llmc;

#include "llmc/IR/LLMCDialect.cpp.inc"

namespace {

struct LLMCBytecodeInterface : public BytecodeDialectInterface {
  explicit LLMCBytecodeInterface(Dialect *dialect) : BytecodeDialectInterface(dialect) {}

  void writeVersion(DialectBytecodeWriter &writer) const override {
    writer.writeVarInt(kDialectVersion);
  }

  std::unique_ptr<DialectVersion> readVersion(DialectBytecodeReader &reader) const override {
    auto result = std::make_unique<LLMCDialectVersion>();
    if (failed(reader.readVarInt(result->version)))
      return nullptr;
    if (result->version > kDialectVersion) {
      reader.emitError() << "file was written with version " << result->version
                         << " of the llmc dialect, this llmc reads up to version "
                         << kDialectVersion;
      return nullptr;
    }
    return result;
  }

  LogicalResult upgradeFromVersion(Operation *top, const DialectVersion &version) const override {
    if (static_cast<const LLMCDialectVersion &>(version).version < 4)
      separateActivations(top);
    return success();
  }
};

} // namespace

void LLMCDialect::initialize() {
  registerAttributes();
  registerTypes();
  addOperations<
#define GET_OP_LIST
#include "llmc/IR/LLMCOps.cpp.inc"
      >();
  addInterfaces<LLMCBytecodeInterface>();
}

LogicalResult LLMCDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  StringRef name = attribute.getName().getValue();
  if (name == "llmc.role") {
    auto role = dyn_cast<StringAttr>(attribute.getValue());
    if (!role || (role != "step" && role != "run" && role != "encode"))
      return op->emitOpError("expects llmc.role to be \"step\", \"run\" or \"encode\", got ")
             << attribute.getValue();
    if (!isa<func::FuncOp>(op))
      return op->emitOpError("cannot have llmc.role, which belongs on func.func");
  }
  if (name == "llmc.context") {
    auto context = dyn_cast<IntegerAttr>(attribute.getValue());
    if (!context || context.getInt() < 1)
      return op->emitOpError("expects llmc.context to be a positive integer, got ")
             << attribute.getValue();
  }
  if (name == "llmc.stop_ids") {
    auto ids = dyn_cast<DenseI64ArrayAttr>(attribute.getValue());
    if (!ids || ids.empty() || llvm::any_of(ids.asArrayRef(), [](int64_t id) { return id < 0; }))
      return op->emitOpError(
                 "expects llmc.stop_ids to be ids of a vocabulary, as array<i64: 2>, got ")
             << attribute.getValue();
    if (!isa<ModuleOp>(op))
      return op->emitOpError("cannot have llmc.stop_ids, which belongs on builtin.module");
  }
  if (name == "llmc.context_reason" && !isa<StringAttr>(attribute.getValue()))
    return op->emitOpError("expects llmc.context_reason to be a string, got ")
           << attribute.getValue();
  if (name == "llmc.any_machine" &&
      (!isa<UnitAttr>(attribute.getValue()) || !isa<FunctionOpInterface>(op)))
    return op->emitOpError("cannot have this llmc.any_machine, which is a unit on a function");
  return success();
}
