// Running a plain graph (role `run`): inputs by name, those with a well-known meaning filled in,
// outputs by name.
#ifndef LLMC_RUNTIME_RUNGRAPH_H
#define LLMC_RUNTIME_RUNGRAPH_H

#include "llmc/Runtime/Npy.h"
#include "llmc/Runtime/Session.h"

#include <map>

namespace llmc {

/// Arrays by name.
using NamedArrays = std::map<std::string, Array>;

/// Checks and completes the inputs: integers are converted to the width the model takes, dimensions
/// of one name must be equal everywhere, batch x sequence must fit what was compiled, `input_ids`
/// must be in the vocabulary. What is not given: token_type_ids are 0, attention_mask is 1,
/// position_ids count along the last dimension; anything else is missing. Throws Failure (BadInput)
/// that names the input. Returns the arrays in the order of the artifact; `sizes` gets the
/// dimensions by name.
std::vector<Array> bindInputs(const ArtifactInfo &info, const NamedArrays &given,
                              std::map<std::string, int64_t> &sizes);

/// Place of an output in the artifact. Throws Failure (BadInput) when there is none of that name.
size_t outputIndex(const ArtifactInfo &info, const std::string &name);

/// Runs the graph once; returns all outputs in the order of the artifact.
std::vector<Array> runGraph(Session &session, const NamedArrays &given);

} // namespace llmc

#endif // LLMC_RUNTIME_RUNGRAPH_H
