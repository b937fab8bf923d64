func.func @main(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> attributes {llmc.role = "run"} {
  %y = llmc.softmax %x : tensor<?x?x4xf32>
  return %y : tensor<?x?x4xf32>
}
