//===- WriteArtifact.cpp - the files of an artifact -------------------------------------===//
//
// Weights are packed straight into the mapped output file. All files are complete on disk before
// the first gets its name; the JSON gets it last.
//
#include "DescribeInterface.h"

#include "llmc/Lower/Cpu/CodeFormat.h"
#include "llmc/Lower/Cpu/Passes.h"
#include "llmc/Pipeline/AtomicOutput.h"
#include "llmc/Pipeline/Compile.h"
#include "llmc/Pipeline/Diagnostics.h"
#include "llmc/Runtime/llmcrt.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"

#include <algorithm>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace mlir;
using namespace llmc;
namespace json = llvm::json;

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

// The safetensors header, padded with spaces so that the data starts at a multiple of 64 bytes.
static std::string weightHeader(ArrayRef<PackedEntry> entries) {
  json::Object root;
  json::Object metadata;
  for (const PackedEntry &entry : entries) {
    bool floats = entry.form != exec::Form::Linear && entry.form != exec::Form::Embedding;
    int64_t count = floats ? entry.bytes / 4 : entry.bytes;
    root[entry.name] =
        json::Object{{"dtype", floats ? "F32" : "U8"},
                     {"shape", json::Array{count}},
                     {"data_offsets", json::Array{entry.offset, entry.offset + entry.bytes}}};
    metadata[entry.name] = exec::stringifyForm(entry.form);
  }
  root["__metadata__"] = std::move(metadata);
  std::string text = llvm::formatv("{0}", json::Value(std::move(root))).str();
  while ((text.size() + 8) % 64 != 0)
    text += ' ';
  return text;
}

