// Temporary file in the same folder, fsync, rename, fsync of the folder.
#include "llmc/Runtime/AtomicFile.h"

#include "llmc/Runtime/Failure.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llmc;

void AtomicFile::fail(const char *what) const {
  failInput(finalPath + ": cannot " + what + ": " + std::strerror(errno));
}

AtomicFile::AtomicFile(std::string path)
    : finalPath(std::move(path)), temporaryPath(finalPath + ".XXXXXX") {
  // A rename would put a file in the place of a device or pipe.
  struct stat status;
  if (stat(finalPath.c_str(), &status) == 0 && !S_ISREG(status.st_mode))
    failInput(finalPath + ": is no regular file");
  descriptor = mkostemp(temporaryPath.data(), O_CLOEXEC);
  if (descriptor < 0)
    fail("be created");
  // mkstemp makes files private; an output follows the umask like any other.
  const mode_t mask = umask(0);
  umask(mask);
  if (fchmod(descriptor, 0666 & ~mask)) {
    const int reason = errno;
    close(descriptor);
    unlink(temporaryPath.c_str());
    errno = reason;
    fail("be created");
  }
}

AtomicFile::~AtomicFile() {
  if (descriptor < 0)
    return;
  close(descriptor);
  unlink(temporaryPath.c_str());
}

void AtomicFile::append(const void *data, size_t bytes) {
  const char *at = static_cast<const char *>(data);
  while (bytes) {
    const ssize_t written = write(descriptor, at, bytes);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0)
      fail("be written");
    at += written;
    bytes -= static_cast<size_t>(written);
  }
}

void AtomicFile::commit() {
  if (fsync(descriptor))
    fail("be written");
  if (rename(temporaryPath.c_str(), finalPath.c_str()))
    fail("be renamed into place");
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
