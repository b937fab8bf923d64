//===- LinearCodeTest.cpp - machine code and reports of linear kernels ------------------===//
#include "LinearTestSupport.h"

#include "llmc/Target/Target.h"

#include "llvm/Target/TargetMachine.h"

#include <gtest/gtest.h>
#include <map>

using namespace mlir;
using namespace llmc;
using namespace llmc::test;

namespace {

CodeFormat formatOf(const std::string &scheme, std::optional<int64_t> activations = std::nullopt) {
  Type type = parseWeightType("!llmc.compressed<512x1024xf32, " + scheme + ">");
  return getCodeFormat(type, activations);
}

// Lines of assembly of a 512x1024 linear.
std::vector<std::string> assembly(const CodeFormat &format, const TargetOptions &options) {
  llvm::Expected<TargetInfo> target = resolveTarget(options);
  EXPECT_TRUE(static_cast<bool>(target)) << llvm::toString(target.takeError());
  VectorShape shape{target->lanes, target->registers, target->half, *parseDotKind(target->dot)};
  shape.tiles = target->tiles;
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context()));
  KernelBuilder builder(*module, shape);
  getLinearKernel(builder, format, 512, 1024, {1024, 1024}, {512, 512}, true, RowBuffer{512, 512})
      .function.setPublic();
  EXPECT_TRUE(succeeded(lowerToLLVMDialect(*module, *target)));
  auto machine = makeTargetMachine(*target);
  EXPECT_TRUE(static_cast<bool>(machine)) << llvm::toString(machine.takeError());
  llvm::LLVMContext llvmContext;
  auto llvmModule = translateToLLVM(*module, llvmContext, **machine);
  EXPECT_TRUE(llvmModule);
  auto text = emitCode(*llvmModule, **machine, /*assembly=*/true);
  EXPECT_TRUE(static_cast<bool>(text)) << llvm::toString(text.takeError());
  SmallVector<StringRef> lines;
  StringRef(*text).split(lines, '\n');
  return std::vector<std::string>(lines.begin(), lines.end());
}

bool isInstruction(StringRef line) {
  return line.starts_with("\t") && !line.starts_with("\t.") && !line.starts_with("\t#");
}

// Bodies of the loops without inner loops: from a label to the jump back to it, no label between.
std::vector<std::vector<std::string>> innerLoops(const std::vector<std::string> &lines) {
  std::vector<std::vector<std::string>> loops;
  std::vector<std::string> body;
  std::string label;
  for (const std::string &line : lines) {
    StringRef text(line);
    if (text.starts_with(".L") && text.contains(':')) {
      label = text.substr(0, text.find(':')).str();
      body.clear();
    } else if (isInstruction(text)) {
      body.push_back(line);
      if (text.starts_with("\tj") && text.trim().ends_with(label))
        loops.push_back(body);
    }
  }
  return loops;
}

int64_t count(const std::vector<std::string> &lines, StringRef what) {
  return llvm::count_if(lines, [&](StringRef line) { return line.contains(what); });
}

TEST(LinearCode, FourBitLoopOnAVX2) {
  auto lines = assembly(formatOf("#llmc.int<4, group = 32, scale = f16>"),
                        {"x86_64-linux-gnu", "znver3", ""});
  std::vector<std::string> decode;
  for (const auto &loop : innerLoops(lines))
    if (count(loop, "vcvtdq2ps") && count(loop, "vcvtdq2ps") == count(loop, "vfmadd"))
      decode = loop; // Of one row: more of them multiply what is converted once.
  ASSERT_FALSE(decode.empty());
  // A dword of 32 rows: 256 weights, each vector of them masked where it lies (the last one
  // shifted), converted, multiplied and added. Seven masks do not all stay in registers; they are
  // read where they are used.
  EXPECT_EQ(count(decode, "vfmadd"), 32);
  EXPECT_EQ(count(decode, "vcvtdq2ps"), 32);
  EXPECT_EQ(count(decode, "vpsrld"), 4);
  EXPECT_EQ(count(decode, "\tvpand\t") + count(decode, "\tvandps\t"), 28);
  EXPECT_LE(count(decode, "%rsp"), 3) << "a sum was spilled";
  EXPECT_LE(decode.size(), 124u);
}

