//===- llmc-damage.cpp - Can the import check see? ------------------------===//
//
//   llmc-damage model.onnx [DAMAGE ...]
//
// Imports a model, then breaks the module in one way after the other and runs the import check on
// each. Prints what became of each damage; ends with 1 if the check let one pass or refused the
// undamaged module, 2 for a model that cannot be imported.
//
//===----------------------------------------------------------------------===//

#include "EmitModule.h"
#include "ImportCheck.h"
#include "Raiser.h"
#include "llmc/IR/WeightData.h"
#include "llmc/Import/ImportError.h"

#include <cstring>
#include <iostream>

using namespace llmc;

namespace {
/// One way to break a module, and how to mend it.
struct Damage {
  std::string name;
  std::function<void()> apply, undo;
};

class Damages {
public:
  explicit Damages(ModuleOp module);
  std::vector<Damage> list;

private:
  void setAttribute(const std::string &name, Operation *op, StringRef attribute, Attribute value);
  void dropOperand(const std::string &name, Operation *op, unsigned index);
  void changeElements(const std::string &name, WeightOp weight, int64_t begin, int64_t end);
  void exchange(const std::string &name, WeightOp left, WeightOp right);
  Builder builder;
};
} // namespace

void Damages::setAttribute(const std::string &name, Operation *op, StringRef attribute,
                           Attribute value) {
  Attribute old = op->getAttr(attribute);
  std::string key = attribute.str();
  auto set = [op, key](Attribute to) {
    if (to)
      op->setAttr(key, to);
    else
      op->removeAttr(key);
  };
  list.push_back({name, [=] { set(value); }, [=] { set(old); }});
}

/// Elements [begin, end) of the first component of a weight become a tenth larger, or other codes.
void Damages::changeElements(const std::string &name, WeightOp weight, int64_t begin, int64_t end) {
  DictionaryAttr old = weight.getComponents();
  auto apply = [=]() mutable {
    SmallVector<NamedAttribute> changed(old.begin(), old.end());
    for (NamedAttribute &component : changed) {
      auto elements = dyn_cast<ElementsAttr>(component.getValue());
      if (component.getName() != "values" && component.getName() != "codes")
        continue;
      auto type = cast<RankedTensorType>(elements.getShapedType());
      ComponentData data(elements);
      std::vector<char> bytes(data.bytes().begin(), data.bytes().end());
      size_t size = bytes.size() / type.getNumElements();
      bool first = begin == end; // An element of a vector.
      for (size_t i = begin * size; i < (first ? begin + 1 : end) * size; i += size) {
        if (size != 4) {
          bytes[i] ^= 0x11;
          continue;
        }
        float value;
        std::memcpy(&value, &bytes[i], 4);
        value += 0.1f * (std::abs(value) + 0.01f);
        std::memcpy(&bytes[i], &value, 4);
      }
      component.setValue(makeResource(type, "damaged", bytes));
    }
    weight.setComponentsAttr(DictionaryAttr::get(weight.getContext(), changed));
  };
  list.push_back({name, apply, [=]() mutable { weight.setComponentsAttr(old); }});
}

void Damages::exchange(const std::string &name, WeightOp left, WeightOp right) {
  auto swap = [=]() mutable {
    DictionaryAttr kept = left.getComponents();
    left.setComponentsAttr(right.getComponents());
    right.setComponentsAttr(kept);
  };
  list.push_back({name, swap, swap});
}

void Damages::dropOperand(const std::string &name, Operation *op, unsigned index) {
  Value old = op->getOperand(index);
  auto attention = cast<AttentionOp>(op);
  list.push_back({name, [=]() mutable { attention.getMaskMutable().clear(); },
                  [=]() mutable { attention.getMaskMutable().assign(old); }});
}

