//===- ImportError.h - How the import room reports bad input --------------===//
//
// The loader, the evaluator and the raising report errors by throwing ImportError; the public entry
// points of the room (ONNXImporter.h) catch it, so nothing is thrown into other rooms.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_IMPORT_IMPORTERROR_H
#define LLMC_IMPORT_IMPORTERROR_H

#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>

namespace llmc::onnx {

/// An input that cannot be accepted. The message names the thing at fault (file, node, tensor),
/// what was expected and what was found.
class ImportError : public std::runtime_error {
public:
  /// The values are the exit codes of the tools.
  enum class Kind { BadInput = 2, ResourceLimit = 3, Internal = 4 };

  explicit ImportError(const std::string &message, Kind kind = Kind::BadInput)
      : std::runtime_error(message), errorKind(kind) {}
  Kind kind() const { return errorKind; }

private:
  Kind errorKind;
};

/// Throws an ImportError whose message is the arguments, printed one after the other.
template <typename... Args> [[noreturn]] void fail(const Args &...args) {
  std::ostringstream out;
  (out << ... << args);
  throw ImportError(out.str());
}

template <typename... Args> [[noreturn]] void failLimit(const Args &...args) {
  std::ostringstream out;
  (out << ... << args);
  throw ImportError(out.str(), ImportError::Kind::ResourceLimit);
}

} // namespace llmc::onnx

#endif // LLMC_IMPORT_IMPORTERROR_H
