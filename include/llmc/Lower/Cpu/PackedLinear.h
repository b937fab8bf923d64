//===- PackedLinear.h - weights in the order the kernels read them ----------------------===//
//
// A packed matrix is a sequence of tiles of `tileRows` output rows, one row for each vector lane;
// missing rows of the last tile are zero. A tile is a sequence of units along the inputs:
//
//   unit   = header, blocks
//   header = scales of each group (tileRows each), then zero points (u8) if stored
//   block  = index planes, then code planes or values
//
// Codes are cut into bit planes of power-of-two width (3 = 2+1, 5 = 4+1, 6 = 4+2, 7 = 4+2+1, low
// bits first). A plane stores quads, four consecutive codes as one byte each: with p bits, 8/p
// quads share a dword, quad q in bits p*(q mod 8/p) .. of each byte. One shift and one mask so
// yield four codes of a row as bytes, the operand of a dot product of bytes; other shifts yield a
// single code. Dword j of all rows of the tile are adjacent, so a vector load yields dword j of
// `lanes` rows. Ternary codes of base 3 are five quads in a dword: byte b holds codes b, b + 4,
// ..., b + 16 of the block as TritPack.h says, codes behind the last 0. Values of dense formats lie
// as [input][row]. N:M formats hold the kept codes only, and for each its position among its M
// inputs (index planes); in groups of M that are short the first min(N, length). Formats with an
// unstructured mask, and N:M whose groups of M straddle scale groups, are stored with every code,
// pruned ones as the zero point.
//
#ifndef LLMC_LOWER_CPU_PACKEDLINEAR_H
#define LLMC_LOWER_CPU_PACKEDLINEAR_H

#include "llmc/Lower/Cpu/CodeFormat.h"
#include "llmc/Lower/Cpu/KernelBuilder.h"

namespace llmc {

/// Rows of a tile for this vector shape (a multiple of the lanes, at most 64).
int64_t linearTileRows(VectorShape shape);

/// Where a code lies in a plane of `width` bits of its block.
struct CodePlace {
  CodePlace(int64_t symbol, unsigned width)
      : dword(symbol / 4 / (8 / width)), bit(symbol % 4 * 8 + symbol / 4 % (8 / width) * width) {}
  int64_t dword; ///< of a row, from the start of the plane.
  int64_t bit;   ///< the lowest in that dword.
};

/// Ternary codes of base 3 in a dword.
constexpr int64_t kTritBlock = 20;

/// Where everything lies in a packed matrix of n outputs by k inputs. Sizes in bytes; all are
/// multiples of 16.
struct LinearLayout {
  LinearLayout(const CodeFormat &format, int64_t n, int64_t k, VectorShape shape);

  CodeFormat format;
  int64_t n, k, tileRows, tiles;
  bool sparse = false;              ///< N:M stored as kept codes and indices.
  int64_t keepN = 1, keepM = 1;     ///< 1:1 unless sparse.
  bool trits = false;               ///< five ternary codes in each byte, no planes.
  SmallVector<unsigned> codePlanes; ///< widths in bits; empty for dense values and trits.
  SmallVector<unsigned> indexPlanes;
  int64_t blockSymbols = 0; ///< stored codes or values of a whole block.
  int64_t blockInputs = 0;  ///< inputs a whole block stands for.
  int64_t group = 0;        ///< inputs that share a scale; k for the whole row.
  int64_t unit = 0;         ///< inputs of a unit.
  int64_t groupsPerUnit = 1;
  int64_t scaleBytes = 0;   ///< of one scale, 0 if the unit stores none.
  int64_t valueBytes = 0;   ///< of one value of a dense format, else 0.
  int64_t matrixHeader = 0; ///< bytes before the first tile (ternary: the scale as f32).

  int64_t headerBytes() const;
  int64_t symbols(int64_t inputs) const; ///< stored codes of a block or row of so many inputs.
  int64_t planeBytes(unsigned width, int64_t symbols) const;
  int64_t blockBytes(int64_t inputs) const; ///< inputs <= blockInputs.
  int64_t spanBytes(int64_t inputs) const;  ///< consecutive blocks, the last one short.
  int64_t unitBytes() const { return headerBytes() + spanBytes(unit); }
  int64_t tileBytes() const;
  int64_t totalBytes() const { return matrixHeader + tiles * tileBytes(); }
};

/// Bytes of the packed weight for this vector shape.
int64_t packedLinearBytes(Type weightType, const CodeFormat &format, VectorShape shape);

/// Packs the stored components of `weight` into `out`, which is packedLinearBytes long. The same
/// input gives the same bytes. Fails with a diagnostic if a component has no data.
LogicalResult packLinear(WeightOp weight, const CodeFormat &format, VectorShape shape,
                         MutableArrayRef<char> out);

/// Bytes of a packed bias: f32, zero-padded to whole tiles.
int64_t packedBiasBytes(int64_t n, VectorShape shape);

/// Bytes of a packed embedding table: for each row its codes (bit stream) or values, then scales
/// and zero points.
int64_t packedEmbeddingBytes(Type weightType, const CodeFormat &format);
LogicalResult packEmbedding(WeightOp weight, const CodeFormat &format, MutableArrayRef<char> out);

/// Where the parts of a row of a packed embedding table lie.
struct EmbeddingLayout {
  EmbeddingLayout(const CodeFormat &format, int64_t rows, int64_t columns);
  int64_t group, groups;
  int64_t scales, zeros; ///< byte offsets inside a row; codes or values start at 0.
  int64_t rowBytes;
  int64_t matrixHeader; ///< ternary: the scale as f32.
};

/// One line for reports: format, tile, bytes read for each token, and which path the kernel takes
/// and why.
std::string explainLinear(const CodeFormat &format, VectorShape shape, int64_t n, int64_t k);

} // namespace llmc

#endif // LLMC_LOWER_CPU_PACKEDLINEAR_H
