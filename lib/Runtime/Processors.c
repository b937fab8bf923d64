/* How many processors this process may use: those of its affinity mask, and in a container with a
 * quota of processor time (`docker run --cpus=2`) no more than the quota pays for, as more threads
 * would be stopped in the middle of a stage. https://docs.kernel.org/admin-guide/cgroup-v2.html
 * (cpu.max) and cgroup-v1 (cpu.cfs_quota_us, cpu.cfs_period_us). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "Processors.h"

#include "llmc/Runtime/llmcrt.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The first line of folder/name in `line`; 0 when there is none. */
static int32_t readLine(const char *folder, const char *name, char *line, int32_t size) {
  char path[2 * PATH_MAX];
  if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
    return 0;
  FILE *file = fopen(path, "re");
  if (!file)
    return 0;
  const int32_t found = fgets(line, size, file) != NULL;
  fclose(file);
  return found;
}

/* What one group may use, rounded up; LLMCRT_MAX_THREADS when it has no quota. */
static int32_t quotaOfGroup(const char *folder) {
  char line[64];
  long long quota = 0, period = 0;
  if (readLine(folder, "cpu.max", line, sizeof line)) {
    char *rest = line;
    quota = strtoll(line, &rest, 10); /* "max 100000" without a quota: 0 */
    period = strtoll(rest, NULL, 10);
  } else if (readLine(folder, "cpu.cfs_quota_us", line, sizeof line)) {
    quota = strtoll(line, NULL, 10); /* -1 without a quota */
    if (!readLine(folder, "cpu.cfs_period_us", line, sizeof line))
      return LLMCRT_MAX_THREADS;
    period = strtoll(line, NULL, 10);
  }
  if (quota <= 0 || period <= 0 || quota / period >= LLMCRT_MAX_THREADS)
    return LLMCRT_MAX_THREADS;
  return (int32_t)((quota + period - 1) / period);
}

/* The least of the group at mount + path and those around it. A path that is not there, as a
 * container sees its host's, has no quota: what the container sees at the mount counts. */
static int32_t quotaOfGroups(const char *mount, char *path) {
  int32_t least = LLMCRT_MAX_THREADS;
  for (;;) {
    char folder[PATH_MAX];
    if (snprintf(folder, sizeof folder, "%s%s", mount, path) < (int)sizeof folder) {
      const int32_t quota = quotaOfGroup(folder);
      least = quota < least ? quota : least;
    }
    char *slash = strrchr(path, '/');
    if (!slash)
      return least;
    *slash = '\0';
  }
}

/* Whether the controllers of a line of /proc/self/cgroup, "cpu,cpuacct", have `cpu` among them. */
static int32_t hasCpu(char *controllers) {
  for (char *rest = NULL, *one = strtok_r(controllers, ",", &rest); one;
       one = strtok_r(NULL, ",", &rest))
    if (!strcmp(one, "cpu"))
      return 1;
  return 0;
}

int32_t llmcrt_quota(const char *membership, const char *mount) {
  FILE *file = fopen(membership, "re");
  if (!file)
    return LLMCRT_MAX_THREADS;
  int32_t least = LLMCRT_MAX_THREADS;
  char line[PATH_MAX];
  while (fgets(line, sizeof line, file)) {
    /* "0::/user.slice" (version 2) or "4:cpu,cpuacct:/docker/1f" (version 1). */
    line[strcspn(line, "\n")] = '\0';
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(++controllers, ':') : NULL;
    if (!path)
      continue;
    *path++ = '\0';
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s%s%s", mount, *controllers ? "/" : "", controllers);
    if (*controllers && !hasCpu(controllers))
      continue;
    const int32_t quota = quotaOfGroups(folder, path);
    least = quota < least ? quota : least;
  }
  fclose(file);
  return least;
}

int32_t llmcrt_cpu_count(void) {
  cpu_set_t set;
  long count = sysconf(_SC_NPROCESSORS_ONLN);
  if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0)
    count = CPU_COUNT(&set);
  const int32_t quota = llmcrt_quota("/proc/self/cgroup", "/sys/fs/cgroup");
  if (count > quota)
    return quota;
  return count > 0 ? (int32_t)count : 1;
}
