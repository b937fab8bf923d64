//===- CpuCheck.cpp - the object asks its machine for what the code needs ---------------===//
//
// The body of P_check_cpu. An object imports no library, so the questions are asked as
// lib/Runtime/CpuFeatures.c asks them, by the same table, with the instructions themselves: cpuid
// and xgetbv; for tile registers a system call; on AArch64, where user code may not ask the
// processor, the auxiliary vector in /proc. Functions marked llmc.any_machine run before or during
// the check, so they use what every processor of the architecture has.
//
#include "Dots.h"

#include "llmc/Runtime/CpuFeatures.h"
#include "llmc/Runtime/llmc.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

#include <map>

using namespace mlir;
using namespace llmc;

static constexpr StringRef kMark = "llmc.any_machine";

namespace {

/// Writes the body of one check.
class CheckEmitter {
public:
  CheckEmitter(func::FuncOp function, const TargetInfo &target)
      : b(function.getLoc(), function.getContext()), function(function), target(target),
        word(b.getI32Type()), wide(b.getI64Type()),
        pointer(LLVM::LLVMPointerType::get(b.getContext())) {}

  void emit();

private:
  Value constant(Type type, uint64_t value) {
    unsigned bits = type.getIntOrFloatBitWidth();
    return arith::ConstantOp::create(
        b, b.getIntegerAttr(type, llvm::APInt(bits, value, false, /*implicitTrunc=*/true)));
  }
  Value compare(arith::CmpIPredicate predicate, Value a, Value c) {
    return arith::CmpIOp::create(b, predicate, a, c);
  }
  Value both(Value a, Value c) { return arith::AndIOp::create(b, a, c); }
  /// All bits of `mask` are in `value`.
  Value hasAll(Value value, uint64_t mask) {
    Value bits = constant(value.getType(), mask);
    return compare(arith::CmpIPredicate::eq, both(value, bits), bits);
  }
  Value assembly(Type result, ValueRange operands, StringRef text, StringRef constraints) {
    auto dialect = LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT);
    return LLVM::InlineAsmOp::create(b, result, operands, text, constraints,
                                     /*has_side_effects=*/true, /*is_align_stack=*/false,
                                     LLVM::TailCallKind::None, dialect, ArrayAttr())
        .getResult(0);
  }
  /// body() where `condition` holds, else `otherwise`.
  SmallVector<Value> where(Value condition, ValueRange otherwise,
                           llvm::function_ref<SmallVector<Value>()> body);

  Value cpuid(uint32_t leaf, uint32_t subleaf, unsigned reg);
  Value hasLeaf(uint32_t leaf, uint32_t subleaf);
  Value savedState();
  void askX86();
  void askAArch64();
  Value systemCall(uint64_t number, ValueRange arguments);
  /// The answer for the message that follows the ones before.
  void add(Value good, const llvm::Twine &message) {
    answers.push_back(good);
    messages.push_back(message.str());
  }
  void addFeature(Value good, StringRef name) {
    add(good, "this machine lacks the processor feature '" + name + "'");
  }
  LLVM::GlobalOp makeText(StringRef suffix, StringRef text);

  ImplicitLocOpBuilder b;
  func::FuncOp function;
  const TargetInfo &target;
  Type word, wide, pointer;
  std::map<std::pair<uint32_t, uint32_t>, Value> leaves;
  SmallVector<Value> answers;
  std::vector<std::string> messages;
};

} // namespace

SmallVector<Value> CheckEmitter::where(Value condition, ValueRange otherwise,
                                       llvm::function_ref<SmallVector<Value>()> body) {
  bool hasResults = !otherwise.empty(); // Else the branches end by themselves.
  auto choice = scf::IfOp::create(b, otherwise.getTypes(), condition, hasResults);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&choice.getThenRegion().front());
  SmallVector<Value> results = body();
  if (hasResults) {
    scf::YieldOp::create(b, results);
    b.setInsertionPointToStart(&choice.getElseRegion().front());
    scf::YieldOp::create(b, otherwise);
  }
  return SmallVector<Value>(choice.getResults());
}

// A leaf that the processor does not have is harmless to ask for; hasLeaf() says that it means
// nothing.
Value CheckEmitter::cpuid(uint32_t leaf, uint32_t subleaf, unsigned reg) {
  Value &words = leaves[{leaf, subleaf}];
  if (!words) {
    Type type = LLVM::LLVMStructType::getLiteral(b.getContext(), {word, word, word, word});
    words = assembly(type, {constant(word, leaf), constant(word, subleaf)}, "cpuid",
                     "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}");
  }
  return LLVM::ExtractValueOp::create(b, words, ArrayRef<int64_t>{reg});
}

