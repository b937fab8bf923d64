//===- AtomicOutput.cpp - a file that appears whole or not at all -----------------------===//
//
// Temporary file in the same folder, fsync, rename, fsync of the folder. The lock on the temporary
// tells a living writer from the leftovers of a killed one, whatever became of its process number.
//
#include "llmc/Pipeline/AtomicOutput.h"

#include <atomic>
#include <cerrno>
#include <cstdio>
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
  if (!direct && (placed == Placed::No || placed == Placed::Exchanged))
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

bool AtomicOutput::synchronize(std::string &error) {
  if (direct || fsync(file) == 0)
    return true;
  error = describe(final, "cannot be written");
  return false;
}

bool AtomicOutput::place(bool undoable, std::string &error) {
  if (direct)
    return true;
  struct stat status;
  if (lstat(final.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) { // Exchange would take it.
    errno = EISDIR;
    error = describe(final, "cannot be put in place");
    return false;
  }
  if (undoable) {
    if (renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final.c_str(), RENAME_EXCHANGE) == 0) {
      placed = Placed::Exchanged;
      return true;
    }
    placed = errno == ENOENT ? Placed::New : Placed::Replaced; // Some file systems cannot exchange.
  } else {
    placed = Placed::Replaced;
  }
  if (rename(temporary.c_str(), final.c_str()) == 0)
    return true;
  placed = Placed::No;
  error = describe(final, "cannot be put in place");
  return false;
}

void AtomicOutput::undoPlace() {
  bool undone = false;
  if (placed == Placed::Exchanged)
    undone = renameat2(AT_FDCWD, temporary.c_str(), AT_FDCWD, final.c_str(), RENAME_EXCHANGE) == 0;
  else if (placed == Placed::New)
    undone = rename(final.c_str(), temporary.c_str()) == 0;
  if (undone)
    placed = Placed::No;
}

bool AtomicOutput::finish(std::string &error) {
  if (placed == Placed::Exchanged)
    unlink(temporary.c_str());
  int result = close(file);
  file = -1;
  if (result != 0)
    error = describe(final, "cannot be written");
  return result == 0;
}

// Some file systems cannot synchronise folders; the files are whole by now.
static void synchronizeFolder(const std::string &path) {
  int folder = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0)
    return;
  (void)fsync(folder);
  close(folder);
}

bool AtomicOutput::commitAll(const std::vector<AtomicOutput *> &outputs, std::string &error) {
  for (AtomicOutput *output : outputs)
    if (!output->synchronize(error))
      return false;
  for (size_t i = 0; i < outputs.size(); ++i) {
    bool last = i + 1 == outputs.size();
    if (outputs[i]->place(/*undoable=*/!last, error))
      continue;
    while (i-- > 0)
      outputs[i]->undoPlace();
    return false;
  }
  std::string synchronized;
  bool closed = true;
  for (AtomicOutput *output : outputs) {
    std::string folder = folderOf(output->final);
    if (!output->direct && folder != synchronized)
      synchronizeFolder(folder);
    synchronized = folder;
    closed &= output->finish(error);
  }
  return closed;
}

bool AtomicOutput::commit(std::string &error) { return commitAll({this}, error); }

bool llmc::isSameFile(const std::string &a, const std::string &b) {
  struct stat first, second;
  return stat(a.c_str(), &first) == 0 && stat(b.c_str(), &second) == 0 &&
         first.st_dev == second.st_dev && first.st_ino == second.st_ino;
}