LogicalResult Compilation::fillWeights(AtomicOutput &file, size_t &dataStart) {
  const std::string &path = file.path();
  FailureOr<exec::ProgramOp> program = exec::getProgram(module);
  if (failed(program))
    return failure();
  SmallVector<PackedEntry> entries = getPackedEntries(*program);
  std::string header = weightHeader(entries);
  uint64_t headerSize = header.size();
  dataStart = 8 + header.size();
  size_t total = dataStart + totalWeightBytes;
  if (int code = posix_fallocate(file.descriptor(), 0, total))
    return emitLimit(module.getLoc())
           << "'" << path << "' cannot be given " << total << " bytes: " << std::strerror(code);
  // Mapped through a second descriptor: the output's own is for writing only.
  int descriptor = open(file.temporaryPath().c_str(), O_RDWR | O_CLOEXEC);
  void *map = descriptor < 0
                  ? MAP_FAILED
                  : mmap(nullptr, total, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (descriptor >= 0)
    close(descriptor);
  if (map == MAP_FAILED)
    return emitLimit(module.getLoc())
           << "'" << path << "' cannot be mapped: " << std::strerror(errno);
  char *bytes = static_cast<char *>(map);
  std::memcpy(bytes, &headerSize, 8); // Little-endian, as every host llmc runs on.
  std::copy(header.begin(), header.end(), bytes + 8);
  LogicalResult result = success();
  for (const PackedEntry &packed : entries) {
    result = writePackedEntry(
        packed, settings, MutableArrayRef<char>(bytes + dataStart + packed.offset, packed.bytes));
    if (failed(result))
      break;
    // Whole pages in front of the next entry are done; the file keeps them.
    constexpr size_t kPage = 4096;
    size_t done = (dataStart + packed.offset + packed.bytes) / kPage * kPage;
    madvise(bytes, done, MADV_DONTNEED);
  }
  weightHash = llvm::formatv("{0:x-16}", llmcrt_hash(bytes + dataStart, totalWeightBytes)).str();
  munmap(map, total);
  return result;
}

LogicalResult Compilation::packWeights(MutableArrayRef<char> out) {
  FailureOr<exec::ProgramOp> program = exec::getProgram(module);
  if (failed(program))
    return failure();
  for (const PackedEntry &packed : getPackedEntries(*program))
    if (failed(writePackedEntry(packed, settings, out.slice(packed.offset, packed.bytes))))
      return failure();
  return success();
}

FailureOr<std::unique_ptr<AtomicOutput>> Compilation::writeWeights(const std::string &path) {
  std::string error;
  size_t dataStart = 0;
  std::unique_ptr<AtomicOutput> file = AtomicOutput::create(path, error);
  if (!file)
    return module.emitError(error);
  if (failed(fillWeights(*file, dataStart)))
    return failure();
  return file;
}

LogicalResult Compilation::writeEmbeddedWeights(const std::string &beside) {
  // The assembler holds the bytes in memory, and code reaches 2 GB far.
  constexpr int64_t kMost = int64_t(1) << 30;
  if (totalWeightBytes > kMost)
    return module.emitError("embedded weights of ")
           << totalWeightBytes << " bytes, expected at most " << kMost
           << "; leave them in a file of their own";
  std::string error;
  embedded = AtomicOutput::create(beside, error);
  if (!embedded)
    return module.emitError(error);
  return fillWeights(*embedded, embeddedStart);
}

// A path in a string of the assembler.
static std::string quoted(StringRef path) {
  std::string text;
  for (char c : path) {
    if (c == '"' || c == '\\')
      text += '\\';
    text += c;
  }
  return text;
}

std::string Compilation::embeddingAssembly() const {
  std::string symbol = settings.prefix + "_weights_data";
  return llvm::formatv(".section .rodata.{0},\"a\",@progbits\n.balign 64\n.hidden {0}\n.globl "
                       "{0}\n{0}:\n.incbin \"{1}\", {2}, {3}\n.size {0}, {3}\n.text\n",
                       symbol, quoted(embedded->temporaryPath()), embeddedStart, totalWeightBytes)
      .str();
}

//===----------------------------------------------------------------------===//
// JSON and header
//===----------------------------------------------------------------------===//

// Any attribute a pass may put into a record.
static json::Value toJson(Attribute attribute) {
  return TypeSwitch<Attribute, json::Value>(attribute)
      .Case<StringAttr>([](auto a) { return a.getValue(); })
      .Case<BoolAttr>([](auto a) { return a.getValue(); })
      .Case<IntegerAttr>([](auto a) { return a.getInt(); })
      .Case<FloatAttr>([](auto a) { return a.getValueAsDouble(); })
      .Case<ArrayAttr>([](ArrayAttr a) {
        json::Array array;
        for (Attribute element : a)
          array.push_back(toJson(element));
        return json::Value(std::move(array));
      })
      .Case<DictionaryAttr>([](DictionaryAttr a) {
        json::Object object;
        for (NamedAttribute element : a)
          object[element.getName().getValue()] = toJson(element.getValue());
        return json::Value(std::move(object));
      })
      .Default([](Attribute a) {
        std::string text;
        llvm::raw_string_ostream(text) << a;
        return text;
      });
}

static json::Object describeTensor(Type type, DictionaryAttr attributes, StringRef fallback) {
  auto tensor = cast<RankedTensorType>(type);
  auto name = attributes ? attributes.getAs<StringAttr>("llmc.name") : StringAttr();
  auto dims = attributes ? attributes.getAs<ArrayAttr>("llmc.dims") : ArrayAttr();
  json::Array shape;
  for (auto [i, size] : llvm::enumerate(tensor.getShape())) {
    auto dim = dims && i < dims.size() ? dyn_cast<StringAttr>(dims[i]) : StringAttr();
    if (size != ShapedType::kDynamic)
      shape.push_back(size);
    else if (dim)
      shape.push_back(dim.getValue());
    else
      shape.push_back(i == 0 ? "batch" : "sequence");
  }
  return json::Object{{"name", name ? name.getValue() : fallback},
                      {"type", isa<FloatType>(tensor.getElementType()) ? "f32" : "i64"},
                      {"shape", std::move(shape)}};
}

// Multiply-adds of the linears for one position, by the arithmetic they need: float activations,
// quantized ones, and those with codes of at most 4 bits.
static json::Object describeProducts(ArrayRef<LinearOp> linears) {
  int64_t floats = 0, wide = 0, narrow = 0;
  for (LinearOp op : linears) {
    ArrayRef<int64_t> shape = getWeightShape(op.getWeight().getType());
    CodeFormat format = getCodeFormat(op.getWeight().getType());
    bool small = format.kind != CodeFormat::Kind::Dense && format.bits <= 4;
    (!op.getQuantization() ? floats : small ? narrow : wide) += shape[0] * shape[1];
  }
  return json::Object{{"float", floats}, {"i8", wide}, {"i8_narrow", narrow}};
}

// The linear whose rows are the logits: behind it only operations of one input.
static LinearOp findHead(func::FuncOp entry) {
  Operation *end = entry.getBody().front().getTerminator();
  Operation *op = end->getNumOperands() ? end->getOperand(0).getDefiningOp() : nullptr;
  while (op && !isa<LinearOp>(op))
    op = op->getNumOperands() ? op->getOperand(0).getDefiningOp() : nullptr;
  return dyn_cast_or_null<LinearOp>(op);
}

static json::Object describeProducts(func::FuncOp entry) {
  LinearOp head = findHead(entry);
  SmallVector<LinearOp> body, logits;
  entry.walk([&](LinearOp op) { (op == head ? logits : body).push_back(op); });
  return json::Object{{"body", describeProducts(ArrayRef<LinearOp>(body))},
                      {"logits", describeProducts(ArrayRef<LinearOp>(logits))}};
}

LogicalResult llmc::verifyStopIds(ModuleOp module, func::FuncOp entry) {
  auto stop = module->getAttrOfType<DenseI64ArrayAttr>("llmc.stop_ids");
  if (!stop)
    return success();
  auto logits = entry.getNumResults() ? dyn_cast<RankedTensorType>(entry.getResultTypes()[0])
                                      : RankedTensorType();
  const bool isStep = entry->getAttrOfType<StringAttr>("llmc.role").getValue() == "step";
  if (!isStep || !logits || logits.getRank() == 0)
    return module.emitError("has llmc.stop_ids, but no function with role \"step\"");
  const int64_t vocabulary = logits.getShape().back();
  for (int64_t id : stop.asArrayRef())
    if (id >= vocabulary)
      return module.emitError("stop id ")
             << id << " is outside the vocabulary of " << vocabulary << " ids (llmc.stop_ids)";
  return success();
}

std::string llmc::describeInterface(ModuleOp module, func::FuncOp entry) {
  json::Array inputs, outputs;
  for (auto [i, type] : llvm::enumerate(entry.getArgumentTypes()))
    inputs.push_back(describeTensor(type, entry.getArgAttrDict(i), "input_" + std::to_string(i)));
  for (auto [i, type] : llvm::enumerate(entry.getResultTypes()))
    outputs.push_back(
        describeTensor(type, entry.getResultAttrDict(i), "output_" + std::to_string(i)));
  json::Object object{{"role", entry->getAttrOfType<StringAttr>("llmc.role").getValue()},
                      {"inputs", std::move(inputs)},
                      {"outputs", std::move(outputs)}};
  auto provenance = module->getAttrOfType<ArrayAttr>("llmc.provenance");
  if (auto stop = module->getAttrOfType<DenseI64ArrayAttr>("llmc.stop_ids"))
    object["stop_ids"] = json::Array(stop.asArrayRef());
  object["products_per_position"] = describeProducts(entry);
  object["layers"] = provenance ? toJson(provenance) : json::Value(json::Array());
  return llvm::formatv("{0}", json::Value(std::move(object))).str();
}

std::string Compilation::finishInfo(const std::string &weightsFile) {
  json::Object root = *json::parse(interfaceJson)->getAsObject();
  json::Array features;
  for (const std::string &feature : machine.features)
    features.push_back(feature);
  root["format"] = 1;
  root["abi"] = LLMC_ABI;
  root["prefix"] = settings.prefix;
  root["target"] = json::Object{{"triple", machine.triple},
                                {"cpu", machine.cpu},
                                {"features", std::move(features)},
                                {"strategy", machine.strategy}};
  root["context"] = settings.context;
  root["chunk"] = settings.chunk;
  root["max_tokens"] = settings.maxTokens;
  exec::ArtifactAttr facts = artifact();
  if (facts.getLongestSequence())
    root["longest_sequence"] = facts.getLongestSequence();
  if (facts.getVocabulary())
    root["vocab"] = facts.getVocabulary();
  if (facts.getIdLimit() && facts.getVocabulary())
    root["id_limit"] = facts.getIdLimit();
  json::Object weights{{"bytes", totalWeightBytes}, {"hash", weightHash}};
  if (weightsFile.empty()) {
    root["embedded_weights"] = std::move(weights);
  } else {
    weights["file"] = weightsFile;
    root["weights"] = std::move(weights);
  }
  json::Array checks;
  for (auto check : facts.getChecks().getAsRange<exec::CheckAttr>())
    checks.push_back(json::Object{{"kind", check.getKind().getValue()},
                                  {"expected", check.getExpected().getValue()},
                                  {"source", check.getSource().getValue()},
                                  {"offset", check.getOffset()},
                                  {"width", check.getWidth()}});
  if (!checks.empty())
    root["checks"] = std::move(checks);
  root["arena_bytes"] = arenaBytes(1);
  root["kv_bytes_per_position"] = kvBytesPerPosition();
  std::string text = llvm::formatv("{0:2}\n", json::Value(std::move(root))).str();

  auto global = module.lookupSymbol<LLVM::GlobalOp>(settings.prefix + "_info");
  Builder b(module.getContext());
  std::string terminated = text + '\0';
  global.setValueAttr(b.getStringAttr(terminated));
  global.setGlobalTypeAttr(
      TypeAttr::get(LLVM::LLVMArrayType::get(b.getI8Type(), terminated.size())));
  return text;
}

// The model's numbers as macros, so that a program can lay out its arrays.
static std::string describeMacros(const CpuConfig &settings, const json::Object &info,
                                  int64_t vocabulary) {
  std::string text, capitals = StringRef(settings.prefix).upper();
  auto define = [&](const llvm::Twine &name, int64_t value, StringRef meaning) {
    text +=
        ("#define " + capitals + "_" + name + " " + llvm::Twine(value) + " /* " + meaning + " */\n")
            .str();
  };
  if (vocabulary)
    define("VOCABULARY", vocabulary, "ids are below it");
  for (auto [i, output] : llvm::enumerate(*info.getArray("outputs"))) {
    const json::Array &shape = *output.getAsObject()->getArray("shape");
    std::optional<int64_t> width = shape.empty() ? std::nullopt : shape.back().getAsInteger();
    if (!width)
      continue;
    if (i == 0)
      define("WIDTH", *width, "floats in a row of the first output");
    define("WIDTH_" + llvm::Twine(i), *width, "of output " + std::to_string(i));
  }
  if (info.getString("role") == StringRef("step")) {
    define("CONTEXT", settings.context, "positions that fit in a state");
    define("CHUNK", settings.chunk, "rows of one pass of prefill");
  } else {
    define("MAX_TOKENS", settings.maxTokens, "most of batch x sequence");
  }
  return text;
}

std::string Compilation::header() const {
  const std::string &p = settings.prefix;
  std::string guard = StringRef(p).upper() + "_H";
  std::string text =
      "/* " + p + ": a model compiled by llmc for " + machine.triple + ", cpu " + machine.cpu +
      ". See llmc/Runtime/llmc.h for what the functions mean. */\n#ifndef " + guard + "\n#define " +
      guard +
      "\n\n#include \"llmc/Runtime/llmc.h\"\n\n#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n";
  const json::Value interface = *json::parse(interfaceJson);
  text += describeMacros(settings, *interface.getAsObject(), artifact().getIdLimit());
  text += "\nint32_t " + p + "_check_cpu(char *why); /* why: NULL or LLMC_WHY bytes */\n";
  text += "int32_t " + p + "_abi(void);\nconst char *" + p + "_info_json(void);\n";
  text +=
      "int32_t " + p +
      "_sizes(int64_t context, int64_t chunk, int32_t threads, uint64_t *arena, uint64_t *kv);\n";
  text +=
      "int32_t " + p +
      "_init(llmc_model *model, void *arena, const void *weights, const llmc_threads *threads);\n";
  if (settings.embedWeights)
    text += "/* weights may be NULL: they are in the object. */\n";
  bool isStep = interface.getAsObject()->getString("role") == StringRef("step");
  if (isStep) {
    const json::Array &inputs = *interface.getAsObject()->getArray("inputs");
    const bool takesRows = inputs[0].getAsObject()->getString("type") == StringRef("f32");
    const std::string ids = takesRows ? "const float *rows" : "const int32_t *ids";
    text += "int32_t " + p + "_state_init(llmc_state *state, void *kv);\n";
    for (const char *name : {"_prefill", "_prefill_all"})
      text.append("int32_t ")
          .append(p)
          .append(name)
          .append("(llmc_model *model, llmc_state *state, ")
          .append(ids)
          .append(", int64_t n, float *logits);\n");
    text += "int32_t " + p + "_decode(llmc_model *model, llmc_state *const states[], " + ids +
            ", int64_t n,\n"
            "    float *logits);\n";
  } else {
    text += "int32_t " + p +
            "_run(llmc_model *model, const llmc_tensor inputs[], llmc_tensor outputs[]);\n";
  }
  text += "\n#ifdef __cplusplus\n}\n#endif\n\n#endif /* " + guard + " */\n";
  return text;
}

//===----------------------------------------------------------------------===//
// The whole way
//===----------------------------------------------------------------------===//

namespace {

/// The files of an artifact until all of them are complete.
class ArtifactFiles {
public:
  explicit ArtifactFiles(ModuleOp module) : module(module) {}

  void add(std::unique_ptr<AtomicOutput> file) { files.push_back(std::move(file)); }

  FailureOr<AtomicOutput *> add(const std::string &path, StringRef bytes = {}) {
    std::string error;
    std::unique_ptr<AtomicOutput> file = AtomicOutput::create(path, error);
    if (!file)
      return module.emitError(error);
    if (!file->write(bytes.data(), bytes.size(), error))
      return emitLimit(module.getLoc()) << error;
    add(std::move(file));
    return files.back().get();
  }

  LogicalResult commit() {
    std::vector<AtomicOutput *> all;
    for (const std::unique_ptr<AtomicOutput> &file : files)
      all.push_back(file.get());
    std::string error;
    if (!AtomicOutput::commitAll(all, error))
      return emitLimit(module.getLoc()) << error;
    return success();
  }

private:
  ModuleOp module;
  std::vector<std::unique_ptr<AtomicOutput>> files;
};

} // namespace

LogicalResult llmc::compileArtifact(ModuleOp module, const CompileOptions &options,
                                    const std::string &output) {
  CompileOptions settings = options;
  if (settings.prefix.empty())
    settings.prefix = makePrefix(llvm::sys::path::filename(output));
  auto compilation = Compilation::create(module, settings);
  if (failed(compilation) || failed((*compilation)->runUntil(Stage::Pack)))
    return failure();
  ArtifactFiles files(module);
  std::string weights = output + ".safetensors";
  if (options.embedWeights) {
    if (failed((*compilation)->writeEmbeddedWeights(weights)))
      return failure();
  } else {
    auto file = (*compilation)->writeWeights(weights);
    if (failed(file))
      return failure();
    files.add(std::move(*file));
  }
  if (failed((*compilation)->runUntil(Stage::Lower)))
    return failure();
  std::string info =
      (*compilation)
          ->finishInfo(options.embedWeights ? std::string()
                                            : llvm::sys::path::filename(weights).str());
  if (failed((*compilation)->runUntil(Stage::Target)))
    return failure();
  FailureOr<std::string> code = (*compilation)->emit(Stage::Object);
  if (failed(code))
    return failure();
  FailureOr<AtomicOutput *> object = files.add(output + ".o", *code);
  FailureOr<AtomicOutput *> shared = files.add(output + ".so");
  if (failed(object) || failed(shared))
    return failure();
  if (llvm::Error failed = linkShared((*object)->temporaryPath(), (*shared)->temporaryPath(),
                                      llvm::sys::path::filename((*shared)->path())))
    return module.emitError(llvm::toString(std::move(failed)));
  if (failed(files.add(output + ".h", (*compilation)->header())) ||
      failed(files.add(output + ".json", info)))
    return failure();
  return files.commit();
}
