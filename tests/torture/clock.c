/* A wall clock that steps: seconds read from the file $TORTURE_CLOCK are added to what a process is
   told of the time of day. Its monotonic clock stays what it is, as when a real clock is set. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

typedef int (*getter)(clockid_t, struct timespec *);

static getter real(void) {
    static getter found;
    if (!found)
        found = (getter)dlsym(RTLD_NEXT, "clock_gettime");
    return found;
}

static long step(void) {
    static __thread time_t read_at;
    static __thread long seconds;
    struct timespec now;
    real()(CLOCK_MONOTONIC_COARSE, &now);
    if (now.tv_sec != read_at) {
        const char *path = getenv("TORTURE_CLOCK");
        FILE *file = path ? fopen(path, "r") : NULL;
        read_at = now.tv_sec;
        if (file) {
            if (fscanf(file, "%ld", &seconds) != 1)
                seconds = 0;
            fclose(file);
        }
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int failed = real()(clock, at);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        at->tv_sec += step();
    return failed;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    int failed = clock_gettime(CLOCK_REALTIME, &now);
    (void)zone;
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return failed;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at)
        *at = now.tv_sec;
    return now.tv_sec;
}
