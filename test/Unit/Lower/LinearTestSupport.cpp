//===- LinearTestSupport.cpp - random weights, and kernels that run ---------------------===//
//
// Kernels are compiled by the Target room for this machine and loaded by LLVM's JIT linker.
//
#include "LinearTestSupport.h"

#include "TileEmulator.h"

#include "llmc/IR/WeightData.h"
#include "llmc/Numerics/TritPack.h"
#include "llmc/Runtime/llmcrt.h"
#include "llmc/Target/Target.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Verifier.h"
#include "llvm/ExecutionEngine/Orc/LLJIT.h"
#include "llvm/Support/TargetSelect.h"
#include "llvm/Target/TargetMachine.h"

#include <cstring>
#include <gtest/gtest.h>
#include <limits>
#include <map>

using namespace mlir;
using namespace llmc;
using namespace llmc::test;

MLIRContext &test::context() {
  static MLIRContext *shared = [] {
    auto *result = new MLIRContext(MLIRContext::Threading::DISABLED);
    result->loadDialect<LLMCDialect, arith::ArithDialect, func::FuncDialect, math::MathDialect,
                        memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect,
                        LLVM::LLVMDialect>();
    return result;
  }();
  return *shared;
}

std::vector<float> test::randomFloats(size_t count, unsigned seed, float low, float high) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> distribution(low, high);
  std::vector<float> result(count);
  for (float &value : result)
    value = distribution(random);
  return result;
}

Type test::parseWeightType(const std::string &text) { return parseType(text, &context()); }

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

static std::vector<char> encodeFloats(ArrayRef<float> values, Type type) {
  std::vector<char> bytes;
  for (float value : values) {
    char raw[4];
    std::memcpy(raw, &value, 4);
    if (type.isF32()) {
      bytes.insert(bytes.end(), raw, raw + 4);
    } else if (type.isBF16()) {
      bytes.insert(bytes.end(), raw + 2, raw + 4);
    } else {
      _Float16 half = static_cast<_Float16>(value);
      std::memcpy(raw, &half, 2);
      bytes.insert(bytes.end(), raw, raw + 2);
    }
  }
  return bytes;
}

// Codes of `bits` below `limit`, `rows` streams of `perRow` each.
static std::vector<char> randomCodes(int64_t rows, int64_t perRow, unsigned bits, unsigned limit,
                                     std::mt19937 &random) {
  int64_t stride = (perRow * bits + 7) / 8;
  std::vector<char> bytes(rows * stride, 0);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < perRow; ++i) {
      unsigned code = random() % limit;
      for (unsigned bit = 0; bit < bits; ++bit)
        if (code >> bit & 1)
          bytes[row * stride + (i * bits + bit) / 8] |= 1 << ((i * bits + bit) % 8);
    }
  return bytes;
}

