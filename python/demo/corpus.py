"""Which files of Python's standard library the demo model learns from, and which it never sees.

The split is by name and the order by a hash of the name, so that two runs over one Python version
read the same bytes. Token streams start every file with the file mark.
"""

import hashlib
import pathlib
import sysconfig

# Never trained on, nor seen by the tokenizer: perplexity is measured here.
HELD_OUT = (
    "argparse.py",
    "calendar.py",
    "configparser.py",
    "csv.py",
    "fractions.py",
    "gzip.py",
    "heapq.py",
    "queue.py",
    "sched.py",
    "shelve.py",
    "textwrap.py",
    "zipfile.py",
)

# Tables and generated files: much text, no programming.
SKIPPED_FOLDERS = ("encodings", "pydoc_data", "site-packages", "test", "tests", "idle_test")
SKIPPED_PARTS = ("_sysconfigdata", "pgen2/token", "__phello__")

FILE_MARK = "<|file|>"


def library_root():
    """The folder of the running interpreter's standard library."""
    return pathlib.Path(sysconfig.get_path("stdlib"))


def _eligible(relative):
    if any(part in SKIPPED_FOLDERS for part in relative.parts):
        return False
    return not any(skipped in relative.as_posix() for skipped in SKIPPED_PARTS)


def read_split(root=None):
    """Returns (training texts, held-out texts), each a list in a fixed order."""
    root = pathlib.Path(root) if root else library_root()
    training, held_out = [], {}
    for path in root.rglob("*.py"):
        relative = path.relative_to(root)
        if not _eligible(relative):
            continue
        text = path.read_bytes().decode("utf-8", errors="replace").replace("\r\n", "\n")
        if not text.strip():
            continue
        if relative.as_posix() in HELD_OUT:
            held_out[relative.as_posix()] = text
        else:
            key = hashlib.sha256(relative.as_posix().encode()).hexdigest()
            training.append((key, text))
    missing = [name for name in HELD_OUT if name not in held_out]
    if missing:
        raise SystemExit(f"{root}: held-out modules not found: {', '.join(missing)}")
    training.sort()
    return [text for _, text in training], [held_out[name] for name in HELD_OUT]
