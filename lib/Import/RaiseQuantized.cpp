//===- RaiseQuantized.cpp - Products with quantized weights ---------------===//
//
// Codes, scales and zero points of the file are taken as they are, whatever operator holds them.
//
//===----------------------------------------------------------------------===//

#include "Raiser.h"

#include <cmath>

using namespace llmc::onnx;

void Raiser::matMulNBits(const NodeProto &node, const Values &in) {
  Attributes attributes(node);
  for (size_t i : {1, 2, 3, 5})
    if (i < in.size() && in[i] && (in[i]->kind != Value::Kind::Known || !in[i]->constant))
      notUnderstood("its weight is no constant");
  if (in.size() > 4 && in[4])
    notUnderstood("g_idx is not supported");
  RaisedWeight weight;
  weight.key = weightKey(*in[1]);
  weight.codes = in[1]->tensor;
  weight.scales = in[2]->tensor;
  weight.bits = attributes.getInt("bits", 4);
  weight.block = attributes.requireInt("block_size");
  weight.rows = attributes.requireInt("N");
  weight.columns = attributes.requireInt("K");
  if (in.size() > 3 && in[3]) {
    if (!in[3]->tensor.isInteger())
      notUnderstood("float zero points are not supported");
    weight.zeros = in[3]->tensor;
    weight.hasZeros = true;
  }
  int64_t blocks = weight.block > 0 ? (weight.columns + weight.block - 1) / weight.block : 0, codes,
          scales;
  if ((weight.bits != 2 && weight.bits != 4 && weight.bits != 8) || blocks <= 0 ||
      weight.rows <= 0 || __builtin_mul_overflow(weight.rows, blocks, &scales) ||
      __builtin_mul_overflow(scales, weight.block * weight.bits / 8, &codes) ||
      weight.codes.size() != codes || weight.scales.size() != scales ||
      (weight.hasZeros && weight.zeros.size() != weight.rows * ((blocks * weight.bits + 7) / 8)))
    fail(describeNode(node), ": codes ", shapeString(weight.codes.shape()), " and scales ",
         shapeString(weight.scales.shape()), " do not fit K ", weight.columns, ", N ", weight.rows,
         ", bits ", weight.bits, ", block_size ", weight.block);
  bool rounded = attributes.getInt("accuracy_level", 0) == 4 && !floatActivations;
  int64_t block = weight.block;
  View view = dataOf(*in[0]);
  Shape shape = view.shape;
  shape.back() = weight.rows;
  int bias = in.size() > 5 && in[5] ? vectorWeight(*in[5]) : -1;
  set(node, 0, linear(view, shape, weightIndex(std::move(weight)), bias, rounded ? block : 0));
}

/// A weight of integers [rows, columns], or [columns, rows] where `across`. Scales and zero points
/// are one for each group of a row, one for each row, or one.
RaisedWeight Raiser::integerWeight(const Value &codes, bool across, int64_t block,
                                   const OnnxTensor &scales, const OnnxTensor *zeros) const {
  const OnnxTensor &tensor = codes.tensor;
  unsigned bits = elementBits(tensor.type());
  bool isSigned = tensor.type() == ElementType::I8 || tensor.type() == ElementType::I4;
  if (tensor.rank() != 2 || (bits != 4 && bits != 8))
    notUnderstood("its weight is no matrix of 4 or 8 bits");
  RaisedWeight weight;
  weight.key = weightKey(codes);
  weight.key.transposed = codes.transposed != across;
  weight.rows = tensor.shape()[across ? 1 : 0];
  weight.columns = tensor.shape()[across ? 0 : 1];
  weight.bits = bits;
  weight.block = block > 0 ? block : weight.columns;
  int64_t groups = (weight.columns + weight.block - 1) / weight.block, perByte = 8 / bits;
  int64_t blockBytes = (weight.block + perByte - 1) / perByte,
          zeroBytes = (groups + perByte - 1) / perByte;
  if (groups > 1 && weight.block % perByte)
    notUnderstood("blocks of " + std::to_string(weight.block) + " codes are no whole bytes");
  auto at = [&](const OnnxTensor &values, int64_t r, int64_t g) {
    return values.size() == 1 ? 0 : values.size() == weight.rows ? r : r * groups + g;
  };
  for (const OnnxTensor *values : {&scales, zeros})
    if (values && values->size() != 1 && values->size() != weight.rows &&
        values->size() != weight.rows * groups)
      notUnderstood("scales or zero points of shape " + shapeString(values->shape()) + " for " +
                    std::to_string(weight.rows) + " rows of " + std::to_string(groups) + " groups");
  int64_t middle = int64_t(1) << (bits - 1), shift = isSigned ? middle : 0;
  weight.codes = OnnxTensor(ElementType::U8, {weight.rows, groups * blockBytes});
  weight.scales = OnnxTensor(ElementType::F32, {weight.rows, groups});
  weight.zeros = OnnxTensor(ElementType::U8, {weight.rows, zeroBytes});
  int64_t *packed = weight.codes.mutableInts(), *packedZeros = weight.zeros.mutableInts();
  const int64_t *from = tensor.ints();
  for (int64_t r = 0; r < weight.rows; ++r) {
    for (int64_t c = 0; c < weight.columns; ++c) {
      int64_t code = from[across ? c * weight.rows + r : r * weight.columns + c] + shift;
      int64_t g = c / weight.block, i = c % weight.block;
      packed[r * groups * blockBytes + g * blockBytes + i / perByte] |= code
                                                                        << (i % perByte * bits);
    }
    for (int64_t g = 0; g < groups; ++g) {
      weight.scales.set(r * groups + g, scales.at(at(scales, r, g)));
      int64_t zero = (zeros ? zeros->ints()[at(*zeros, r, g)] : 0) + shift;
      weight.hasZeros |= zero != middle;
      packedZeros[r * zeroBytes + g / perByte] |= zero << (g % perByte * bits);
    }
  }
  if (!weight.hasZeros)
    weight.zeros = OnnxTensor();
  return weight;
}

