//===- ReferenceModel.cpp - The meaning of a module, by the book ----------===//
//
// One short function for each operation. Values are freed when their last user has run.
//
//===----------------------------------------------------------------------===//

#include "ReferenceModel.h"
#include "EvaluatorOps.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Import/ImportError.h"
#include "llmc/Numerics/Parallel.h"
#include "llmc/Numerics/StoredProduct.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>
#include <numeric>

using namespace llmc;
using Tensor = ReferenceModel::Tensor;

/// Rows of a matrix of any scheme as floats.
struct ReferenceModel::StoredWeight {
  explicit StoredWeight(WeightOp weight) {
    ArrayRef<int64_t> shape = getWeightShape(weight.getType());
    rows = shape[0];
    columns = shape[1];
    FailureOr<StoredData> found = getStoredData(weight);
    if (failed(found))
      onnx::fail("internal: weight '", weight.getWeightName().str(), "' cannot be read");
    data = std::move(*found);
    scheme = getScheme(weight.getType());
    std::optional<DecodePlan> plan = getDecodePlan(weight.getType());
    if (!plan || !plan->isDense())
      return;
    Type element = plan->valueType;
    plain.data = data.bytes[0].data();
    plain.format = element.isF32()   ? StoredMatrix::Format::F32
                   : element.isF16() ? StoredMatrix::Format::F16
                                     : StoredMatrix::Format::BF16;
    plain.outputs = rows;
    plain.inputs = columns;
    if (!element.isF32() && !element.isF16() && !element.isBF16())
      onnx::fail("internal: weight '", weight.getWeightName().str(), "' is of an unknown type");
  }

  /// Calls body(matrix of some rows, number of the first) until [begin, end) is done.
  void forRows(int64_t begin, int64_t end,
               llvm::function_ref<void(const StoredMatrix &, int64_t)> body) {
    if (plain.data) {
      StoredMatrix part = plain;
      size_t bytes = plain.format == StoredMatrix::Format::F32 ? 4 : 2;
      part.data = static_cast<const char *>(plain.data) + begin * columns * bytes;
      part.outputs = end - begin;
      return body(part, begin);
    }
    constexpr int64_t kPiece = 256;
    for (int64_t first = begin; first < end; first += kPiece) {
      int64_t count = std::min(kPiece, end - first);
      std::vector<float> values(count * columns);
      scheme.decodeRows(rows, columns, data.bytes, first, values);
      body({values.data(), StoredMatrix::Format::F32, false, count, columns}, first);
    }
  }

  int64_t rows, columns;

private:
  StoredData data;
  SchemeAttrInterface scheme;
  StoredMatrix plain;
};

ReferenceModel::ReferenceModel(ModuleOp module) {
  for (auto candidate : module.getOps<func::FuncOp>())
    if (candidate->hasAttr("llmc.role"))
      function = candidate;
  if (!function)
    onnx::fail("internal: the module has no function with llmc.role");
  threads = onnx::productThreads();
  constexpr double kSmallModel = 512e6;
  double bits = 0;
  for (WeightOp weight : function.getOps<WeightOp>())
    for (NamedAttribute component : weight.getComponents())
      if (auto elements = dyn_cast<ElementsAttr>(component.getValue()))
        bits += static_cast<double>(elements.getNumElements()) *
                elements.getShapedType().getElementTypeBitWidth();
  keepsWeights = bits / 8 <= kSmallModel;
}

const Tensor &ReferenceModel::at(Value value) {
  auto found = tensors.find(value.getAsOpaquePointer());
  if (found == tensors.end())
    onnx::fail("internal: a value of the module was not computed");
  return found->second;
}

static WeightOp weightOpOf(Value value) {
  auto weight = value.getDefiningOp<WeightOp>();
  if (!weight)
    onnx::fail("internal: a weight is no llmc.weight");
  return weight;
}

const std::vector<float> &ReferenceModel::vectorOf(Value value) {
  WeightOp weight = weightOpOf(value);
  auto known = vectors.find(weight);
  if (known != vectors.end())
    return known->second;
  FailureOr<std::vector<float>> read = readWeight(weight);
  if (failed(read))
    onnx::fail("internal: weight '", weight.getWeightName().str(), "' cannot be read");
  return vectors.emplace(weight, std::move(*read)).first->second;
}

