"""exit_code.py CODE COMMAND...: runs COMMAND with stderr on stdout, and fails unless it ends with CODE."""
import subprocess
import sys

result = subprocess.run(sys.argv[2:], stderr=subprocess.STDOUT)
if result.returncode != int(sys.argv[1]):
    sys.exit(f"exit_code.py: expected exit code {sys.argv[1]}, got {result.returncode}")
