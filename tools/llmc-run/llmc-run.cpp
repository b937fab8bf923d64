// llmc-run: runs a compiled model from the command line. What it does is in lib/Runtime; here the
// parts are put together and the results printed.
#include "llmc/Pipeline/FileKind.h"
#include "llmc/Pipeline/Version.h"
#include "llmc/Runtime/Failure.h"
#include "llmc/Runtime/Generate.h"
#include "llmc/Runtime/Perplexity.h"
#include "llmc/Runtime/ProcessMemory.h"
#include "llmc/Runtime/RunGraph.h"
#include "llmc/Runtime/RunnerOptions.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

using namespace llmc;
using Json = nlohmann::ordered_json;

namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : (values[half - 1] + values[half]) / 2;
}

Json perSecond(int64_t tokens, double seconds) {
  return tokens > 0 && seconds > 0 ? Json(static_cast<double>(tokens) / seconds) : Json(nullptr);
}

void addMemory(Json &report, const Session &session) {
  report["weights_bytes"] = session.source().weightsBytes();
  report["arena_bytes"] = session.arenaBytes();
  report["kv_bytes"] = session.cacheBytes();
  report["peak_rss_bytes"] = peakResident();
}

/// One "name value" line each.
void printReport(const Json &report, std::FILE *file) {
  for (const auto &[name, value] : report.items())
    std::fprintf(file, "%s %s\n", name.c_str(), value.is_null() ? "-" : value.dump().c_str());
}

void requireRole(const Artifact &artifact, bool step) {
  if (artifact.info().isStep == step)
    return;
  failInput(artifact.base() +
            (step ? ": has no cache (role 'run'); use --input and --output"
                  : ": has a cache (role 'step'); use --prompt-ids or --perplexity"));
}

std::string joined(const std::vector<int32_t> &ids) {
  std::string text;
  for (const int32_t id : ids)
    text += (text.empty() ? "" : " ") + std::to_string(id);
  return text;
}

void runPrompt(const RunnerOptions &options, const ThreadPool &threads) {
  const Artifact artifact(options.base, options.weightPages);
  requireRole(artifact, /*step=*/true);
  GenerateRequest request = makeRequest(readPrompt(options.prompt), options.generate.value_or(0),
                                        options.prefill, artifact.info());
  if (options.stopIds)
    request.stopIds = checkedIds(*options.stopIds, artifact.info().vocab, "--stop-ids");
  const int64_t positions = positionsOf(request), vocab = artifact.info().vocab;
  Session session(artifact, threads, positions);

  std::optional<NpyWriter> writer;
  LogitsSink sink;
  if (!options.logits.empty()) {
    // A text that stops early has fewer rows.
    writer.emplace(options.logits, LLMC_F32, std::vector<int64_t>{positions, vocab});
    sink = [&](const float *logits, int64_t rows) {
      writer->append(logits, static_cast<size_t>(rows * vocab) * sizeof(float));
    };
  }
  GenerateResult result;
  std::vector<double> prefill, decode;
  for (int64_t i = 0; i < options.repeat; ++i) {
    result = generate(session, request, sink);
    prefill.push_back(result.prefillSeconds);
    decode.push_back(result.decodeSeconds);
  }
  if (writer)
    writer->commit(/*rows=*/result.prefillIds + result.decodedIds);

  Json report;
  if (options.json && options.generate)
    report["ids"] = result.ids;
  if (options.timing) {
    report["threads"] = threads.count();
    report["repeat"] = options.repeat;
    report["prefill_tokens"] = result.prefillIds;
    report["prefill_tokens_per_s"] = perSecond(result.prefillIds, median(prefill));
    report["decode_tokens"] = result.decodedIds;
    report["decode_tokens_per_s"] = perSecond(result.decodedIds, median(decode));
    addMemory(report, session);
  }
  if (options.json) {
    std::printf("%s\n", report.is_null() ? "{}" : report.dump().c_str());
    return;
  }
  if (options.generate)
    std::printf("%s\n", joined(result.ids).c_str());
  printReport(report, stderr);
}

