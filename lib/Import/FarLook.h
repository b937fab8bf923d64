//===- FarLook.h - What a graph computes far out --------------------------===//
//
// Masks, angles, scales and shapes are functions of positions and lengths. A far look evaluates
// these parts alone at a length that is too large to interpret the whole graph at, and hands
// samples of them to a raiser that works at small sizes.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_FARLOOK_H
#define LLMC_LIB_IMPORT_FARLOOK_H

#include "LazyEvaluator.h"
#include "RaisedGraph.h"
#include "Sizes.h"

#include <map>
#include <memory>

namespace llmc::onnx {

/// How shapes and shape operands depend on sizes, learnt from small points: each number is
/// a + b * past + c * length.
class SizeLaws {
public:
  struct Point {
    Sizes sizes;
    std::map<std::string, Shape> dataShapes;                 ///< Of values that depend on ids.
    std::map<std::string, ElementType> dataTypes;            ///< Where known; f32 otherwise.
    std::map<std::string, std::vector<int64_t>> shapeValues; ///< Operands that move data about.
  };
  /// Points of one batch size only.
  explicit SizeLaws(std::vector<Point> points) : points(std::move(points)) {}

  /// The shape of a data value at far sizes; false where no law fits.
  bool shapeAt(const std::string &name, int64_t past, int64_t length, Shape &shape) const;
  /// The value a shape operand should have at element i of its far self.
  bool valueAt(const std::string &name, int64_t past, int64_t length, int64_t i,
               int64_t &value) const;
  std::vector<std::string> operands() const;
  const std::vector<Point> &all() const { return points; }

private:
  bool solve(const std::vector<int64_t> &seen, int64_t past, int64_t length, int64_t &value) const;
  std::vector<Point> points;
};

class FarLook {
public:
  /// Looks at `length` new positions behind `past` ones. `small` are the sizes of the raiser that
  /// asks; its row r stands for row looked[r] here, a sample from both ends where none are given.
  FarLook(const OnnxModel &model, const SizeLaws &laws, const Sizes &small, int64_t past,
          int64_t length, std::vector<int64_t> looked = {});

  /// The position of a row of the small raiser.
  int64_t position(int64_t row) const { return past + rows[row]; }
  int64_t total() const { return past + length; }
  /// `name` at the sampled rows, in the shape it has at small sizes; tables that do not depend on
  /// the length come whole.
  const OnnxTensor &sample(const std::string &name, const OnnxTensor &small);

  /// Fails where an operand that moves data about does not follow its law.
  void checkShapes();
  /// What masks that hide together hide at some rows and all keys (a sample of them when there
  /// are very many).
  MaskFacts scan(const std::vector<MaskSource> &masks);

private:
  /// Whether key is hidden from row by any of the masks, and in which head.
  struct ScannedMask {
    const LazyTensor *tensor;
    bool hides;
    int64_t headStride = 0, rowStride = 0, keyStride = 0, heads = 1;
    std::string name;
  };
  ScannedMask scanned(const MaskSource &mask);
  static bool isVisible(const std::vector<ScannedMask> &masks, int64_t head, int64_t row,
                        int64_t key);

  Sizes small;
  int64_t past, length;
  std::vector<int64_t> rows;
  const SizeLaws &laws;
  std::unique_ptr<LazyEvaluator> evaluator;
  std::map<std::string, OnnxTensor> samples;
};

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_FARLOOK_H
