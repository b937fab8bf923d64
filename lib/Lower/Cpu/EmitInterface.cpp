//===- EmitInterface.cpp - the C interface around the step ------------------------------===//
//
// The functions of include/llmc/Runtime/llmc.h, written as MLIR text with the model's numbers
// filled in: argument checks, the loop over chunks, the worker every thread runs, and the barrier.
// Struct layouts are those of llmc.h on a 64-bit target.
//
#include "Interface.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Parser/Parser.h"

using namespace mlir;
using namespace llmc;

// A job: arena, weights, kv, threads, rows, sequence, past, wanted, logits.
// A model: arena, weights, threads. A state: kv, length, context. A tensor: data, bytes, type,
// rank, shape.
static constexpr const char *kAliases = R"mlir(
!ptr = !llvm.ptr
!memory = memref<?xi8>
!descriptor = !llvm.struct<(ptr, ptr, i64, array<1 x i64>, array<1 x i64>)>
!job = !llvm.struct<(ptr, ptr, ptr, ptr, i64, i64, i64, i64, ptr, i64, ptr, i64)>
!owner = !llvm.struct<(ptr, i64, i64)>
!model = !llvm.struct<(ptr, ptr, ptr, array<5 x i64>)>
!state = !llvm.struct<(ptr, i64, i64, i64, array<4 x i64>)>
!threads = !llvm.struct<(i32, ptr, ptr, ptr)>
!tensor = !llvm.struct<(ptr, i64, i32, i32, array<8 x i64>)>
)mlir";

// Which weights P_init takes: those given, or the object's own for NULL.
static constexpr const char *kWeightsGlobal = R"mlir(
llvm.mlir.global external hidden constant @{P}_weights_data() {addr_space = 0 : i32, dso_local} : !llvm.array<64 x i8>
)mlir";
static constexpr const char *kWeightsInObject = R"mlir(
  %linked = llvm.mlir.addressof @{P}_weights_data : !ptr
  %absent = llvm.icmp "eq" %given, %none : !ptr
  %weights = llvm.select %absent, %linked, %given : i1, !ptr
)mlir";
static constexpr const char *kWeightsGiven = R"mlir(
  %weights = llvm.bitcast %given : !ptr to !ptr
)mlir";

static constexpr const char *kCommon =
#include "InterfaceCommon.inc"
    ;

static constexpr const char *kStep =
#include "InterfaceStep.inc"
    ;

// P_run: every check is one more condition on the same result, so that the text stays flat.
static constexpr const char *kRunHead =
#include "InterfaceRun.inc"
    ;

static void replaceAll(std::string &text, StringRef key, const std::string &value) {
  for (size_t at = text.find(key.str()); at != std::string::npos;
       at = text.find(key.str(), at + value.size()))
    text.replace(at, key.size(), value);
}

// Text that makes %il<n>, which an input must stay below.
static std::string limitOf(const InterfaceInput &input, const std::string &indent,
                           const std::string &n) {
  const std::string begin = indent + "%il" + n + " = arith.";
  const std::string fixed = "constant " + std::to_string(input.limit) + " : i64\n";
  if (!input.inSequence)
    return begin + fixed;
  if (!input.limit)
    return begin + "addi %s1, %zero : i64\n";
  return indent + "%im" + n + " = arith." + fixed + begin + "minui %s1, %im" + n + " : i64\n";
}

// The SSA value that holds the number of rows of an output.
static const char *rowsOf(const InterfaceOutput &output) {
  return output.perSequence ? "%s0" : "%rows";
}

