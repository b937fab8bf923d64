"""What can go wrong, as two exceptions."""


class Error(Exception):
    """A model that cannot be opened, or a call that it refuses.

    `code` is the name of the result code in llmc/Runtime/llmc.h without its prefix (BAD_ARGUMENT, BAD_TOKEN,
    CONTEXT_FULL, UNSUPPORTED), or BAD_ARTIFACT for files that are missing or do not fit together or this machine,
    NO_RUNTIME when libllmcrt.so is not found, NO_MEMORY, NOT_FINITE, BUSY when another thread is using the Model.
    """

    def __init__(self, code, message):
        super().__init__(f"{message} [{code}]")
        self.code = code


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
