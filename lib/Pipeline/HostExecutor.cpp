//===- HostExecutor.cpp - compile a module for this machine and run it ------------------===//
//
// What runs is exactly what an artifact would hold: the same passes, object and loader, in a
// temporary folder.
//
#include "llmc/Pipeline/HostExecutor.h"

#include "llmc/Pipeline/Compile.h"
#include "llmc/Pipeline/TemporaryFolder.h"
#include "llmc/Runtime/Failure.h"
#include "llmc/Runtime/Session.h"

using namespace mlir;
using namespace llmc;

namespace {

struct Observation {
  std::string name;
  int64_t offset, width, stride;
  bool perSequence;
};

class HostModel : public ExecutableModel {
public:
  HostModel(Location loc, const std::string &base, std::vector<Observation> observations,
            const ExecutorOptions &options)
      : loc(loc), artifact(base), pool(options.threads),
        session(artifact, pool, artifact.info().context), observations(std::move(observations)) {}

  void reset() override { session.reset(); }
  int64_t vocabulary() const override { return artifact.info().isStep ? artifact.info().vocab : 0; }
  int64_t context() const override { return artifact.info().context; }

  FailureOr<std::vector<float>> prefill(ArrayRef<int32_t> ids) override {
    std::vector<float> logits(ids.size() * vocabulary());
    return guarded([&] {
      int64_t chunk = artifact.info().chunk, count = ids.size();
      session.announce(count);
      for (int64_t start = 0; start < count; start += chunk) {
        int64_t rows = std::min(chunk, count - start);
        session.prefill(ids.data() + start, rows, logits.data() + start * vocabulary(), true);
        observe(rows, 1);
      }
      return logits;
    });
  }

  FailureOr<std::vector<float>> decode(int32_t id) override {
    std::vector<float> logits(vocabulary());
    return guarded([&] {
      session.decode(id, logits.data());
      observe(1, 1);
      return logits;
    });
  }

  FailureOr<std::vector<HostTensor>> run(ArrayRef<HostTensor> inputs) override;

private:
  template <typename Fn> auto guarded(Fn body) -> FailureOr<decltype(body())> {
    try {
      return body();
    } catch (const std::exception &error) {
      return emitError(loc) << error.what();
    }
  }

  void observe(int64_t rows, int64_t sequences) {
    if (!observer)
      return;
    const char *arena = static_cast<const char *>(session.arenaData());
    for (const Observation &seen : observations)
      observer(seen.name, reinterpret_cast<const float *>(arena + seen.offset),
               seen.perSequence ? sequences : rows, seen.width, seen.stride);
  }

  Location loc;
  Artifact artifact;
  ThreadPool pool;
  Session session;
  std::vector<Observation> observations;
};

FailureOr<std::vector<HostTensor>> HostModel::run(ArrayRef<HostTensor> inputs) {
  const ArtifactInfo &info = artifact.info();
  std::vector<llmc_tensor> in;
  int64_t batch = 1, sequence = 1;
  for (const TensorInfo &wanted : info.inputs) {
    const HostTensor *given = nullptr;
    for (const HostTensor &input : inputs)
      if (input.name == wanted.name)
        given = &input;
    if (!given || given->isFloat || given->shape.size() != 2)
      return emitError(loc) << "input '" << wanted.name << "' is missing or no matrix of integers";
    batch = given->shape[0];
    sequence = given->shape[1];
    llmc_tensor tensor = {};
    tensor.data = const_cast<int64_t *>(given->integers.data());
    tensor.bytes = given->integers.size() * 8;
    tensor.type = LLMC_I64;
    tensor.rank = 2;
    tensor.shape[0] = batch;
    tensor.shape[1] = sequence;
    in.push_back(tensor);
  }
  return guarded([&] {
    std::vector<HostTensor> results;
    std::vector<llmc_tensor> out;
    for (const TensorInfo &wanted : info.outputs) {
      HostTensor result;
      result.name = wanted.name;
      result.isFloat = true;
      // Rows of tokens, or of sequences: [batch, width], or a sequence of 1 in between.
      const bool isFlat = wanted.shape.size() == 2;
      const int64_t rows = isFlat || wanted.shape[1].size == 1 ? 1 : sequence;
      const int64_t width = wanted.shape.back().size;
      result.shape = {batch, rows, width};
      if (isFlat)
        result.shape.erase(result.shape.begin() + 1);
      result.floats.resize(batch * rows * width);
      results.push_back(std::move(result));
    }
    for (HostTensor &result : results) {
      llmc_tensor tensor = {};
      tensor.data = result.floats.data();
      tensor.bytes = result.floats.size() * 4;
      tensor.type = LLMC_F32;
      out.push_back(tensor);
    }
    session.run(in, out);
    observe(batch * sequence, batch);
    return results;
  });
}

class HostExecutor : public Executor {
public:
  FailureOr<std::unique_ptr<ExecutableModel>> compile(ModuleOp module,
                                                      const ExecutorOptions &options) override {
    TemporaryFolder folder;
    if (!folder.create())
      return module.emitError("no temporary folder can be made (TMPDIR names the place)");
    CompileOptions settings;
    settings.target.cpu = "native";
    settings.context = options.context;
    settings.chunk = options.chunk;
    std::string base = folder.path + "/model";
    OwningOpRef<ModuleOp> copy = module.clone(); // Blobs are shared, not copied.
    if (failed(compileArtifact(*copy, settings, base)))
      return failure();
    std::vector<Observation> observations;
    auto artifact = (*copy)->getAttrOfType<exec::ArtifactAttr>("exec.artifact");
    for (auto seen : artifact.getObservations().getAsRange<exec::ObservationAttr>())
      observations.push_back(
          {seen.getName().str(), seen.getOffset(), seen.getWidth(), seen.getStride(),
           seen.getPerSequence()});
    try {
      // Code and weights stay mapped after the folder is gone.
      return std::unique_ptr<ExecutableModel>(
          std::make_unique<HostModel>(module.getLoc(), base, std::move(observations), options));
    } catch (const std::exception &error) {
      return module.emitError(error.what());
    }
  }
};

} // namespace

std::shared_ptr<Executor> llmc::makeHostExecutor() { return std::make_shared<HostExecutor>(); }
