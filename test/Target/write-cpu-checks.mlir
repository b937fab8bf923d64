// RUN: llmc-opt %s --write-cpu-checks="target=x86_64-linux-gnu cpu=haswell" --mlir-print-debuginfo=false | FileCheck %s

// The object asks the processor itself, and has a line for each thing that may be missing.
// CHECK: llvm.mlir.global internal constant @m_check_cpu_texts({{.*}}lacks the processor feature 'avx2'
// CHECK-LABEL: func.func @m_check_cpu(
// CHECK: cpuid
module {
  func.func private @m_check_cpu(!llvm.ptr) -> i32 attributes {llmc.any_machine}
}
