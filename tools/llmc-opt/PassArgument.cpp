//===- PassArgument.cpp - paths in the options of a pass ------------------------------------===//
//
// The value of tokens= ends where another option of the pass begins.
//
#include "PassArgument.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/FileSystem.h"

using namespace llmc;
using llvm::StringRef;

/// Quotes for a value; empty where there are none. MLIR takes a pair off and trims what stands in
/// it (but for quotes inside of braces), Calibrate takes off all braces.
static std::string quote(StringRef value) {
  bool trimmed = value.trim() != value && llvm::sys::fs::exists(value);
  if (!trimmed && !value.contains('\''))
    return ("'" + value + "'").str();
  if (!trimmed && !value.contains('"'))
    return ("\"" + value + "\"").str();
  int depth = 0;
  for (char c : value) {
    depth += c == '{' ? 1 : c == '}' ? -1 : 0;
    if (depth < 0)
      return "";
  }
  if (depth != 0)
    return "";
  return (trimmed ? "{{" + value + "}}" : "{" + value + "}").str();
}

static bool isQuoted(StringRef value) {
  for (StringRef pair : {"''", "\"\"", "{}"})
    if (value.size() >= 2 && value.front() == pair[0] && value.back() == pair[1] &&
        !value.drop_front().drop_back().contains(pair[0]) &&
        !value.drop_front().drop_back().contains(pair[1]))
      return true;
  return false;
}

std::string llmc::quoteTokenFile(const std::string &argument, std::string &error) {
  StringRef text = argument;
  size_t dashes = text.find_first_not_of('-');
  if (dashes == 0 || dashes > 2 || !text.drop_front(dashes).starts_with("calibrate="))
    return argument;
  size_t key = text.find("tokens=");
  if (key == StringRef::npos || (text[key - 1] != '=' && text[key - 1] != ' '))
    return argument;
  size_t begin = key + StringRef("tokens=").size(), end = text.size();
  for (StringRef other : {" blocks=", " hessian=", " max-memory=", " threads="})
    end = std::min(end, text.find(other, begin));
  StringRef value = text.slice(begin, end);
  if (value.find_first_of(" '\"{}") == StringRef::npos || isQuoted(value))
    return argument;
  std::string quoted = quote(value);
  if (quoted.empty()) {
    error = ("--calibrate: no quotes fit the path " + value +
             ": it has both kinds, and braces that do not match; give the file another name")
                .str();
    return argument;
  }
  return (text.take_front(begin) + quoted + text.drop_front(end)).str();
}
