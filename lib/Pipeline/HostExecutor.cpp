//===- HostExecutor.cpp - compile a module for this machine and run it ------------------===//
//
// What runs is exactly what an artifact would hold: the same passes, object and loader, in a
// temporary folder. Blocks that differ in their weights only share one object.
//
#include "llmc/Pipeline/HostExecutor.h"

#include "llmc/Pipeline/Compile.h"
#include "llmc/Pipeline/Passes.h"
#include "llmc/Pipeline/TemporaryFolder.h"
#include "llmc/Runtime/Failure.h"
#include "llmc/Runtime/Session.h"

#include <map>
#include <sys/mman.h>

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
  /// `weights`, where given, are those of another module than the one the code was made of.
  HostModel(Location loc, std::shared_ptr<const Artifact> code, std::unique_ptr<PageBuffer> weights,
            std::vector<Observation> observations, const ExecutorOptions &options)
      : loc(loc), code(std::move(code)), artifact(*this->code), weights(std::move(weights)),
        pool(options.threads), session(artifact, pool, artifact.info().context, /*sequences=*/1,
                                       this->weights ? this->weights->data() : nullptr),
        observations(std::move(observations)) {}
  ~HostModel() override {
    // Of code that is kept, the weights need not be in memory.
    madvise(const_cast<void *>(artifact.weights()), artifact.weightsBytes(), MADV_DONTNEED);
  }

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

  FailureOr<std::vector<float>> prefillRows(ArrayRef<float> rows) override {
    return guarded([&] {
      const ArtifactInfo &info = artifact.info();
      int64_t width = info.inputs[0].shape.back().size, out = info.vocab;
      int64_t count = rows.size() / width;
      std::vector<float> result(count * out);
      session.announce(count);
      for (int64_t start = 0; start < count; start += info.chunk) {
        int64_t now = std::min(info.chunk, count - start);
        session.prefillRows(rows.data() + start * width, now, result.data() + start * out);
        observe(now, 1);
      }
      return result;
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
  std::shared_ptr<const Artifact> code;
  const Artifact &artifact;
  std::unique_ptr<PageBuffer> weights;
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
    const bool isFloat = wanted.type == LLMC_F32;
    if (!given || given->isFloat != isFloat || given->shape.size() != wanted.shape.size())
      return emitError(loc) << "input '" << wanted.name << "' is missing or no tensor of "
                            << (isFloat ? "floats" : "integers") << " of rank "
                            << wanted.shape.size();
    batch = given->shape[0];
    sequence = given->shape[1];
    llmc_tensor tensor = {};
    tensor.data = isFloat ? const_cast<float *>(given->floats.data())
                          : static_cast<void *>(const_cast<int64_t *>(given->integers.data()));
    tensor.bytes = isFloat ? given->floats.size() * 4 : given->integers.size() * 8;
    tensor.type = isFloat ? LLMC_F32 : LLMC_I64;
    tensor.rank = static_cast<int32_t>(given->shape.size());
    std::copy(given->shape.begin(), given->shape.end(), tensor.shape);
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
  FailureOr<int64_t> chooseContext(ModuleOp module) override {
    return llmc::chooseContext(module, /*asked=*/0);
  }

  FailureOr<std::unique_ptr<ExecutableModel>> compile(ModuleOp module,
                                                      const ExecutorOptions &options) override;

private:
  FailureOr<std::shared_ptr<const Artifact>> makeCode(ModuleOp module,
                                                      const CompileOptions &settings);

  std::map<std::string, std::shared_ptr<const Artifact>> kept; ///< by Compilation::codeKey
};

FailureOr<std::shared_ptr<const Artifact>> HostExecutor::makeCode(ModuleOp module,
                                                                  const CompileOptions &settings) {
  TemporaryFolder folder;
  if (!folder.create())
    return module.emitError("no temporary folder can be made (TMPDIR names the place)");
  std::string base = folder.path + "/model";
  OwningOpRef<ModuleOp> copy = module.clone(); // Blobs are shared, not copied.
  if (failed(compileArtifact(*copy, settings, base)))
    return failure();
  try {
    // Code and weights stay mapped after the folder is gone.
    return std::shared_ptr<const Artifact>(std::make_shared<Artifact>(base, WeightPages::Mapped));
  } catch (const std::exception &error) {
    return module.emitError(error.what());
  }
}

std::vector<Observation> findObservations(exec::ProgramOp program) {
  std::vector<Observation> observations;
  program.walk([&](exec::ObserveOp op) {
    exec::BufferType type = exec::getBufferType(op.getInput());
    observations.push_back({op.getObserver().str(), exec::getPlace(op.getInput()), type.getWidth(),
                            type.getStride(), type.getPerSequence()});
  });
  return observations;
}

FailureOr<std::unique_ptr<ExecutableModel>> HostExecutor::compile(ModuleOp module,
                                                                  const ExecutorOptions &options) {
  CompileOptions settings;
  settings.target.cpu = "native";
  settings.prefix = "model";
  settings.context = options.context;
  settings.chunk = options.chunk;
  OwningOpRef<ModuleOp> packed = module.clone();
  auto compilation = Compilation::create(*packed, settings);
  if (failed(compilation) || failed((*compilation)->runUntil(Stage::Pack)))
    return failure();
  FailureOr<exec::ProgramOp> program = exec::getProgram(*packed);
  if (failed(program))
    return failure();
  std::string key = options.reuseCode ? (*compilation)->codeKey() : "";
  auto found = kept.find(key);
  std::shared_ptr<const Artifact> code;
  std::unique_ptr<PageBuffer> weights;
  try {
    if (options.reuseCode && found != kept.end()) {
      code = found->second;
      size_t bytes = (*compilation)->weightBytes();
      weights = std::make_unique<PageBuffer>(bytes, "the weights of a block");
      if (failed((*compilation)->packWeights({static_cast<char *>(weights->data()), bytes})))
        return failure();
    } else {
      auto made = makeCode(module, settings);
      if (failed(made))
        return failure();
      code = std::move(*made);
      if (options.reuseCode)
        kept[key] = code;
    }
    return std::unique_ptr<ExecutableModel>(std::make_unique<HostModel>(
        module.getLoc(), code, std::move(weights), findObservations(*program), options));
  } catch (const std::exception &error) {
    return module.emitError(error.what());
  }
}

} // namespace

std::shared_ptr<Executor> llmc::makeHostExecutor() { return std::make_shared<HostExecutor>(); }
