//===- Raiser.h - Interpreting an ONNX graph at one size ------------------===//
//
// Runs the graph once, at a given (batch, past, length), on descriptions of values instead of
// values. What depends on constants, shapes, positions and masks only is known and evaluated. What
// depends on token ids is a *view*: for each element, which element of which canonical tensor it
// is, times what. Reshapes, transposes, slices, rotations and cache concatenations, however they
// are spelled, only move indices and factors about; so what they do can be read off at the few
// places where data meets data.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_RAISER_H
#define LLMC_LIB_IMPORT_RAISER_H

#include "EvaluatorOps.h"
#include "FarLook.h"
#include "RaisedGraph.h"
#include "ReadRecord.h"
#include "Sizes.h"

#include <deque>
#include <optional>

namespace llmc::onnx {

/// Element i is the sum over terms of factor[i] * source[index[i]]. An index is (source node + 1)
/// << 40 plus the flat element; index 0 stands for the constant 1. Past tensors have node numbers
/// from pastBase on.
struct Term {
  OnnxTensor index;
  double uniform = 1;
  std::optional<OnnxTensor> factor;
  double at(int64_t i) const { return factor ? factor->doubles()[i] * uniform : uniform; }
};

struct View {
  Shape shape;
  std::vector<Term> terms;
  double grain = 0; ///< As Value::grain.
  int64_t size() const { return elementCount(shape); }
};

constexpr int sourceShift = 40;
constexpr int pastBase = 1 << 20;
inline int sourceOf(int64_t index) { return static_cast<int>(index >> sourceShift) - 1; }
inline int64_t elementOf(int64_t index) { return index & ((int64_t(1) << sourceShift) - 1); }
inline int64_t makeIndex(int source, int64_t element) {
  return (int64_t(source) + 1) << sourceShift | element;
}

struct Value {
  enum class Kind {
    Unknown,   ///< Follows from something that was not understood.
    Known,     ///< Evaluated.
    Data,      ///< A view.
    Pointwise, ///< A function of each element of a view, known by its values on a grid.
    RowStat,   ///< A function of the mean, mean square or variance of the rows of a view.
    RowScale,  ///< A RowStat times a vector over the features.
    NormPart, ///< A RowScale times the row's data, or its mean, or the negative of that and a bias.
    Scores,   ///< Attention scores before softmax.
    ScoresMax,       ///< The largest of each row of scores.
    Exponentials,    ///< exp of scores, or of scores less the largest of their row.
    ExponentialsSum, ///< The sum of their rows.
    Quantized,       ///< What DynamicQuantizeLinear makes of data: one part of it.
    Integers,        ///< Quantized data times a constant matrix of integers.
    CodeRows,        ///< Rows of a constant matrix of integers, by ids (the view).
    Probs,           ///< After softmax.
    NaNTest,         ///< IsNaN of probabilities.
    Present          ///< A cache after this step.
  };
  Kind kind = Kind::Unknown;
  Shape shape;
  ElementType type = ElementType::F32; ///< What the original computes in.
  double grain = 0; ///< Relative rounding of the coarsest type on the way; 0 for f32 and wider.
  /// The same of what follows from positions, and what it was where cos and sin were taken.
  double positionGrain = 0, angleGrain = 0;

  // Known.
  OnnxTensor tensor;
  bool constant = false;   ///< Follows from initializers only.
  std::string origin;      ///< The initializer it is, but for layout.
  std::string name;        ///< Its own name in the file.
  std::string derived;     ///< What the importer made of it, or "".
  bool transposed = false; ///< The matrix of `origin` was transposed on the way.
  std::string table;       ///< Rows of this constant matrix, gathered by known indices:
  OnnxTensor rows, tableValues;
  std::string rowsName; ///< The value that the rows are.

