//===- ONNXImporter.cpp - From model.onnx to the llmc dialect -------------===//
//
// The entry points: load, raise, emit, verify, check; errors become messages and exit codes.
//
//===----------------------------------------------------------------------===//

#include "llmc/Import/ONNXImporter.h"
#include "EmitModule.h"
#include "FoldVectors.h"
#include "ImportCheck.h"
#include "Raiser.h"
#include "StopIds.h"
#include "llmc/IR/Layers.h"
#include "llmc/Import/ImportError.h"
#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/Verifier.h"

#include <map>
#include <new>

using namespace llmc;
using namespace llmc::onnx;

/// Every problem, grouped by operator: domain, operator, opset, how often, where, why.
static std::string describeProblems(const std::string &path,
                                    const std::vector<Misunderstood> &problems) {
  struct Group {
    int64_t opset = 0;
    std::vector<std::string> nodes;
    std::string reason;
  };
  std::map<std::pair<std::string, std::string>, Group> groups;
  for (const Misunderstood &problem : problems) {
    Group &group = groups[{problem.domain.empty() ? "ai.onnx" : problem.domain,
                           problem.op + ": " + problem.reason}];
    group.opset = problem.opset;
    group.nodes.push_back(problem.node);
  }
  std::string text = path + ": " + std::to_string(problems.size()) + " node" +
                     (problems.size() == 1 ? "" : "s") + " cannot be imported";
  for (const auto &entry : groups) {
    const Group &group = entry.second;
    size_t colon = entry.first.second.find(": ");
    text += "\n  " + entry.first.first + "." + entry.first.second.substr(0, colon) + " (opset " +
            std::to_string(group.opset) + "), " + std::to_string(group.nodes.size()) +
            (group.nodes.size() == 1 ? " node: " : " nodes: ") +
            entry.first.second.substr(colon + 2);
    for (const std::string &node : group.nodes)
      text += "\n    " + node;
  }
  return text;
}

static void report(const ImportOptions &options, const std::string &what) {
  if (options.progress)
    options.progress(what);
}

/// Runs `work` and turns what it throws into a result.
template <typename Work> static ImportResult guarded(const std::string &path, Work work) {
  ImportResult result;
  try {
    work(result);
  } catch (const ImportError &error) {
    result.exitCode = static_cast<int>(error.kind());
    result.error = error.what();
    if (result.error.find(path) == std::string::npos)
      result.error = path + ": " + result.error;
  } catch (const std::bad_alloc &) {
    result.exitCode = static_cast<int>(ImportError::Kind::ResourceLimit);
    result.error = path + ": out of memory";
  }
  if (result.exitCode != 0)
    result.module = nullptr;
  return result;
}

static RaisedGraph loadAndRaise(const std::string &path, const ImportOptions &options,
                                std::unique_ptr<OnnxModel> &model) {
  report(options, "reading " + path);
  model = OnnxModel::load(path);
  report(options, "raising " + std::to_string(model->nodes().size()) + " nodes");
  std::vector<Misunderstood> problems;
  RaisedGraph graph = raise(*model, options.floatActivations, problems);
  if (!problems.empty())
    fail(describeProblems(path, problems));
  foldVectors(graph);
  return graph;
}

ImportResult llmc::checkOnnx(const std::string &path, const ImportOptions &options) {
  return guarded(path, [&](ImportResult &) {
    std::unique_ptr<OnnxModel> model;
    loadAndRaise(path, options, model);
  });
}

ImportResult llmc::importOnnx(MLIRContext *context, const std::string &path,
                              const ImportOptions &options) {
  return guarded(path, [&](ImportResult &result) {
    std::unique_ptr<OnnxModel> model;
    RaisedGraph graph = loadAndRaise(path, options, model);
    result.remarks = graph.remarks;
    report(options, "building the module");
    std::vector<mlir::Value> values;
    result.module = emitModule(context, graph, *model, values);
    attachStopIds(*result.module, *model);
    std::string diagnostics;
    ScopedDiagnosticHandler collect(context, [&](Diagnostic &diagnostic) {
      diagnostics += (diagnostics.empty() ? "" : "; ") + diagnostic.str();
    });
    if (failed(verify(*result.module)))
      throw ImportError(path + ": the imported module does not verify: " + diagnostics,
                        ImportError::Kind::Internal);
    if (options.verify)
      checkImport(*result.module, graph, values, *model, options.floatActivations,
                  options.progress);
    if (options.outlineLayers)
      outlineLayers(*result.module);
  });
}
