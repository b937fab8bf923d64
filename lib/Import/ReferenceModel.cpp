//===- ReferenceModel.cpp - The meaning of a module, by the book ----------===//
//
// One short function for each operation. Weights are read once, decompressed.
//
//===----------------------------------------------------------------------===//

#include "ReferenceModel.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Import/ImportError.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace llmc;
using Tensor = ReferenceModel::Tensor;

ReferenceModel::ReferenceModel(ModuleOp module) {
  for (auto candidate : module.getOps<func::FuncOp>())
    if (candidate->hasAttr("llmc.role"))
      function = candidate;
  if (!function)
    onnx::fail("internal: the module has no function with llmc.role");
}

ReferenceModel::Tensor &ReferenceModel::at(Value value) {
  auto found = tensors.find(value);
  if (found == tensors.end())
    onnx::fail("internal: a value of the module was not computed");
  return found->second;
}

const std::vector<float> &ReferenceModel::weightOf(Value value) {
  auto weight = value.getDefiningOp<WeightOp>();
  if (!weight)
    onnx::fail("internal: a weight is no llmc.weight");
  std::unique_ptr<std::vector<float>> &values = weights[weight];
  if (!values) {
    FailureOr<std::vector<float>> read = readWeight(weight);
    if (failed(read))
      onnx::fail("internal: weight '", weight.getWeightName().str(), "' cannot be read");
    values = std::make_unique<std::vector<float>>(std::move(*read));
  }
  return *values;
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

Tensor ReferenceModel::linear(LinearOp op) {
  Tensor input = at(op.getInput());
  int64_t columns = input.width, rows = getWeightShape(op.getWeight().getType())[0];
  if (DynamicQuantAttr quantized = op.getActivationsAttr()) {
    int64_t block = quantized.getGroup() ? quantized.getGroup() : columns;
    for (size_t row = 0; row < input.data.size(); row += columns)
      for (int64_t begin = 0; begin < columns; begin += block) {
        double *values = &input.data[row + begin], largest = 0;
        int64_t count = std::min(block, columns - begin);
        for (int64_t i = 0; i < count; ++i)
          largest = std::max(largest, std::fabs(values[i]));
        double scale = largest / 127;
        for (int64_t i = 0; i < count && scale > 0; ++i)
          values[i] = std::nearbyint(values[i] / scale) * scale;
      }
  }
  const std::vector<float> &weight = weightOf(op.getWeight());
  const std::vector<float> *bias = op.getBias() ? &weightOf(op.getBias()) : nullptr;
  Tensor out;
  out.width = rows;
  out.data.resize(input.data.size() / columns * rows);
  for (size_t r = 0; r < input.data.size() / columns; ++r)
    for (int64_t n = 0; n < rows; ++n) {
      double sum = bias ? (*bias)[n] : 0;
      for (int64_t k = 0; k < columns; ++k)
        sum += input.data[r * columns + k] * weight[n * columns + k];
      out.data[r * rows + n] = sum;
    }
  return out;
}

Tensor ReferenceModel::attention(AttentionOp op) {
  Tensor &query = at(op.getQuery()), &key = at(op.getKey()), &value = at(op.getValue());
  int64_t heads = op.getHeads(), kvHeads = op.getKvHeads(), size = query.width / heads;
  int64_t kvWidth = key.width, vWidth = value.width, vSize = vWidth / kvHeads;
  std::vector<double> keys = key.data, values = value.data;
  int64_t total = length;
  if (op.getCache()) {
    Cache &cache = caches[op.getCache()->str()];
    cache.keys.insert(cache.keys.end(), keys.begin(), keys.end());
    cache.values.insert(cache.values.end(), values.begin(), values.end());
    keys = cache.keys;
    values = cache.values;
    total = past + length;
  }
  int64_t before = total - length;
  double softcap = op.getSoftcap().convertToDouble(), scale = op.getScale().convertToDouble();
  Tensor out;
  out.width = heads * vSize;
  out.data.resize(batch * length * out.width);
  std::vector<double> row(total);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t i = 0; i < length; ++i) {
        int64_t group = h / (heads / kvHeads);
        double top = -INFINITY, sum = 0;
        for (int64_t t = 0; t < total; ++t) {
          double score = 0;
          for (int64_t d = 0; d < size; ++d)
            score += query.data[(b * length + i) * query.width + h * size + d] *
                     keys[(b * total + t) * kvWidth + group * size + d];
          score *= scale;
          if (softcap != 0)
            score = softcap * std::tanh(score / softcap);
          int64_t distance = before + i - t;
          bool hidden = (op.getCausal() && distance < 0) ||
                        (op.getWindow() > 0 && distance >= static_cast<int64_t>(op.getWindow())) ||
                        (op.getMask() && at(op.getMask()).data[b * total + t] == 0);
          row[t] = hidden ? -INFINITY : score;
          top = std::max(top, row[t]);
        }
        for (double &p : row)
          sum += p = top == -INFINITY ? 0 : std::exp(p - top);
        for (int64_t d = 0; d < vSize; ++d) {
          double mixed = 0;
          for (int64_t t = 0; t < total; ++t)
            mixed += row[t] * values[(b * total + t) * vWidth + group * vSize + d];
          out.data[(b * length + i) * out.width + h * vSize + d] = sum > 0 ? mixed / sum : 0;
        }
      }
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
      .Case([&](LinearOp linearOp) { return linear(linearOp); })
      .Case([&](AttentionOp attentionOp) { return attention(attentionOp); })
      .Case([&](EmbeddingOp embedding) {
        const std::vector<float> &table = weightOf(embedding.getWeight());
        ArrayRef<int64_t> shape = getWeightShape(embedding.getWeight().getType());
        Tensor out;
        out.width = shape[1];
        for (double id : at(embedding.getIds()).data) {
          if (!(id >= 0 && id < static_cast<double>(shape[0])))
            onnx::fail("internal: id ", id, " is outside ", shape[0], " rows");
          auto row = table.begin() + static_cast<int64_t>(id) * out.width;
          out.data.insert(out.data.end(), row, row + out.width);
        }
        return out;
      })
      .Case([&](PositionsOp positions) {
        Tensor out = at(positions.getIds());
        for (size_t i = 0; i < out.data.size(); ++i)
          out.data[i] = static_cast<double>(past + static_cast<int64_t>(i) % length +
                                            static_cast<int64_t>(positions.getOffset()));
        return out;
      })
      .Case([&](RMSNormOp norm) {
        Tensor out = at(norm.getInput());
        const std::vector<float> &scale = weightOf(norm.getScale());
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
        const std::vector<float> &scale = weightOf(norm.getScale());
        const std::vector<float> *bias = norm.getBias() ? &weightOf(norm.getBias()) : nullptr;
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
        ArrayRef<double> frequencies = rope.getFrequencies();
        int64_t pairs = frequencies.size(),
                size = out.width / static_cast<int64_t>(rope.getHeads());
        bool interleaved = rope.getLayout() == RopeLayout::Interleaved;
        double factor = rope.getAttentionFactor().convertToDouble();
        for (size_t begin = 0; begin < out.data.size(); begin += size) {
          int64_t row = static_cast<int64_t>(begin) / out.width;
          double position = static_cast<double>(past + row % length);
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

std::vector<Tensor> ReferenceModel::run(const std::map<std::string, std::vector<int64_t>> &inputs,
                                        int64_t batchSize, int64_t positions) {
  batch = batchSize;
  length = positions;
  tensors.clear();
  results.clear();
  for (BlockArgument argument : function.getArguments()) {
    auto name = function.getArgAttrOfType<StringAttr>(argument.getArgNumber(), "llmc.name");
    auto found = inputs.find(name.getValue().str());
    if (found == inputs.end())
      onnx::fail("internal: no value for input '", name.getValue().str(), "'");
    tensors[argument].data.assign(found->second.begin(), found->second.end());
  }
  std::vector<Tensor> outputs;
  for (Operation &op : function.getBody().front()) {
    if (isa<WeightOp>(op))
      continue;
    if (auto end = dyn_cast<func::ReturnOp>(op)) {
      for (Value value : end.getOperands())
        outputs.push_back(at(value));
      break;
    }
    if (auto split = dyn_cast<SplitOp>(op)) {
      const Tensor &whole = at(split.getInput());
      std::vector<Tensor> parts;
      int64_t begin = 0;
      for (Value result : split.getResults()) {
        Tensor part;
        part.width = cast<RankedTensorType>(result.getType()).getShape().back();
        for (size_t row = 0; row < whole.data.size(); row += whole.width)
          part.data.insert(part.data.end(), whole.data.begin() + row + begin,
                           whole.data.begin() + row + begin + part.width);
        begin += part.width;
        parts.push_back(std::move(part));
      }
      for (auto [result, part] : llvm::zip(split.getResults(), parts))
        tensors[result] = std::move(part);
      continue;
    }
    Tensor made = evaluate(op);
    if (auto location = dyn_cast<NameLoc>(op.getLoc()))
      results[location.getName().str()] = made;
    tensors[op.getResult(0)] = std::move(made);
  }
  if (!caches.empty())
    past += length;
  return outputs;
}
