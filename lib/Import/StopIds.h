//===- StopIds.h - Which ids end a text -----------------------------------===//
//
// Exporters say it in the metadata of the file, or in a JSON file of the model beside it.
//
//===----------------------------------------------------------------------===//

#ifndef LLMC_LIB_IMPORT_STOPIDS_H
#define LLMC_LIB_IMPORT_STOPIDS_H

#include "llmc/IR/LLMCDialect.h"
#include "llmc/Import/OnnxModel.h"

namespace llmc::onnx {

/// Sets `llmc.stop_ids` on a module with a cache from the metadata of the model, else from
/// genai_config.json, generation_config.json or config.json beside it (or above it, when its folder
/// is called "onnx", as hubs lay models out); the first that names any counts. What cannot be used
/// is a remark.
void attachStopIds(ModuleOp module, const OnnxModel &model);

} // namespace llmc::onnx

#endif // LLMC_LIB_IMPORT_STOPIDS_H
