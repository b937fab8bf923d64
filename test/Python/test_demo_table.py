"""The demo's table and what goes into it, from fixed numbers."""

import json

import numpy as np
import pytest
from llmc import Error
from llmc.demo.table import COLUMNS, LEGEND, format_table, linear_bits
from llmc.demo.variants import VARIANTS
from llmc.demo.way import write_rows

ROWS = [
    {"name": "f32, as imported", "bytes": 13116416, "bits": None, "bits_file": 32.001, "ratio": 1.0, "ratio_stderr": 0.0,
     "kl": 0.0, "top1": 1.0, "prefill": 12345.6, "decode": 4567.8},
    {"name": "2:4, then awq int4", "bytes": 1311641, "bits": 3.5, "bits_file": 8.25, "ratio": 1.0912, "ratio_stderr": 0.00312,
     "kl": 0.00001234, "top1": 0.987, "prefill": 123.4, "decode": 7.0},
    {"name": "ternary", "bytes": 5, "bits": 1.6, "bits_file": 7.0, "ratio": 3412.24, "ratio_stderr": 55.5, "kl": 7.5,
     "top1": 0.004, "prefill": 123456.0, "decode": 12345.0},
]

TABLE = """\
                                 bits/w bits/w       ppl ratio       KL    same  prefill  decode
variant                   bytes  linear   file       +- stderr     mean   top-1    tok/s   tok/s
------------------------------------------------------------------------------------------------
f32, as imported     13,116,416       -  32.00 1.0000 +- .0000   0.0000 100.0 %   12,346   4,568
2:4, then awq int4    1,311,641    3.50   8.25 1.0912 +- .0031 1.23e-05  98.7 %      123       7
ternary                       5    1.60   7.00  3412.2 +- 55.5   7.5000   0.4 %  123,456  12,345"""


def test_table_of_fixed_numbers():
    assert format_table(ROWS) == TABLE


def test_everything_fits_100_columns_and_has_a_legend():
    assert max(map(len, (TABLE + "\n" + LEGEND).splitlines())) <= 100
    assert len(LEGEND.splitlines()) == len(COLUMNS) - 1
    assert all(len(variant.name) < COLUMNS[0][2] for variant in VARIANTS)


def test_bits_are_weighted_by_size_and_the_last_pass_counts():
    first = [{"name": "a", "bytes_after": 400, "bits_per_weight": 4.0}, {"name": "b", "bytes_after": 100, "bits_per_weight": 2.0}]
    second = [{"name": "a", "bytes_after": 200, "bits_per_weight": 2.0}]
    assert linear_bits([{"pass": "x", "layers": first}]) == pytest.approx(8 * 500 / (800 + 400))
    assert linear_bits([{"pass": "x", "layers": first}, {"pass": "y", "layers": second}]) == 2.0


def test_variants_are_distinct_and_say_how_they_are_made():
    assert len({variant.file for variant in VARIANTS}) == len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    commands = {variant.file: variant.command() for variant in VARIANTS}
    assert commands["awq4_24"] == \
        'llmc-opt --awq-quantize="bits=4 group=32" --sparsify-2-4 calibrated.mlirbc -o awq4_24.mlirbc'
    assert commands["mag24"] == "llmc-opt --magnitude-prune=pattern=2:4 model.mlirbc -o mag24.mlirbc"
    assert commands["full"] is None


def test_rows_are_cut_as_numpy_reads_them(tmp_path, package):
    rows = np.load(package / "demo" / "heldout.npy")
    assert write_rows(package / "demo" / "heldout.npy", 3, tmp_path / "rows.npy", tmp_path / "prompt.npy") == 3 * 255
    assert np.array_equal(np.load(tmp_path / "rows.npy"), rows[:3])
    assert np.array_equal(np.load(tmp_path / "prompt.npy"), rows[0])
    with pytest.raises(Error, match="expected 1 to 128, found 129"):
        write_rows(package / "demo" / "heldout.npy", 129, tmp_path / "rows.npy", tmp_path / "prompt.npy")
    assert json.loads((package / "demo" / "facts.json").read_text())["parameters"] > 0