/// Packed bytes as integers of their own, [rows, columns].
static OnnxTensor unpacked(const OnnxTensor &bytes, int64_t bits, int64_t columns) {
  int64_t rows = bytes.shape()[0], width = bytes.size() / std::max<int64_t>(rows, 1),
          perByte = 8 / bits;
  OnnxTensor codes(bits == 4 ? ElementType::U4 : ElementType::U8, {rows, columns});
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; ++c)
      codes.mutableInts()[r * columns + c] =
          bytes.ints()[r * width + c / perByte] >> (c % perByte * bits) & ((1 << bits) - 1);
  return codes;
}

void Raiser::gatherBlockQuantized(const NodeProto &node, const Values &in) {
  Attributes attributes(node);
  const Value &data = *in[0], &scales = *in[2];
  const Value *zeros = in.size() > 3 ? in[3] : nullptr;
  bool packed = data.kind == Value::Kind::Known && data.tensor.type() == ElementType::U8;
  int64_t bits = attributes.getInt("bits", 4), block = attributes.getInt("block_size", 128);
  auto isConstant = [](const Value &value) {
    return value.kind == Value::Kind::Known && value.constant && value.tensor.rank() == 2;
  };
  if (!isConstant(data) || !isConstant(scales) || (zeros && !isConstant(*zeros)) ||
      attributes.getInt("gather_axis", 0) != 0 ||
      normalizeAxis(attributes.getInt("quantize_axis", 1), 2) != 1 || block <= 0 ||
      (packed && bits != 4 && bits != 8))
    notUnderstood("only rows of a constant matrix of 4 or 8 bits, quantized along the row, are "
                  "supported");
  Value codes = data;
  OnnxTensor zeroCodes;
  int64_t columns = data.tensor.shape()[1] * (packed ? 8 / bits : 1),
          groups = (columns + block - 1) / block;
  if (packed) {
    codes.tensor = unpacked(data.tensor, bits, columns);
    // Without zero points packed codes are about the middle.
    zeroCodes = zeros ? OnnxTensor() : OnnxTensor(codes.tensor.type(), {1});
    if (!zeros)
      zeroCodes.mutableInts()[0] = int64_t(1) << (bits - 1);
    else if (zeros->tensor.shape()[0] == data.tensor.shape()[0] &&
             zeros->tensor.shape()[1] * (8 / bits) >= groups)
      zeroCodes = unpacked(zeros->tensor, bits, groups);
    else
      notUnderstood("zero points of shape " + shapeString(zeros->tensor.shape()));
  } else if (zeros) {
    zeroCodes = zeros->tensor;
  }
  RaisedWeight weight =
      integerWeight(codes, false, block, scales.tensor, packed || zeros ? &zeroCodes : nullptr);
  int source = materialize(dataOf(*in[1]));
  if (graph.nodes[source].kind != RaisedKind::Input)
    notUnderstood("its indices are no input");
  Shape shape = in[1]->shape;
  shape.push_back(columns);
  RaisedNode rows = makeNode(RaisedKind::Embedding, {source}, columns);
  rows.weight = weightIndex(std::move(weight));
  set(node, 0, dataValue(addNode(std::move(rows)), shape));
}

/// Rows of integers by ids: an embedding once they meet their scale.
bool Raiser::gatherCodes(const NodeProto &node, const Values &in) {
  const Value &table = *in[0], &ids = *in[1];
  if (table.kind != Value::Kind::Known || !table.constant || table.tensor.rank() != 2 ||
      isFloat(table.tensor.type()) || elementBits(table.tensor.type()) > 8 ||
      table.tensor.type() == ElementType::Bool || ids.kind != Value::Kind::Data ||
      Attributes(node).getInt("axis", 0) != 0)
    return false;
  Value result = table;
  result.kind = Value::Kind::CodeRows;
  result.view = ids.view;
  result.shape = ids.shape;
  result.shape.push_back(table.tensor.shape()[1]);
  set(node, 0, std::move(result));
  return true;
}

