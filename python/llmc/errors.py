"""What can go wrong, as two exceptions, and how a program ended, in words."""

import signal


class Error(Exception):
    """A model that cannot be opened, or a call that it refuses.

    `code` is the name of the result code in llmc/Runtime/llmc.h without its prefix (BAD_ARGUMENT, BAD_TOKEN,
    CONTEXT_FULL, UNSUPPORTED, CHECK_FAILED of a test's model, BAD_CPU where the processor lacks what the code needs), or
    BAD_ARTIFACT for files that are missing or do not fit together or this machine, NO_RUNTIME when libllmcrt.so is not
    found, NO_MEMORY, NOT_FINITE, BUSY when another thread is using the Model.
    """

    def __init__(self, code, message):
        super().__init__(f"{message} [{code}]")
        self.code = code


def describe_exit(code):
    """How a program ended, by its return code as subprocess gives it.

    >>> describe_exit(-11)
    'ended by signal 11 (SIGSEGV)'
    >>> describe_exit(2)
    'ended with code 2'
    """
    if code >= 0:
        return f"ended with code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"ended by signal {-code} ({names.get(-code, 'unknown')})"


class ToolError(Exception):
    """A tool that is not there or that failed.

    `tool` is its name, `command` what was run (a list), `exit_code` 1 for wrong usage, 2 for bad input, 3 for a limit of
    memory or disk, 4 for a fault in llmc, negative when a signal ended it, None when it could not be started; `stderr`
    is what it said.
    """

    def __init__(self, tool, message, command=(), exit_code=None, stderr=""):
        super().__init__(message)
        self.tool = tool
        self.command = list(command)
        self.exit_code = exit_code
        self.stderr = stderr