  // Data, Pointwise, RowStat (whose rows), Scores (the query).
  View view;
  std::vector<double> samples;      ///< Pointwise, RowStat, Scores: the function on its grid.
  bool centered = false;            ///< Pointwise: of x - mean(x). RowStat: the variance.
  bool plainMean = false;           ///< RowStat: the mean.
  const NodeProto *maker = nullptr; ///< Pointwise: the node that computes it.

  // RowScale, NormPart: `tensor` is the scale, if there is one.
  bool ofMean = false, negative = false; ///< NormPart: of the mean; its negative.
  OnnxTensor bias;                       ///< NormPart of the negative mean: what it is added to.
  bool hasBias = false;

  /// Of Quantized. Integers: Codes, or Scale once the data's scale is in it.
  enum class Part { Codes, Scale, Zero, BothScales };
  Part part = Part::Codes;

  // Scores and Probs, and what is between them.
  bool shifted = false;    ///< Scores: less the largest of their row.
  bool reciprocal = false; ///< ExponentialsSum: one over it.
  View key;
  bool masked = false;
  OnnxTensor mask;
  std::vector<MaskSource> maskSources;
};

/// Operators whose output elements are input elements, moved.
bool movesElements(const std::string &op);

/// The arguments where functions of one number are compared.
const std::vector<double> &pointwiseGrid();
const std::vector<double> &statGrid();

/// The relative rounding of a 16-bit type; 0 for what is finer.
double grainOf(ElementType type);
/// The number that was meant by one that was rounded to 16 bits: a short decimal, if there is one.
double unrounded(double value, double grain);

/// outer * name(inner * x + shift); `name` is null for the function inner * x + shift.
struct ActivationShape {
  const char *name = nullptr;
  double inner = 1, shift = 0, outer = 1;
};
/// The function with these values on the grid. Its own constants may be rounded by `grain`.
std::optional<ActivationShape> recognizeActivation(const std::vector<double> &samples,
                                                   double grain);

/// What does not change with the sizes: constants that were folded once.
struct ConstantPool {
  std::map<std::string, Value> values;
};

/// Thrown by Raiser::notUnderstood and caught where a node is visited.
struct NotUnderstood {
  std::string reason;
};

class Raiser {
public:
  /// With `far`, values that are known but not constant are those of the far look.
  Raiser(const OnnxModel &model, const Sizes &sizes, ConstantPool &pool, bool floatActivations,
         FarLook *far = nullptr);

  /// Interprets the whole graph; `problems` is filled where something is not understood.
  RaisedGraph run(std::vector<Misunderstood> &problems);

  /// What the run says about the sizes of data, for SizeLaws.
  SizeLaws::Point point() const;

  /// Graph inputs at some sizes, for this raiser and for evaluating single values.
  static ValueMap knownInputs(const OnnxModel &model, const Sizes &sizes);
  /// The same at sizes too large to hold, and the shapes of the others.
  static void lazyInputs(const OnnxModel &model, const Sizes &sizes,
                         std::map<std::string, LazyTensor> &known,
                         std::map<std::string, std::pair<ElementType, Shape>> &shapes);
  static bool isPast(const DeclaredValue &input);
  static bool hasPast(const OnnxModel &model);
  static Shape pastShape(const DeclaredValue &input, const Sizes &sizes);

private:
  using Values = RecordedList<const Value *>;

  // Raiser.cpp: dispatch.
  void bindInputs();
  void visit(const NodeProto &node);
  void requireRead(const NodeProto &node, const ReadRecord &record) const;
  void set(const NodeProto &node, int output, Value value);
  const Value *find(const std::string &name) const;
  [[noreturn]] void notUnderstood(const std::string &reason) const;
  void sliceRows(const NodeProto &node, std::vector<const OnnxTensor *> inputs, const Value &table,
                 Value &result) const;
  bool evaluateKnown(const NodeProto &node, const Values &in);
  void addMask(Value &scores, const OnnxTensor &mask, const std::string &name,
               bool hides = false) const;
  void limitContext(int64_t positions, const std::string &reason);
  void lookFar(const NodeProto &node, Values &in);
  void noteShapes(const NodeProto &node, const Values &in);
  /// The position of a new row of this step.
  int64_t position(int64_t row) const { return far ? far->position(row) : sizes.past + row; }
  void makeWhole(const NodeProto &node, Values &in);
  void finishOutputs();
  void checkCacheNames() const;
  void checkPresent(const std::string &past, const std::string &output, const View &view);
  std::string scopeOf(const NodeProto &node) const;
  void followTypes(const NodeProto &node, const Values &in);

