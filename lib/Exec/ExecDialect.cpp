//===- ExecDialect.cpp - registration of the exec dialect -------------------------------===//
//
// Operations, and the attribute that lowered code leaves on the module.
//
#include "llmc/Exec/ExecDialect.h"

#include "mlir/IR/DialectImplementation.h"

using namespace mlir;
using namespace llmc;
using namespace llmc::exec;

#include "llmc/Exec/ExecDialect.cpp.inc"
#include "llmc/Exec/KernelInterface.cpp.inc"

// An enumeration as a bare word.
static std::optional<Role> symbolize(StringRef word, RoleAttr) { return symbolizeRole(word); }
static std::optional<BinaryKind> symbolize(StringRef word, BinaryKindAttr) {
  return symbolizeBinaryKind(word);
}

static std::optional<Each> symbolize(StringRef word, EachAttr) { return symbolizeEach(word); }

template <typename Attr> static ParseResult parseWord(OpAsmParser &parser, Attr &attribute) {
  SMLoc loc = parser.getCurrentLocation();
  StringRef word;
  if (parser.parseKeyword(&word))
    return failure();
  auto value = symbolize(word, attribute);
  if (!value)
    return parser.emitError(loc, "has no meaning for ") << word;
  attribute = Attr::get(parser.getContext(), *value);
  return success();
}

template <typename Attr> static void printWord(OpAsmPrinter &printer, Operation *, Attr attribute) {
  printer << stringifyEnum(attribute.getValue());
}

#define GET_OP_CLASSES
#include "llmc/Exec/ExecOps.cpp.inc"

void ExecDialect::initialize() {
  registerAttributes();
  registerTypes();
  addOperations<
#define GET_OP_LIST
#include "llmc/Exec/ExecOps.cpp.inc"
      >();
}

LogicalResult ExecDialect::verifyOperationAttribute(Operation *op, NamedAttribute attribute) {
  if (attribute.getName() != "exec.artifact")
    return op->emitOpError("has no meaning for attribute ") << attribute.getName();
  if (!isa<ArtifactAttr>(attribute.getValue()) || !isa<ModuleOp>(op))
    return op->emitOpError("cannot have this exec.artifact, which is an #exec.artifact on "
                           "builtin.module");
  return success();
}
