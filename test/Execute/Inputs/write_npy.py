"""write_npy.py OUT SHAPE NUMBER...: an int64 array such as 2x3 as .npy, with nothing but the standard library."""
import struct
import sys

path, shape, numbers = sys.argv[1], tuple(map(int, sys.argv[2].split("x"))), list(map(int, sys.argv[3:]))
size = 1
for dimension in shape:
    size *= dimension
if size != len(numbers):
    sys.exit(f"write_npy.py: {sys.argv[2]} needs {size} numbers, got {len(numbers)}")
header = f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}"
header += " " * (-(len(header) + 11) % 64) + "\n"
with open(path, "wb") as file:
    file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode())
    file.write(struct.pack(f"<{size}q", *numbers))
