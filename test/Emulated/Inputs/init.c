/* The first and only program of the emulated machine: runs the commands of /cases, one to a line,
 * and sends what came of them over the parallel port, which the emulator writes into a file.
 *
 * A line is NAME RESULT PROGRAM ARGUMENT ..., separated by single spaces; RESULT is a file to send,
 * or '-'. An answer is "NAME STATUS TEXT-BYTES RESULT-BYTES\n", the text (standard output and error)
 * and the result. "done\n" ends the answers. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { Data = 0x378, Control = 0x37a, Online = 0x0c, Strobe = 0x01 };
enum { MaxArguments = 32, NotStarted = 127 };
static const char text[] = "/text";

static void sendBytes(const char *bytes, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    outb((unsigned char)bytes[i], Data);
    outb(Online | Strobe, Control);
    outb(Online, Control);
  }
}

static long sizeOf(const char *path) {
  struct stat status;
  return stat(path, &status) == 0 ? (long)status.st_size : 0;
}

static void sendFile(const char *path) {
  char buffer[4096];
  ssize_t count;
  int file = open(path, O_RDONLY);
  if (file < 0)
    return;
  while ((count = read(file, buffer, sizeof(buffer))) > 0)
    sendBytes(buffer, (size_t)count);
  close(file);
}

/* Exit code of a program, 128 + signal, or NotStarted. */
static int run(char *const *arguments) {
  int status = 0;
  pid_t child = fork();
  if (child == 0) {
    int file = open(text, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    execv(arguments[0], arguments);
    _exit(NotStarted);
  }
  if (child < 0 || waitpid(child, &status, 0) != child)
    return NotStarted;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void runCase(char *line) {
  char *fields[MaxArguments + 1] = {NULL}, *rest = NULL, header[256];
  int count = 0;
  for (char *field = strtok_r(line, " \n", &rest); field && count < MaxArguments;
       field = strtok_r(NULL, " \n", &rest))
    fields[count++] = field;
  if (count < 3)
    return;
  const char *result = fields[1];
  int code = run(fields + 2);
  int length = snprintf(header, sizeof(header), "%s %d %ld %ld\n", fields[0], code, sizeOf(text),
                        sizeOf(result));
  sendBytes(header, (size_t)length);
  sendFile(text);
  sendFile(result);
  unlink(text);
  unlink(result);
}

int main(void) {
  char *line = NULL;
  size_t size = 0;
  FILE *cases = fopen("/cases", "r");
  if (mount("proc", "/proc", "proc", 0, NULL) == 0 && iopl(3) == 0 && cases) {
    outb(Online, Control);
    while (getline(&line, &size, cases) > 0)
      runCase(line);
    sendBytes("done\n", strlen("done\n"));
  }
  reboot(RB_POWER_OFF);
  for (;;)
    pause();
}
