"""oracle.py [--check] FOLDER: writes the tests whose numbers come from here, or compares those of FOLDER with what it would write.

Each test is one function that computes with the operations of the dialect and checks the results. Inputs are drawn and rounded to
two decimals; what is expected is NumPy in float64, from nothing but the descriptions of the operations and schemes.
"""
import pathlib
import re
import sys

import numpy as np
from oracle_tests import TESTS

NUMBER = re.compile(r"-?\d+\.\d+(?:e[-+]\d+)?")


def differs(found, expected):
    """Whether two texts differ in more than the last digits of their numbers."""
    if NUMBER.sub("#", found) != NUMBER.sub("#", expected):
        return True
    a, b = (np.array(NUMBER.findall(text), dtype=np.float64) for text in (found, expected))
    return not np.allclose(a, b, rtol=1e-6, atol=1e-9)


def main():
    check, folder = "--check" in sys.argv, pathlib.Path(sys.argv[-1])
    stale = []
    for make in TESTS:
        test = make()
        path = folder / f"{test.stem}.mlir"
        if not check:
            path.write_text(test.text())
        elif not path.exists() or differs(path.read_text(), test.text()):
            stale.append(path.name)
    if stale:
        sys.exit(f"oracle.py: {', '.join(stale)}: not what the oracle says; run oracle.py on the folder")
    if check:
        print(f"{len(TESTS)} tests have the numbers of the oracle")


if __name__ == "__main__":
    main()