// The innermost loops with at least `least` of an instruction.
std::vector<std::vector<std::string>> loopsWith(const std::vector<std::string> &lines,
                                                StringRef what, int64_t least) {
  std::vector<std::vector<std::string>> found;
  for (const auto &loop : innerLoops(lines))
    if (count(loop, what) >= least)
      found.push_back(loop);
  return found;
}

TEST(LinearCode, FourBitDotsOnAVX2) {
  for (const char *cpu : {"haswell", "znver3"}) {
    auto lines = assembly(formatOf("#llmc.int<4, group = 32, scale = f16>", 0),
                          {"x86_64-linux-gnu", cpu, ""});
    auto loops = loopsWith(lines, "vpmaddubsw", 8);
    // Several tiles, one, a panel; four rows and two.
    ASSERT_EQ(loops.size(), 5u) << cpu;
    // A group of four tiles of 32 rows side by side; only their totals wait on the stack.
    const auto &many = loops[0];
    EXPECT_EQ(count(many, "vpmaddubsw"), 128);
    EXPECT_EQ(count(many, "vpaddw"), 112);
    EXPECT_EQ(count(many, "vpmaddwd"), 16);
    EXPECT_LE(count(many, "%rsp"), 80);
    EXPECT_LE(many.size(), 4 * 190u);
    // A group of 32 rows: 8 quads by 4 vectors; eight products of a vector are added in 16 bits.
    const auto &decode = loops[1];
    EXPECT_EQ(count(decode, "vpmaddubsw"), 32);
    EXPECT_EQ(count(decode, "vpaddw"), 28);
    EXPECT_EQ(count(decode, "vpmaddwd"), 4);
    EXPECT_EQ(count(decode, "vpand"), 32);
    EXPECT_EQ(count(decode, "vpsrld"), 16);
    EXPECT_LE(count(decode, "vpbroadcastd"), 9); // Quads, and a constant.
    EXPECT_EQ(count(decode, "%rsp"), 0) << "a register was spilled";
    EXPECT_LE(decode.size(), 176u);
    // A group of 4 rows of x by 2 vectors.
    const auto &panel = loops[2];
    EXPECT_EQ(count(panel, "vpmaddubsw"), 64);
    EXPECT_EQ(count(panel, "vpaddw"), 56);
    EXPECT_EQ(count(panel, "vpmaddwd"), 8);
    EXPECT_EQ(count(panel, "vpand"), 0);
    EXPECT_EQ(count(panel, "%rsp"), 0) << "a register was spilled";
    EXPECT_LE(panel.size(), 240u);
    // The same from words, which are taken apart once for all rows.
    for (auto [loop, masks] : {std::pair(3, 16), std::pair(4, 32)}) {
      EXPECT_EQ(count(loops[loop], "vpmaddubsw"), 64);
      EXPECT_EQ(count(loops[loop], "vpand"), masks);
    }
  }
}

TEST(LinearCode, FourBitDotsWithVNNI) {
  struct Expected {
    const char *cpu;
    int64_t decode, panel, rows, onStack;
  };
  // A group of 32 rows or 64: 8 quads by 4 vectors; 4 quads by 6x2 vectors, or 2 by 6x4.
  for (Expected want :
       {Expected{"alderlake", 32, 48, 64, 40}, Expected{"znver4", 32, 48, 128, 0}}) {
    auto lines = assembly(formatOf("#llmc.int<4, group = 32, scale = f16>", 0),
                          {"x86_64-linux-gnu", want.cpu, ""});
    auto loops = loopsWith(lines, "vpdpbusd", 8);
    ASSERT_EQ(loops.size(), 5u) << want.cpu;
    // Totals of four tiles side by side stay in 32 registers, and wait on the stack with 16.
    EXPECT_EQ(count(loops[0], "vpdpbusd"), 4 * want.decode) << want.cpu;
    EXPECT_LE(count(loops[0], "%rsp"), want.onStack) << want.cpu;
    EXPECT_EQ(count(loops[1], "vpdpbusd"), want.decode) << want.cpu;
    EXPECT_EQ(count(loops[2], "vpdpbusd"), want.panel) << want.cpu;
    // Four rows by as many vectors as sums have room, and two.
    EXPECT_EQ(count(loops[3], "vpdpbusd"), want.rows) << want.cpu;
    EXPECT_EQ(count(loops[4], "vpdpbusd"), 2 * want.decode) << want.cpu;
    for (const auto &loop : ArrayRef(loops).slice(1, 2))
      EXPECT_EQ(count(loop, "%rsp"), 0) << want.cpu << ": a register was spilled";
  }
}

