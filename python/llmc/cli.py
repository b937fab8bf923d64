"""The llmc command: the demo, and the tools under one name."""

import os
import sys

from .errors import Error, ToolError
from .tools import find_tool

FORWARDED = {"import": "llmc-import", "compress": "llmc-opt", "compile": "llmc-compile", "run": "llmc-run"}

HELP = """llmc: import, compress, compile and run transformers as native code

usage: llmc demo [--work=FOLDER] [--rows=N] [--threads=N] [--only=TEXT] [--json=FILE]
       llmc import|compress|compile|run ARGUMENTS...

  demo       takes the embedded model the whole way, from ONNX to compressed native code, and ends
             with a table of size, quality and speed; `llmc demo --help` says more
  import     llmc-import: an ONNX model in
  compress   llmc-opt: calibration and compression passes
  compile    llmc-compile: native code out
  run        llmc-run: text, logits, perplexity of a compiled model

The last four are the tools themselves and take the same arguments: `llmc run --help`.
Exit codes: 0 done, 1 wrong usage, 2 bad input, 3 out of memory or disk, 4 a fault in llmc.
"""


def main(arguments=None):
    """Runs the command; returns its exit code. Forwarded tools replace this process."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    command = arguments[0] if arguments else ""
    if command in ("--help", "-h", "help"):
        print(HELP, end="")
        return 0
    if command == "--version":
        from . import __version__
        print(f"llmc {__version__}")
        return 0
    if command != "demo" and command not in FORWARDED:
        print(f"llmc: error: unknown command '{command}'" if command else HELP, file=sys.stderr)
        return 1
    try:
        if command == "demo":
            from .demo.way import main as demo
            return demo(arguments[1:])
        path = find_tool(FORWARDED[command])
        sys.stdout.flush()
        os.execv(path, [path, *arguments[1:]])
    except ToolError as error:
        print(f"llmc: error: {error}", file=sys.stderr)
        return error.exit_code if error.exit_code in (1, 2, 3, 4) else 2
    except Error as error:
        print(f"llmc: error: {error}", file=sys.stderr)
        return 2
