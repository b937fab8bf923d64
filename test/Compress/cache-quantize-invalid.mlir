// RUN: llmc-opt %s --verify-diagnostics --cache-quantize="type=i4"
// RUN: not llmc-opt %s --cache-quantize="products=i4" 2>&1 | FileCheck %s --check-prefix=PRODUCTS
// RUN: not llmc-opt %s --cache-quantize="type=f16 products=i8" 2>&1 | FileCheck %s --check-prefix=TYPE

// PRODUCTS: cache-quantize: expected products f32 or i8, got 'i4'
// TYPE: cache-quantize: expected type i8 with products of i8, got 'f16'
// expected-error @below {{cache-quantize: expected type f32, f16, bf16 or i8, got 'i4'}}
module {
  llmc.cache @kv : tensor<1x4xf32>
}
