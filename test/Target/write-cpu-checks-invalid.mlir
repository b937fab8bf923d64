// RUN: llmc-opt %s --write-cpu-checks="target=x86_64-linux-gnu cpu=haswell" --verify-diagnostics

// expected-error @+1 {{expects the check of a processor to be a function of type '(!llvm.ptr) -> i32', got '() -> i32'}}
func.func private @m_check_cpu() -> i32 attributes {llmc.any_machine}
