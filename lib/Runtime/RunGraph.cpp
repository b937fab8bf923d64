// Binds arrays to the inputs of a plain graph, sizes its outputs, and calls P_run.
#include "llmc/Runtime/RunGraph.h"

#include "llmc/Runtime/Failure.h"
#include "llmc/Runtime/Generate.h"

#include <algorithm>
#include <cstring>

using namespace llmc;

using Sizes = std::map<std::string, int64_t>;

namespace {

std::string shapeText(const TensorInfo &tensor) {
  std::string text = "[";
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    const Dimension &dimension = tensor.shape[i];
    text += (i ? ", " : "") +
            (dimension.name.empty() ? std::to_string(dimension.size) : dimension.name);
  }
  return text + "]";
}

/// Compares an array with what the model takes, and learns the named dimensions.
void bindShape(const TensorInfo &tensor, const Array &array, Sizes &sizes) {
  const std::string what = "input '" + tensor.name + "'";
  if (array.shape.size() != tensor.shape.size())
    failInput(what + ": expected shape " + shapeText(tensor) + ", found " +
              llmc::shapeText(array.shape));
  for (size_t i = 0; i < tensor.shape.size(); ++i) {
    const Dimension &dimension = tensor.shape[i];
    if (dimension.name.empty()) {
      if (array.shape[i] != dimension.size)
        failInput(what + ": expected shape " + shapeText(tensor) + ", found " +
                  llmc::shapeText(array.shape));
      continue;
    }
    if (array.shape[i] < 1)
      failInput(what + ": dimension '" + dimension.name + "' is 0");
    const auto known = sizes.emplace(dimension.name, array.shape[i]).first;
    if (known->second != array.shape[i])
      failInput(what + ": dimension '" + dimension.name + "' is " + std::to_string(array.shape[i]) +
                ", but another input has " + std::to_string(known->second));
  }
}

/// The sizes behind a shape; `what` names the tensor in errors.
std::vector<int64_t> resolveShape(const TensorInfo &tensor, const Sizes &sizes,
                                  const std::string &what) {
  std::vector<int64_t> shape;
  int64_t bytes = elementBytes(tensor.type);
  for (const Dimension &dimension : tensor.shape) {
    int64_t size = dimension.size;
    if (!dimension.name.empty()) {
      const auto known = sizes.find(dimension.name);
      if (known == sizes.end())
        failInput(what + ": no input says how large its dimension '" + dimension.name + "' is");
      size = known->second;
    }
    if (__builtin_mul_overflow(bytes, size, &bytes))
      failInput(what + ": the size of its shape " + shapeText(tensor) + " overflows");
    shape.push_back(size);
  }
  return shape;
}

/// Fills an array of any type with the values of function(index).
template <typename Function> Array makeArray(int32_t type, std::vector<int64_t> shape, Function f) {
  Array array{type, std::move(shape), {}};
  const int64_t count = array.count(), bytes = elementBytes(type);
  array.data.resize(static_cast<size_t>(count * bytes));
  for (int64_t i = 0; i < count; ++i) {
    const int64_t whole = f(i);
    const float real = static_cast<float>(whole);
    const int32_t narrow = static_cast<int32_t>(whole);
    const void *value = type == LLMC_F32   ? static_cast<const void *>(&real)
                        : type == LLMC_I32 ? static_cast<const void *>(&narrow)
                                           : &whole;
    std::memcpy(array.data.data() + i * bytes, value, static_cast<size_t>(bytes));
  }
  return array;
}

/// The same values in the type the model takes.
Array convert(const TensorInfo &tensor, const Array &array) {
  const std::string what = "input '" + tensor.name + "'";
  if (array.type == tensor.type)
    return array;
  if (array.type == LLMC_F32)
    failInput(what + ": expected " + typeName(tensor.type) + ", found f32");
  // A mask of integers may feed one of floats; anything else of floats must be floats.
  if (tensor.type == LLMC_F32 && tensor.name != "attention_mask")
    failInput(what + ": expected f32, found " + typeName(array.type));
  const std::vector<int64_t> values = integers(array, what);
  for (size_t i = 0; i < values.size(); ++i)
    if (tensor.type == LLMC_I32 && values[i] != static_cast<int32_t>(values[i]))
      failInput(what + ": " + std::to_string(values[i]) + " at position " + std::to_string(i) +
                " does not fit 32 bits");
  return makeArray(tensor.type, array.shape,
                   [&](int64_t i) { return values[static_cast<size_t>(i)]; });
}

Array makeDefault(const TensorInfo &tensor, const Sizes &sizes) {
  const std::string what = "input '" + tensor.name + "'";
  const bool isType = tensor.name == "token_type_ids", isMask = tensor.name == "attention_mask";
  if (!isType && !isMask && tensor.name != "position_ids")
    failInput(what + " is missing; give --input=" + tensor.name + "=file.npy");
  const std::vector<int64_t> shape = resolveShape(tensor, sizes, what);
  if (isType || isMask)
    return makeArray(tensor.type, shape, [&](int64_t) { return isMask ? 1 : 0; });
  const int64_t last = shape.empty() ? 1 : std::max<int64_t>(shape.back(), 1);
  return makeArray(tensor.type, shape, [&](int64_t i) { return i % last; });
}