Value CheckEmitter::hasLeaf(uint32_t leaf, uint32_t subleaf) {
  Value last = cpuid(leaf & 0x80000000u, 0, 0);
  Value there = compare(arith::CmpIPredicate::uge, last, constant(word, leaf));
  if (subleaf == 0)
    return there;
  Value lastSub = cpuid(leaf, 0, 0);
  return both(there, compare(arith::CmpIPredicate::uge, lastSub, constant(word, subleaf)));
}

// XCR0: what the system saves of the registers.
Value CheckEmitter::savedState() {
  constexpr uint32_t kOsXsave = 1u << 27;
  Value readable = hasAll(cpuid(1, 0, 2), kOsXsave);
  return where(readable, constant(word, 0), [&]() -> SmallVector<Value> {
    return {assembly(word, constant(word, 0), "xgetbv",
                     "={ax},{cx},~{dx},~{dirflag},~{fpsr},~{flags}")};
  })[0];
}

Value CheckEmitter::systemCall(uint64_t number, ValueRange arguments) {
  SmallVector<Value> operands{constant(wide, number)};
  operands.append(arguments.begin(), arguments.end());
  if (StringRef(target.triple).starts_with("aarch64")) {
    std::string constraints = "={x0},{x8}";
    for (size_t i = 0; i < arguments.size(); ++i)
      constraints += ",{x" + std::to_string(i) + "}";
    return assembly(wide, operands, "svc #0", constraints + ",~{memory},~{cc}");
  }
  return assembly(wide, operands, "syscall",
                  "={ax},{ax},{di},{si},~{rcx},~{r11},~{memory},~{dirflag},~{fpsr},~{flags}");
}

void CheckEmitter::askX86() {
  Value state = savedState(), tiles;
  for (const std::string &name : target.features) {
    const llmcrt_x86_feature *feature = llmcrt_find_x86_feature(name.c_str());
    if (!feature)
      continue; // Features.h lets no such into an artifact.
    Value bits = cpuid(feature->leaf, feature->subleaf, feature->reg);
    Value good =
        both(hasAll(bits, uint64_t(1) << feature->bit), hasLeaf(feature->leaf, feature->subleaf));
    if (feature->state)
      good = both(good, hasAll(state, feature->state));
    if (feature->state == LLMCRT_AMX_STATE)
      tiles = tiles ? both(tiles, good) : good;
    addFeature(good, name);
  }
  if (!tiles)
    return;
  // Linux gives a process tile registers when it asks, and again when it asks again.
  constexpr uint64_t kArchPrctl = 158, kRequestPermission = 0x1023, kTileData = 18;
  Value no = constant(b.getI1Type(), 0);
  Value granted = where(tiles, no, [&]() -> SmallVector<Value> {
    Value code =
        systemCall(kArchPrctl, {constant(wide, kRequestPermission), constant(wide, kTileData)});
    return {compare(arith::CmpIPredicate::eq, code, constant(wide, 0))};
  })[0];
  add(granted, "the system gives this process no tile registers (AMX)");
}

void CheckEmitter::askAArch64() {
  constexpr uint64_t kOpenAt = 56, kClose = 57, kRead = 63, kHere = -100, kCloseOnExec = 0x80000;
  constexpr int64_t kEntries = 64;
  constexpr uint64_t kHwcap = 16, kHwcap2 = 26;
  LLVM::GlobalOp path = makeText("_auxv_path", StringRef("/proc/self/auxv\0", 16));
  Value start = LLVM::AddressOfOp::create(b, path);
  Value count = constant(wide, 2 * kEntries), zero = constant(wide, 0);
  Value entries = LLVM::AllocaOp::create(b, pointer, wide, count);
  auto address = [&](Value value) -> Value { return LLVM::PtrToIntOp::create(b, wide, value); };
  Value file = systemCall(
      kOpenAt, {constant(wide, kHere), address(start), constant(wide, kCloseOnExec), zero});
  Value opened = compare(arith::CmpIPredicate::sge, file, zero);
  Value bytes = where(opened, zero, [&]() -> SmallVector<Value> {
    Value size = constant(wide, 16 * kEntries);
    Value got = systemCall(kRead, {file, address(entries), size});
    systemCall(kClose, {file});
    return {arith::MaxSIOp::create(b, got, zero)};
  })[0];
  Value number = arith::DivUIOp::create(b, bytes, constant(wide, 16));
  auto index = [&](Value value) -> Value {
    return arith::IndexCastOp::create(b, b.getIndexType(), value);
  };
  auto loop = scf::ForOp::create(
      b, index(zero), index(number), index(constant(wide, 1)), ValueRange{zero, zero},
      [&](OpBuilder &builder, Location, Value i, ValueRange carried) {
        OpBuilder::InsertionGuard guard(b);
        b.setInsertionPointToEnd(builder.getInsertionBlock());
        Value at =
            arith::ShLIOp::create(b, arith::IndexCastOp::create(b, wide, i), constant(wide, 1));
        Value next = arith::AddIOp::create(b, at, constant(wide, 1));
        auto load = [&](Value place) -> Value {
          return LLVM::LoadOp::create(
              b, wide, LLVM::GEPOp::create(b, pointer, wide, entries, ValueRange{place}));
        };
        Value kind = load(at), value = load(next);
        auto choose = [&](uint64_t wanted, Value old) -> Value {
          Value is = compare(arith::CmpIPredicate::eq, kind, constant(wide, wanted));
          return arith::SelectOp::create(b, is, value, old);
        };
        scf::YieldOp::create(b,
                             ValueRange{choose(kHwcap, carried[0]), choose(kHwcap2, carried[1])});
      });
  add(compare(arith::CmpIPredicate::ne, bytes, zero),
      "what the processor has cannot be read from /proc/self/auxv");
  for (const std::string &name : target.features)
    if (const llmcrt_aarch64_feature *feature = llmcrt_find_aarch64_feature(name.c_str()))
      addFeature(
          both(hasAll(loop.getResult(0), feature->low), hasAll(loop.getResult(1), feature->high)),
          name);
}