RandomWeight::RandomWeight(StringRef typeText, unsigned seed, bool unitScales) {
  std::mt19937 random(seed);
  Type type = parseType(typeText, &context());
  module = ModuleOp::create(UnknownLoc::get(&context()));
  OpBuilder builder = OpBuilder::atBlockEnd(module->getBody());
  ArrayRef<int64_t> dims = getWeightShape(type);
  int64_t rows = dims[0], columns = dims[1];
  CodeFormat format = getCodeFormat(type);
  std::vector<char> mask(rows * ((columns + 7) / 8), 0);
  int64_t kept = 0;
  for (int64_t row = 0; row < rows; ++row) {
    char *bits = mask.data() + row * ((columns + 7) / 8);
    auto keep = [&](int64_t i) {
      bits[i / 8] |= 1 << (i % 8);
      ++kept;
    };
    if (format.masked)
      for (int64_t i = 0; i < columns; ++i)
        if (random() % 2)
          keep(i);
    if (!format.keepM)
      continue;
    for (int64_t start = 0; start < columns; start += format.keepM) {
      int64_t length = std::min(format.keepM, columns - start);
      std::vector<int64_t> order(length);
      for (int64_t i = 0; i < length; ++i)
        order[i] = i;
      std::shuffle(order.begin(), order.end(), random);
      for (int64_t i = 0; i < std::min(format.keepN, length); ++i)
        keep(start + order[i]);
    }
  }
  // Five ternary codes to a byte, whatever they are.
  auto randomTrits = [&](int64_t bytes) {
    std::vector<char> result;
    while (static_cast<int64_t>(result.size()) < bytes) {
      uint8_t codes[5];
      for (uint8_t &code : codes)
        code = random() % 3;
      result.push_back(static_cast<char>(packTritByte(codes)));
    }
    return result;
  };
  unsigned limit = format.kind == CodeFormat::Kind::Ternary ? 3u : 1u << format.bits;
  std::vector<std::vector<char>> data;
  std::vector<SchemeComponent> components;
  if (SchemeAttrInterface scheme = getScheme(type))
    for (const SchemeComponent &component : scheme.components(rows, columns))
      components.push_back(component);
  else
    components.push_back({"values", getWeightElementType(type), {rows, columns}});
  for (const SchemeComponent &component : components) {
    int64_t count = 1;
    for (int64_t dim : component.shape)
      count *= dim == ShapedType::kDynamic ? kept : dim;
    if (component.name == "mask")
      data.push_back(mask);
    else if (component.name == "codes" && format.base3)
      data.push_back(randomTrits(format.masked ? packedTritBytes(kept) : count));
    else if (component.name == "codes")
      data.push_back(format.masked ? randomCodes(1, kept, format.bits, limit, random)
                                   : randomCodes(rows, format.keepM ? kept / rows : columns,
                                                 format.bits, limit, random));
    else if (component.name == "zeros")
      data.push_back(randomCodes(count, 1, 8, limit, random));
    else if (component.name == "scales")
      data.push_back(encodeFloats(unitScales ? std::vector<float>(count, 1.0f)
                                             : randomFloats(count, random(), 0.01f, 0.04f),
                                  component.elementType));
    else
      data.push_back(encodeFloats(randomFloats(count, random()), component.elementType));
  }
  SmallVector<ArrayRef<char>> views(data.begin(), data.end());
  op = createWeight(builder, builder.getUnknownLoc(), "w", type, views);
  EXPECT_TRUE(succeeded(verify(*module))) << typeText.str();
  FailureOr<std::vector<float>> values = readWeight(op);
  EXPECT_TRUE(succeeded(values));
  dense = *values;
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

struct CompiledKernel::Code {
  std::unique_ptr<llvm::orc::LLJIT> jit;
};

CompiledKernel::~CompiledKernel() = default;

CompiledKernel::CompiledKernel(VectorShape shape, function_ref<Kernel(KernelBuilder &)> make,
                               bool tileCode) {
  compile(shape, make, tileCode);
}

void CompiledKernel::compile(VectorShape shape, function_ref<Kernel(KernelBuilder &)> make,
                             bool tileCode) {
  static bool initialized = [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    return true;
  }();
  EXPECT_TRUE(initialized);
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context()));
  KernelBuilder builder(*module, shape);
  Kernel kernel = make(builder);
  kernel.function.setPublic();
  scratchBytes = kernel.scratchBytes;
  columns = kernel.columns;
  unit = kernel.unit;
  std::string name = kernel.function.getName().str();
  ASSERT_TRUE(succeeded(verify(*module)));
  llvm::Expected<TargetInfo> target = resolveTarget({"", "native", tileCode ? "+amx-int8" : ""});
  ASSERT_TRUE(static_cast<bool>(target)) << llvm::toString(target.takeError());
  // As every loader does; this asks for tile registers too.
  for (const std::string &feature : target->features)
    ASSERT_EQ(llmcrt_cpu_has(feature.c_str()) == 1 || tileCode, true) << feature;
  if (tileCode) { // Beside vectors of any width.
    ASSERT_TRUE(enableTiles());
    target->tiles = true;
  }
  ASSERT_TRUE(succeeded(lowerToLLVMDialect(*module, *target)));
  auto machine = makeTargetMachine(*target);
  ASSERT_TRUE(static_cast<bool>(machine)) << llvm::toString(machine.takeError());
  llvm::LLVMContext llvmContext;
  auto llvmModule = translateToLLVM(*module, llvmContext, **machine);
  ASSERT_TRUE(llvmModule);
  auto object = emitCode(*llvmModule, **machine, /*assembly=*/false);
  ASSERT_TRUE(static_cast<bool>(object)) << llvm::toString(object.takeError());
  auto jit = llvm::orc::LLJITBuilder().create();
  ASSERT_TRUE(static_cast<bool>(jit)) << llvm::toString(jit.takeError());
  llvm::Error added = (*jit)->addObjectFile(llvm::MemoryBuffer::getMemBufferCopy(*object, name));
  ASSERT_FALSE(static_cast<bool>(added)) << llvm::toString(std::move(added));
  auto address = (*jit)->lookup(name);
  ASSERT_TRUE(static_cast<bool>(address)) << llvm::toString(address.takeError());
  entry = address->toPtr<void *>();
  code = std::make_unique<Code>();
  code->jit = std::move(*jit);
}

