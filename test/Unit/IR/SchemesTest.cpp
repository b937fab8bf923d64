// What each scheme's stored bytes mean, computed by hand, and what they cost.
#include "llmc/IR/WeightData.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Parser/Parser.h"
#include "gtest/gtest.h"

using namespace mlir;
using namespace llmc;

namespace {

class SchemesTest : public ::testing::Test {
protected:
  SchemesTest() { context.loadDialect<LLMCDialect>(); }

  /// The dense values of a weight given as text.
  std::vector<float> decompress(StringRef components, StringRef type) {
    std::string text = ("%w = llmc.weight \"w\" {" + components + "} : " + type).str();
    module = parseSourceString<ModuleOp>(text, &context);
    if (!module)
      return {};
    WeightOp weight = *module->getOps<WeightOp>().begin();
    FailureOr<std::vector<float>> values = readWeight(weight);
    return succeeded(values) ? *values : std::vector<float>();
  }

  double bits(StringRef scheme, int64_t rows, int64_t columns, double density = 1.0) {
    return cast<SchemeAttrInterface>(parseAttribute(scheme, &context))
        .bitsPerWeight(rows, columns, density);
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
};

using Values = std::vector<float>;

TEST_F(SchemesTest, Dense) {
  EXPECT_EQ(decompress("values = dense<[[1.5, -2.0], [0.25, 65504.0]]> : tensor<2x2xf16>",
                       "!llmc.compressed<2x2xf32, #llmc.dense<f16>>"),
            (Values{1.5f, -2.0f, 0.25f, 65504.0f}));
  EXPECT_EQ(decompress("values = dense<[[1.5, -2.0]]> : tensor<1x2xbf16>",
                       "!llmc.compressed<1x2xf32, #llmc.dense<bf16>>"),
            (Values{1.5f, -2.0f}));
}

TEST_F(SchemesTest, IntCodesAreALittleEndianStream) {
  // Codes 1, 15, 8, 0 in two bytes; (code - 3) * 0.5.
  EXPECT_EQ(decompress("codes = dense<[[241, 8]]> : tensor<1x2xui8>, scales = dense<0.5> : "
                       "tensor<1x1xf16>, zeros = dense<3> : tensor<1x1xui8>",
                       "!llmc.compressed<1x4xf32, #llmc.int<4, group = 0, scale = f16>>"),
            (Values{-1.0f, 6.0f, 2.5f, -1.5f}));
  // 3 bits cross bytes: 7, 0, 5, 2 are 111 000 101 010 from the low end: 0x47, 0x05.
  EXPECT_EQ(
      decompress("codes = dense<[[71, 5]]> : tensor<1x2xui8>, scales = dense<1.0> : "
                 "tensor<1x1xf32>",
                 "!llmc.compressed<1x4xf32, #llmc.int<3, group = 0, symmetric, scale = f32>>"),
      (Values{3.0f, -4.0f, 1.0f, -2.0f}));
}

TEST_F(SchemesTest, ShortLastGroupHasItsOwnScale) {
  EXPECT_EQ(
      decompress("codes = dense<[[153, 9]]> : tensor<1x2xui8>, scales = dense<[[1.0, -2.0]]> "
                 ": tensor<1x2xf16>",
                 "!llmc.compressed<1x3xf32, #llmc.int<4, group = 2, symmetric, scale = f16>>"),
      (Values{1.0f, 1.0f, -2.0f}));
}

TEST_F(SchemesTest, Ternary) {
  // Codes 0, 1, 2, 0.
  EXPECT_EQ(decompress("codes = dense<36> : tensor<1x1xui8>, scales = dense<0.75> : tensor<1xf32>",
                       "!llmc.compressed<1x4xf32, #llmc.ternary>"),
            (Values{-0.75f, 0.0f, 0.75f, -0.75f}));
}

TEST_F(SchemesTest, TablesAreLevelsTimesScales) {
  // Codes 0, 7, 15, 8, 12 of a table; two groups of 4.
  EXPECT_EQ(decompress("codes = dense<[[112, 143, 12]]> : tensor<1x3xui8>, scales = dense<[[2.0, "
                       "0.5]]> : tensor<1x2xf16>",
                       "!llmc.compressed<1x5xf32, #llmc.table<nf4, group = 4, scale = f16>>"),
            (Values{-2.0f, 0.0f, 2.0f, 2 * 0.07958029955625534f, 0.5f * 0.44070982933044434f}));
  EXPECT_EQ(decompress("codes = dense<[[112, 143]]> : tensor<1x2xui8>, scales = dense<2.0> : "
                       "tensor<1x1xf32>",
                       "!llmc.compressed<1x4xf32, #llmc.table<nf4_i8, group = 0, scale = f32>>"),
            (Values{-2.0f, 0.0f, 2.0f, 2 * (10 / 127.0f)}));
}

TEST_F(SchemesTest, FloatsOf8BitsTimesScales) {
  // 1, 448, the least subnormal 2^-9, -1.125; a scale for each row.
  EXPECT_EQ(
      decompress("codes = dense<[[56, 126], [1, 185]]> : tensor<2x2xui8>, scales = dense<[[2.0], "
                 "[0.5]]> : tensor<2x1xf32>",
                 "!llmc.compressed<2x2xf32, #llmc.float<e4m3>>"),
      (Values{2.0f, 896.0f, 1.0f / 1024, -0.5625f}));
  // The second byte of a format that ends at 57344, under a mask.
  EXPECT_EQ(decompress("mask = dense<6> : tensor<1x1xui8>, codes = dense<[60, 123]> : "
                       "tensor<2xui8>, scales = dense<0.5> : tensor<1xf32>",
                       "!llmc.compressed<1x3xf32, #llmc.mask<#llmc.float<e5m2, per = matrix>>>"),
            (Values{0.0f, 0.5f, 28672.0f}));
}

TEST_F(SchemesTest, LevelsOfGroupsOfRows) {
  // Codes 1 and 3 of the table of rows 0 and 1, then of that of row 2.
  EXPECT_EQ(decompress("codes = dense<49> : tensor<3x1xui8>, levels = dense<[[0.0, 1.0, 2.0, 3.0, "
                       "4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0], [0.0, "
                       "-1.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, "
                       "0.0]]> : tensor<2x16xf16>",
                       "!llmc.compressed<3x2xf32, #llmc.levels<rows = 2, type = f16>>"),
            (Values{1.0f, 3.0f, 1.0f, 3.0f, -1.0f, 0.5f}));
}

TEST_F(SchemesTest, ScalesOfScales) {
  // Codes 2, 15 and 7 (1, -6 and 6); scales 0.5 (0x30) and 1.125 (0x39), times 4.
  EXPECT_EQ(decompress("codes = dense<[[242, 34, 34, 34, 34, 34, 34, 34, 7]]> : tensor<1x9xui8>, "
                       "scales = dense<[[48, 57]]> : tensor<1x2xui8>, super_scales = dense<4.0> : "
                       "tensor<1xf32>",
                       "!llmc.compressed<1x17xf32, #llmc.nvfp4>"),
            (Values{2.0f, -12.0f, 2.0f, 2.0f, 2.0f, 2.0f, 2.0f, 2.0f, 2.0f, 2.0f, 2.0f, 2.0f, 2.0f,
                    2.0f, 2.0f, 2.0f, 27.0f}));
}

TEST_F(SchemesTest, ZeroPointsThatAreFloats) {
  // Codes 1, 15, 8, 0; (code - 3.25) * 0.5, and under a mask nothing but what is kept.
  EXPECT_EQ(
      decompress("codes = dense<[[241, 8]]> : tensor<1x2xui8>, scales = dense<0.5> : "
                 "tensor<1x1xf16>, zeros = dense<3.25> : tensor<1x1xf16>",
                 "!llmc.compressed<1x4xf32, #llmc.int<4, group = 0, scale = f16, zero = f16>>"),
      (Values{-1.125f, 5.875f, 2.375f, -1.625f}));
  EXPECT_EQ(
      decompress("mask = dense<5> : tensor<1x1xui8>, codes = dense<[[241]]> : tensor<1x1xui8>, "
                 "scales = dense<0.5> : tensor<1x1xf32>, zeros = dense<-1.0> : tensor<1x1xf32>",
                 "!llmc.compressed<1x4xf32, #llmc.nm<2:4, #llmc.int<4, group = 0, scale = "
                 "f32, zero = f32>>>"),
      (Values{1.0f, 0.0f, 8.0f, 0.0f}));
}

/// What a plan means that no scheme of the tree has, of one matrix.
std::vector<float> decodePlan(const DecodePlan &plan, int64_t rows, int64_t columns,
                              ArrayRef<ArrayRef<char>> data) {
  std::vector<float> values(rows * columns);
  decodePlanRows(plan, rows, columns, data, 0, values);
  return values;
}

std::vector<std::string> namesOf(const DecodePlan &plan, MLIRContext *context, int64_t rows,
                                 int64_t columns) {
  std::vector<std::string> names;
  for (const SchemeComponent &component : planComponents(plan, context, rows, columns)) {
    std::string name = component.name;
    for (int64_t dim : component.shape)
      name += " " + std::to_string(dim);
    names.push_back(name);
  }
  return names;
}

TEST_F(SchemesTest, MinimumsOnTwoLevelsAsInKQuants) {
  DecodePlan plan;
  plan.level = DecodePlan::Level::Affine;
  plan.bits = 4;
  plan.codes = 16;
  plan.scaleType = IntegerType::get(&context, 8, IntegerType::Unsigned);
  plan.scaleColumns = 2;
  plan.superType = Float16Type::get(&context);
  plan.superBlock = 2; // Two groups of two inputs.
  plan.storesMinimums = true;
  EXPECT_EQ(namesOf(plan, &context, 2, 4),
            (std::vector<std::string>{"codes 2 2", "scales 2 2", "super_scales 2", "minimums 2 2",
                                      "super_minimums 2"}));
  EXPECT_DOUBLE_EQ(planBits(plan, 2, 4, 1), 4 + 2 * (4 * 8 + 2 * 16) / 8.0);
  const char codes[] = {0x21, 0x43, 0x21, 0x43}, scales[] = {1, 2, 3, 63},
             minimums[] = {0, 5, 1, 2};
  std::vector<char> supers = storeFloats({0.5f, 0.25f}, plan.superType);
  std::vector<char> superMinimums = storeFloats({0.125f, 2.0f}, plan.superType);
  // d * scale * code - dmin * minimum, of ggml's block_q4_K.
  EXPECT_EQ(decodePlan(plan, 2, 4, {codes, scales, supers, minimums, superMinimums}),
            (Values{0.5f, 1.0f, 3 - 0.625f, 4 - 0.625f, 0.75f - 2, 1.5f - 2, 3 * 15.75f - 4,
                    4 * 15.75f - 4}));
}

TEST_F(SchemesTest, QuantizedScalesWithAnOffsetAsInBitsandbytes) {
  static const float maps[] = {-1.0f, 0.0f, 0.5f, 1.0f};
  DecodePlan plan;
  plan.level = DecodePlan::Level::Affine;
  plan.bits = 8;
  plan.codes = 256;
  plan.scaleType = IntegerType::get(&context, 8, IntegerType::Unsigned);
  plan.scaleColumns = 1;
  plan.superType = Float32Type::get(&context);
  plan.superBlock = 3; // Blocks run on from row to row.
  plan.scaleLevels = maps;
  plan.superOffset = true;
  EXPECT_EQ(namesOf(plan, &context, 2, 2),
            (std::vector<std::string>{"codes 2 2", "scales 2 2", "super_scales 2", "offset 1"}));
  const char codes[] = {1, 2, 3, 4}, scales[] = {0, 1, 2, 3};
  std::vector<char> supers = storeFloats({2.0f, 8.0f}, plan.superType);
  std::vector<char> offset = storeFloats({10.0f}, plan.superType);
  EXPECT_EQ(decodePlan(plan, 2, 2, {codes, scales, supers, offset}),
            (Values{8.0f, 20.0f, 33.0f, 72.0f}));
  const char beyond[] = {0, 1, 2, 4};
  std::string said;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    said = diagnostic.str();
    return success();
  });
  EXPECT_TRUE(failed(verifyPlanData(plan, 2, 2, {codes, beyond, supers, offset}, [&] {
    return mlir::emitError(UnknownLoc::get(&context)) << "weight ";
  })));
  EXPECT_EQ(said, "weight expects scales of finite levels, got 4 at index 3");
}

