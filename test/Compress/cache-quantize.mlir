// RUN: llmc-opt %s --cache-quantize --mlir-print-debuginfo=false | FileCheck %s --check-prefix=I8
// RUN: llmc-opt %s --cache-quantize="type=f16" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=F16
// RUN: llmc-opt %s --cache-quantize="type=f16" --cache-quantize="type=f32" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=F32
// RUN: llmc-opt %s --cache-quantize="type=i8 products=i8" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=BYTES
// RUN: llmc-opt %s --cache-quantize="products=i8" --cache-quantize="type=f16" --mlir-print-debuginfo=false | FileCheck %s --check-prefix=F16

// BYTES: llmc.cache @kv {byte_products} : tensor<1x4xi8>
// I8: llmc.cache @kv : tensor<1x4xi8>
// F16: llmc.cache @kv : tensor<1x4xf16>
// F32: llmc.cache @kv : tensor<1x4xf32>
llmc.cache @kv : tensor<1x4xf32>
func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> {
  // Only the cache changes: what is computed with it stays f32.
  // I8: llmc.attention %{{.*}} cache @kv {{.*}} : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>
  %a = llmc.attention %x, %x, %x cache @kv {heads = 1 : i64, kv_heads = 1 : i64, scale = 0.5 : f64, causal}
      : tensor<?x?x4xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>
  return %a : tensor<?x?x4xf32>
}
