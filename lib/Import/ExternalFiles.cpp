//===- ExternalFiles.cpp - External tensor data, beneath one folder -------===//
//
// A model may name only regular files below its own folder, or, where the model is itself a link,
// links into the one folder that this leads to. The kernel enforces it with openat2;
// where that system call is missing or filtered, the path is walked one component at a time without
// following links.
//
//===----------------------------------------------------------------------===//

#include "llmc/Import/ImportError.h"
#include "llmc/Import/OnnxModel.h"
#include "llmc/Numerics/MappedPages.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

using namespace llmc::onnx;

namespace {
struct Descriptor {
  int fd = -1;
  explicit Descriptor(int fd) : fd(fd) {}
  Descriptor(const Descriptor &) = delete;
  Descriptor &operator=(const Descriptor &) = delete;
  ~Descriptor() {
    if (fd >= 0)
      ::close(fd);
  }
};
} // namespace

static std::vector<std::string> splitPath(const std::string &path) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= path.size()) {
    size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin)
      parts.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// The same promise as openat2 gives, by hand.
static int openByComponents(int folder, const std::vector<std::string> &parts) {
  int current = ::dup(folder);
  for (size_t i = 0; i < parts.size() && current >= 0; ++i) {
    int flags = O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    if (i + 1 < parts.size())
      flags |= O_DIRECTORY;
    int next = ::openat(current, parts[i].c_str(), flags);
    int error = errno;
    ::close(current);
    errno = error;
    current = next;
  }
  return current;
}

static int openBeneath(int folder, const std::string &location) {
  open_how how = {};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  int fd = static_cast<int>(::syscall(SYS_openat2, folder, location.c_str(), &how, sizeof(how)));
  if (fd < 0 && (errno == ENOSYS || errno == EPERM))
    return openByComponents(folder, splitPath(location));
  return fd;
}

static std::string resolved(const std::string &path) {
  char *real = ::realpath(path.c_str(), nullptr);
  std::string result = real ? real : "";
  std::free(real);
  return result;
}

/// Both the model and its data are links into one folder: the file there, opened without following
/// links again. -1 with errno ELOOP where it is not so.
static int openBesideModel(const std::string &modelPath, const std::string &link) {
  struct stat status;
  std::string model = resolved(modelPath), data = resolved(link);
  bool isLink = ::lstat(modelPath.c_str(), &status) == 0 && S_ISLNK(status.st_mode);
  size_t slash = data.rfind('/');
  if (!isLink || model.empty() || data.empty() ||
      model.substr(0, model.rfind('/')) != data.substr(0, slash)) {
    errno = ELOOP;
    return -1;
  }
  Descriptor root(::open(data.substr(0, slash + 1).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return root.fd < 0 ? -1 : openBeneath(root.fd, data.substr(slash + 1));
}

ExternalFiles::Mapping::~Mapping() {
  if (!data)
    return;
  unregisterMapping(data);
  ::munmap(const_cast<uint8_t *>(data), size);
}

std::shared_ptr<const ExternalFiles::Mapping> ExternalFiles::open(const std::string &location,
                                                                  const std::string &what) {
  auto known = mappings.find(location);
  if (known != mappings.end())
    return known->second;

  if (location.empty())
    fail(what, ": external data has an empty location");
  if (location.find('\0') != std::string::npos)
    fail(what, ": external data location contains a zero byte");
  if (location.front() == '/')
    fail(what, ": external data location '", location,
         "' is absolute; expected a path relative to the model's folder");
  for (const std::string &part : splitPath(location))
    if (part == "..")
      fail(what, ": external data location '", location,
           "' contains '..'; expected a path beneath the model's folder");

  Descriptor root(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (root.fd < 0)
    fail("cannot open folder '", folder, "': ", std::strerror(errno));
  int opened = openBeneath(root.fd, location);
  if (opened < 0 && errno == ELOOP)
    opened = openBesideModel(modelPath, folder + "/" + location);
  Descriptor file(opened);
  if (file.fd < 0) {
    if (errno == ELOOP || errno == EXDEV)
      fail(what, ": external data location '", location,
           "' leads through a symbolic link or out of the model's folder");
    if (errno == ENOENT)
      fail(what, ": external data file '", location, "' is missing in folder '", folder, "'");
    fail(what, ": cannot open external data file '", location, "': ", std::strerror(errno));
  }
  struct stat status;
  if (::fstat(file.fd, &status) != 0)
    fail(what, ": cannot read the size of '", location, "': ", std::strerror(errno));
  if (!S_ISREG(status.st_mode))
    fail(what, ": external data location '", location, "' is not a regular file");

  auto mapping = std::make_shared<Mapping>();
  mapping->size = static_cast<uint64_t>(status.st_size);
  if (mapping->size != 0) {
    void *address = ::mmap(nullptr, mapping->size, PROT_READ, MAP_PRIVATE, file.fd, 0);
    if (address == MAP_FAILED)
      failLimit(what, ": cannot map external data file '", location, "': ", std::strerror(errno));
    mapping->data = static_cast<const uint8_t *>(address);
    registerMapping(address, mapping->size);
  }
  mappings.emplace(location, mapping);
  return mapping;
}
