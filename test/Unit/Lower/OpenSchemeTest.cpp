//===- OpenSchemeTest.cpp - a scheme that llmc does not know ----------------------------===//
//
// A dialect of this test has a scheme whose codes stand for two weights, so that it has no plan and
// no kernel. It is stored, read and packed all the same.
//
#include "LinearTestSupport.h"

#include "llmc/IR/WeightData.h"
#include "llmc/Lower/Cpu/PackedLinear.h"

#include <cstring>
#include <gtest/gtest.h>

using namespace mlir;
using namespace llmc;
using namespace llmc::test;

namespace {

/// A byte for each two inputs of a row: weights byte / 4 and -byte.
class PairsAttr : public Attribute::AttrBase<PairsAttr, Attribute, AttributeStorage,
                                             SchemeAttrInterface::Trait> {
public:
  using Base::Base;
  static constexpr StringLiteral name = "pairs.scheme";

  std::optional<DecodePlan> decodePlan() const { return std::nullopt; }
  SmallVector<SchemeComponent> components(int64_t rows, int64_t columns) const {
    return {{"pairs",
             IntegerType::get(getContext(), 8, IntegerType::Unsigned),
             {rows, (columns + 1) / 2}}};
  }
  double bitsPerWeight(int64_t rows, int64_t columns, double density) const { return 4; }
  LogicalResult verifyData(int64_t rows, int64_t columns, ArrayRef<ArrayRef<char>> data,
                           function_ref<InFlightDiagnostic()> emitError) const {
    for (char byte : data[0])
      if (byte == 13)
        return emitError() << "expects no unlucky pair";
    return success();
  }
  void decodeRows(int64_t rows, int64_t columns, ArrayRef<ArrayRef<char>> data, int64_t first,
                  MutableArrayRef<float> out) const {
    int64_t stride = (columns + 1) / 2;
    for (size_t i = 0; i < out.size(); ++i) {
      int64_t row = first + i / columns, column = i % columns;
      auto byte = static_cast<uint8_t>(data[0][row * stride + column / 2]);
      out[i] = column % 2 ? -static_cast<float>(byte) : static_cast<float>(byte) / 4;
    }
  }
};

class PairsDialect : public Dialect {
public:
  explicit PairsDialect(MLIRContext *context)
      : Dialect(getDialectNamespace(), context, TypeID::get<PairsDialect>()) {
    addAttributes<PairsAttr>();
  }
  static StringRef getDialectNamespace() { return "pairs"; }
  void printAttribute(Attribute, DialectAsmPrinter &printer) const override { printer << "scheme"; }
};

constexpr int64_t kRows = 70, kColumns = 93;

class OpenScheme : public ::testing::Test {
protected:
  OpenScheme() : builder(&context()) {
    context().loadDialect<PairsDialect>();
    module = ModuleOp::create(builder.getUnknownLoc());
    builder.setInsertionPointToEnd(module->getBody());
  }

  WeightOp make(ArrayRef<char> bytes) {
    int64_t shape[] = {kRows, kColumns};
    auto type =
        CompressedType::get(&context(), shape, builder.getF32Type(), PairsAttr::get(&context()));
    return createWeight(builder, builder.getUnknownLoc(), "w", type, bytes);
  }

  OpBuilder builder;
  OwningOpRef<ModuleOp> module;
};

TEST_F(OpenScheme, IsPackedAsTheValuesItMeans) {
  std::vector<char> bytes(kRows * ((kColumns + 1) / 2));
  for (size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<char>(i % 11 + 16 * (i % 7));
  WeightOp pairs = make(bytes);
  ASSERT_TRUE(succeeded(pairs.verify()));
  FailureOr<std::vector<float>> values = readWeight(pairs);
  ASSERT_TRUE(succeeded(values));
  EXPECT_EQ((*values)[2], static_cast<float>(bytes[1]) / 4);
  EXPECT_EQ((*values)[kColumns + 1], -static_cast<float>(bytes[47]));
  WeightOp dense =
      createDenseWeight(builder, builder.getUnknownLoc(), "d",
                        RankedTensorType::get({kRows, kColumns}, builder.getF32Type()), *values);

  CodeFormat format = getCodeFormat(pairs.getType());
  VectorShape shape = {8, 16};
  auto pack = [&](WeightOp weight) {
    std::vector<char> out(packedLinearBytes(weight.getType(), format, shape));
    EXPECT_TRUE(succeeded(packLinear(weight, format, shape, out)));
    return out;
  };
  auto packRows = [&](WeightOp weight) {
    std::vector<char> out(packedEmbeddingBytes(weight.getType(), format));
    EXPECT_TRUE(succeeded(packEmbedding(weight, format, out)));
    return out;
  };
  EXPECT_EQ(formatName(format), "f32");
  std::vector<char> packed = pack(pairs), rows = packRows(pairs);
  format = getCodeFormat(dense.getType());
  EXPECT_EQ(packed, pack(dense));
  EXPECT_EQ(rows, packRows(dense));
}

TEST_F(OpenScheme, ReportSaysThatItIsDecoded) {
  WeightOp pairs = make(std::vector<char>(kRows * ((kColumns + 1) / 2)));
  std::string text = explainLinear(getCodeFormat(pairs.getType()), {8, 16}, kRows, kColumns);
  EXPECT_EQ(text.find("no kernel for #pairs.scheme: decoded to f32 when packed; f32: 70x93"), 0u)
      << text;
}

TEST_F(OpenScheme, IsVerifiedByItsScheme) {
  std::string error;
  ScopedDiagnosticHandler handler(&context(), [&](Diagnostic &diagnostic) {
    error = diagnostic.str();
    return success();
  });
  EXPECT_TRUE(failed(make(std::vector<char>(kRows * ((kColumns + 1) / 2), 13)).verify()));
  EXPECT_NE(error.find("\"w\" expects no unlucky pair"), std::string::npos) << error;
  auto emit = [&] { return mlir::emitError(builder.getUnknownLoc()); };
  EXPECT_TRUE(failed(MaskSchemeAttr::verify(emit, PairsAttr::get(&context()))));
  EXPECT_EQ(error,
            "expects an inner scheme with a code or value for each weight, got #pairs.scheme");
}

} // namespace