void Raiser::embedCodes(const NodeProto &node, const Value &rows, const Value &scale,
                        const Value *zero) {
  auto isNumber = [](const Value &value) {
    return value.kind == Value::Kind::Known && value.constant && value.tensor.size() == 1;
  };
  if (!isNumber(scale) || (zero && !isNumber(*zero)))
    notUnderstood("rows of integers with other than one constant scale");
  int source = materialize(rows.view);
  if (graph.nodes[source].kind != RaisedKind::Input)
    notUnderstood("its indices are no input");
  Value codes = rows;
  codes.name = "";
  RaisedNode embedding = makeNode(RaisedKind::Embedding, {source}, rows.shape.back());
  embedding.weight =
      weightIndex(integerWeight(codes, false, 0, scale.tensor, zero ? &zero->tensor : nullptr));
  set(node, 0, dataValue(addNode(std::move(embedding)), rows.shape));
}

void Raiser::dequantize(const NodeProto &node, const Values &in) {
  Attributes attributes(node);
  attributes.getInt("axis", 1); // One scale has no axis.
  if (in[0]->kind != Value::Kind::CodeRows || !in[1] || attributes.getInt("block_size", 0) != 0)
    notUnderstood("data reaches it in an unknown way");
  embedCodes(node, *in[0], *in[1], in.size() > 2 ? in[2] : nullptr);
}

/// Data as bytes with a scale and a zero point of its own: three parts of one thing.
void Raiser::dynamicQuantize(const NodeProto &node, const Values &in) {
  Value result;
  result.kind = Value::Kind::Quantized;
  result.view = dataOf(*in[0]);
  for (int part = 0; part < 3 && part < node.output_size(); ++part) {
    result.part = static_cast<Value::Part>(part);
    result.shape = part == 0 ? result.view.shape : Shape();
    set(node, part, result);
  }
}

void Raiser::matMulInteger(const NodeProto &node, const Values &in) {
  using Kind = Value::Kind;
  auto given = [&](size_t i) { return i < in.size() ? in[i] : nullptr; };
  const Value &a = *in[0], &b = *in[1], *zeroA = given(2), *zeroB = given(3);
  if (a.kind != Kind::Quantized || a.part != Value::Part::Codes || !zeroA ||
      zeroA->kind != Kind::Quantized || zeroA->part != Value::Part::Zero ||
      !sameElements(a.view, zeroA->view))
    notUnderstood("its left operand is not what DynamicQuantizeLinear makes");
  bool constant = b.kind == Kind::Known && b.constant && b.tensor.rank() == 2 &&
                  (!zeroB || (zeroB->kind == Kind::Known && zeroB->constant));
  if (!constant || b.tensor.shape()[0] != a.shape.back())
    notUnderstood("its right operand is no constant matrix");
  Value result = a;
  result.kind = Kind::Integers;
  result.part = Value::Part::Codes;
  result.tensor = b.tensor;
  result.origin = b.origin;
  result.derived = b.derived;
  result.transposed = b.transposed;
  result.constant = true;
  if (zeroB)
    result.bias = zeroB->tensor;
  result.hasBias = zeroB != nullptr;
  result.shape.back() = b.tensor.shape()[1];
  set(node, 0, std::move(result));
}

/// Integers times the scales of both operands, in either order, are a linear.
bool Raiser::scaleIntegers(const NodeProto &node, const Value &a, const Value &b) {
  using Kind = Value::Kind;
  using Part = Value::Part;
  auto isPart = [](const Value &value, Kind kind, Part part) {
    return value.kind == kind && value.part == part;
  };
  auto finish = [&](const Value &integers, const OnnxTensor &scales) {
    Value codes = integers;
    codes.name = "";
    int weight = weightIndex(
        integerWeight(codes, true, 0, scales, integers.hasBias ? &integers.bias : nullptr));
    Value result = linear(integers.view, integers.shape, weight, -1, 0);
    graph.nodes.back().roundsInput = true;
    set(node, 0, std::move(result));
    return true;
  };
  for (bool swapped : {false, true}) {
    const Value &x = swapped ? b : a, &y = swapped ? a : b;
    Value result = x;
    if (x.kind == Kind::CodeRows && x.part == Part::Scale && y.kind == Kind::Known) {
      embedCodes(node, x, y, nullptr);
      return true;
    }
    if (isPart(x, Kind::Quantized, Part::Scale) && y.kind == Kind::Known && y.constant) {
      result.part = Part::BothScales;
      result.tensor = y.tensor;
      set(node, 0, std::move(result));
      return true;
    }
    if (isPart(x, Kind::Integers, Part::Codes) && y.kind == Kind::Quantized &&
        sameElements(x.view, y.view)) {
      if (y.part == Part::BothScales)
        return finish(x, y.tensor);
      if (y.part != Part::Scale)
        return false;
      result.part = Part::Scale;
      set(node, 0, std::move(result));
      return true;
    }
    if (isPart(x, Kind::Integers, Part::Scale) && y.kind == Kind::Known && y.constant)
      return finish(x, y.tensor);
  }
  return false;
}