ReferenceModel::StoredWeight &ReferenceModel::stored(Value value) {
  WeightOp weight = weightOpOf(value);
  std::shared_ptr<StoredWeight> &found = matrices[weight];
  if (!found)
    found = std::make_shared<StoredWeight>(weight);
  return *found;
}

ReferenceModel::Cache &ReferenceModel::cacheOf(AttentionOp op) {
  return caches[op.getCache()->str()];
}

static double applyActivation(ActivationKind kind, double x) {
  auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
  switch (kind) {
  case ActivationKind::Relu:
    return x > 0 ? x : 0;
  case ActivationKind::Gelu:
    return 0.5 * x * (1 + std::erf(x / std::sqrt(2.0)));
  case ActivationKind::GeluTanh:
    return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  case ActivationKind::Silu:
    return x * sigmoid(x);
  case ActivationKind::QuickGelu:
    return x * sigmoid(1.702 * x);
  case ActivationKind::Sigmoid:
    return sigmoid(x);
  case ActivationKind::Tanh:
    return std::tanh(x);
  case ActivationKind::Relu2:
    return x > 0 ? x * x : 0;
  }
  return x;
}

/// As DynamicQuantizeLinear of ONNX does, in f32: 256 codes from the least to the largest, 0 among
/// them.
static void roundToBytes(std::vector<double> &values) {
  float low = 0, high = 0;
  for (double value : values) {
    low = std::min(low, static_cast<float>(value));
    high = std::max(high, static_cast<float>(value));
  }
  float scale = (high - low) / 255;
  if (!(scale > 0))
    return;
  float zero = std::nearbyint(std::clamp(-low / scale, 0.0f, 255.0f));
  for (double &value : values) {
    float code = std::nearbyint(static_cast<float>(value) / scale) + zero;
    value = double(scale) * (std::clamp(code, 0.0f, 255.0f) - zero);
  }
}

/// What the codes mean: rows rounded to bytes.
Tensor ReferenceModel::quantized(QuantizeOp op) {
  Tensor rows = at(op.getInput());
  const int64_t columns = rows.width, group = op.getType().getGroup();
  const int64_t block = group ? group : columns;
  for (size_t row = 0; row < rows.data.size(); row += columns)
    for (int64_t begin = 0; begin < columns; begin += block) {
      double *values = &rows.data[row + begin], largest = 0;
      int64_t count = std::min(block, columns - begin);
      for (int64_t i = 0; i < count; ++i)
        largest = std::max(largest, std::fabs(values[i]));
      double scale = op.getScale() ? vectorOf(op.getScale()).front() : largest / 127;
      for (int64_t i = 0; i < count && scale > 0; ++i)
        values[i] = std::clamp(std::nearbyint(values[i] / scale), -127.0, 127.0) * scale;
    }
  return rows;
}

std::vector<double> ReferenceModel::computePart(LinearOp op, ArrayRef<int64_t> rows,
                                                const Ranges &columns) {
  compute(op.getInput());
  Tensor rounded;
  if (bytes.count(op)) {
    rounded = at(op.getInput());
    roundToBytes(rounded.data);
  }
  const Tensor &input = bytes.count(op) ? rounded : at(op.getInput());
  StoredWeight &weight = stored(op.getWeight());
  const std::vector<float> *bias = op.getBias() ? &vectorOf(op.getBias()) : nullptr;
  int64_t count = static_cast<int64_t>(rows.size()), width = 0, done = 0;
  std::vector<double> picked(count * input.width);
  for (int64_t i = 0; i < count; ++i)
    std::copy_n(&input.data[rows[i] * input.width], input.width, &picked[i * input.width]);
  for (auto [begin, end] : columns)
    width += end - begin;
  std::vector<double> out(count * width);
  for (const auto &range : columns) {
    int64_t begin = range.first, end = range.second;
    weight.forRows(begin, end, [&](const StoredMatrix &matrix, int64_t first) {
      multiplyStored(picked.data(), count, matrix, 0, matrix.outputs,
                     out.data() + done + first - begin, width, threads);
    });
    for (int64_t i = 0; i < count && bias; ++i)
      for (int64_t n = begin; n < end; ++n)
        out[i * width + done + n - begin] += (*bias)[n];
    done += end - begin;
  }
  if (!keepsWeights)
    matrices.clear();
  return out;
}

