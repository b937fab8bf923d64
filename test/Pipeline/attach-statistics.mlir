// RUN: llmc-opt %s --attach-statistics=folder=%t.none --verify-diagnostics

// expected-error @+1 {{attach-statistics: llmc.statistics_file has no plain name and hash}}
module attributes {llmc.statistics_file = {name = "../model.stats", hash = "0"}} {
}