void CompiledKernel::run(char *arena, const char *weights, int64_t rows, int64_t threads,
                         int64_t scratch, ArrayRef<int64_t> offsets, bool sequences) const {
  // Three memrefs of five words, eight indices, then the kernel's own offsets; words it does not
  // take are ignored.
  using Word = uint64_t;
  using Entry = void (*)(Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word,
                         Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word, Word,
                         Word, Word, Word, Word, Word);
  auto call = reinterpret_cast<Entry>(entry);
  ASSERT_NE(call, nullptr);
  Word own[6] = {};
  std::copy(offsets.begin(), offsets.end(), own);
  Word a = reinterpret_cast<Word>(arena), w = reinterpret_cast<Word>(weights);
  Word large = Word(1) << 40;
  auto column = [&](int64_t owner) -> Word {
    int64_t width = std::max<int64_t>(unit, 1), units = (columns + width - 1) / width;
    return std::min(units * owner / threads * width, columns);
  };
  for (int64_t thread = 0; thread < threads; ++thread)
    call(a, a, 0, large, 1, w, w, 0, large, 1, a, a, 0, large, 1, rows, sequences ? 1 : rows, 0,
         thread, threads, scratch, column(thread), column(thread + 1), own[0], own[1], own[2],
         own[3], own[4], own[5]);
}

/// Kernels are the same for all weights of as many columns, so they are compiled once.
static const CompiledKernel &quantizeKernel(VectorShape shape, RowBuffer x, RowBuffer codes,
                                            RowBuffer scales, int64_t group) {
  static auto &known = // The code is in use until the end.
      *new std::map<std::tuple<int64_t, int64_t, int64_t>, std::unique_ptr<CompiledKernel>>;
  std::unique_ptr<CompiledKernel> &kernel = known[{shape.lanes, x.width, group}];
  if (!kernel)
    kernel = std::make_unique<CompiledKernel>(shape, [&](KernelBuilder &builder) {
      return getQuantizeKernel(builder, x, codes, scales, group, /*isStatic=*/false);
    });
  return *kernel;
}

