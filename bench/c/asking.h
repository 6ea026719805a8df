/* What the load generators share: the clock, the latencies, and connections to 127.0.0.1. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STEP_US = 10, STEPS = 3000000 }; /* latencies by ten microseconds, up to half a minute */

static unsigned counted[STEPS];
static unsigned long answers;
static double slowest;

static double clock_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void count_answer(double seconds)
{
    long step = seconds * 1e6 / STEP_US;

    answers++;
    counted[step < STEPS ? step : STEPS - 1]++;
    if (seconds > slowest)
        slowest = seconds;
}

/* Microseconds within which this share of the answers came. */
static long percentile(double share)
{
    unsigned long wanted = share * answers, seen = 0;

    if (!answers)
        return 0;
    for (long step = 0; step < STEPS; step++)
        if ((seen += counted[step]) > wanted)
            return (step + 1) * STEP_US;
    return slowest * 1e6;
}

static void print_latencies(void)
{
    printf(" p50_us=%ld p99_us=%ld max_us=%.0f\n", percentile(0.50), percentile(0.99), slowest * 1e6);
}

/* A connection that waits for nothing from here on, or -1. */
static int connect_to(int port)
{
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&target, sizeof target)) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}