TEST_F(SchemesTest, ACodeThatStandsForSeveralWeights) {
  DecodePlan plan;
  plan.level = DecodePlan::Level::StoredTable;
  plan.bits = 2;
  plan.codes = 3;
  plan.vector = 2;
  plan.valueType = Float32Type::get(&context);
  // Of three inputs the last fills half of a code.
  EXPECT_EQ(namesOf(plan, &context, 2, 3), (std::vector<std::string>{"codes 2 1", "levels 1 3 2"}));
  EXPECT_DOUBLE_EQ(planBits(plan, 2, 4, 1), 1.0 + 6 * 32 / 8.0);
  const char codes[] = {0x09, 0x02}; // 1, 2; 2, 0
  std::vector<char> levels = storeFloats({1, 2, 3, 4, 5, 6}, plan.valueType);
  EXPECT_EQ(decodePlan(plan, 2, 3, {codes, levels}), (Values{3, 4, 5, 5, 6, 1}));
  const char wrong[] = {0x09, 0x0e};
  std::string said;
  ScopedDiagnosticHandler handler(&context, [&](Diagnostic &diagnostic) {
    said = diagnostic.str();
    return success();
  });
  EXPECT_TRUE(failed(verifyPlanData(plan, 2, 3, {wrong, levels}, [&] {
    return mlir::emitError(UnknownLoc::get(&context)) << "weight ";
  })));
  EXPECT_EQ(said, "weight expects codes 0 to 2, got 3 at row 1, index 1");
}