Damages::Damages(ModuleOp module) : builder(module.getContext()) {
  std::vector<WeightOp> matrices;
  int attentions = 0, norms = 0, linears = 0;
  module.walk([&](WeightOp weight) {
    if (getWeightShape(weight.getType()).size() == 2)
      matrices.push_back(weight);
  });
  auto f64 = [&](double value) { return builder.getF64FloatAttr(value); };
  module.walk([&](Operation *op) {
    if (auto attention = dyn_cast<AttentionOp>(op)) {
      std::string which = " of attention " + std::to_string(attentions++);
      setAttribute("scale" + which, op, "scale",
                   f64(attention.getScale().convertToDouble() * 1.05));
      setAttribute("softcap" + which, op, "softcap",
                   f64(attention.getSoftcap().convertToDouble() != 0 ? 0 : 1));
      int64_t window = attention.getWindow();
      if (window > 0)
        for (int64_t other : {window - 1, window + 1})
          setAttribute("window " + std::to_string(other) + which, op, "window",
                       builder.getI64IntegerAttr(other));
      else
        setAttribute("causal" + which, op, "causal",
                     attention.getCausal() ? UnitAttr() : builder.getUnitAttr());
      if (attention.getMask())
        dropOperand("no mask" + which, op, attention->getNumOperands() - 1);
    }
    if (auto rope = dyn_cast<RopeOp>(op); rope && attentions < 2) {
      SmallVector<double> other(rope.getFrequencies());
      other[other.size() / 2] *= 1.1;
      setAttribute("a frequency", op, "frequencies", builder.getDenseF64ArrayAttr(other));
    }
    if (auto norm = dyn_cast<RMSNormOp>(op); norm && !norms++)
      setAttribute("epsilon", op, "eps", f64(norm.getEps().convertToDouble() + 0.01));
    if (auto norm = dyn_cast<LayerNormOp>(op); norm && !norms++)
      setAttribute("epsilon", op, "eps", f64(norm.getEps().convertToDouble() + 0.01));
    if (auto positions = dyn_cast<PositionsOp>(op))
      setAttribute("offset of positions", op, "offset",
                   builder.getI64IntegerAttr(static_cast<int64_t>(positions.getOffset()) + 1));
    if (auto linear = dyn_cast<LinearOp>(op); linear && linear.getBias() && linears++ < 2)
      changeElements("an element of a bias", linear.getBias().getDefiningOp<WeightOp>(), 1, 1);
  });
  for (size_t i = 0; i < matrices.size(); ++i) {
    ArrayRef<int64_t> shape = getWeightShape(matrices[i].getType());
    size_t next = i + 1;
    while (next < matrices.size() && matrices[next].getType() != matrices[i].getType())
      ++next;
    // A few of many: the first, the last, some between.
    bool chosen = i < 8 || i + 3 >= matrices.size() || i % 29 == 0;
    if (chosen && next < matrices.size())
      exchange(matrices[i].getWeightName().str() + " and " + matrices[next].getWeightName().str(),
               matrices[i], matrices[next]);
    if (chosen && isa<RankedTensorType>(matrices[i].getType()))
      changeElements("a row of " + matrices[i].getWeightName().str(), matrices[i],
                     (shape[0] * 2 / 3) * shape[1], (shape[0] * 2 / 3 + 1) * shape[1]);
  }
}

int main(int argc, char **argv) {
  if (argc < 2) {
    std::cerr << "usage: llmc-damage model.onnx [DAMAGE ...]\n";
    return 2;
  }
  MLIRContext context(MLIRContext::Threading::DISABLED);
  std::unique_ptr<onnx::OnnxModel> model;
  onnx::RaisedGraph graph;
  std::vector<Value> values;
  OwningOpRef<ModuleOp> module;
  try {
    model = onnx::OnnxModel::load(argv[1]);
    std::vector<onnx::Misunderstood> problems;
    graph = onnx::raise(*model, false, problems);
    if (!problems.empty())
      onnx::fail(problems[0].node, ": ", problems[0].reason);
    module = emitModule(&context, graph, *model, values);
  } catch (const onnx::ImportError &error) {
    std::cerr << error.what() << "\n";
    return 2;
  }
  bool fine = true;
  auto check = [&]() -> std::string {
    try {
      checkImport(*module, graph, values, *model, false, nullptr);
    } catch (const onnx::ImportError &error) {
      return error.what();
    }
    return "";
  };
  std::string plain = check();
  std::cout << "undamaged: " << (plain.empty() ? "passes" : plain) << std::endl;
  fine &= plain.empty();
  Damages damages(*module);
  for (const Damage &damage : damages.list) {
    bool asked = argc == 2;
    for (int i = 2; i < argc; ++i)
      asked |= damage.name.find(argv[i]) != std::string::npos;
    if (!asked)
      continue;
    damage.apply();
    std::string found = check();
    damage.undo();
    std::cout << damage.name << ": " << (found.empty() ? "NOT SEEN" : found) << std::endl;
    fine &= !found.empty();
  }
  return fine ? 0 : 1;
}
