"""Tests of this folder import each other's helpers, in whatever way pytest loads them."""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
