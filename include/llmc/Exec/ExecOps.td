// Operations of the exec dialect: the program with its declarations, then the kernels of stages.
#ifndef LLMC_EXEC_OPS_TD
#define LLMC_EXEC_OPS_TD

include "llmc/Exec/ProgramOps.td"
include "llmc/Exec/Kernels.td"

#endif // LLMC_EXEC_OPS_TD
