//===- FoldVectors.cpp - Constant vectors go into weights -----------------===//
//
// A vector that is added belongs to one of the summands: to the bias of a linear or a norm, or to
// the smallest table of an embedding. Where no summand takes it, the linears behind it do. Factors
// go into norms before them or into the columns of linears behind them.
//
//===----------------------------------------------------------------------===//

#include "FoldVectors.h"
#include "llmc/Import/ImportError.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <set>

using namespace llmc::onnx;

namespace {
class Folder {
public:
  explicit Folder(RaisedGraph &graph) : graph(graph) {
    for (const RaisedWeight &weight : graph.weights)
      names.insert(weight.name);
  }
  void run();

private:
  struct Place {
    int node = -1;
    double factor = 1;        ///< Of the vector there.
    std::vector<int> between; ///< Nodes whose results change.
    int64_t cost = 0;
  };

  std::vector<int> usersOf(int node) const;
  bool isOutput(int node) const;
  bool onlyUsedOnce(int node) const { return usersOf(node).size() == 1 && !isOutput(node); }
  int64_t usesOf(int weight) const;
  void searchBelow(int node, double factor, std::vector<int> between, std::optional<Place> &best);
  std::optional<Place> placeFor(int adder);
  bool takenByUsers(int number, const std::vector<double> &vector, bool product);
  void addTo(int node, const std::vector<double> &vector);
  void addToTable(RaisedWeight &table, const std::vector<double> &vector);
  void addToBias(RaisedNode &node, const std::vector<double> &vector);
  int vectorWeight(const std::vector<double> &values, const WeightKey &key,
                   const std::string &name);
  std::string biasName(const RaisedNode &node) const;
  std::vector<double> vectorOf(int weight, int64_t width) const;
  void alias(RaisedNode &node) {
    node.kind = RaisedKind::AddVector;
    node.weight = -1;
    node.output.clear();
  }

  RaisedGraph &graph;
  std::set<std::string> names;
};
} // namespace

std::vector<int> Folder::usersOf(int node) const {
  std::vector<int> users;
  for (size_t i = 0; i < graph.nodes.size(); ++i)
    for (int input : graph.nodes[i].inputs)
      if (input == node)
        users.push_back(static_cast<int>(i));
  return users;
}

bool Folder::isOutput(int node) const {
  return std::any_of(graph.outputs.begin(), graph.outputs.end(),
                     [&](const RaisedOutput &output) { return output.node == node; });
}

int64_t Folder::usesOf(int weight) const {
  return std::count_if(graph.nodes.begin(), graph.nodes.end(), [&](const RaisedNode &node) {
    return node.weight == weight || node.bias == weight;
  });
}

std::vector<double> Folder::vectorOf(int weight, int64_t width) const {
  std::vector<double> values(width, 0);
  for (int64_t i = 0; weight >= 0 && i < width; ++i)
    values[i] = graph.weights[weight].values.at(i);
  return values;
}

int Folder::vectorWeight(const std::vector<double> &values, const WeightKey &key,
                         const std::string &name) {
  RaisedWeight weight;
  weight.key = key;
  if (weight.key.derived.empty())
    weight.key.derived = "folded";
  weight.name = name;
  size_t dot = name.rfind('.');
  for (int n = 2; !names.insert(weight.name).second; ++n)
    weight.name = name.substr(0, dot) + "_" + std::to_string(n) +
                  (dot == std::string::npos ? "" : name.substr(dot));
  weight.rows = static_cast<int64_t>(values.size());
  weight.values = OnnxTensor(ElementType::F32, {weight.rows});
  for (int64_t i = 0; i < weight.rows; ++i)
    weight.values.set(i, values[i]);
  graph.weights.push_back(std::move(weight));
  return static_cast<int>(graph.weights.size()) - 1;
}

