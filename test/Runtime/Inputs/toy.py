"""toy.py WEIGHTS: writes the weights of the unit tests' toy model, and prints the 32 ids it must generate."""
import struct
import sys

weights = [v * v % 17 / 16 for v in range(50)]
header = b'{"weight":{"dtype":"F32","shape":[50],"data_offsets":[0,200]}}'
header += b" " * (-(8 + len(header)) % 64)
data = struct.pack("<50f", *weights)
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack("<Q", len(header)) + header + data)

ids = [1, 42, 7]
for _ in range(32):
    total = sum(token * (position + 1) for position, token in enumerate(ids))
    logits = [weight - abs((total + 7 * v) % 31 - 15) / 4 for v, weight in enumerate(weights)]
    ids.append(logits.index(max(logits)))
print(*ids[3:])
