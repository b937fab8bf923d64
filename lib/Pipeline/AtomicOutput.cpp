//===- AtomicOutput.cpp - a file that appears whole or not at all -----------------------===//
//
// Temporary file in the same folder, fsync, rename, fsync of the folder. The lock on the temporary
// tells a living writer from the leftovers of a killed one, whatever became of its process number.
//
#include "llmc/Pipeline/AtomicOutput.h"

#include <atomic>
#include <cerrno>
#include <cstring>
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

using namespace llmc;

static std::string describe(const std::string &path, const char *what) {
  return "'" + path + "' " + what + ": " + std::strerror(errno);
}

static std::string folderOf(const std::string &path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? "." : path.substr(0, slash + 1);
}

static std::string nameOf(const std::string &path) {
  size_t slash = path.rfind('/');
  return slash == std::string::npos ? path : path.substr(slash + 1);
}

// True for PREFIX<pid>-<number>.tmp.
static bool isTemporaryName(const std::string &name, const std::string &prefix) {
  const std::string suffix = ".tmp";
  if (name.size() <= prefix.size() + suffix.size() || name.compare(0, prefix.size(), prefix) != 0 ||
      name.compare(name.size() - suffix.size(), suffix.size(), suffix) != 0)
    return false;
  for (size_t i = prefix.size(); i < name.size() - suffix.size(); ++i)
    if (name[i] != '-' && (name[i] < '0' || name[i] > '9'))
      return false;
  return true;
}

// Removes the temporaries that nobody holds a lock on. Failures do not matter: they cost space, not
// correctness.
static void removeStale(const std::string &folder, const std::string &prefix) {
  DIR *listing = opendir(folder.c_str());
  if (!listing)
    return;
  while (const dirent *entry = readdir(listing)) {
    if (!isTemporaryName(entry->d_name, prefix))
      continue;
    int file = openat(dirfd(listing), entry->d_name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
      continue;
    if (flock(file, LOCK_EX | LOCK_NB) == 0)
      (void)unlinkat(dirfd(listing), entry->d_name, 0);
    close(file);
  }
  closedir(listing);
}

std::unique_ptr<AtomicOutput> AtomicOutput::create(const std::string &path, std::string &error) {
  std::unique_ptr<AtomicOutput> output(new AtomicOutput);
  output->final = path;
  struct stat status;
  if (stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode)) {
    output->direct = true;
    output->temporary = path;
    output->file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (output->file >= 0)
      return output;
    error = describe(path, "cannot be written");
    return nullptr;
  }
  const std::string folder = folderOf(path), prefix = "." + nameOf(path) + ".";
  removeStale(folder, prefix);
  static std::atomic<unsigned> counter{0};
  for (int attempt = 0; attempt < 100; ++attempt) {
    output->temporary = (folder == "." ? "" : folder) + prefix + std::to_string(getpid()) + "-" +
                        std::to_string(counter++) + ".tmp";
    output->file =
        open(output->temporary.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (output->file < 0 && errno == EEXIST)
      continue;
    if (output->file < 0)
      break;
    // Between open and lock another run may have taken it for a leftover: then it has no name any
    // more.
    bool taken = flock(output->file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!taken && fstat(output->file, &status) == 0 && status.st_nlink > 0)
      return output;
    close(output->file);
    output->file = -1;
  }
  error = describe(path, "cannot be created");
  return nullptr;
}

AtomicOutput::~AtomicOutput() {
  if (file < 0)
    return;
  if (!direct)
    unlink(temporary.c_str());
  close(file);
}

bool AtomicOutput::write(const void *data, size_t bytes, std::string &error) {
  const char *at = static_cast<const char *>(data);
  while (bytes) {
    ssize_t written = ::write(file, at, bytes);
    if (written < 0 && errno == EINTR)
      continue;
    if (written < 0) {
      error = describe(final, "cannot be written");
      return false;
    }
    at += written;
    bytes -= static_cast<size_t>(written);
  }
  return true;
}

bool AtomicOutput::commit(std::string &error) {
  if (!direct) {
    if (fsync(file) != 0) {
      error = describe(final, "cannot be written");
      return false;
    }
    if (rename(temporary.c_str(), final.c_str()) != 0) {
      error = describe(final, "cannot be put in place");
      return false;
    }
    int folder = open(folderOf(final).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) {
      (void)fsync(
          folder); // Some file systems cannot synchronise folders; the file is whole by now.
      close(folder);
    }
  }
  int result = close(file);
  file = -1;
  if (result != 0)
    error = describe(final, "cannot be written");
  return result == 0;
}

bool llmc::isSameFile(const std::string &a, const std::string &b) {
  struct stat first, second;
  return stat(a.c_str(), &first) == 0 && stat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}