Tensor ReferenceModel::embedding(EmbeddingOp op) {
  StoredWeight &table = stored(op.getWeight());
  const Tensor &ids = at(op.getIds());
  Tensor out;
  out.width = table.columns;
  out.data.resize(ids.data.size() * table.columns);
  // A row is the product of the identity with it.
  const double one = 1;
  for (size_t i = 0; i < ids.data.size(); ++i) {
    double id = ids.data[i];
    if (!(id >= 0 && id < static_cast<double>(table.rows)))
      onnx::fail("internal: id ", id, " is outside ", table.rows, " rows");
    auto row = static_cast<int64_t>(id);
    table.forRows(row, row + 1, [&](const StoredMatrix &matrix, int64_t) {
      StoredMatrix column = matrix;
      column.across = true;
      column.outputs = table.columns;
      column.inputs = 1;
      multiplyStored(&one, 1, column, 0, table.columns, &out.data[i * table.columns], table.columns,
                     1);
    });
  }
  if (!keepsWeights)
    matrices.clear();
  return out;
}

Tensor ReferenceModel::attention(AttentionOp op) {
  const Tensor &query = at(op.getQuery()), &key = at(op.getKey()), &value = at(op.getValue());
  int64_t heads = op.getHeads(), kvHeads = op.getKvHeads(), size = query.width / heads;
  int64_t kvWidth = key.width, vWidth = value.width, vSize = vWidth / kvHeads;
  int64_t batch = step.batch, length = step.length, before = op.getCache() ? step.past : 0;
  Cache fresh;
  Cache &cache = op.getCache() ? cacheOf(op) : fresh;
  cache.keys.resize(batch);
  cache.values.resize(batch);
  for (int64_t b = 0; b < batch; ++b) {
    if (static_cast<int64_t>(cache.keys[b].size()) != before * kvWidth)
      onnx::fail("internal: a cache does not hold ", before, " positions");
    auto rowsOf = [&](const Tensor &tensor) {
      return tensor.data.begin() + b * length * tensor.width;
    };
    cache.keys[b].insert(cache.keys[b].end(), rowsOf(key), rowsOf(key) + length * kvWidth);
    cache.values[b].insert(cache.values[b].end(), rowsOf(value), rowsOf(value) + length * vWidth);
  }
  int64_t total = before + length, window = op.getWindow();
  double softcap = op.getSoftcap().convertToDouble(), scale = op.getScale().convertToDouble();
  const std::vector<double> *mask = op.getMask() ? &at(op.getMask()).data : nullptr;
  bool causal = op.getCausal();
  Tensor out;
  out.width = heads * vSize;
  out.data.resize(batch * length * out.width);
  parallelFor(batch * heads * length, threads, [&](int64_t item) {
    int64_t b = item / (heads * length), h = item / length % heads, i = item % length;
    int64_t group = h / (heads / kvHeads);
    const double *queryRow = &query.data[(b * length + i) * query.width + h * size];
    const double *keys = cache.keys[b].data() + group * size;
    const double *values = cache.values[b].data() + group * vSize;
    std::vector<double> row(total);
    double top = -INFINITY, sum = 0;
    for (int64_t t = 0; t < total; ++t) {
      int64_t distance = before + i - t;
      bool hidden = (causal && distance < 0) || (window > 0 && distance >= window) ||
                    (mask && (*mask)[b * total + t] == 0);
      double score = hidden ? -INFINITY : scale * dotProduct(queryRow, keys + t * kvWidth, size);
      if (softcap != 0 && !hidden)
        score = softcap * std::tanh(score / softcap);
      row[t] = score;
      top = std::max(top, score);
    }
    for (double &p : row)
      sum += p = top == -INFINITY ? 0 : std::exp(p - top);
    double *mixed = &out.data[(b * length + i) * out.width + h * vSize];
    for (int64_t t = 0; t < total; ++t)
      if (row[t] != 0)
        addScaled(mixed, row[t] / sum, values + t * vWidth, vSize);
  });
  return out;
}