TEST_F(SchemesTest, TernaryInBytesOfFive) {
  // Codes 0, 1, 2, 0, 2 are 0 + 27 + 18 + 0 + 2 = 47 of 243: 49.5 of 256, rounded up; then a 2 and
  // four codes behind the last, 1: 202 of 243, 212.8 of 256.
  EXPECT_EQ(decompress("codes = dense<[[50, 213]]> : tensor<1x2xui8>, scales = dense<0.75> : "
                       "tensor<1xf32>",
                       "!llmc.compressed<1x6xf32, #llmc.ternary<base3>>"),
            (Values{-0.75f, 0.0f, 0.75f, -0.75f, 0.75f, 0.75f}));
}

TEST_F(SchemesTest, NMPutsKeptWeightsAtTheirMask) {
  // Inputs 0, 3 and 4 are kept (2 of 4, then 1 of the short last group of 1).
  EXPECT_EQ(decompress("mask = dense<25> : tensor<1x1xui8>, values = dense<[[1.0, 2.0, 3.0]]> : "
                       "tensor<1x3xf32>",
                       "!llmc.compressed<1x5xf32, #llmc.nm<2:4, #llmc.dense<f32>>>"),
            (Values{1.0f, 0.0f, 0.0f, 2.0f, 3.0f}));
}

