// llmc-run as a user calls it: output, files and exit codes, on the toy model.
#include "ToyArtifact.h"

#include "llmc/Runtime/Generate.h"
#include "llmc/Runtime/Npy.h"
#include "llmc/Runtime/llmc.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <gtest/gtest.h>
#include <limits>
#include <random>
#include <sys/wait.h>

using namespace llmc;
using namespace llmc::test;
using nlohmann::json;

namespace {

struct Outcome {
  int code;
  std::string out;
  std::string error;
};

class RunnerTest : public ::testing::Test {
protected:
  Outcome run(const std::string &arguments) {
    const std::string error = scratch.file("stderr");
    const std::string command = std::string(LLMC_RUN) + " " + arguments + " 2>" + error;
    std::FILE *pipe = popen(command.c_str(), "r");
    Outcome outcome = {};
    char buffer[4096];
    for (size_t n; (n = std::fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
      outcome.out.append(buffer, n);
    outcome.code = WEXITSTATUS(pclose(pipe));
    outcome.error = readBytes(error);
    return outcome;
  }

  /// Expects exit code 2 and the text somewhere in the one line on stderr.
  void refuses(const std::string &arguments, const std::string &text, int code = 2) {
    const Outcome outcome = run(arguments);
    EXPECT_EQ(outcome.code, code) << arguments;
    EXPECT_EQ(outcome.out, "");
    EXPECT_NE(outcome.error.find(text), std::string::npos) << outcome.error;
  }

  template <typename T>
  std::string save(const std::string &name, int32_t type, const std::vector<int64_t> &shape,
                   const std::vector<T> &values) {
    NpyWriter writer(scratch.file(name), type, shape);
    writer.append(values.data(), values.size() * sizeof(T));
    writer.commit();
    return scratch.file(name);
  }

  Folder model, graph, scratch;
  std::string step = writeToy(model, /*step=*/true);
  std::string plain = writeToy(graph, /*step=*/false);
};

/// What greedy generation must give.
std::vector<int64_t> expectedIds(std::vector<int64_t> ids, int count) {
  std::vector<int64_t> fresh;
  for (int i = 0; i < count; ++i) {
    const std::vector<float> logits = toyLogits(ids);
    ids.push_back(largestIndex(logits.data(), toyVocab));
    fresh.push_back(ids.back());
  }
  return fresh;
}

std::string line(const std::vector<int64_t> &ids) {
  std::string text;
  for (const int64_t id : ids)
    text += (text.empty() ? "" : " ") + std::to_string(id);
  return text + "\n";
}

TEST_F(RunnerTest, GeneratesExactlyTheGreedyIds) {
  const std::string expected = line(expectedIds({1, 42, 7}, 20));
  for (const char *options :
       {"", " --threads=2", " --threads=5", " --prefill=0", " --prefill=2", " --repeat=3"}) {
    const Outcome outcome = run(step + " --prompt-ids=1,42,7 --generate=20" + options);
    EXPECT_EQ(outcome.code, 0) << outcome.error;
    EXPECT_EQ(outcome.out, expected) << options;
    EXPECT_EQ(outcome.error, "");
  }
}

TEST_F(RunnerTest, ReadsPromptsOfBothWidthsAndShapes) {
  const std::string expected = line(expectedIds({1, 42, 7}, 4));
  const std::string wide = save<int64_t>("wide.npy", LLMC_I64, {3}, {1, 42, 7});
  const std::string row = save<int32_t>("row.npy", LLMC_I32, {1, 3}, {1, 42, 7});
  EXPECT_EQ(run(step + " --prompt-ids=@" + wide + " --generate=4").out, expected);
  EXPECT_EQ(run(step + " --prompt-ids=@" + row + " --generate=4").out, expected);
}

TEST_F(RunnerTest, WritesTheLogitsOfEveryPosition) {
  std::vector<int64_t> ids;
  for (int64_t i = 0; i < 30; ++i)
    ids.push_back((i * i + 3) % toyVocab);
  const std::string prompt = save<int64_t>("ids.npy", LLMC_I64, {30}, ids);
  const std::string out = scratch.file("out.npy");
  std::vector<float> expected;
  for (size_t n = 1; n <= ids.size(); ++n) {
    const std::vector<float> logits = toyLogits({ids.begin(), ids.begin() + n});
    expected.insert(expected.end(), logits.begin(), logits.end());
  }
  for (const char *options :
       {"", " --prefill=0", " --prefill=21", " --threads=2", " --map-weights"}) {
    const Outcome outcome = run(step + " --prompt-ids=@" + prompt + " --logits=" + out + options);
    ASSERT_EQ(outcome.code, 0) << outcome.error;
    const Array array = readNpy(out);
    EXPECT_EQ(array.shape, (std::vector<int64_t>{30, toyVocab}));
    ASSERT_EQ(array.data.size(), 4 * expected.size());
    EXPECT_EQ(std::memcmp(array.data.data(), expected.data(), array.data.size()), 0) << options;
  }
}

/// The toy with stop ids: its code carries the same JSON as the file.
std::string writeStoppingToy(const Folder &folder, const std::vector<int64_t> &ids) {
  const std::string base =
      writeToy(folder, /*step=*/true, 1, [&](json &info) { info["stop_ids"] = ids; });
  std::filesystem::copy_file(TOY_STOPS, base + ".so",
                             std::filesystem::copy_options::overwrite_existing);
  return base;
}

TEST_F(RunnerTest, StopsBehindAStopId) {
  const std::vector<int64_t> all = expectedIds({1, 42, 7}, 20);
  const auto upTo = [&](int64_t id) {
    const auto at = std::find(all.begin(), all.end(), id);
    return std::vector<int64_t>(all.begin(), at == all.end() ? at : at + 1);
  };
  const std::string command = step + " --prompt-ids=1,42,7 --generate=20";
  int64_t never = 0;
  while (std::find(all.begin(), all.end(), never) != all.end())
    ++never;
  ASSERT_LT(never, toyVocab);
  const std::string third = std::to_string(all[2]), other = std::to_string(never);
  ASSERT_LT(upTo(all[2]).size(), all.size());
  EXPECT_EQ(run(command + " --stop-ids=" + third).out, line(upTo(all[2])));
  EXPECT_EQ(run(command + " --threads=2 --stop-ids=" + other + "," + third).out,
            line(upTo(all[2])));
  EXPECT_EQ(run(command + " --stop-ids=" + other).out, line(all));
  EXPECT_EQ(run(command + " --stop-ids=none").out, line(all));
  // The id that stops is not fed, so it has no logits.
  const std::string out = scratch.file("stopped.npy");
  EXPECT_EQ(run(command + " --stop-ids=" + third + " --logits=" + out).code, 0);
  EXPECT_EQ(readNpy(out).shape,
            (std::vector<int64_t>{3 + int64_t(upTo(all[2]).size()) - 1, toyVocab}));
  // What the prompt holds does not stop.
  EXPECT_EQ(run(command + " --stop-ids=" + other + ",42").out, line(upTo(42)));

  EXPECT_EQ(run(command + " --stop-ids=50").code, 2);
  EXPECT_NE(run(command + " --stop-ids=50").error.find("--stop-ids: id 50 at position 0"),
            std::string::npos);
  for (const char *wrong : {" --stop-ids=", " --stop-ids=2:3", " --stop-ids=all"})
    EXPECT_EQ(run(command + wrong).code, 1) << wrong;
  EXPECT_EQ(run(step + " --prompt-ids=1 --logits=" + out + " --stop-ids=1").code, 1);
}

TEST_F(RunnerTest, StopsWhereTheArtifactSays) {
  const std::vector<int64_t> all = expectedIds({1, 42, 7}, 20);
  const std::string base = writeStoppingToy(scratch, {toyStop});
  const auto at = std::find(all.begin(), all.end(), toyStop);
  ASSERT_LT(at - all.begin(), 19);
  const std::string command = base + " --prompt-ids=1,42,7 --generate=20";
  EXPECT_EQ(run(command).out, line({all.begin(), at + 1}));
  EXPECT_EQ(run(command + " --stop-ids=none").out, line(all));
  writeToy(scratch, /*step=*/true, 1, [&](json &info) { info["stop_ids"] = {1, 50}; });
  const Outcome outcome = run(command);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_NE(
      outcome.error.find("an id of 'stop_ids': expected a whole number from 0 to 49, found 50"),
      std::string::npos)
      << outcome.error;
}

TEST_F(RunnerTest, ReportsTimingApartFromTheIds) {
  const Outcome text = run(step + " --prompt-ids=1,2 --generate=3 --timing");
  EXPECT_EQ(text.out, line(expectedIds({1, 2}, 3)));
  EXPECT_NE(text.error.find("decode_tokens_per_s "), std::string::npos);
  const json object = json::parse(run(step + " --prompt-ids=1,2 --generate=3 --timing --json").out);
  EXPECT_EQ(object["ids"].get<std::vector<int64_t>>(), expectedIds({1, 2}, 3));
  EXPECT_EQ(object["prefill_tokens"], 2);
  EXPECT_EQ(object["decode_tokens"], 2);
  EXPECT_GT(object["decode_tokens_per_s"].get<double>(), 0);
  EXPECT_GT(object["peak_rss_bytes"].get<int64_t>(), 0);
}

TEST_F(RunnerTest, ScoresTextsAgainstABaseline) {
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 47; ++i)
    ids.push_back((7 * i + i * i) % 50);
  const std::string text = save<int32_t>("text.npy", LLMC_I32, {47}, ids);
  const Folder other;
  const std::string baseline = writeToy(other, /*step=*/true, 2);
  // 4 windows of 11, 10 ids scored in each.
  double nll = 0, baselineNll = 0, same = 0;
  for (int row = 0; row < 4; ++row)
    for (int n = 1; n <= 10; ++n) {
      const std::vector<int64_t> seen(ids.begin() + 11 * row, ids.begin() + 11 * row + n);
      const int32_t target = ids[11 * row + n];
      const std::vector<float> a = toyLogits(seen), b = toyLogits(seen, 2);
      double sumA = 0, sumB = 0;
      for (int v = 0; v < toyVocab; ++v) {
        sumA += std::exp(double(a[v]));
        sumB += std::exp(double(b[v]));
      }
      nll += (std::log(sumA) - a[target]) / 40;
      baselineNll += (std::log(sumB) - b[target]) / 40;
      same += double(largestIndex(a.data(), toyVocab) == largestIndex(b.data(), toyVocab)) / 40;
    }
  const std::string arguments = step + " --perplexity=" + text + " --window=11 --json";
  const json alone = json::parse(run(arguments).out);
  EXPECT_EQ(alone.size(), 3u);
  EXPECT_EQ(alone["tokens"], 40);
  EXPECT_NEAR(alone["nll"].get<double>(), nll, 1e-9);
  EXPECT_NEAR(alone["ppl"].get<double>(), std::exp(nll), 1e-9);
  const json both = json::parse(run(arguments + " --threads=2 --baseline=" + baseline).out);
  EXPECT_EQ(both.size(), 8u);
  EXPECT_EQ(both["nll"], alone["nll"]);
  EXPECT_NEAR(both["ppl_ratio"].get<double>(), std::exp(nll - baselineNll), 1e-9);
  EXPECT_NEAR(both["same_top1"].get<double>(), same, 1e-9);
  EXPECT_GT(both["ppl_ratio_stderr"].get<double>(), 0);
  EXPECT_GT(both["kl_mean"].get<double>(), 0);
  EXPECT_GE(both["kl_99_9"].get<double>(), both["kl_mean"].get<double>());
  EXPECT_EQ(run(step + " --perplexity=" + text + " --window=11").out.substr(0, 10), "tokens 40\n");
}

TEST_F(RunnerTest, RunsPlainGraphsByName) {
  const std::string ids = save<int32_t>("ids.npy", LLMC_I32, {2, 3}, {1, 2, 3, 4, 5, 6});
  const std::string out = scratch.file("hidden.npy"), total = scratch.file("total.npy");
  const Outcome outcome = run(plain + " --input=input_ids=" + ids + " --output=hidden=" + out +
                              " --output=total=" + total);
  ASSERT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_EQ(outcome.out, "");
  const Array hidden = readNpy(out);
  EXPECT_EQ(hidden.shape, (std::vector<int64_t>{2, 3, 4}));
  // id + weight[0], mask 1, position, type 0
  const std::vector<float> expected = {1, 1, 0, 0, 2, 1, 1, 0, 3, 1, 2, 0,
                                       4, 1, 0, 0, 5, 1, 1, 0, 6, 1, 2, 0};
  EXPECT_EQ(std::memcmp(hidden.data.data(), expected.data(), 4 * expected.size()), 0);
  EXPECT_EQ(integers(readNpy(total), "total"), (std::vector<int64_t>{6, 15}));
}

TEST_F(RunnerTest, TakesGivenInputsInsteadOfDefaults) {
  const std::string ids = save<int64_t>("ids.npy", LLMC_I64, {1, 2}, {8, 9});
  const std::string mask = save<int32_t>("mask.npy", LLMC_I32, {1, 2}, {1, 0});
  const std::string positions = save<int64_t>("positions.npy", LLMC_I64, {1, 2}, {5, 4});
  const std::string out = scratch.file("hidden.npy");
  const Outcome outcome =
      run(plain + " --input=input_ids=" + ids + " --input=attention_mask=" + mask +
          " --input=position_ids=" + positions + " --output=hidden=" + out);
  ASSERT_EQ(outcome.code, 0) << outcome.error;
  const std::vector<float> expected = {8, 1, 5, 0, 9, 0, 4, 0};
  EXPECT_EQ(std::memcmp(readNpy(out).data.data(), expected.data(), 32), 0);
}

TEST_F(RunnerTest, RefusesWrongInputsOfPlainGraphs) {
  const std::string ids = save<int64_t>("ids.npy", LLMC_I64, {1, 2}, {8, 9});
  const std::string mask = save<int32_t>("mask.npy", LLMC_I32, {1, 3}, {1, 1, 1});
  const std::string high = save<int64_t>("high.npy", LLMC_I64, {1, 2}, {8, 50});
  const std::string big = save<int64_t>("big.npy", LLMC_I64, {1, 13}, std::vector<int64_t>(13));
  const std::string real = save<float>("real.npy", LLMC_F32, {1, 2}, {8, 9});
  const std::string huge = save<int64_t>("huge.npy", LLMC_I64, {1, 2}, {0, int64_t(1) << 32});
  const std::string to = " --output=hidden=" + scratch.file("out.npy");
  const std::string with = plain + " --input=input_ids=";
  refuses(with + high + to, "id 50 at position 1 is outside the vocabulary of 50 ids");
  refuses(with + big + to, "has 13 tokens, but the model was compiled for at most 12");
  refuses(with + mask + " --input=position_ids=" + ids + to, "dimension 'sequence' is 2");
  refuses(with + real + to, "expected integers of 32 or 64 bits, found f32");
  refuses(with + ids + " --input=position_ids=" + huge + to, "does not fit 32 bits");
  refuses(with + ids + " --input=pixels=" + ids + to, "the model has no input 'pixels'");
  refuses(with + ids + " --output=logits=" + scratch.file("o.npy"), "has no output 'logits'");
  refuses(plain + " --input=attention_mask=" + mask + to, "input 'input_ids' is missing");
  refuses(plain + " --prompt-ids=1 --generate=1", "has no cache");
  refuses(step + " --input=input_ids=" + ids + to, "has a cache");
  EXPECT_NE(scratch.names().front(), "out.npy");
}

TEST_F(RunnerTest, RefusesBadInput) {
  refuses(step + " --prompt-ids=1,50 --generate=1",
          "--prompt-ids: id 50 at position 1 is outside the vocabulary of 50 ids");
  refuses(step + " --prompt-ids=1,-1 --generate=1", "id -1 at position 1");
  refuses(step + " --prompt-ids=1,2 --generate=64", "need 65 positions, but the context has 64");
  refuses(step + " --prompt-ids=1,2 --prefill=3 --generate=1", "--prefill: expected at most the 2");
  refuses(step + " --prompt-ids=@none.npy --generate=1", "none.npy: No such file or directory");
  refuses(model.file("none") + " --prompt-ids=1 --generate=1", "none.json: No such file");
  const std::string real = save<float>("real.npy", LLMC_F32, {1}, {1});
  refuses(step + " --prompt-ids=@" + real + " --generate=1", "found f32");
  const std::string column = save<int32_t>("column.npy", LLMC_I32, {2, 1}, {1, 2});
  refuses(step + " --prompt-ids=@" + column + " --generate=1", "found [2, 1]");
  const std::string text = save<int32_t>("long.npy", LLMC_I32, {70}, std::vector<int32_t>(70));
  refuses(step + " --perplexity=" + text + " --window=66", "do not fit the context of 64");
  const std::string out = scratch.file("out.npy");
  refuses(step + " --prompt-ids=1,50 --logits=" + out, "id 50 at position 1");
  EXPECT_EQ(readBytes(out), "");
}

TEST_F(RunnerTest, RefusesWrongUsage) {
  for (const char *arguments :
       {"", "--json", "--prompt-ids=1", "--nonsense", "--prompt-ids=1 --generate=x",
        "--prompt-ids=1,,2 --generate=1", "--prompt-ids=1 --generate=1 --generate=1",
        "--prompt-ids=1 --generate=-1", "--prompt-ids=1 --generate=1 --threads=0",
        "--prompt-ids=1 --generate=1 --perplexity=a.npy", "--prompt-ids --generate=1",
        "--prompt-ids=1 --generate=1 --json=1", "--input=a=b.npy", "--output=a", "more"})
    refuses(step + " " + arguments, "llmc-run: error: ", /*code=*/1);
  refuses("--prompt-ids=1 --generate=1", "base name", /*code=*/1);
}

TEST_F(RunnerTest, HelpIsDocumentation) {
  const Outcome outcome = run("--help");
  EXPECT_EQ(outcome.code, 0);
  for (const char *text : {"usage:", "Examples", "Exit codes", "--prompt-ids", "--perplexity"})
    EXPECT_NE(outcome.out.find(text), std::string::npos) << text;
}

TEST(Generate, LargestIndexIsTheFirstOfEquals) {
  std::mt19937 random(7);
  for (int64_t n : {1, 2, 15, 16, 17, 255, 256, 257, 1000, 32000}) {
    std::vector<float> values(n);
    // Few different numbers, so that the largest comes more than once.
    for (float &value : values)
      value = float(int(random() % 40)) - 50;
    EXPECT_EQ(largestIndex(values.data(), n),
              std::max_element(values.begin(), values.end()) - values.begin());
    values[n - 1] = 1;
    EXPECT_EQ(largestIndex(values.data(), n), n - 1);
    values[n / 2] = std::numeric_limits<float>::infinity();
    EXPECT_EQ(largestIndex(values.data(), n), n / 2);
  }
  const float none[] = {std::nanf(""), -1, std::nanf(""), -2};
  EXPECT_EQ(largestIndex(none, 4), 1);
}

TEST_F(RunnerTest, FailsWhenItCannotPrint) {
  EXPECT_EQ(run(step + " --prompt-ids=1 --generate=1 >/dev/full").code, 3);
}

} // namespace
