//===- TileElementwise.cpp - pointwise kernels ------------------------------------------===//
//
// Activations, gated activations, arithmetic of two buffers, scaling and copies: one loop over the
// elements of this thread, and what each does with a vector.
//
#include "llmc/Lower/Cpu/LaneBuilder.h"
#include "llmc/Lower/Cpu/MathKernels.h"
#include "llmc/Lower/Cpu/RowKernels.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace llmc;

/// 0.5 * x * (1 + phi).
static Value halfGate(ImplicitLocOpBuilder &b, Value x, Value phi) {
  Value half = arith::MulFOp::create(b, x, constantLike(b, x, 0.5));
  return arith::MulFOp::create(b, half, arith::AddFOp::create(b, phi, constantLike(b, x, 1.0)));
}

/// x / (1 + e^(-slope * x)).
static Value sigmoidGate(ImplicitLocOpBuilder &b, Value x, double slope) {
  Value power = emitExp(b, arith::MulFOp::create(b, x, constantLike(b, x, -slope)));
  return arith::DivFOp::create(b, x, arith::AddFOp::create(b, power, constantLike(b, x, 1.0)));
}

static Value relu(ImplicitLocOpBuilder &b, Value x) {
  Value zero = constantLike(b, x, 0.0);
  Value negative = arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, zero);
  return arith::SelectOp::create(b, negative, zero, x);
}

static Value activate(ImplicitLocOpBuilder &b, ActivationKind kind, Value x) {
  auto times = [&](Value p, Value q) -> Value { return arith::MulFOp::create(b, p, q); };
  switch (kind) {
  case ActivationKind::Relu:
    return relu(b, x);
  case ActivationKind::Gelu:
    return halfGate(b, x, emitErf(b, times(x, constantLike(b, x, 0.7071067811865476))));
  case ActivationKind::GeluTanh: {
    Value inner = vector::FMAOp::create(b, times(x, x), constantLike(b, x, 0.044715),
                                        constantLike(b, x, 1.0));
    Value scaled = times(x, constantLike(b, x, 0.7978845608028654));
    return halfGate(b, x, emitTanh(b, times(scaled, inner)));
  }
  case ActivationKind::Silu:
    return sigmoidGate(b, x, 1.0);
  case ActivationKind::QuickGelu:
    return sigmoidGate(b, x, 1.702);
  case ActivationKind::Sigmoid:
    return emitSigmoid(b, x);
  case ActivationKind::Tanh:
    return emitTanh(b, x);
  case ActivationKind::Relu2: {
    Value positive = relu(b, x);
    return times(positive, positive);
  }
  }
  llvm_unreachable("unknown activation");
}

/// A kernel whose last offset is the result, element by element that of `compute`.
static Kernel makePointwise(KernelBuilder &builder, std::string name, ArrayRef<RowBuffer> inputs,
                            RowBuffer y,
                            function_ref<Value(ImplicitLocOpBuilder &, ArrayRef<Value>)> compute) {
  SmallVector<int64_t> shapes = {y.width, y.stride};
  for (RowBuffer input : inputs)
    shapes.push_back(input.stride);
  auto body = [&](ImplicitLocOpBuilder &b, KernelFrame &frame) {
    LaneBuilder l(b, builder.shape().lanes);
    SmallVector<Value> memories;
    for (Value offset : frame.offsets)
      memories.push_back(viewRows(b, frame.arena, offset));
    l.forElements(frame, y.width, [&](Value row, Value column, int64_t count) {
      SmallVector<Value> operands;
      for (auto [input, memory] : llvm::zip(inputs, memories))
        operands.push_back(l.load(memory, rowIndex(b, row, input, column), count));
      l.store(compute(b, operands), memories.back(), rowIndex(b, row, y, column), count);
    });
  };
  Kernel kernel = builder.getOrCreate(kernelName(name, shapes), inputs.size() + 1, 0, body);
  kernel.columns = y.width;
  kernel.unit = builder.shape().lanes;
  return kernel;
}

Kernel llmc::getActivationKernel(KernelBuilder &builder, ActivationKind kind, RowBuffer x,
                                 RowBuffer y) {
  return makePointwise(
      builder, stringifyActivationKind(kind).str(), {x}, y,
      [&](ImplicitLocOpBuilder &b, ArrayRef<Value> in) { return activate(b, kind, in[0]); });
}

Kernel llmc::getGatedActivationKernel(KernelBuilder &builder, ActivationKind kind, RowBuffer gate,
                                      RowBuffer up, RowBuffer y) {
  return makePointwise(builder, "gated_" + stringifyActivationKind(kind).str(), {gate, up}, y,
                       [&](ImplicitLocOpBuilder &b, ArrayRef<Value> in) -> Value {
                         return arith::MulFOp::create(b, activate(b, kind, in[0]), in[1]);
                       });
}

Kernel llmc::getBinaryKernel(KernelBuilder &builder, StringRef kind, RowBuffer a, RowBuffer b,
                             RowBuffer y) {
  auto compute = [&](ImplicitLocOpBuilder &body, ArrayRef<Value> in) -> Value {
    if (kind == "add")
      return arith::AddFOp::create(body, in[0], in[1]);
    if (kind == "sub")
      return arith::SubFOp::create(body, in[0], in[1]);
    if (kind == "mul")
      return arith::MulFOp::create(body, in[0], in[1]);
    if (kind == "div")
      return arith::DivFOp::create(body, in[0], in[1]);
    if (kind == "max")
      return arith::MaximumFOp::create(body, in[0], in[1]);
    if (kind == "min")
      return arith::MinimumFOp::create(body, in[0], in[1]);
    llvm_unreachable("unknown binary kernel");
  };
  return makePointwise(builder, "binary_" + kind.str(), {a, b}, y, compute);
}

Kernel llmc::getScaleKernel(KernelBuilder &builder, double factor, RowBuffer x, RowBuffer y) {
  return makePointwise(builder, kernelName("scale", {}, {factor}), {x}, y,
                       [&](ImplicitLocOpBuilder &b, ArrayRef<Value> in) -> Value {
                         return arith::MulFOp::create(b, in[0], constantLike(b, in[0], factor));
                       });
}

Kernel llmc::getCopyRowsKernel(KernelBuilder &builder, RowBuffer x, RowBuffer y) {
  return makePointwise(builder, "copy_rows", {x}, y,
                       [](ImplicitLocOpBuilder &, ArrayRef<Value> in) { return in[0]; });
}
