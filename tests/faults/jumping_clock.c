/* Preloaded into a process: from `jump_from_now` on its wall clock goes back and forth by hours at
   every look at it. The monotonic clock, which no one can set, goes on as it did. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

static atomic_int jumping, looks;

void jump_from_now(void) { atomic_store(&jumping, 1); }

int looks_at_the_clock(void) { return atomic_load(&looks); }

static time_t jump(void) {
    if (!atomic_load(&jumping)) return 0;
    int look = atomic_fetch_add(&looks, 1);
    return (look % 2 ? -1 : 1) * 7200 * (look % 5);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec += jump();
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    static int (*real)(struct timeval *, void *);
    if (!real) real = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
    int failed = real(now, zone);
    if (!failed) now->tv_sec += jump();
    return failed;
}

time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now) *now = found.tv_sec;
    return found.tv_sec;
}