std::string Folder::biasName(const RaisedNode &node) const {
  std::string name = node.weight >= 0 ? graph.weights[node.weight].name : node.location + ".weight";
  size_t end = name.rfind(".weight");
  return (end == std::string::npos ? name : name.substr(0, end)) + ".bias";
}

void Folder::addToBias(RaisedNode &node, const std::vector<double> &vector) {
  std::vector<double> sum = vectorOf(node.bias, node.width);
  for (size_t i = 0; i < sum.size(); ++i)
    sum[i] += vector[i];
  bool own = node.bias >= 0 && usesOf(node.bias) == 1;
  std::string name = node.bias >= 0 ? graph.weights[node.bias].name : biasName(node);
  if (own)
    names.erase(name);
  node.bias = vectorWeight(sum, {node.location, false, "bias", 0}, name);
}

/// A table of 16 bits keeps them.
void Folder::addToTable(RaisedWeight &table, const std::vector<double> &vector) {
  ElementType type = table.values.source().data ? table.values.source().type : table.values.type();
  int64_t count = table.rows * table.columns;
  auto sum = [&](int64_t i) {
    int64_t r = i / table.columns, c = i % table.columns;
    return static_cast<float>(table.values.at(table.transposed ? c * table.rows + r : i) +
                              vector[c]);
  };
  if (type == ElementType::F16 || type == ElementType::BF16) {
    auto bytes = std::make_shared<std::vector<uint16_t>>(count);
    for (int64_t i = 0; i < count; ++i)
      (*bytes)[i] = type == ElementType::F16 ? floatToHalf(sum(i)) : floatToBFloat(sum(i));
    table.values = OnnxTensor::borrow(reinterpret_cast<const uint8_t *>(bytes->data()),
                                      {table.rows, table.columns}, type, bytes);
  } else {
    OnnxTensor values(ElementType::F32, {table.rows, table.columns});
    for (int64_t i = 0; i < count; ++i)
      values.mutableFloats()[i] = sum(i);
    table.values = values;
  }
  table.transposed = false;
}

/// What takes a vector, below a node that is used once.
void Folder::searchBelow(int number, double factor, std::vector<int> between,
                         std::optional<Place> &best) {
  if (!onlyUsedOnce(number))
    return;
  const RaisedNode &node = graph.nodes[number];
  between.push_back(number);
  std::optional<int64_t> cost;
  switch (node.kind) {
  case RaisedKind::Add:
    for (int input : node.inputs)
      searchBelow(input, factor, between, best);
    return;
  case RaisedKind::Scale:
    if (node.number != 0)
      searchBelow(node.inputs[0], factor / node.number, between, best);
    return;
  case RaisedKind::AddVector:
    searchBelow(node.inputs[0], factor, between, best);
    return;
  case RaisedKind::Linear:
    cost = 0;
    break;
  case RaisedKind::LayerNorm:
    cost = 1;
    break;
  case RaisedKind::Embedding:
  case RaisedKind::PositionEmbedding:
    if (usesOf(node.weight) == 1 && !graph.weights[node.weight].bits)
      cost = 1 + graph.weights[node.weight].rows;
    break;
  default:
    return;
  }
  if (cost && (!best || *cost < best->cost))
    best = Place{number, factor, std::move(between), *cost};
}

std::optional<Folder::Place> Folder::placeFor(int adder) {
  std::optional<Place> best;
  searchBelow(graph.nodes[adder].inputs[0], 1, {}, best);
  // The other summands, where this one goes nowhere else.
  std::vector<int> above;
  for (int at = adder; onlyUsedOnce(at);) {
    int user = usersOf(at)[0];
    if (graph.nodes[user].kind != RaisedKind::Add)
      break;
    above.push_back(at);
    for (int input : graph.nodes[user].inputs)
      if (input != at)
        searchBelow(input, 1, above, best);
    at = user;
  }
  return best;
}

