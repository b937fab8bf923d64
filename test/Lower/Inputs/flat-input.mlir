func.func @main(%x: tensor<?x4xf32>) -> tensor<?x4xf32> attributes {llmc.role = "run"} {
  %y = llmc.softmax %x : tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}
