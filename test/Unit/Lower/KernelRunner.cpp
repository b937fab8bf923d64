//===- KernelRunner.cpp - compiles and runs single kernels ------------------------------===//
//
// The shortest way from a kernel to code: lowered by the Target room, compiled by the JIT.
//
#include "KernelRunner.h"

#include "llmc/Target/Target.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/ExecutionEngine/OptUtils.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Target/LLVMIR/Dialect/Builtin/BuiltinToLLVMIRTranslation.h"
#include "mlir/Target/LLVMIR/Dialect/LLVMIR/LLVMToLLVMIRTranslation.h"
#include "llvm/Support/TargetSelect.h"
#include "gtest/gtest.h"

#include <cmath>

using namespace llmc;
using namespace llmc::test;

Memory::Memory(size_t bytes) : storage(bytes + 64, '\xff') {
  shift = -reinterpret_cast<intptr_t>(storage.data()) & 63;
}

int64_t Memory::allocate(int64_t bytes) {
  int64_t offset = used;
  used += (bytes + 63) / 64 * 64;
  if (used > size())
    throw std::runtime_error("test memory is too small");
  return offset;
}

KernelRunner::KernelRunner(int64_t lanes, DotKind dot) {
  llvm::InitializeNativeTarget();
  llvm::InitializeNativeTargetAsmPrinter();
  DialectRegistry registry;
  registerBuiltinDialectTranslation(registry);
  registerLLVMDialectTranslation(registry);
  context = std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadDialect<LLMCDialect, arith::ArithDialect, func::FuncDialect, math::MathDialect,
                       memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect,
                       LLVM::LLVMDialect>();
  module = ModuleOp::create(UnknownLoc::get(context.get()));
  VectorShape shape{lanes, lanes == 8 ? 16 : 32};
  shape.dot = dot;
  kernels = std::make_unique<KernelBuilder>(*module, shape);
}

void KernelRunner::run(const Kernel &kernel, Memory &arena, Memory &weights, const Call &call) {
  Memory none(0);
  run(kernel, arena, weights, none, call);
}

ExecutionEngine *KernelRunner::compile(func::FuncOp original) {
  std::unique_ptr<ExecutionEngine> &engine = engines[original.getName()];
  if (engine)
    return engine.get();
  // Lowering consumes a copy that holds this kernel only.
  OwningOpRef<ModuleOp> copy = ModuleOp::create(module->getLoc());
  auto function = cast<func::FuncOp>(original->clone());
  function.setPublic();
  copy->push_back(function);
  if (failed(verify(*copy)))
    return nullptr;
  TargetInfo native = llvm::cantFail(resolveTarget({"", "native", ""}));
  if (failed(lowerToLLVMDialect(*copy, native)))
    return nullptr;

  auto target = llvm::cantFail(llvm::orc::JITTargetMachineBuilder::detectHost());
  auto machine = llvm::cantFail(target.createTargetMachine());
  auto optimize = makeOptimizingTransformer(2, 0, machine.get());
  ExecutionEngineOptions options;
  options.transformer = optimize;
  options.enableGDBNotificationListener = options.enablePerfNotificationListener = false;
  return (engine = llvm::cantFail(ExecutionEngine::create(
              *copy, options, llvm::cantFail(target.createTargetMachine()))))
      .get();
}

void KernelRunner::run(const Kernel &kernel, Memory &arena, Memory &weights, Memory &kv,
                       const Call &call) {
  func::FuncOp function = kernel.function;
  ExecutionEngine *engine = compile(function);
  ASSERT_NE(engine, nullptr) << function.getName().str();
  auto code = engine->lookupPacked(function.getName());
  ASSERT_TRUE(static_cast<bool>(code)) << llvm::toString(code.takeError());

  int64_t scratch = (kernel.scratchBytes + 63) / 64 * 64;
  for (int64_t thread = call.threads - 1; thread >= 0; --thread) {
    // A memref is passed as allocated pointer, aligned pointer, offset, size and stride.
    void *pointers[] = {arena.data(), weights.data(), kv.data()};
    int64_t zero = 0, one = 1, size = int64_t(1) << 40, index = thread;
    int64_t rows = call.rows, sequence = call.sequence, past = call.past, threads = call.threads;
    int64_t place = arena.size() / 64 * 64 - (thread + 1) * scratch;
    std::vector<int64_t> offsets = call.offsets;
    auto column = [&](int64_t owner) {
      int64_t unit = std::max<int64_t>(kernel.unit, 1), units = (kernel.columns + unit - 1) / unit;
      return std::min(units * owner / threads * unit, kernel.columns);
    };
    int64_t begin = column(thread), end = column(thread + 1);
    std::vector<void *> arguments;
    for (void *&pointer : pointers)
      arguments.insert(arguments.end(), {&pointer, &pointer, &zero, &size, &one});
    for (int64_t *value : {&rows, &sequence, &past, &index, &threads, &place, &begin, &end})
      arguments.push_back(value);
    for (int64_t &offset : offsets)
      arguments.push_back(&offset);
    (*code)(arguments.data());
  }
}

Rows Rows::make(Memory &memory, int64_t rows, int64_t width) {
  Rows result{{width, paddedStride(width)}, rows, 0};
  result.offset = memory.allocate(rows * result.buffer.stride * sizeof(float));
  return result;
}

Rows Rows::view(int64_t start, int64_t width) const {
  return {{width, buffer.stride}, rows, offset + start * static_cast<int64_t>(sizeof(float))};
}

void Rows::fill(Memory &memory, std::mt19937 &random, double low, double high) const {
  std::uniform_real_distribution<float> value(low, high);
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < buffer.width; ++c)
      row(memory, r)[c] = value(random);
}

std::vector<float> Rows::values(Memory &memory) const {
  std::vector<float> result;
  for (int64_t r = 0; r < rows; ++r)
    result.insert(result.end(), row(memory, r), row(memory, r) + buffer.width);
  return result;
}

void test::expectClose(const std::vector<float> &actual, const std::vector<double> &expected,
                       double bound, const char *what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (size_t i = 0; i < actual.size(); ++i)
    ASSERT_LE(std::abs(actual[i] - expected[i]), bound)
        << what << " element " << i << ": " << actual[i] << " instead of " << expected[i];
}
