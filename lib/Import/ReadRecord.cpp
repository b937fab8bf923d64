//===- ReadRecord.cpp - What was read of a node ---------------------------===//
//
// The records of a thread form a stack. The table below lists the attributes that need not be read:
// always, or at one value.
//
//===----------------------------------------------------------------------===//

#include "ReadRecord.h"
#include "Onnx.pb.h"
#include "llmc/Import/OnnxModel.h"

#include <sstream>

using namespace llmc::onnx;

static thread_local ReadRecord *innermost = nullptr;

namespace {
/// An attribute that does not change what an operator means here: at any value (`text` is null), or
/// at the one that is printed as `text`.
struct Harmless {
  const char *domain, *op, *attribute, *text;
};
constexpr const char *any = nullptr;
const Harmless harmless[] = {
    // Only casts to 8-bit floats saturate or choose a rounding, and these types are not read.
    {"", "Cast", "saturate", any},
    {"", "Cast", "round_mode", any},
    {"", "CastLike", "saturate", any},
    {"", "CastLike", "round_mode", any},
    {"", "QuantizeLinear", "saturate", any},
    {"", "QuantizeLinear", "precision", "0"},
    // Statistics and softmax are computed in f64, more precisely than any of these ask for.
    {"", "LayerNormalization", "stash_type", any},
    {"", "RMSNormalization", "stash_type", any},
    {"", "SimplifiedLayerNormalization", "stash_type", any},
    {"com.microsoft", "SimplifiedLayerNormalization", "stash_type", any},
    {"", "Attention", "softmax_precision", any},
    // Which intermediate an output has that is refused if anything uses it.
    {"", "Attention", "qk_matmul_output_mode", any},
    // Training only.
    {"", "Dropout", "seed", any},
    {"", "Dropout", "ratio", any},
    {"", "TopK", "sorted", "1"},
    // The number of a factor of an addend that may be absent.
    {"", "Gemm", "beta", "1"},
    // Read only where the list of axes is empty.
    {"", "ReduceMean", "noop_with_empty_axes", "0"},
    {"com.microsoft", "GroupQueryAttention", "smooth_softmax", "0"},
    {"com.microsoft", "GroupQueryAttention", "smooth_softmax", "-1"},
    {"com.microsoft", "GroupQueryAttention", "qk_output", "0"},
    {"com.microsoft", "GroupQueryAttention", "k_quant_type", "'NONE'"},
    {"com.microsoft", "GroupQueryAttention", "v_quant_type", "'NONE'"},
    {"com.microsoft", "GroupQueryAttention", "kv_cache_bit_width", "0"},
    {"com.microsoft", "MatMulNBits", "weight_prepacked", "0"},
};
} // namespace

static std::string valueText(const AttributeProto &attribute) {
  std::ostringstream out;
  auto list = [&](const auto &values) {
    out << "[";
    for (int i = 0; i < values.size(); ++i)
      out << (i ? ", " : "") << values[i];
    out << "]";
  };
  switch (attribute.type()) {
  case AttributeProto::FLOAT:
    out << attribute.f();
    break;
  case AttributeProto::INT:
    out << attribute.i();
    break;
  case AttributeProto::STRING:
    out << "'" << attribute.s() << "'";
    break;
  case AttributeProto::INTS:
    list(attribute.ints());
    break;
  case AttributeProto::FLOATS:
    list(attribute.floats());
    break;
  default:
    if (attribute.has_i())
      out << attribute.i();
    else if (attribute.has_f())
      out << attribute.f();
    else if (attribute.has_s())
      out << "'" << attribute.s() << "'";
    else
      out << "(of type " << AttributeProto::AttributeType_Name(attribute.type()) << ")";
  }
  return out.str();
}

static bool isHarmless(const NodeProto &node, const AttributeProto &attribute,
                       const std::string &text) {
  std::string domain = node.domain() == "ai.onnx" ? "" : node.domain();
  for (const Harmless &row : harmless)
    if (domain == row.domain && node.op_type() == row.op && attribute.name() == row.attribute &&
        (!row.text || text == row.text))
      return true;
  return false;
}

ReadRecord::ReadRecord(const NodeProto &node) : node(node), outer(innermost) { innermost = this; }

ReadRecord::~ReadRecord() { innermost = outer; }

void ReadRecord::attributeRead(const NodeProto &node, const char *name) {
  for (ReadRecord *record = innermost; record; record = record->outer)
    if (&record->node == &node)
      record->attributes.insert(name);
}

void ReadRecord::inputRead(size_t i) {
  for (ReadRecord *record = innermost; record && &record->node == &innermost->node;
       record = record->outer) {
    if (record->inputs.size() <= i)
      record->inputs.resize(i + 1, false);
    record->inputs[i] = true;
  }
}

std::string ReadRecord::unread(const std::vector<bool> &given) const {
  std::string text;
  auto add = [&](const std::string &what) { text += (text.empty() ? "" : "; ") + what; };
  for (const AttributeProto &attribute : node.attribute()) {
    std::string value = valueText(attribute);
    if (!attributes.count(attribute.name()) && !isHarmless(node, attribute, value))
      add("attribute '" + attribute.name() + "' = " + value + " is not supported");
  }
  for (size_t i = 0; i < given.size(); ++i) {
    if (!given[i] || (i < inputs.size() && inputs[i]))
      continue;
    bool named = i < static_cast<size_t>(node.input_size());
    add("input " + std::to_string(i) +
        (named ? " ('" + node.input(static_cast<int>(i)) + "')" : std::string()) +
        " is not supported");
  }
  return text;
}

static bool readsValue(const NodeProto &node, const std::string &value) {
  for (const std::string &input : node.input())
    if (input == value)
      return true;
  for (const AttributeProto &attribute : node.attribute()) {
    if (!attribute.has_g())
      continue;
    for (const NodeProto &inner : attribute.g().node())
      if (readsValue(inner, value))
        return true;
    for (const ValueInfoProto &output : attribute.g().output())
      if (output.name() == value)
        return true;
  }
  return false;
}

bool llmc::onnx::isUsed(const OnnxModel &model, const std::string &value) {
  for (const DeclaredValue &output : model.outputs())
    if (output.name == value)
      return true;
  for (const NodeProto *node : model.nodes())
    if (readsValue(*node, value))
      return true;
  return false;
}