  // RaiseViews.cpp: moving indices about.
  bool applyStructural(const NodeProto &node, const Values &in);
  bool moveRows(const NodeProto &node, const Values &in);
  View applyTo(const NodeProto &node, const Values &in, size_t operand, const View &view,
               int output);
  View concatViews(const NodeProto &node, const Values &in);
  View viewOf(int node, Shape shape) const;
  View constantView(const OnnxTensor &values) const;
  View scaled(const View &view, const OnnxTensor &factor, const Shape &shape,
              bool reciprocal) const;
  bool isIdentity(const View &view, int &node, double &factor) const;
  bool isUniform(const View &view) const;
  bool isIdentityOf(const View &view, int node) const;
  void requireFloatCast(const NodeProto &node, const Values &in) const;
  bool sameElements(const View &a, const View &b) const;
  int materialize(const View &view);
  int scaleNode(int node, double factor);
  int addNode(RaisedNode node);
  int64_t nodeSize(int node) const;
  /// The data a value stands for, an activation made into a node where needed.
  View dataOf(const Value &value);
  View activationOf(const Value &value);
  Value dataValue(int node, const Shape &shape) const;

  // RaiseArithmetic.cpp: elementwise operators.
  void binary(const NodeProto &node, const Value &a, const Value &b);
  Value plusKnown(const Value &data, const Value &known, double sign);
  int addVector(int source, const Value &vector);
  std::optional<OnnxTensor> perFeature(const View &view, const OnnxTensor &known, int &source);
  View renamed(const View &view, int node) const;
  std::optional<std::vector<int>> reordered(std::initializer_list<const View *> views);
  Value withPositions(int source, RaisedWeight weight, int64_t offset, const Shape &shape);
  void multiplyKnown(const NodeProto &node, const Value &data, const Value &known, bool reciprocal);
  bool afterMask(const std::string &op, double number, bool numberLast, Value &scores) const;
  void unary(const NodeProto &node, const Values &in);
  Value asPointwise(const Value &value) const;
  std::vector<double> runSamples(const NodeProto &node, const Values &in, size_t operand,
                                 const std::vector<double> &samples) const;

  // RaiseSoftmax.cpp.
  bool softmaxStep(const NodeProto &node, const Values &in);
  bool sameScores(const Value &a, const Value &b) const;
  bool reducesRows(const NodeProto &node, const Values &in, bool &kept) const;

  // RaiseQuantized.cpp.
  void matMulNBits(const NodeProto &node, const Values &in);
  void gatherBlockQuantized(const NodeProto &node, const Values &in);
  bool gatherCodes(const NodeProto &node, const Values &in);
  void embedCodes(const NodeProto &node, const Value &rows, const Value &scale, const Value *zero);
  void dequantize(const NodeProto &node, const Values &in);
  void dynamicQuantize(const NodeProto &node, const Values &in);
  void matMulInteger(const NodeProto &node, const Values &in);
  bool scaleIntegers(const NodeProto &node, const Value &a, const Value &b);
  RaisedWeight integerWeight(const Value &codes, bool across, int64_t block,
                             const OnnxTensor &scales, const OnnxTensor *zeros) const;

  // RaiseEinsum.cpp.
  void einsum(const NodeProto &node, const Values &in);
  View permuted(const View &view, const std::vector<int64_t> &perm) const;
  View reshaped(const View &view, const Shape &shape) const;