TEST(LinearCode, PanelLoopOnAVX2) {
  auto lines = assembly(formatOf("#llmc.dense<f32>"), {"x86_64-linux-gnu", "znver3", ""});
  int64_t panels = 0;
  for (const auto &loop : innerLoops(lines)) {
    // 6 rows by 2 vectors, perhaps unrolled: 2 loads and 6 broadcasts for 12 products.
    if (count(loop, "vfmadd") == 0 || count(loop, "vfmadd") % 12 != 0)
      continue;
    ++panels;
    EXPECT_EQ(count(loop, "vbroadcastss") * 2, count(loop, "vfmadd"));
    EXPECT_EQ(count(loop, "%rsp"), 0) << "a register was spilled";
  }
  EXPECT_GE(panels, 1);
}

TEST(LinearCode, CallsNothing) {
  for (const char *scheme : {"#llmc.int<4, group = 32, scale = f16>", "#llmc.dense<f16>",
                             "#llmc.dense<bf16>", "#llmc.nm<2:4, #llmc.ternary>",
                             "#llmc.ternary<base3>", "#llmc.table<nf4_i8, group = 64, scale = f16>",
                             "#llmc.table<nf4, group = 64, scale = f16>"})
    for (const TargetOptions &target : {TargetOptions{"x86_64-linux-gnu", "x86-64", ""},
                                        TargetOptions{"x86_64-linux-gnu", "znver4", ""},
                                        TargetOptions{"aarch64-linux-gnu", "neoverse-n1", ""}}) {
      auto lines = assembly(formatOf(scheme, 0), target);
      EXPECT_GT(lines.size(), 100u);
      for (const std::string &line : lines) {
        bool isCall =
            StringRef(line).starts_with("\tcall") || StringRef(line).starts_with("\tbl\t");
        bool isMemory = StringRef(line).contains("memset") || StringRef(line).contains("memcpy");
        EXPECT_FALSE(isCall && !isMemory) << scheme << ", " << target.cpu << ":" << line;
      }
    }
}

TEST(LinearCode, KernelsAreShared) {
  OwningOpRef<ModuleOp> module = ModuleOp::create(UnknownLoc::get(&context()));
  KernelBuilder builder(*module, {8, 16});
  CodeFormat format = formatOf("#llmc.int<4, group = 32, scale = f16>");
  auto make = [&](int64_t n, bool bias) {
    return getLinearKernel(builder, format, n, 64, {64, 64}, {n, 64}, bias, std::nullopt).function;
  };
  EXPECT_EQ(make(64, false), make(64, false));
  EXPECT_NE(make(64, false), make(32, false));
  EXPECT_NE(make(64, false), make(64, true));
  EXPECT_EQ(make(64, false).getName(), "linear_int4-g32_64x64_x64_y64");
}

// The figures behind "expected" are CpuModel's and not for eternity; SaysWhatBoundsIt looks at
// them.
static std::string withoutExpectation(const std::string &text) {
  return text.substr(0, text.find("; expected of one thread ("));
}

// The same of how many rows are few.
static std::string withoutBound(std::string text) {
  size_t at = text.find("; 1-");
  return text.replace(at, text.find(" rows", at) - at, "; few");
}