// The body of P_run, spelled for this model's inputs and outputs.
static std::string runFunction(const InterfaceFacts &facts) {
  std::string s;
  llvm::raw_string_ostream o(s);
  o << "func.func @{P}_run(%model: !ptr, %inputs: !ptr, %outputs: !ptr) -> i32 {\n"
    << "  %none = llvm.mlir.zero : !ptr\n  %zero = arith.constant 0 : i64\n"
    << "  %one = arith.constant 1 : i64\n"
    << "  %argument = arith.constant 1 : i32\n"
    << "  %good0 = llvm.icmp \"ne\" %model, %none : !ptr\n";
  std::string indent = "  ";
  int64_t nesting = 0;
  auto openIf = [&](const std::string &condition) {
    o << indent << "%r" << nesting << " = scf.if " << condition << " -> i32 {\n";
    ++nesting;
    indent += "  ";
  };
  openIf("%good0");
  if (facts.inputs.empty()) {
    o << indent << "%s0 = arith.constant "
      << facts.fixedRows / std::max<int64_t>(1, facts.fixedSequence) << " : i64\n"
      << indent << "%s1 = arith.constant " << facts.fixedSequence << " : i64\n";
  } else {
    o << indent << "%in = llvm.icmp \"ne\" %inputs, %none : !ptr\n";
    openIf("%in");
    for (size_t i = 0; i < facts.inputs.size(); ++i) {
      o << indent << "%t" << i << " = llvm.getelementptr %inputs[" << i
        << "] : (!ptr) -> !ptr, !tensor\n";
      if (facts.inputs[i].width)
        o << indent << "%w" << i << " = arith.constant " << facts.inputs[i].width << " : i64\n"
          << indent << "%d" << i << ":2 = func.call @{P}_rows_shape(%t" << i << ", %w" << i
          << ") : (!ptr, i64) -> (i64, i64)\n";
      else
        o << indent << "%d" << i << ":2 = func.call @{P}_shape(%t" << i
          << ") : (!ptr) -> (i64, i64)\n";
      o << indent << "%same0_" << i << " = arith.cmpi eq, %d0#0, %d" << i << "#0 : i64\n";
      o << indent << "%same1_" << i << " = arith.cmpi eq, %d0#1, %d" << i << "#1 : i64\n";
      o << indent << "%some_" << i << " = arith.cmpi ne, %d" << i << "#0, %zero : i64\n";
      o << indent << "%a_" << i << " = arith.andi %same0_" << i << ", %same1_" << i << " : i1\n";
      o << indent << "%ok_" << i << " = arith.andi %a_" << i << ", %some_" << i << " : i1\n";
      openIf("%ok_" + std::to_string(i));
    }
    o << indent << "%s0 = arith.addi %d0#0, %zero : i64\n"
      << indent << "%s1 = arith.addi %d0#1, %zero : i64\n";
  }
  o << indent << "%rows = arith.muli %s0, %s1 : i64\n"
    << indent << "%mostRows = arith.constant {ROWS} : i64\n"
    << indent << "%mostSequence = arith.constant {SEQUENCE} : i64\n"
    << indent << "%fitRows = arith.cmpi ule, %rows, %mostRows : i64\n"
    << indent << "%fitSequence = arith.cmpi ule, %s1, %mostSequence : i64\n"
    << indent << "%fit = arith.andi %fitRows, %fitSequence : i1\n";
  openIf("%fit");
  for (size_t i = 0; i < facts.outputs.size(); ++i) {
    std::string n = std::to_string(i);
    o << indent << "%o" << n << " = llvm.getelementptr %outputs[" << n
      << "] : (!ptr) -> !ptr, !tensor\n"
      << indent << "%oda" << n << " = llvm.getelementptr %o" << n
      << "[0, 0] : (!ptr) -> !ptr, !tensor\n"
      << indent << "%oba" << n << " = llvm.getelementptr %o" << n
      << "[0, 1] : (!ptr) -> !ptr, !tensor\n"
      << indent << "%od" << n << " = llvm.load %oda" << n << " : !ptr -> !ptr\n"
      << indent << "%ob" << n << " = llvm.load %oba" << n << " : !ptr -> i64\n"
      << indent << "%ow" << n << " = arith.constant " << facts.outputs[i].width * 4 << " : i64\n"
      << indent << "%os" << n << " = arith.muli " << rowsOf(facts.outputs[i]) << ", %ow" << n
      << " : i64\n"
      << indent << "%oe" << n << " = arith.cmpi uge, %ob" << n << ", %os" << n << " : i64\n"
      << indent << "%on" << n << " = llvm.icmp \"ne\" %od" << n << ", %none : !ptr\n"
      << indent << "%og" << n << " = arith.andi %oe" << n << ", %on" << n << " : i1\n";
    openIf("%og" + n);
  }
  o << indent << "%aa = llvm.getelementptr %model[0, 0] : (!ptr) -> !ptr, !model\n"
    << indent << "%arena = llvm.load %aa : !ptr -> !ptr\n"
    << indent << "%valid = arith.constant true\n";
  std::string valid = "%valid";
  for (size_t i = 0; i < facts.inputs.size(); ++i) {
    std::string n = std::to_string(i);
    o << indent << "%ia" << n << " = llvm.getelementptr %arena[" << facts.inputs[i].buffer
      << "] : (!ptr) -> !ptr, i8\n";
    if (facts.inputs[i].width) {
      o << indent << "%is" << n << " = arith.constant " << facts.inputs[i].stride << " : i64\n"
        << indent << "func.call @{P}_copy_in(%t" << n << ", %rows, %ia" << n << ", %w" << n
        << ", %is" << n << ") : (!ptr, i64, !ptr, i64, i64) -> ()\n";
      continue;
    }
    o << limitOf(facts.inputs[i], indent, n) << indent << "%iv" << n
      << " = func.call @{P}_convert(%t" << n << ", %rows, %ia" << n << ", %il" << n
      << ") : (!ptr, i64, !ptr, i64) -> i1\n"
      << indent << "%ic" << n << " = arith.andi " << valid << ", %iv" << n << " : i1\n";
    valid = "%ic" + n;
  }
  o << indent << "%code = scf.if " << valid << " -> i32 {\n"
    << indent
    << "  func.call @{P}_dispatch(%model, %none, %rows, %s1, %zero, %rows, %s1, %none, %none, "
       "%zero) : "
    << "(!ptr, !ptr, i64, i64, i64, i64, i64, !ptr, !ptr, i64) -> ()\n";
  for (size_t i = 0; i < facts.outputs.size(); ++i) {
    std::string n = std::to_string(i);
    o << indent << "  %ra" << n << " = llvm.getelementptr %arena[" << facts.outputs[i].buffer
      << "] : (!ptr) -> !ptr, i8\n"
      << indent << "  %rw" << n << " = arith.constant " << facts.outputs[i].width << " : i64\n"
      << indent << "  %rs" << n << " = arith.constant " << facts.outputs[i].stride << " : i64\n"
      << indent << "  %rk" << n << " = arith.constant " << facts.outputs[i].rank << " : i32\n"
      << indent << "  func.call @{P}_copy_out(%ra" << n << ", " << rowsOf(facts.outputs[i])
      << ", %o" << n << ", %s0, " << (facts.outputs[i].perSequence ? "%one" : "%s1") << ", %rw" << n
      << ", %rs" << n << ", %rk" << n << ") : (!ptr, i64, !ptr, i64, i64, i64, i64, i32) -> ()\n";
  }
  o << indent << "  %ok = arith.constant 0 : i32\n"
    << indent << "  %failed = arith.constant 5 : i32\n"
    << indent << "  %no = arith.constant 0 : i32\n";
  std::string sum = "%no";
  for (size_t i = 0; i < facts.flags.size(); ++i) {
    std::string n = std::to_string(i);
    o << indent << "  %fa" << n << " = llvm.getelementptr %arena[" << facts.flags[i]
      << "] : (!ptr) -> !ptr, i8\n"
      << indent << "  %fv" << n << " = llvm.load %fa" << n << " : !ptr -> i32\n"
      << indent << "  %fo" << n << " = arith.ori " << sum << ", %fv" << n << " : i32\n";
    sum = "%fo" + n;
  }
  o << indent << "  %any = arith.cmpi ne, " << sum << ", %no : i32\n"
    << indent << "  %result = arith.select %any, %failed, %ok : i32\n"
    << indent << "  scf.yield %result : i32\n"
    << indent << "} else {\n"
    << indent << "  %token = arith.constant 2 : i32\n"
    << indent << "  scf.yield %token : i32\n"
    << indent << "}\n"
    << indent << "scf.yield %code : i32\n";
  while (nesting--) {
    indent.resize(indent.size() - 2);
    o << indent << "} else {\n" << indent << "  scf.yield %argument : i32\n" << indent << "}\n";
    if (nesting)
      o << indent << "scf.yield %r" << nesting << " : i32\n";
  }
  o << "  return %r0 : i32\n}\n";
  return s;
}

