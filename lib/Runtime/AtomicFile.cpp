// Temporary file in the same folder, fsync, rename, fsync of the folder.
#include "llmc/Runtime/AtomicFile.h"

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llmc;

void AtomicFile::fail(ExitCode code, const char *what) const {
  throw Failure(code, finalPath + ": cannot " + what + ": " + std::strerror(errno));
}

AtomicFile::AtomicFile(std::string path) : finalPath(std::move(path)) {
  // A rename would put a file in the place of a device or pipe.
  struct stat status;
  if (stat(finalPath.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    failInput(finalPath + ": is no regular file");
  // Not mkstemp, which makes files private: an output follows the umask like any other.
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0; descriptor < 0 && attempt < 100; ++attempt) {
    temporaryPath =
        finalPath + "." + std::to_string(getpid()) + "-" + std::to_string(counter++) + ".tmp";
    descriptor =
        open(temporaryPath.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (descriptor < 0 && errno != EEXIST)
      break;
  }
  if (descriptor < 0)
    fail(ExitCode::BadInput, "be created");
}

AtomicFile::~AtomicFile() {
  if (descriptor < 0)
    return;
  close(descriptor);
  unlink(temporaryPath.c_str());
}

/// Calls write(data, bytes) until all is written or it fails.
template <typename Write> static bool writeAll(const void *data, size_t bytes, Write write) {
  const char *at = static_cast<const char *>(data);
  while (bytes) {
    const ssize_t written = write(at, bytes);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      return false;
    at += written;
    bytes -= static_cast<size_t>(written);
  }
  return true;
}

void AtomicFile::append(const void *data, size_t bytes) {
  if (!writeAll(data, bytes, [&](const char *at, size_t n) { return write(descriptor, at, n); }))
    fail(ExitCode::Limit, "be written");
}

void AtomicFile::overwrite(const void *data, size_t bytes) {
  const char *begin = static_cast<const char *>(data);
  if (!writeAll(data, bytes,
                [&](const char *at, size_t n) { return pwrite(descriptor, at, n, at - begin); }))
    fail(ExitCode::Limit, "be written");
}

void AtomicFile::commit() {
  if (fsync(descriptor))
    fail(ExitCode::Limit, "be written");
  if (rename(temporaryPath.c_str(), finalPath.c_str()))
    fail(ExitCode::BadInput, "be renamed into place");
  close(descriptor);
  descriptor = -1;
  const size_t slash = finalPath.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : finalPath.substr(0, slash + 1);
  const int folderDescriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folderDescriptor < 0)
    return;
  // The file is whole by now; some file systems cannot synchronise folders.
  (void)fsync(folderDescriptor);
  close(folderDescriptor);
}
