//===- ClassifyInputs.cpp - What each graph input is ----------------------===//
//
// Names say it where an exporter was given them and the use does not contradict. Else the use does:
// rows of a table are ids, what becomes an angle is a position, and what only meets other numbers
// is a mask.
//
//===----------------------------------------------------------------------===//

#include "Onnx.pb.h"
#include "llmc/Import/ImportError.h"
#include "llmc/Import/OnnxModel.h"

#include <algorithm>
#include <set>

using namespace llmc::onnx;

namespace {
struct Uses {
  int64_t tableRows = -1; ///< Indices of a table with so many rows; 0 where it is not known.
  bool angles = false, added = false, computed = false;
};
} // namespace

static bool contains(const std::string &text, const char *part) {
  return text.find(part) != std::string::npos;
}

/// Follows a value through what moves or converts it.
static Uses usesOf(const OnnxModel &model, const std::string &input) {
  static const std::set<std::string> moves = {"Cast",      "Identity", "Reshape", "Unsqueeze",
                                              "Squeeze",   "Flatten",  "Slice",   "Expand",
                                              "Transpose", "Clip",     "Concat"};
  static const std::set<std::string> scales = {"Mul", "MatMul", "Gemm", "Einsum", "Add", "Sub"};
  Uses uses;
  // A value that arithmetic was done on may still become an angle, but is no index any more.
  std::set<std::string> moved = {input}, computed;
  for (const NodeProto *node : model.nodes()) {
    const std::string &op = node->op_type();
    for (int i = 0; i < node->input_size(); ++i) {
      bool isMoved = moved.count(node->input(i)), isComputed = computed.count(node->input(i));
      if (!isMoved && !isComputed)
        continue;
      auto spread = [&](std::set<std::string> &to) {
        to.insert(node->output().begin(), node->output().end());
        to.erase("");
      };
      bool gathers = contains(op, "Gather") && i == 1;
      if (op == "Cos" || op == "Sin" ||
          (op == "RotaryEmbedding" && i == (node->domain() == "com.microsoft" ? 1 : 3)) ||
          (op == "GroupQueryAttention" && i == 9))
        uses.angles = true;
      else if (isMoved && gathers) {
        int64_t rows = 0;
        if (model.isInitializer(node->input(0)) && model.initializer(node->input(0)).rank())
          rows = model.initializer(node->input(0)).shape()[0];
        uses.tableRows = std::max(uses.tableRows, rows);
      } else if (moves.count(op) && (i == 0 || op == "Concat")) {
        spread(isMoved ? moved : computed);
      } else if (op != "Shape") {
        uses.added |= isMoved && op == "Add";
        uses.computed |= isMoved && op != "Add";
        if (scales.count(op))
          spread(computed);
      }
    }
  }
  return uses;
}

/// The role that the name says, if it says one.
static InputRole roleOfName(const DeclaredValue &input) {
  bool tokens = input.dims.size() == 2 && !isFloat(input.type) && input.type != ElementType::Bool;
  if (isFloat(input.type) && input.dims.size() == 4)
    return InputRole::Past;
  bool position = contains(input.name, "position"), mask = contains(input.name, "mask");
  if (position && mask)
    return InputRole::Unknown;
  if (position && !isFloat(input.type) && input.dims.size() <= 2)
    return InputRole::Positions;
  if (mask && input.dims.size() == 2)
    return InputRole::Mask;
  for (const char *word : {"ids", "token", "segment"})
    if (tokens && contains(input.name, word))
      return InputRole::Ids;
  return InputRole::Unknown;
}

/// Whether what reads an input leaves no room for the role that its name says.
static bool contradicts(const OnnxModel &model, const DeclaredValue &input) {
  if (input.role != InputRole::Mask && input.role != InputRole::Ids)
    return false;
  Uses uses = usesOf(model, input.name);
  bool index = uses.tableRows >= 0;
  if (input.role == InputRole::Ids)
    return uses.angles && !index;
  return uses.angles || (index && !uses.added && !uses.computed);
}

void llmc::onnx::classifyInputs(const OnnxModel &model, std::vector<DeclaredValue> &inputs) {
  bool hasIds = false;
  std::vector<DeclaredValue *> unnamed;
  for (DeclaredValue &input : inputs) {
    input.role = roleOfName(input);
    if (contradicts(model, input))
      input.role = InputRole::Unknown;
    hasIds |= input.role == InputRole::Ids && contains(input.name, "input_ids");
    if (input.role == InputRole::Unknown && input.dims.size() == 2)
      unnamed.push_back(&input);
    if (input.role == InputRole::Mask && isFloat(input.type)) {
      Uses uses = usesOf(model, input.name);
      if (uses.added && !uses.computed)
        input.role = InputRole::AdditiveMask;
    }
  }
  std::vector<std::pair<int64_t, DeclaredValue *>> tables;
  for (DeclaredValue *input : unnamed) {
    Uses uses = usesOf(model, input->name);
    if (uses.angles) {
      input->role = InputRole::Positions;
    } else if (uses.tableRows >= 0 && !isFloat(input->type)) {
      input->role = InputRole::Ids;
      tables.push_back({uses.tableRows, input});
    } else if (uses.added || uses.computed) {
      input->role = isFloat(input->type) && uses.added && !uses.computed ? InputRole::AdditiveMask
                                                                         : InputRole::Mask;
    }
  }
  // Of several that take rows of tables, the one with the largest is the text; few rows are types.
  // Between them stand positions, which no use tells from a second text.
  std::sort(tables.begin(), tables.end(), [](const auto &a, const auto &b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  for (size_t i = hasIds ? 0 : 1; i < tables.size(); ++i)
    if (tables[i].first > 16)
      fail("graph input '", tables[i].second->name, "' takes rows of a table of ", tables[i].first,
           "; name it input_ids, position_ids or token_type_ids to say what it is");
  if (!hasIds && tables.size() > 1) {
    auto at = [&](const DeclaredValue *input) { return inputs.begin() + (input - inputs.data()); };
    std::rotate(at(inputs.data()), at(tables[0].second), at(tables[0].second) + 1);
  }
}