LogicalResult llmc::emitInterface(ModuleOp module, const InterfaceFacts &facts) {
  std::string text = std::string(kAliases) + kCommon;
  text += facts.isStep ? std::string(kStep) : kRunHead + runFunction(facts);
  if (facts.embedWeights)
    text += kWeightsGlobal;
  replaceAll(text, "{WEIGHTS}", facts.embedWeights ? kWeightsInObject : kWeightsGiven);
  replaceAll(text, "{P}", facts.prefix);
  auto fill = [&](StringRef key, int64_t value) { replaceAll(text, key, std::to_string(value)); };
  fill("{CONTEXT}", facts.isStep ? facts.context : 0);
  fill("{ROWS}", facts.isStep ? facts.chunk : facts.maxTokens);
  fill("{ARENA}", facts.arenaBytes);
  fill("{SCRATCH}", facts.scratchBytes);
  fill("{KVBLOCK}", facts.kvBlockBytes);
  fill("{LIMIT}", facts.inputs.empty() ? 0 : facts.inputs[0].limit);
  fill("{VOCAB}", facts.vocabulary);
  fill("{IDS}", facts.idsBuffer);
  constexpr int64_t kMostOwners = 64; // A table of these lies on the stack.
  fill("{OWNERS}", std::min(kMostOwners, facts.chunk));
  fill("{SEQUENCE}", facts.sequenceLimit);
  const InterfaceInput input = facts.inputs.empty() ? InterfaceInput() : facts.inputs[0];
  const bool takesRows = input.width != 0;
  replaceAll(text, "{TAKESROWS}", takesRows ? "true" : "false");
  replaceAll(text, "{TAKESIDS}", takesRows ? "false" : "true");
  fill("{INPUTWIDTH}", takesRows ? input.width : 1);
  fill("{INPUTSTRIDE}", takesRows ? input.stride : 1);
  fill("{INPUTBYTES}", takesRows ? input.width * 4 : 4);
  OwningOpRef<ModuleOp> parsed = parseSourceString<ModuleOp>(text, module.getContext());
  if (!parsed)
    return module.emitError("the C interface of this module could not be built");
  for (Operation &op : llvm::make_early_inc_range(parsed->getBody()->getOperations())) {
    auto symbol = cast<SymbolOpInterface>(op);
    Operation *existing = module.lookupSymbol(symbol.getName());
    if (existing && cast<SymbolOpInterface>(existing).isDeclaration())
      existing->erase(); // The step knew the barrier by name only.
    else if (existing)
      continue; // The interface knew the step by name only.
    op.moveBefore(module.getBody(), module.getBody()->end());
  }
  return success();
}