Tensor ReferenceModel::evaluate(Operation &op) {
  auto map = [&](Value value, auto function) {
    Tensor out = at(value);
    for (double &x : out.data)
      x = function(x);
    return out;
  };
  auto zip = [&](Value left, Value right, auto function) {
    Tensor out = at(left);
    const Tensor &other = at(right);
    for (size_t i = 0; i < out.data.size(); ++i)
      out.data[i] = function(out.data[i], other.data[i]);
    return out;
  };
  return TypeSwitch<Operation *, Tensor>(&op)
      .Case([&](LinearOp linear) {
        Tensor out;
        out.width = getWeightShape(linear.getWeight().getType())[0];
        const Tensor &input = at(linear.getInput());
        std::vector<int64_t> rows(input.data.size() / input.width);
        std::iota(rows.begin(), rows.end(), 0);
        out.data = computePart(linear, rows, {{0, out.width}});
        return out;
      })
      .Case([&](QuantizeOp quantize) { return quantized(quantize); })
      .Case([&](AttentionOp attentionOp) { return attention(attentionOp); })
      .Case([&](EmbeddingOp embeddingOp) { return embedding(embeddingOp); })
      .Case([&](PositionsOp positions) {
        Tensor out = at(positions.getIds());
        for (size_t i = 0; i < out.data.size(); ++i)
          out.data[i] = static_cast<double>(step.past + static_cast<int64_t>(i) % step.length +
                                            static_cast<int64_t>(positions.getOffset()));
        return out;
      })
      .Case([&](RMSNormOp norm) {
        Tensor out = at(norm.getInput());
        const std::vector<float> &scale = vectorOf(norm.getScale());
        size_t width = scale.size();
        for (size_t begin = 0; begin < out.data.size(); begin += width) {
          double square = 0;
          for (size_t i = 0; i < width; ++i)
            square += out.data[begin + i] * out.data[begin + i];
          double inverse =
              1 / std::sqrt(square / static_cast<double>(width) + norm.getEps().convertToDouble());
          for (size_t i = 0; i < width; ++i)
            out.data[begin + i] *= inverse * scale[i];
        }
        return out;
      })
      .Case([&](LayerNormOp norm) {
        Tensor out = at(norm.getInput());
        const std::vector<float> &scale = vectorOf(norm.getScale());
        const std::vector<float> *bias = norm.getBias() ? &vectorOf(norm.getBias()) : nullptr;
        size_t width = scale.size();
        double n = static_cast<double>(width);
        for (size_t begin = 0; begin < out.data.size(); begin += width) {
          double mean = 0, square = 0;
          for (size_t i = 0; i < width; ++i)
            mean += out.data[begin + i] / n;
          for (size_t i = 0; i < width; ++i)
            square += (out.data[begin + i] - mean) * (out.data[begin + i] - mean);
          double inverse = 1 / std::sqrt(square / n + norm.getEps().convertToDouble());
          for (size_t i = 0; i < width; ++i)
            out.data[begin + i] =
                (out.data[begin + i] - mean) * inverse * scale[i] + (bias ? (*bias)[i] : 0);
        }
        return out;
      })
      .Case([&](RopeOp rope) {
        Tensor out = at(rope.getInput());
        int64_t original = static_cast<int64_t>(rope.getOriginalContext());
        bool isLong = original && step.past + step.length > original;
        ArrayRef<double> frequencies = isLong ? *rope.getLongFrequencies() : rope.getFrequencies();
        int64_t pairs = frequencies.size(),
                size = out.width / static_cast<int64_t>(rope.getHeads());
        bool interleaved = rope.getLayout() == RopeLayout::Interleaved;
        double factor = rope.getAttentionFactor().convertToDouble();
        for (size_t begin = 0; begin < out.data.size(); begin += size) {
          int64_t row = static_cast<int64_t>(begin) / out.width;
          double position = static_cast<double>(step.past + row % step.length);
          for (int64_t i = 0; i < pairs; ++i) {
            double &a = out.data[begin + (interleaved ? 2 * i : i)];
            double &b = out.data[begin + (interleaved ? 2 * i + 1 : i + pairs)];
            double c = factor * std::cos(position * frequencies[i]);
            double s = factor * std::sin(position * frequencies[i]);
            double x = a * c - b * s;
            b = a * s + b * c;
            a = x;
          }
        }
        return out;
      })
      .Case([&](ActivationOp activation) {
        return map(activation.getInput(),
                   [&](double x) { return applyActivation(activation.getKind(), x); });
      })
      .Case([&](GatedActivationOp gated) {
        return zip(gated.getGate(), gated.getUp(),
                   [&](double x, double y) { return applyActivation(gated.getKind(), x) * y; });
      })
      .Case([&](ScaleOp scale) {
        return map(scale.getInput(),
                   [&](double x) { return x * scale.getFactor().convertToDouble(); });
      })
      .Case([&](arith::AddFOp add) {
        return zip(add.getLhs(), add.getRhs(), [](double x, double y) { return x + y; });
      })
      .Case([&](arith::MulFOp mul) {
        return zip(mul.getLhs(), mul.getRhs(), [](double x, double y) { return x * y; });
      })
      .Default([&](Operation *other) -> Tensor {
        onnx::fail("internal: no reference for ", other->getName().getStringRef().str());
      });
}