void runPlain(const RunnerOptions &options, const ThreadPool &threads) {
  const Artifact artifact(options.base, options.weightPages);
  if (artifact.info().isStep && options.outputs.empty())
    failUsage("nothing to do: give --prompt-ids or --perplexity");
  requireRole(artifact, /*step=*/false);
  if (options.outputs.empty() && !artifact.info().outputs.empty())
    failUsage("nothing to do: give --output=NAME=FILE");
  std::vector<size_t> wanted;
  for (const auto &[name, file] : options.outputs)
    wanted.push_back(outputIndex(artifact.info(), name));
  NamedArrays given;
  for (const auto &[name, file] : options.inputs)
    given.emplace(name, readNpy(file));

  Session session(artifact, threads, /*context=*/0);
  std::vector<Array> outputs;
  std::vector<double> seconds;
  for (int64_t i = 0; i < options.repeat; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    outputs = runGraph(session, given);
    seconds.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  for (size_t i = 0; i < wanted.size(); ++i) {
    const Array &array = outputs[wanted[i]];
    NpyWriter writer(options.outputs[i].second, array.type, array.shape);
    writer.append(array.data.data(), array.data.size());
    writer.commit();
  }
  const size_t checks = artifact.info().checks.size();
  if (checks && !options.json)
    std::printf("%zu check%s\n", checks, checks == 1 ? " holds" : "s hold");
  Json report = Json::object();
  if (checks && options.json)
    report["checks"] = checks;
  if (options.timing) {
    report["threads"] = threads.count();
    report["repeat"] = options.repeat;
    report["seconds"] = median(seconds);
    addMemory(report, session);
  }
  if (options.json)
    std::printf("%s\n", report.dump().c_str());
  else
    printReport(report, stderr);
}

void runPerplexity(const RunnerOptions &options, const ThreadPool &threads) {
  const Artifact artifact(options.base, options.weightPages);
  requireRole(artifact, /*step=*/true);
  std::optional<Artifact> baseline;
  if (!options.baseline.empty()) {
    baseline.emplace(options.baseline);
    requireRole(*baseline, /*step=*/true);
  }
  const Windows windows =
      cutWindows(readNpy(options.perplexity), options.window,
                 std::min(artifact.info().vocab, artifact.info().idLimit), options.perplexity);
  const auto open = [&](const Artifact &source) {
    if (windows.length - 1 > source.info().context)
      failInput(options.perplexity + ": windows of " + std::to_string(windows.length) +
                " ids do not fit the context of " + std::to_string(source.info().context) + " of " +
                source.base());
    return std::make_unique<Session>(source, threads, windows.length - 1);
  };
  const std::unique_ptr<Session> model = open(artifact);
  const std::unique_ptr<Session> reference = baseline ? open(*baseline) : nullptr;

  const auto begin = std::chrono::steady_clock::now();
  const PerplexityResult result = perplexity(*model, reference.get(), windows);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();

  Json report;
  report["tokens"] = result.tokens;
  report["nll"] = result.nll;
  report["ppl"] = result.ppl;
  if (result.comparison) {
    report["ppl_ratio"] = result.comparison->ratio;
    report["ppl_ratio_stderr"] = result.comparison->ratioStderr;
    report["kl_mean"] = result.comparison->klMean;
    report["kl_99_9"] = result.comparison->klQuantile999;
    report["same_top1"] = result.comparison->sameTop1;
  }
  Json timing = Json::object();
  if (options.timing) {
    timing["threads"] = threads.count();
    timing["seconds"] = seconds;
    addMemory(timing, *model);
  }
  if (options.json) {
    report.update(timing);
    std::printf("%s\n", report.dump().c_str());
    return;
  }
  printReport(report, stdout);
  printReport(timing, stderr);
}

int run(int argc, char **argv) {
  const RunnerOptions options = parseRunnerOptions(argc, argv);
  if (options.mode == RunnerOptions::Mode::Help) {
    std::fputs(runnerHelp, stdout);
  } else if (options.mode == RunnerOptions::Mode::Version) {
    std::fputs(versionText("llmc-run").c_str(), stdout);
  } else {
    for (const std::string &base : {options.base, options.baseline})
      if (const std::string why = base.empty() ? "" : misplacedBase(base); !why.empty())
        failInput(why);
    const ThreadPool threads(options.threads);
    if (options.mode == RunnerOptions::Mode::Prompt)
      runPrompt(options, threads);
    else if (options.mode == RunnerOptions::Mode::Graph)
      runPlain(options, threads);
    else
      runPerplexity(options, threads);
  }
  if (std::fflush(stdout) || std::ferror(stdout))
    failLimit("cannot write to standard output");
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  try {
    return run(argc, argv);
  } catch (const Failure &failure) {
    std::fprintf(stderr, "llmc-run: error: %s\n", failure.what());
    return static_cast<int>(failure.code);
  } catch (const std::bad_alloc &) {
    std::fprintf(stderr, "llmc-run: error: not enough memory\n");
    return static_cast<int>(ExitCode::Limit);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "llmc-run: error: internal: %s\n", error.what());
    return static_cast<int>(ExitCode::Internal);
  }
}