TEST(LinearReport, SaysFormatBytesAndPath) {
  auto explain = [&](const std::string &scheme, std::optional<int64_t> activations = std::nullopt) {
    return withoutBound(
        withoutExpectation(explainLinear(formatOf(scheme, activations), {8, 16}, 512, 1024)));
  };
  EXPECT_EQ(explain("#llmc.int<4, group = 32, scale = f16>"),
            "int4-g32: 512x1024, tile 32 rows x 8 inputs, 311296 bytes per token (4.75 bits per "
            "weight); few rows: codes from registers; more: decompressed to f32 panels");
  EXPECT_NE(explainLinear(formatOf("#llmc.dense<f16>"), {8, 16}, 512, 1024).find("; 1-16 rows: "),
            std::string::npos);
  const int64_t perToken = 0;
  auto path = [&](const std::string &scheme, DotKind dot) {
    std::string text = withoutBound(withoutExpectation(
        explainLinear(formatOf(scheme, perToken), {8, 16, true, dot}, 512, 1024)));
    return text.substr(text.find("few rows"));
  };
  EXPECT_EQ(
      path("#llmc.int<4, group = 32, scale = f16>", DotKind::Maddubs),
      "few rows: codes from registers, dot products of bytes (maddubs), 32 inputs at a time, one "
      "row 4 tiles side by side; "
      "more: panels of 512 inputs as bytes, dot products of 4 rows by 16 outputs");
  EXPECT_EQ(path("#llmc.int<4, group = 5, scale = f16>", DotKind::Maddubs),
            "few rows: codes from registers, products in f32: scales of 5 inputs, not a multiple "
            "of 4; more: decompressed to f32 panels");
  EXPECT_NE(path("#llmc.int<4, group = 32, scale = f16>", DotKind::None)
                .find("the target has no dot product of bytes"),
            std::string::npos);
  EXPECT_NE(path("#llmc.nm<1:4, #llmc.ternary>", DotKind::Vnni).find("each row selects"),
            std::string::npos);
  EXPECT_EQ(path("#llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>", DotKind::Maddubs),
            "few rows: kept codes from registers, inputs selected by index, dot products of bytes "
            "(maddubs), 32 inputs at a time; more: panels of 512 inputs as bytes, dot products of "
            "4 rows by 16 outputs");
  EXPECT_NE(path("#llmc.nm<2:4, #llmc.int<8, group = 32, scale = f16>>", DotKind::Maddubs)
                .find("each row selects other inputs"),
            std::string::npos);
  EXPECT_NE(path("#llmc.dense<f16>", DotKind::Vnni).find("the weight is no integer"),
            std::string::npos);
  EXPECT_NE(explain("#llmc.nm<2:4, #llmc.int<4, group = 32, symmetric, scale = f32>>", 0)
                .find("nm2x4-int4-g32-sym-f32scale-i8token: "),
            std::string::npos);
  EXPECT_NE(explain("#llmc.mask<#llmc.int<8, group = 0, scale = f16>>")
                .find("mask-int8-row: 512x1024, tile 32 rows x 4 inputs, 525824 bytes"),
            std::string::npos);
  // 51 dwords of 20 inputs and one of 4: 1.6 bits and what the last is short of.
  EXPECT_EQ(explain("#llmc.ternary<base3>"),
            "ternary-b3: 512x1024, tile 32 rows x 20 inputs, 106560 bytes per token (1.63 bits per "
            "weight); few rows: codes from registers, five to a byte; more: decompressed to f32 "
            "panels");
  EXPECT_EQ(explain("#llmc.table<nf4, group = 64, scale = f16>"),
            "nf4-g64: 512x1024, tile 32 rows x 8 inputs, 278528 bytes per token (4.25 bits per "
            "weight); few rows: codes looked up in registers; more: decompressed to f32 panels");
  EXPECT_EQ(path("#llmc.table<nf4_i8, group = 64, scale = f16>", DotKind::Maddubs),
            "few rows: codes looked up in registers, dot products of bytes (maddubs), 32 inputs at "
            "a time, one row 2 tiles side by side; more: panels of 512 inputs as bytes, dot "
            "products of 4 rows by 16 outputs");
  EXPECT_NE(path("#llmc.table<nf4, group = 64, scale = f16>", DotKind::Vnni)
                .find("the levels of the table are no integers"),
            std::string::npos);
  EXPECT_NE(explain("#llmc.mask<#llmc.ternary>").find("stored as the zero point"),
            std::string::npos);
  EXPECT_NE(explain("#llmc.nm<2:3, #llmc.int<4, group = 32, scale = f16>>").find("straddle"),
            std::string::npos);
}

