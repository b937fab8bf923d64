"""The demo's table: numbers to aligned text of at most 100 columns, with a legend."""

# key, heading in two lines, width
COLUMNS = (
    ("name", ("", "variant"), 20),
    ("bytes", ("", "bytes"), 11),
    ("bits", ("bits/w", "linear"), 8),
    ("bits_file", ("bits/w", "file"), 7),
    ("ratio", ("ppl ratio", "+- stderr"), 16),
    ("kl", ("KL", "mean"), 9),
    ("top1", ("same", "top-1"), 8),
    ("prefill", ("prefill", "tok/s"), 9),
    ("decode", ("decode", "tok/s"), 8),
)

LEGEND = """\
bytes          the weights file of the compiled model
bits/w linear  stored bits per weight of the compressed linears in the model, with scales and masks
bits/w file    bits of that file per parameter; embedding, norms, unstructured masks are dense
ppl ratio      perplexity over that of the uncompressed model; stderr from paired differences per id
KL             KL(uncompressed || variant), mean over the scored ids, in nats; 0 is the same
same top-1     share of the scored ids where both find the same next id likeliest
prefill        ids per second read at once, {prefill_ids} ids, one thread, this machine
decode         ids per second generated one by one, {decode_ids} ids, one thread, this machine"""


def linear_bits(layers):
    """Mean stored bits per weight of the compressed linears, from the `layers` of an artifact's JSON: a list with one
    entry for each pass that ran, in order; the last pass that touched a weight counts. None when there is none.

    >>> linear_bits([{"pass": "a", "layers": [{"name": "w", "bytes_after": 100, "bits_per_weight": 8.0}]},
    ...              {"pass": "b", "layers": [{"name": "w", "bytes_after": 50, "bits_per_weight": 4.0}]}])
    4.0
    >>> linear_bits([]) is None
    True
    """
    last = {layer["name"]: layer for step in layers for layer in step["layers"]}
    bits = sum(8 * layer["bytes_after"] for layer in last.values())
    weights = sum(8 * layer["bytes_after"] / layer["bits_per_weight"] for layer in last.values())
    return bits / weights if weights else None


def format_cell(key, row):
    """One cell as text; "-" for what a row does not have.

    >>> format_cell("ratio", {"ratio": 1.09123, "ratio_stderr": 0.0031})
    '1.0912 +- .0031'
    >>> format_cell("bytes", {"bytes": 6693303})
    '6,693,303'
    >>> format_cell("kl", {})
    '-'
    """
    value = row.get(key)
    if value is None:
        return "-"
    if key in ("bytes", "prefill", "decode"):
        return f"{value:,.0f}"
    if key in ("bits", "bits_file"):
        return f"{value:.2f}"
    if key == "top1":
        return f"{100 * value:.1f} %"
    if key == "kl":
        return f"{value:.2e}" if 0 < value < 1e-4 else f"{value:.4f}"
    if key != "ratio":
        return str(value)
    ratio = f"{value:.4f}" if value < 10 else f"{value:.3f}" if value < 100 else f"{value:.1f}"
    error = row.get("ratio_stderr")
    if error is None:
        return ratio
    return f"{ratio} +- " + (f"{error:.4f}".removeprefix("0") if error < 10 else f"{error:.1f}")


def format_table(rows):
    """The rows (dicts with the keys of COLUMNS, and ratio_stderr) as text, headings first, without a last newline."""
    def line(cells):
        first, *others = ((cell, width) for cell, (_, _, width) in zip(cells, COLUMNS))
        return (f"{first[0]:<{first[1]}}" + "".join(f"{cell:>{width}}" for cell, width in others)).rstrip()

    heads = [line([head[i] for _, head, _ in COLUMNS]) for i in (0, 1)]
    body = [line([format_cell(key, row) for key, _, _ in COLUMNS]) for row in rows]
    return "\n".join([*heads, "-" * sum(width for _, _, width in COLUMNS), *body])