TEST_F(SchemesTest, GroupsOfNMCountDenseInputs) {
  // Groups of 4 dense inputs; kept 0, 1 of the first four and 6, 7 of the others, codes 9 each.
  EXPECT_EQ(decompress("mask = dense<195> : tensor<1x1xui8>, codes = dense<153> : tensor<1x2xui8>, "
                       "scales = dense<[[1.0, 10.0]]> : tensor<1x2xf16>",
                       "!llmc.compressed<1x8xf32, #llmc.nm<2:4, #llmc.int<4, group = 4, symmetric, "
                       "scale = f16>>>"),
            (Values{1.0f, 1.0f, 0.0f, 0.0f, 0.0f, 0.0f, 10.0f, 10.0f}));
}

TEST_F(SchemesTest, MaskJoinsRowsIntoOneStream) {
  EXPECT_EQ(decompress("mask = dense<[[2], [1]]> : tensor<2x1xui8>, values = dense<[5.0, 7.0]> : "
                       "tensor<2xf32>",
                       "!llmc.compressed<2x2xf32, #llmc.mask<#llmc.dense<f32>>>"),
            (Values{0.0f, 5.0f, 7.0f, 0.0f}));
}

TEST_F(SchemesTest, DenseTensorsOfEachType) {
  EXPECT_EQ(decompress("values = dense<[1.0, 0.5]> : tensor<2xf64>", "tensor<2xf64>"),
            (Values{1.0f, 0.5f}));
  EXPECT_EQ(decompress("values = dense<0.5> : tensor<3xf16>", "tensor<3xf16>"),
            (Values{0.5f, 0.5f, 0.5f}));
}