  // RaiseNormParts.cpp.
  bool normParts(const NodeProto &node, const Value &a, const Value &b);
  bool scaleRows(const NodeProto &node, const Value &stat, const Value &vector);
  bool joinParts(const NodeProto &node, const Value &whole, const Value &mean);

  // RaiseNorm.cpp.
  void reduceRows(const NodeProto &node, const Values &in);
  bool isMean(const Value &value) const;
  bool fitsRows(const Value &stat, const View &view) const;
  std::optional<View> normalized(const Value &data, const Value &stat, bool divide);
  void normOp(const NodeProto &node, const Values &in, bool center, bool skip);
  bool normalize(const NodeProto &node, const Value &data, const Value &stat, bool divide);
  View normNode(const View &view, double epsilon, bool center);
  bool attachToNorm(const View &view, const Value &known, bool bias, View &result);

  // RaiseLinear.cpp.
  void matMul(const NodeProto &node, const Values &in);
  void gemm(const NodeProto &node, const Values &in);
  bool embedding(const NodeProto &node, const Values &in);
  int denseWeight(const Value &value, bool transposed);
  int vectorWeight(const Value &value);
  int weightIndex(RaisedWeight weight);
  WeightKey weightKey(const Value &value) const;
  Value linear(const View &input, const Shape &shape, int weight, int bias, int64_t block);

  // RaiseAttention.cpp.
  struct HeadOperand {
    int source = -1;
    std::string past;
    int64_t heads = 0, size = 0;
    double multiplier = 1, pastFactor = 1;
    RaisedRope rope;
  };
  HeadOperand headOperand(const View &view, const char *what);
  Value attention(const View &query, const View &key, const View &value,
                  const std::vector<double> &scores, const Value *mask, bool causal, int64_t window,
                  Shape &shape);
  void attentionOp(const NodeProto &node, const Values &in);
  void groupQueryAttention(const NodeProto &node, const Values &in);
  void scoresTimesValue(const NodeProto &node, const Value &probs, const View &value);
  View fusedOperand(const View &view, bool batchMoved, bool swapped) const;
  MaskFacts maskFacts(const OnnxTensor &mask, int64_t heads) const;
  View headView(const View &view, int64_t heads) const;
  View rotary(const View &view, const OnnxTensor &cosines, const OnnxTensor &sines,
              const OnnxTensor *positions, bool interleaved) const;
  void rotaryOp(const NodeProto &node, const Values &in);
  View swapLast(const View &view) const;

  const OnnxModel &model;
  Evaluator evaluator;
  Sizes sizes;
  ConstantPool &pool;
  bool floatActivations;
  int64_t fixedLength = 0; ///< Positions of a graph that takes one number of them only.
  FarLook *far;
  std::deque<Value> farValues; ///< Stand for known values in the node that is visited.
  std::map<std::string, std::vector<int64_t>> shapeValues;
  RaisedGraph graph;
  std::map<std::string, Value> values;
  std::map<std::string, int> nodeKeys;
  std::map<WeightKey, int> weightKeys;
  std::vector<std::string> pastNames;
  std::vector<Shape> pastShapes;
  std::map<std::string, double> presentFactors; ///< What new rows must be multiplied by in a cache.
  ElementType nodeType = ElementType::F32;      ///< That of the outputs of the current node.
  double nodeGrain = 0;                         ///< The coarsest of what reaches it.
  double nodeAngleGrain = 0;                    ///< Value::angleGrain of what reaches it.
  const NodeProto *current = nullptr;
};

/// Interprets the graph at several sizes, merges what was seen, and names weights. Problems, if
/// any, are all listed and the graph is then empty.
RaisedGraph raise(const OnnxModel &model, bool floatActivations,
                  std::vector<Misunderstood> &problems);

/// Gives every weight its module path (RaiseNames.cpp).
void nameWeights(RaisedGraph &graph, const OnnxModel &model);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_RAISER_H