/// Linears behind: W (x + v) = W x + W v, and W (x * g) = (W * g) x.
bool Folder::takenByUsers(int number, const std::vector<double> &vector, bool product) {
  std::vector<int> users = usersOf(number);
  bool linears =
      !users.empty() && !isOutput(number) && std::all_of(users.begin(), users.end(), [&](int user) {
        const RaisedNode &node = graph.nodes[user];
        return node.kind == RaisedKind::Linear && !graph.weights[node.weight].bits &&
               (!product || usesOf(node.weight) == 1);
      });
  if (!linears)
    return false;
  for (int user : users) {
    RaisedNode &node = graph.nodes[user];
    RaisedWeight &matrix = graph.weights[node.weight];
    auto at = [&](int64_t r, int64_t c) {
      return matrix.values.at(matrix.transposed ? c * matrix.rows + r : r * matrix.columns + c);
    };
    if (product) {
      OnnxTensor values(ElementType::F32, {matrix.rows, matrix.columns});
      for (int64_t i = 0; i < values.size(); ++i)
        values.set(i, at(i / matrix.columns, i % matrix.columns) * vector[i % matrix.columns]);
      matrix.values = values;
      matrix.transposed = false;
      continue;
    }
    std::vector<double> shift(matrix.rows, 0);
    for (int64_t r = 0; r < matrix.rows; ++r)
      for (int64_t c = 0; c < matrix.columns; ++c)
        shift[r] += at(r, c) * vector[c];
    addToBias(node, shift);
  }
  return true;
}

void Folder::addTo(int number, const std::vector<double> &vector) {
  RaisedNode &node = graph.nodes[number];
  if (node.kind == RaisedKind::Embedding || node.kind == RaisedKind::PositionEmbedding)
    addToTable(graph.weights[node.weight], vector);
  else
    addToBias(node, vector);
}

void Folder::run() {
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    RaisedNode &node = graph.nodes[i];
    int number = static_cast<int>(i);
    bool isNorm = node.kind == RaisedKind::RMSNorm || node.kind == RaisedKind::LayerNorm;
    if (isNorm && node.weight < 0)
      node.weight = vectorWeight(std::vector<double>(node.width / node.integer, 1),
                                 {node.location, false, "scale", 0}, node.location + ".weight");
    if (node.kind == RaisedKind::AddVector && node.weight >= 0) {
      std::vector<double> vector = vectorOf(node.weight, node.width);
      if (std::optional<Place> place = placeFor(number)) {
        std::vector<double> there = vector;
        for (double &value : there)
          value *= place->factor;
        for (int changed : place->between)
          graph.nodes[changed].output.clear();
        addTo(place->node, there);
      } else if (!takenByUsers(number, vector, false)) {
        fail("node '", node.location, "': a constant vector is added where no linear, norm or ",
             "table can take it, which is not supported");
      }
      alias(graph.nodes[i]);
    } else if (node.kind == RaisedKind::MultiplyVector) {
      std::vector<double> vector = vectorOf(node.weight, node.width);
      RaisedNode &source = graph.nodes[node.inputs[0]];
      bool norm = (source.kind == RaisedKind::RMSNorm || source.kind == RaisedKind::LayerNorm) &&
                  source.integer <= 1 && onlyUsedOnce(node.inputs[0]);
      if (norm) {
        for (int *weight : {&source.weight, &source.bias}) {
          if (*weight < 0)
            continue;
          std::vector<double> values = vectorOf(*weight, source.width);
          for (size_t f = 0; f < values.size(); ++f)
            values[f] *= vector[f];
          std::string name = graph.weights[*weight].name;
          if (usesOf(*weight) == 1)
            names.erase(name);
          *weight = vectorWeight(values, graph.weights[*weight].key, name);
        }
        source.output.clear();
      } else if (!takenByUsers(number, vector, true)) {
        fail("node '", node.location,
             "': data is multiplied by a constant vector where no norm or ",
             "linear can take it, which is not supported");
      }
      alias(graph.nodes[i]);
    }
  }
}

void llmc::onnx::foldVectors(RaisedGraph &graph) { Folder(graph).run(); }