void ReferenceModel::begin(Step next) {
  step = std::move(next);
  tensors.clear();
  uses.clear();
  for (BlockArgument argument : function.getArguments()) {
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "llmc.name");
    auto found = step.inputs.find(name.getValue().str());
    if (found == step.inputs.end())
      onnx::fail("internal: no value for input '", name.getValue().str(), "'");
    Tensor &tensor = tensors[argument.getAsOpaquePointer()];
    tensor.data.assign(found->second.begin(), found->second.end());
    ++uses[argument.getAsOpaquePointer()]; // Kept.
  }
  for (Operation &op : function.getBody().front())
    for (Value operand : llvm::SmallSetVector<Value, 4>(op.operand_begin(), op.operand_end()))
      ++uses[operand.getAsOpaquePointer()];
  for (Value value : step.watched)
    ++uses[value.getAsOpaquePointer()];
  if (step.past == 0)
    caches.clear();
}

void ReferenceModel::consume(Value value) {
  if (--uses[value.getAsOpaquePointer()] <= 0)
    tensors.erase(value.getAsOpaquePointer());
}

void ReferenceModel::release(Value value) { consume(value); }

void ReferenceModel::replace(Value value, Tensor tensor) {
  if (uses[value.getAsOpaquePointer()] > 0)
    tensors[value.getAsOpaquePointer()] = std::move(tensor);
}

void ReferenceModel::split(SplitOp op) {
  const Tensor &whole = at(op.getInput());
  int64_t begin = 0;
  for (Value result : op.getResults()) {
    Tensor part;
    part.width = cast<RankedTensorType>(result.getType()).getShape().back();
    for (size_t row = 0; row < whole.data.size(); row += whole.width)
      part.data.insert(part.data.end(), whole.data.begin() + row + begin,
                       whole.data.begin() + row + begin + part.width);
    begin += part.width;
    replace(result, std::move(part));
  }
}

const Tensor &ReferenceModel::compute(Value value) {
  auto found = tensors.find(value.getAsOpaquePointer());
  if (found != tensors.end())
    return found->second;
  Operation *op = value.getDefiningOp();
  if (!op)
    onnx::fail("internal: a value of the module was not given");
  llvm::SmallSetVector<Value, 4> operands(op->operand_begin(), op->operand_end());
  for (Value operand : operands)
    if (!operand.getDefiningOp<WeightOp>())
      compute(operand);
  if (auto splitOp = dyn_cast<SplitOp>(op))
    split(splitOp);
  else
    tensors[op->getResult(0).getAsOpaquePointer()] = evaluate(*op);
  for (Value operand : operands)
    consume(operand);
  return at(value);
}