TEST(LinearReport, SaysWhyTilesAreNotTaken) {
  auto path = [&](const std::string &scheme, bool tiles = true) {
    VectorShape shape = {16, 32, true, DotKind::Vnni, nullptr, tiles};
    std::string text = withoutExpectation(explainLinear(formatOf(scheme, 0), shape, 512, 1024));
    return text.substr(text.find("more: "));
  };
  EXPECT_EQ(path("#llmc.int<4, group = 128, scale = f16>"),
            "more: panels of 512 inputs as bytes, dot products of 32 rows by 32 outputs in tile "
            "registers, 64 inputs at a time");
  EXPECT_EQ(path("#llmc.int<4, group = 32, scale = f16>"),
            "more: panels of 512 inputs as bytes, dot products of 32 rows by 32 outputs in tile "
            "registers, 32 inputs at a time: half of each, as scales change every 32 inputs");
  EXPECT_EQ(path("#llmc.int<4, group = 16, scale = f16>"),
            "more: panels of 256 inputs as bytes, dot products of 6 rows by 64 outputs: not in "
            "tile registers, as scales change every 16 inputs");
  EXPECT_NE(path("#llmc.nm<2:4, #llmc.int<4, group = 32, scale = f16>>")
                .find(": not in tile registers, as each row selects other inputs"),
            std::string::npos);
  EXPECT_EQ(path("#llmc.int<4, group = 16, scale = f16>", false).find("tile registers"),
            std::string::npos);
}

TEST(LinearReport, MissingDataIsAnError) {
  RandomWeight weight("!llmc.compressed<4x8xf32, #llmc.int<4, group = 0, scale = f16>>", 1);
  weight.op.setComponentsAttr(DictionaryAttr::get(&context()));
  Type type = weight.op.getType();
  CodeFormat format = getCodeFormat(type);
  std::vector<char> out(packedLinearBytes(type, format, {8, 16}));
  std::string message;
  ScopedDiagnosticHandler handler(&context(), [&](Diagnostic &diagnostic) {
    message = diagnostic.str();
    return success();
  });
  EXPECT_TRUE(failed(packLinear(weight.op, format, {8, 16}, out)));
  EXPECT_EQ(message, "weight \"w\" has no data for component 'codes'");
}

// What a linear should take follows from bytes and instructions: less of either is less time.
TEST(LinearReport, SaysWhatBoundsIt) {
  VectorShape shape = {8, 16, true, DotKind::Maddubs};
  shape.cpu = &getCpuModel("znver3", shape);
  auto expect = [&](const std::string &scheme, int64_t n) {
    std::string text = explainLinear(formatOf(scheme, 0), shape, n, 2048);
    size_t at = text.find("; expected of one thread (znver3): 1 row in ");
    EXPECT_NE(at, std::string::npos) << text;
    double one = 0, many = 0;
    char boundOne[16], boundMany[16];
    int read = std::sscanf(text.c_str() + at,
                           "; expected of one thread (znver3): 1 row in %lf us, bound by %15[a-z], "
                           "512 rows in %lf us, bound by %15[a-z]",
                           &one, boundOne, &many, boundMany);
    EXPECT_EQ(read, 4) << text;
    EXPECT_EQ(std::string(boundMany), "arithmetic");
    return std::make_tuple(one, many, std::string(boundOne));
  };
  auto [wide, wideMany, wideBound] =
      expect("#llmc.int<8, group = 0, symmetric, scale = f32>", 5632);
  auto [narrow, narrowMany, narrowBound] = expect("#llmc.int<4, group = 128, scale = f16>", 5632);
  EXPECT_EQ(wideBound, "memory");
  EXPECT_EQ(narrowBound, "memory");
  // 11.5 MB and 6 MB at 22 GB/s.
  EXPECT_NEAR(wide, 525, 13);
  EXPECT_NEAR(narrow / wide, 4.19 / 8, 0.02);
  EXPECT_LT(narrowMany, wideMany);
  auto [half, halfMany, halfBound] = expect("#llmc.int<4, group = 128, scale = f16>", 2816);
  EXPECT_NEAR(half, narrow / 2, 1);
  EXPECT_NEAR(halfMany, narrowMany / 2, narrowMany * 0.01);
}

} // namespace
