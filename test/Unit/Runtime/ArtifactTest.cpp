// Opening artifacts: the good one, and every way in which its parts can be wrong or not belong
// together.
#include "ToyArtifact.h"

#include "llmc/Runtime/Artifact.h"
#include "llmc/Runtime/Session.h"

#include <cstdio>
#include <filesystem>
#include <gtest/gtest.h>

using namespace llmc;
using namespace llmc::test;
using nlohmann::json;

namespace {

/// Refusal of a toy whose JSON was changed; without the folder's name in it.
std::string refusal(const std::function<void(json &)> &change) {
  const Folder folder;
  const std::string base = writeToy(folder, /*step=*/true, 1, change);
  std::string message = failureOf([&] { Artifact artifact(base); });
  for (size_t at; (at = message.find(base)) != std::string::npos;)
    message.replace(at, base.size(), "toy");
  return message;
}

TEST(Artifact, OpensAndRuns) {
  const Folder folder;
  const Artifact artifact(writeToy(folder, /*step=*/true));
  EXPECT_EQ(artifact.info().vocab, toyVocab);
  EXPECT_EQ(artifact.info().chunk, 8);
  EXPECT_EQ(artifact.weightsBytes(), 200u);
  const ThreadPool threads(2);
  Session session(artifact, threads, 10);
  EXPECT_EQ(session.cacheBytes(), 40u);
  const int32_t ids[] = {3, 1, 4};
  std::vector<float> logits(toyVocab);
  session.prefill(ids, 3, logits.data(), /*all=*/false);
  EXPECT_EQ(logits, toyLogits({3, 1, 4}));
  session.decode(7, logits.data());
  EXPECT_EQ(logits, toyLogits({3, 1, 4, 7}));
  session.reset();
  session.decode(7, logits.data());
  EXPECT_EQ(logits, toyLogits({7}));
}

TEST(Artifact, TurnsResultCodesIntoFailures) {
  const Folder folder;
  const Artifact artifact(writeToy(folder, /*step=*/true));
  const ThreadPool threads(1);
  Session session(artifact, threads, 2);
  std::vector<float> logits(toyVocab);
  EXPECT_NE(failureOf([&] { session.decode(50, logits.data()); }).find("outside the vocabulary"),
            std::string::npos);
  session.decode(1, logits.data());
  session.decode(1, logits.data());
  EXPECT_NE(failureOf([&] { session.decode(1, logits.data()); }).find("context"),
            std::string::npos);
  EXPECT_NE(failureOf([&] { Session(artifact, threads, 65); }).find("refused"), std::string::npos);
}

TEST(Artifact, RefusesMissingFiles) {
  for (const char *name : {"toy.json", "toy.so", "toy.safetensors"}) {
    const Folder folder;
    const std::string base = writeToy(folder, /*step=*/true);
    std::filesystem::remove(folder.file(name));
    EXPECT_EQ(failureOf([&] { Artifact artifact(base); }),
              folder.file(name) + ": No such file or directory");
  }
}

TEST(Artifact, RefusesAnotherAbiOrFormat) {
  EXPECT_EQ(refusal([](json &info) { info["abi"] = 7; }),
            "toy.json: has abi 7, but the ABI of this runtime is 1; compile the model again");
  EXPECT_NE(refusal([](json &info) { info["format"] = 2; }), "");
  const Folder folder;
  const std::string base = writeToy(folder, /*step=*/true);
  std::filesystem::copy_file(TOY_OTHER_ABI, base + ".so",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_EQ(failureOf([&] { Artifact artifact(base); }),
            base + ".so: has ABI 2, this runtime has 1; compile the model again");
}

TEST(Artifact, RefusesAnotherMachineByName) {
  EXPECT_NE(refusal([](json &info) {
              info["target"]["triple"] = "riscv64-linux-gnu";
            }).find("compiled for 'riscv64-linux-gnu'"),
            std::string::npos);
  EXPECT_EQ(refusal([](json &info) { info["target"]["features"].push_back("telepathy"); }),
            "toy.json: unknown processor feature 'telepathy'; compile the model for this machine");
}

TEST(Artifact, RefusesPartsThatDoNotBelongTogether) {
  const std::string again = "; compile the model again, or bring the files of one compile";
  EXPECT_EQ(refusal([](json &info) { info["layers"].push_back("other"); }),
            "toy.so: was not made together with toy.json: they differ in 'layers'" + again);
  EXPECT_EQ(refusal([](json &info) { info["weights"]["bytes"] = 201; }),
            "toy.json: is of another compile than toy.so and toy.safetensors: toy.json states 201 "
            "bytes of weights, found 200" +
                again);
  EXPECT_NE(refusal([](json &info) {
              info["weights"]["hash"] = "0123456789abcdef";
            }).find("states weights with hash 0123456789abcdef, found "),
            std::string::npos);
  EXPECT_EQ(refusal([](json &info) { info["prefix"] = "other"; }),
            "toy.so: the function 'other_abi' is missing");
}

TEST(Artifact, NamesTheFileOfAnotherCompile) {
  // Two files that go together tell which of three is off.
  const auto changed = [](const std::string &suffix) {
    const Folder folder;
    std::string base = writeToy(folder, /*step=*/true);
    const std::vector<float> more(toyVocab + 14);
    const std::string data(reinterpret_cast<const char *>(more.data()), 4 * more.size());
    const std::string weights =
        safetensors(R"({"weight":{"dtype":"F32","shape":[64],"data_offsets":[0,256]}})", data);
    if (suffix == "json")
      writeToy(folder, /*step=*/true, 1, [](json &info) { info["weights"]["bytes"] = 256; });
    if (suffix == "safetensors")
      writeBytes(base + ".safetensors", weights);
    if (suffix == "so") {
      // Then the JSON and the weights are of the other compile.
      writeToy(folder, /*step=*/true, 1, [](json &info) { info["weights"]["bytes"] = 256; });
      writeBytes(base + ".safetensors", weights);
    }
    const std::string message = failureOf([&] { Artifact artifact(base); });
    const size_t end = message.find(": is of another compile than ");
    return end == std::string::npos ? message : message.substr(base.size(), end - base.size());
  };
  EXPECT_EQ(changed("json"), ".json");
  EXPECT_EQ(changed("safetensors"), ".safetensors");
  EXPECT_EQ(changed("so"), ".so");
}

TEST(Artifact, RefusesCodeThatIsNone) {
  const Folder folder;
  const std::string base = writeToy(folder, /*step=*/true);
  writeBytes(base + ".so", "no code");
  EXPECT_NE(failureOf([&] { Artifact artifact(base); }).find("cannot be loaded"),
            std::string::npos);
}

TEST(Artifact, RefusesMalformedJson) {
  const std::function<void(json &)> changes[] = {
      [](json &info) { info = json::array(); },
      [](json &info) { info.erase("prefix"); },
      [](json &info) { info["prefix"] = "a-b"; },
      [](json &info) { info["prefix"] = ""; },
      [](json &info) { info["target"] = 1; },
      [](json &info) { info["target"]["features"] = "avx2"; },
      [](json &info) { info["target"]["features"][0] = 1; },
      [](json &info) { info["role"] = "walk"; },
      [](json &info) { info["vocab"] = 0; },
      [](json &info) { info["vocab"] = -3; },
      [](json &info) { info["vocab"] = 1.5; },
      [](json &info) { info["vocab"] = 3000000000; },
      [](json &info) { info["context"] = 18446744073709551615u; },
      [](json &info) { info["chunk"] = "8"; },
      [](json &info) { info["inputs"][0]["type"] = "f64"; },
      [](json &info) { info["inputs"][0]["shape"] = {-1}; },
      [](json &info) { info["inputs"][0]["shape"] = {1, 1, 1, 1, 1, 1, 1, 1, 1}; },
      [](json &info) { info["inputs"][1]["name"] = "input_ids"; },
      [](json &info) { info["outputs"] = 3; },
      [](json &info) { info["weights"]["file"] = "../toy.safetensors"; },
      [](json &info) { info["weights"]["file"] = "/etc/passwd"; },
      [](json &info) { info["weights"]["file"] = ".."; },
      [](json &info) { info["weights"]["bytes"] = -1; },
      [](json &info) { info["weights"]["hash"] = "xyz"; },
      [](json &info) { info["stop_ids"] = 2; },
      [](json &info) { info["stop_ids"] = {2, 50}; },
      [](json &info) { info["stop_ids"] = {-1}; },
      [](json &info) { info["stop_ids"] = {"2"}; },
  };
  for (const auto &change : changes) {
    const std::string message = refusal(change);
    EXPECT_EQ(message.substr(0, 10), "toy.json: ") << message;
  }
  EXPECT_EQ(failureOf([] { parseArtifactInfo("{\"format\": 1", "a.json"); }),
            "a.json: is no JSON object");
}

} // namespace
