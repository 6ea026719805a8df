/* A small load generator, for machines without wrk.
 *
 *     load PORT CONNECTIONS SECONDS REQUEST-FILE SEED
 *
 * Each connection has one request under way at a time. Every run of sixteen '@' in the request becomes
 * SEED (eight characters) and a counter (eight hexadecimal digits), so each such request is a new one.
 * Every answer must be a 200 with a Content-Length. Prints one line: counts of answers and of errors.
 */
#define _GNU_SOURCE
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

enum { ROOM = 16384, MARK = 16, MARKS = 8, PATIENCE = 2 };

struct connection {
    int fd;
    size_t have;
    double asked;
    char in[ROOM + 1];
};

static struct sockaddr_in target = {.sin_family = AF_INET};
static char request[ROOM + 1], *marks[MARKS];
static size_t request_size;
static int mark_count, loop;
static unsigned long counter, answers, status_errors, connect_errors, read_errors, timeouts;
static double now;

static double clock_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int load_request(const char *path, const char *seed)
{
    FILE *file = fopen(path, "rb");

    if (!file)
        return -1;
    request_size = fread(request, 1, ROOM, file);
    fclose(file);
    for (char *p = request; (p = strstr(p, "@@@@@@@@@@@@@@@@")) && mark_count < MARKS; p += MARK) {
        memcpy(p, seed, MARK / 2);
        marks[mark_count++] = p + MARK / 2;
    }
    return request_size ? 0 : -1;
}

static void ask(struct connection *c)
{
    char digits[MARK / 2 + 1];

    if (mark_count)
        snprintf(digits, sizeof digits, "%08lx", counter++ & 0xffffffff);
    for (int i = 0; i < mark_count; i++)
        memcpy(marks[i], digits, MARK / 2);
    c->have = 0;
    c->asked = now;
    if (send(c->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
        read_errors++;
}

static void open_connection(struct connection *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    int one = 1;

    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&target, sizeof target)) {
        connect_errors++;
        if (c->fd >= 0)
            close(c->fd);
        c->fd = -1; /* given up: a server that refuses is not asked again and again */
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &event);
    ask(c);
}

static void reopen(struct connection *c)
{
    close(c->fd);
    open_connection(c);
}

/* Size of the whole answer; 0: its head is not complete; -1: not an answer this program can frame. */
static long answer_size(struct connection *c)
{
    char *end, *length;

    c->in[c->have] = 0;
    if (!(end = strstr(c->in, "\r\n\r\n")))
        return c->have == ROOM ? -1 : 0;
    length = strcasestr(c->in, "\r\nContent-Length:");
    if (!length || length > end)
        return -1;
    return end + 4 - c->in + atol(length + sizeof "\r\nContent-Length:" - 1);
}

static void receive(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->have, ROOM - c->have, 0);
    long size;

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        c->have += n;
    size = n > 0 ? answer_size(c) : -1;
    if (size < 0 || size > ROOM || (size && (size_t)size < c->have)) {
        read_errors++;
        reopen(c);
    } else if (size && (size_t)size == c->have) {
        answers++;
        status_errors += c->have < 12 || memcmp(c->in, "HTTP/1.", 7) || memcmp(c->in + 8, " 200", 4);
        ask(c);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    struct connection *all;
    double start, end;
    int count;

    if (argc != 6 || strlen(argv[5]) != MARK / 2 || load_request(argv[4], argv[5])) {
        fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS REQUEST-FILE SEED\n");
        return 2;
    }
    target.sin_port = htons(atoi(argv[1]));
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    count = atoi(argv[2]);
    all = calloc(count, sizeof *all);
    loop = epoll_create1(0);
    if (!all || loop < 0)
        return 1;
    start = now = clock_seconds();
    end = start + atof(argv[3]);
    for (int i = 0; i < count; i++)
        open_connection(&all[i]);
    while ((now = clock_seconds()) < end) {
        int n = epoll_wait(loop, events, 256, 100);

        for (int i = 0; i < n; i++)
            receive(events[i].data.ptr);
    }
    for (int i = 0; i < count; i++)
        timeouts += all[i].fd >= 0 && now - all[i].asked > PATIENCE;
    printf("requests=%lu seconds=%.6f connect=%lu read=%lu status=%lu timeout=%lu\n", answers, now - start,
           connect_errors, read_errors, status_errors, timeouts);
    return 0;
}