TEST_F(SchemesTest, BitsPerWeight) {
  EXPECT_DOUBLE_EQ(bits("#llmc.dense<f16>", 64, 64), 16.0);
  EXPECT_DOUBLE_EQ(bits("#llmc.int<4, group = 32, scale = f16>", 64, 64), 4.0 + 24.0 / 32);
  EXPECT_DOUBLE_EQ(bits("#llmc.int<4, group = 32, symmetric, scale = f16>", 64, 64), 4.5);
  EXPECT_DOUBLE_EQ(bits("#llmc.int<8, group = 0, symmetric, scale = f32>", 64, 64), 8.5);
  EXPECT_DOUBLE_EQ(bits("#llmc.ternary", 64, 64), 2.0 + 32.0 / 4096);
  EXPECT_DOUBLE_EQ(bits("#llmc.ternary<base3>", 64, 60), 1.6 + 32.0 / 3840);
  EXPECT_DOUBLE_EQ(bits("#llmc.table<nf4, group = 64, scale = f16>", 64, 128), 4.25);
  EXPECT_DOUBLE_EQ(bits("#llmc.float<e4m3>", 64, 128), 8.25);
  EXPECT_DOUBLE_EQ(bits("#llmc.float<e4m3, per = block>", 256, 256), 8.0 + 4 * 32 / 65536.0);
  EXPECT_DOUBLE_EQ(bits("#llmc.float<e4m3, per = matrix, scale = f16>", 64, 64), 8.0 + 16 / 4096.0);
  EXPECT_DOUBLE_EQ(bits("#llmc.nvfp4", 64, 128), 4.5 + 32 / 8192.0);
  EXPECT_DOUBLE_EQ(bits("#llmc.int<4, group = 64, scale = f16, zero = f16>", 64, 128), 4.5);
  EXPECT_DOUBLE_EQ(bits("#llmc.levels<rows = 16, type = f16>", 64, 128), 4.125);
  EXPECT_DOUBLE_EQ(bits("#llmc.levels<rows = 0, type = f32>", 64, 64), 4.125);
  EXPECT_DOUBLE_EQ(bits("#llmc.nm<2:4, #llmc.int<4, group = 32, symmetric, scale = f16>>", 64, 64),
                   1.0 + 2.0 + 0.5);
  EXPECT_DOUBLE_EQ(bits("#llmc.mask<#llmc.dense<f16>>", 64, 64, 0.25), 1.0 + 4.0);
}

} // namespace