LinearRunner::LinearRunner(const LinearCase &test)
    : test(test), format(getCodeFormat(test.weight.op.getType(), test.activationGroup)) {
  int64_t n = test.weight.rows(), k = test.weight.columns();
  x = {k, k + 3}; // As a view into a wider buffer: odd stride, unaligned.
  int64_t group = test.activationGroup.value_or(0), count = group ? (k + group - 1) / group : 1;
  codes = {k, (k + kCodeLine - 1) / kCodeLine * kCodeLine};
  scales = {count, count};
  y = {n, paddedStride(n)};
  Type type = test.weight.op.getType();
  packed.assign(packedLinearBytes(type, format, test.shape), 0x55);
  EXPECT_TRUE(succeeded(packLinear(test.weight.op, format, test.shape, packed)));
  std::optional<RowBuffer> residual;
  if (test.residual)
    residual = RowBuffer{n, n + 1};
  kernel = std::make_unique<CompiledKernel>(
      test.shape,
      [&](KernelBuilder &builder) {
        return getLinearKernel(builder, format, n, k, test.activationGroup ? codes : x, y,
                               test.bias, residual, scales);
      },
      test.tileCode);
}

std::vector<float> LinearRunner::run(ArrayRef<float> input, ArrayRef<float> bias,
                                     ArrayRef<float> residual, int64_t threads,
                                     bool sequences) const {
  int64_t n = test.weight.rows(), k = test.weight.columns(), rows = input.size() / k;
  constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  auto pad = [](int64_t bytes) { return (bytes + 63) / 64 * 64; };
  std::vector<char> weights = packed;
  weights.resize(pad(weights.size()));
  int64_t biasAt = weights.size();
  weights.resize(biasAt + packedBiasBytes(n, test.shape));
  if (test.bias)
    std::memcpy(weights.data() + biasAt, bias.data(), n * 4);
  int64_t xAt = 4, residualAt = pad(xAt + rows * x.stride * 4);
  int64_t codesAt = pad(residualAt + rows * (n + 1) * 4);
  int64_t scalesAt = pad(codesAt + rows * codes.stride);
  int64_t yAt = pad(scalesAt + rows * scales.stride * 4), scratchAt = yAt + rows * y.stride * 4;
  std::vector<float> arena((scratchAt + kernel->scratchBytes + 64) / 4, kNaN);
  char *memory = reinterpret_cast<char *>(arena.data());
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(memory + xAt + row * x.stride * 4, input.data() + row * k, k * 4);
    if (test.residual)
      std::memcpy(memory + residualAt + row * (n + 1) * 4, residual.data() + row * n, n * 4);
  }
  if (test.activationGroup)
    quantizeKernel(test.shape, x, codes, scales, *test.activationGroup)
        .run(memory, nullptr, rows, threads, scratchAt, {xAt, codesAt, scalesAt});
  std::vector<int64_t> offsets = {test.activationGroup ? codesAt : xAt, 0};
  if (test.bias)
    offsets.push_back(biasAt);
  if (test.residual)
    offsets.push_back(residualAt);
  offsets.push_back(yAt);
  if (test.activationGroup)
    offsets.push_back(scalesAt);
  kernel->run(memory, weights.data(), rows, threads, scratchAt, offsets, sequences);
  std::vector<float> result(rows * n);
  for (int64_t row = 0; row < rows; ++row)
    std::memcpy(&result[row * n], memory + yAt + row * y.stride * 4, n * 4);
  return result;
}

void LinearRunner::expectRowsOfOne(ArrayRef<float> x, ArrayRef<float> bias,
                                   ArrayRef<float> residual, const std::string &what) const {
  int64_t n = test.weight.rows(), k = test.weight.columns(), rows = x.size() / k;
  std::vector<float> together = run(x, bias, residual, 1, /*sequences=*/true);
  for (int64_t row = 0; row < rows; ++row) {
    ArrayRef<float> own = residual.empty() ? residual : residual.slice(row * n, n);
    std::vector<float> alone = run(x.slice(row * k, k), bias, own, 1);
    ASSERT_EQ(std::memcmp(alone.data(), &together[row * n], n * 4), 0)
        << what << ": row " << row << " of " << rows << " differs from the same row alone";
  }
}
