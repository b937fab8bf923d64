//===- ReadRecord.h - What was read of a node -----------------------------===//
//
// An attribute or input that its operator's code does not look at would be dropped in silence. So
// what is looked at is recorded, by the accessors themselves, and whoever ran the code asks what is
// left: that is an error by construction, also for attributes that nobody here has heard of.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_READRECORD_H
#define LLMC_LIB_IMPORT_READRECORD_H

#include <initializer_list>
#include <set>
#include <string>
#include <vector>

namespace llmc::onnx {

class NodeProto;
class OnnxModel;

/// Records what is read of `node` in this thread while it lives. Records nest; what is read in an
/// inner one of the same node counts in the outer one too.
class ReadRecord {
public:
  explicit ReadRecord(const NodeProto &node);
  ~ReadRecord();
  ReadRecord(const ReadRecord &) = delete;
  ReadRecord &operator=(const ReadRecord &) = delete;

  static void attributeRead(const NodeProto &node, const char *name);
  /// Input `i` of the node of the innermost record.
  static void inputRead(size_t i);

  /// What nobody read and what may change values: "attribute 'smooth_softmax' = 1 is not
  /// supported". Empty when there is no such thing. `given` says which inputs are present.
  std::string unread(const std::vector<bool> &given) const;

private:
  const NodeProto &node;
  ReadRecord *outer;
  std::set<std::string> attributes;
  std::vector<bool> inputs;
};

/// A list of operands that records which are looked at by number.
template <typename T> class RecordedList {
public:
  RecordedList() = default;
  RecordedList(std::initializer_list<T> items) : items(items) {}
  void push_back(T item) { items.push_back(item); }
  size_t size() const { return items.size(); }
  bool empty() const { return items.empty(); }
  T operator[](size_t i) const {
    ReadRecord::inputRead(i);
    return items[i];
  }
  /// Neither a glance nor walking over all of them counts as reading them.
  T peek(size_t i) const { return items[i]; }
  void replace(size_t i, T item) { items[i] = item; }
  auto begin() const { return items.begin(); }
  auto end() const { return items.end(); }

private:
  std::vector<T> items;
};

/// True when a node, also one in a subgraph, reads the value or it is a graph output.
bool isUsed(const OnnxModel &model, const std::string &value);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_READRECORD_H