LLVM::GlobalOp CheckEmitter::makeText(StringRef suffix, StringRef text) {
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPoint(function);
  auto type = LLVM::LLVMArrayType::get(b.getI8Type(), text.size());
  return LLVM::GlobalOp::create(b, type, /*isConstant=*/true, LLVM::Linkage::Internal,
                                (function.getName() + suffix).str(), b.getStringAttr(text));
}

void CheckEmitter::emit() {
  function.setPublic();
  Block *body = function.addEntryBlock();
  b.setInsertionPointToStart(body);
  if (StringRef(target.triple).starts_with("aarch64"))
    askAArch64();
  else
    askX86();
  // The place of the first answer that is no, behind all where there is none.
  Value place = constant(wide, answers.size());
  for (size_t i = answers.size(); i-- > 0;)
    place = arith::SelectOp::create(b, answers[i], place, constant(wide, i));
  std::string text;
  for (std::string &message : messages) {
    message.resize(LLMC_WHY); // Cut or filled up with zeros;
    message.back() = '\0';    // the last is one.
    text += message;
  }
  Value good = compare(arith::CmpIPredicate::eq, place, constant(wide, answers.size()));
  Value why = function.getArgument(0), none = LLVM::ZeroOp::create(b, pointer);
  Value asked = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::ne, why, none);
  Value bad = compare(arith::CmpIPredicate::ne, place, constant(wide, answers.size()));
  Value start = LLVM::AddressOfOp::create(b, makeText("_texts", text));
  Value offset = arith::MulIOp::create(b, place, constant(wide, LLMC_WHY));
  where(both(bad, asked), ValueRange(), [&]() -> SmallVector<Value> {
    Value from = LLVM::GEPOp::create(b, pointer, b.getI8Type(), start, ValueRange{offset});
    LLVM::MemcpyOp::create(b, why, from, constant(wide, LLMC_WHY), /*isVolatile=*/false);
    return {};
  });
  Value code =
      arith::SelectOp::create(b, good, constant(word, LLMC_OK), constant(word, LLMC_BAD_CPU));
  func::ReturnOp::create(b, code);
}

LogicalResult llmc::writeCpuChecks(ModuleOp module, const TargetInfo &target) {
  Builder b(module.getContext());
  FunctionType expected =
      b.getFunctionType(LLVM::LLVMPointerType::get(module.getContext()), b.getI32Type());
  for (auto function : llvm::make_early_inc_range(module.getOps<func::FuncOp>())) {
    if (!function.isDeclaration() || !function->hasAttr(kMark))
      continue;
    if (function.getFunctionType() != expected)
      return function.emitError("expects the check of a processor to be a function of type ")
             << expected << ", got " << function.getFunctionType();
    CheckEmitter(function, target).emit();
  }
  return success();
}

LogicalResult llmc::limitToAnyMachine(ModuleOp module, const TargetInfo &target) {
  llvm::Expected<TargetInfo> any = resolveTarget(
      {target.triple, StringRef(target.triple).starts_with("aarch64") ? "generic" : "x86-64", ""});
  if (!any)
    return module.emitError(llvm::toString(any.takeError()));
  for (auto function : module.getOps<LLVM::LLVMFuncOp>()) {
    if (!function->hasAttr(kMark))
      continue;
    function->removeAttr(kMark);
    function.setTargetCpu(any->cpu);
    function.setTargetFeaturesAttr(
        LLVM::TargetFeaturesAttr::get(module.getContext(), any->featureString));
  }
  return success();
}
