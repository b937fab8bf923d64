/* The part of the count of processors that reads files. */
#ifndef LLMC_LIB_RUNTIME_PROCESSORS_H
#define LLMC_LIB_RUNTIME_PROCESSORS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Processors that the quotas of a process's control groups pay for, rounded up; LLMCRT_MAX_THREADS
 * without quota. `membership` is a file like /proc/self/cgroup, `mount` what /sys/fs/cgroup is. */
int32_t llmcrt_quota(const char *membership, const char *mount);

#ifdef __cplusplus
}
#endif

#endif /* LLMC_LIB_RUNTIME_PROCESSORS_H */
