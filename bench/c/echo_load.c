/* The load of an echo.
 *
 *     echo_load PORT CONNECTIONS SECONDS SIZE PATIENCE
 *
 * Each connection has one message of SIZE bytes under way; the next one leaves when all of it has come
 * back. Every message begins with a number of its own, and what comes back is compared byte for byte.
 * Prints one line: counts of messages and of errors, and latencies. A message that has waited for more
 * than PATIENCE seconds at the end is an error, too.
 */
#define _GNU_SOURCE
#include "asking.h"

struct connection {
    int fd, stuck; /* stuck: the kernel did not take all of the message, and tells when there is room */
    size_t sent, have;
    double asked;
    char *message;
};

static int port, loop;
static size_t size;
static unsigned long counter, connect_errors, read_errors, wrong, timeouts;

static void watch(struct connection *c, int operation, unsigned events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    epoll_ctl(loop, operation, c->fd, &event);
}

static void open_connection(struct connection *c);

static void give_up(struct connection *c, unsigned long *errors)
{
    (*errors)++;
    close(c->fd);
    open_connection(c);
}

static void push(struct connection *c)
{
    ssize_t n = send(c->fd, c->message + c->sent, size - c->sent, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return; /* the end is seen by recv(), too, and counted there */
    c->sent += n > 0 ? n : 0;
    if (c->stuck != (c->sent < size)) {
        c->stuck = c->sent < size;
        watch(c, EPOLL_CTL_MOD, c->stuck ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
}

static void ask(struct connection *c, double now)
{
    counter++;
    memcpy(c->message, &counter, sizeof counter);
    c->sent = c->have = 0;
    c->asked = now;
    push(c);
}

static void open_connection(struct connection *c)
{
    if ((c->fd = connect_to(port)) < 0) {
        connect_errors++; /* given up: a server that refuses is not asked again and again */
        return;
    }
    c->stuck = 0;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
    ask(c, clock_seconds());
}

static void receive(struct connection *c)
{
    static char in[65536];
    ssize_t n = recv(c->fd, in, sizeof in, 0);
    double now;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        give_up(c, &read_errors);
    } else if (c->have + n > c->sent || memcmp(in, c->message + c->have, n)) {
        give_up(c, &wrong);
    } else if ((c->have += n) == size) {
        now = clock_seconds();
        count_answer(now - c->asked);
        ask(c, now);
    }
}

static int prepare(struct connection *c, unsigned seed)
{
    if (!(c->message = malloc(size)))
        return -1;
    for (size_t i = 0; i < size; i++)
        c->message[i] = (seed = seed * 1103515245 + 12345) >> 16;
    open_connection(c);
    return 0;
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    struct connection *all;
    double start, now, end;
    int count;

    if (argc != 6 || (size = atoi(argv[4])) < sizeof counter) {
        fprintf(stderr, "usage: echo_load PORT CONNECTIONS SECONDS SIZE PATIENCE\n");
        return 2;
    }
    port = atoi(argv[1]);
    count = atoi(argv[2]);
    all = calloc(count, sizeof *all);
    if (!all || (loop = epoll_create1(0)) < 0)
        return 1;
    start = clock_seconds();
    end = start + atof(argv[3]);
    for (int i = 0; i < count; i++)
        if (prepare(&all[i], i + 1))
            return 1;
    while ((now = clock_seconds()) < end) {
        int n = epoll_wait(loop, events, 256, 100);

        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;

            if (events[i].events & EPOLLOUT)
                push(c);
            if (events[i].events & ~EPOLLOUT)
                receive(c);
        }
    }
    for (int i = 0; i < count; i++)
        timeouts += all[i].fd >= 0 && now - all[i].asked > atof(argv[5]);
    printf("requests=%lu seconds=%.6f connect=%lu read=%lu wrong=%lu timeout=%lu", answers, now - start,
           connect_errors, read_errors, wrong, timeouts);
    print_latencies();
    return 0;
}
