"""Says what the innermost loops of assembly consist of, those that multiply: usage: loops.py [--of=PREFIX] < code.s

One line for each loop in the order of the text, with a prefix only for functions whose names begin with it: how often each
instruction that computes or broadcasts is in it, how many keep a vector on the stack (a spilled register), and how many
there are in all.
"""
import collections
import re
import sys

SHOWN = re.compile(r"vfmadd|vpmadd|vpdp|vpadd[wd]|vpand|vpsr|vpbroadcast|vbroadcast|vcvtdq|vpmulld|vpermil|vpermd|vpermps|vpshufb|vpsign|vpabs|vblendv|tbl|sdot|fmla|ushr|and$|scvtf|prefetch|prfm|tdp|tile|ldtilecfg")
MULTIPLIES = re.compile(r"vfmadd|vpmadd|vpdp|sdot|fmla|tdp")
STACK = re.compile(r"%rsp.*mm\d|^\S+\s+q\d.*\[sp")


def loops(lines, of):
    """Instructions from a label to the jump back to it, without a label between."""
    label, body, function = None, [], ""
    for line in lines:
        start = re.match(r"([a-z]\w*):", line)
        function = start.group(1) if start else function
        if not function.startswith(of):
            continue
        found = re.match(r"(\.L\w+):", line)
        if found:
            label, body = found.group(1), []
        elif re.match(r"\t[a-z{]", line):
            body.append(line.replace("{vex}", "").strip())
            words = line.split()
            if label and words[-1] == label and re.match(r"j|b\.|cb|tb", words[0]):
                yield body


prefix = sys.argv[1].removeprefix("--of=") if len(sys.argv) > 1 else ""
for body in loops(sys.stdin.read().split("\n"), prefix):
    names = [re.sub(r"vfmadd\d+", "vfmadd", line.split()[0]) for line in body]
    if not any(map(MULTIPLIES.match, names)):
        continue
    counts = collections.Counter(name for name in names if SHOWN.match(name))
    text = " ".join(f"{name}={count}" for name, count in sorted(counts.items()))
    print(f"loop: {text} stack={sum(bool(STACK.search(line)) for line in body)} all={len(body)}")