/// Positions of an input: the product of its named dimensions.
int64_t tokensOf(const TensorInfo &tensor, const Array &array) {
  int64_t tokens = 1;
  for (size_t i = 0; i < tensor.shape.size(); ++i)
    if (!tensor.shape[i].name.empty())
      tokens *= array.shape[i];
  return tokens;
}

std::string namesOf(const std::vector<TensorInfo> &tensors) {
  std::string names;
  for (const TensorInfo &tensor : tensors)
    names += (names.empty() ? "" : ", ") + tensor.name;
  return names;
}

} // namespace

std::vector<Array> llmc::bindInputs(const ArtifactInfo &info, const NamedArrays &given,
                                    Sizes &sizes) {
  for (const auto &[name, array] : given) {
    const auto hasName = [&, &name = name](const TensorInfo &tensor) {
      return tensor.name == name;
    };
    if (std::none_of(info.inputs.begin(), info.inputs.end(), hasName))
      failInput("the model has no input '" + name + "', only " + namesOf(info.inputs));
  }
  for (const TensorInfo &tensor : info.inputs) {
    const auto array = given.find(tensor.name);
    if (array == given.end())
      continue;
    bindShape(tensor, array->second, sizes);
    const int64_t tokens = tokensOf(tensor, array->second);
    const std::vector<int64_t> &shape = array->second.shape;
    if (info.longestSequence && shape.size() == 2 && shape[1] > info.longestSequence)
      failInput("input '" + tensor.name + "': has sequences of " + std::to_string(shape[1]) +
                " positions, but the model's context is " + std::to_string(info.longestSequence));
    if (info.maxTokens && tokens > info.maxTokens)
      failInput("input '" + tensor.name + "': has " + std::to_string(tokens) +
                " tokens, but the model was compiled for at most " +
                std::to_string(info.maxTokens) + " (llmc-compile --max-tokens=)");
    if (tensor.name == "input_ids" && info.vocab)
      checkedIds(integers(array->second, "input 'input_ids'"), info.vocab, "input 'input_ids'");
  }
  std::vector<Array> arrays;
  for (const TensorInfo &tensor : info.inputs) {
    const auto array = given.find(tensor.name);
    arrays.push_back(array == given.end() ? makeDefault(tensor, sizes)
                                          : convert(tensor, array->second));
  }
  return arrays;
}

size_t llmc::outputIndex(const ArtifactInfo &info, const std::string &name) {
  for (size_t i = 0; i < info.outputs.size(); ++i)
    if (info.outputs[i].name == name)
      return i;
  failInput("the model has no output '" + name + "', only " + namesOf(info.outputs));
}

std::vector<Array> llmc::runGraph(Session &session, const NamedArrays &given) {
  const ArtifactInfo &info = session.info();
  Sizes sizes;
  std::vector<Array> inputs = bindInputs(info, given, sizes);
  // The C ABI wants every buffer at a multiple of 64 bytes, which pages are.
  std::vector<std::unique_ptr<PageBuffer>> buffers;
  const auto describe = [&](const std::string &name, int32_t type,
                            const std::vector<int64_t> &shape) {
    llmc_tensor tensor = {};
    tensor.type = type;
    tensor.rank = static_cast<int32_t>(shape.size());
    std::copy(shape.begin(), shape.end(), tensor.shape);
    tensor.bytes = static_cast<uint64_t>(Array{type, shape, {}}.count() * elementBytes(type));
    buffers.push_back(std::make_unique<PageBuffer>(tensor.bytes, "'" + name + "'"));
    tensor.data = buffers.back()->data();
    return tensor;
  };
  std::vector<llmc_tensor> in, out;
  for (size_t i = 0; i < inputs.size(); ++i) {
    in.push_back(describe(info.inputs[i].name, inputs[i].type, inputs[i].shape));
    std::memcpy(in.back().data, inputs[i].data.data(), inputs[i].data.size());
  }
  for (const TensorInfo &tensor : info.outputs)
    out.push_back(describe(tensor.name, tensor.type,
                           resolveShape(tensor, sizes, "output '" + tensor.name + "'")));
  session.run(in, out);

  std::vector<Array> outputs;
  for (size_t i = 0; i < out.size(); ++i) {
    const llmc_tensor &tensor = out[i];
    const std::string what = "output '" + info.outputs[i].name + "'";
    if (tensor.rank < 0 || tensor.rank > 8)
      failInternal(what + ": the model wrote a shape of " + std::to_string(tensor.rank) +
                   " dimensions");
    Array array{info.outputs[i].type, {tensor.shape, tensor.shape + tensor.rank}, {}};
    int64_t bytes = elementBytes(array.type);
    for (const int64_t size : array.shape)
      if (size < 0 || __builtin_mul_overflow(bytes, size, &bytes))
        bytes = INT64_MAX;
    if (static_cast<uint64_t>(bytes) > tensor.bytes)
      failInternal(what + ": the model wrote shape " + llmc::shapeText(array.shape) +
                   ", more than its buffer holds");
    const char *data = static_cast<const char *>(tensor.data);
    array.data.assign(data, data + bytes);
    outputs.push_back(std::move(array));
  }
  return outputs;
}
