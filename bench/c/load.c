/* A small load generator, for machines without wrk.
 *
 *     load PORT CONNECTIONS SECONDS REQUEST-FILE SEED PATIENCE
 *
 * Each connection has one request under way at a time. Every run of sixteen '@' in the request becomes
 * SEED (eight characters) and a counter (eight hexadecimal digits), so each such request is a new one.
 * A request that says "Connection: close" gets a new connection each time.
 * Every answer must be a 200 with a Content-Length, or in chunks and without trailers. Prints one line: counts of answers and of errors, and
 * latencies. A request that has waited for more than PATIENCE seconds at the end is an error, too.
 */
#define _GNU_SOURCE
#include "asking.h"

enum { ROOM = 16384, MARK = 16, MARKS = 8, CHUNKED = -2 };
#define LAST "\r\n0\r\n\r\n"
#define TAIL ((ssize_t)sizeof LAST - 1)

struct connection {
    int fd;
    size_t have; /* bytes of the answer so far: the first ROOM of them are kept */
    long size;   /* of the whole answer, once its head has come; CHUNKED: it ends where LAST ends a read */
    double asked;
    char tail[TAIL];
    char in[ROOM + 1];
};

static char request[ROOM + 1], *marks[MARKS];
static size_t request_size;
static int port, mark_count, loop, once;
static unsigned long counter, status_errors, connect_errors, read_errors, timeouts;
static double now;

static int load_request(const char *path, const char *seed)
{
    FILE *file = fopen(path, "rb");

    if (!file)
        return -1;
    request_size = fread(request, 1, ROOM, file);
    fclose(file);
    once = strcasestr(request, "\r\nConnection: close\r\n") != NULL;
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
    c->have = c->size = 0;
    c->asked = now;
    if (send(c->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size)
        read_errors++;
}

static void open_connection(struct connection *c)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};

    if ((c->fd = connect_to(port)) < 0) {
        connect_errors++; /* given up: a server that refuses is not asked again and again */
        return;
    }
    epoll_ctl(loop, EPOLL_CTL_ADD, c->fd, &event);
    ask(c);
}

/* Ended by a reset, which leaves no TIME_WAIT behind: ports would run out. */
static void reopen(struct connection *c)
{
    struct linger none = {.l_onoff = 1};

    setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &none, sizeof none);
    close(c->fd);
    open_connection(c);
}

/* Size of the whole answer, or CHUNKED; 0: its head is not complete; -1: this program cannot frame it. */
static long answer_size(struct connection *c)
{
    char *end, *length;

    c->in[c->have] = 0;
    if (!(end = strstr(c->in, "\r\n\r\n")))
        return c->have == ROOM ? -1 : 0;
    length = strcasestr(c->in, "\r\nContent-Length:");
    if (!length || length > end) {
        length = strcasestr(c->in, "\r\nTransfer-Encoding: chunked\r\n");
        return length && length < end ? CHUNKED : -1;
    }
    return end + 4 - c->in + atol(length + sizeof "\r\nContent-Length:" - 1);
}

/* Whether the last chunk has come: the end of all that has, of which this was read last. */
static int ends(struct connection *c, const char *read, ssize_t n)
{
    ssize_t more = n < TAIL ? n : TAIL;

    if (n <= 0)
        return 0;
    memmove(c->tail, c->tail + more, TAIL - more);
    memcpy(c->tail + TAIL - more, read + n - more, more);
    return memcmp(c->tail, LAST, TAIL) == 0;
}

static void receive(struct connection *c)
{
    static char rest[1 << 18];
    int head = !c->size;
    char *here = head ? c->in + c->have : rest;
    ssize_t n = recv(c->fd, here, head ? ROOM - c->have : sizeof rest, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        c->have += n;
    if (n > 0 && head)
        c->size = answer_size(c);
    if (c->size == CHUNKED && ends(c, here, n))
        c->size = c->have;
    if (n <= 0 || c->size == -1 || (c->size > 0 && (size_t)c->size < c->have)) {
        read_errors++;
        reopen(c);
    } else if (c->size > 0 && (size_t)c->size == c->have) {
        now = clock_seconds();
        count_answer(now - c->asked);
        status_errors += c->have < 12 || memcmp(c->in, "HTTP/1.", 7) || memcmp(c->in + 8, " 200", 4);
        if (once)
            reopen(c);
        else
            ask(c);
    }
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    struct connection *all;
    double start, end, patience;
    int count;

    if (argc != 7 || strlen(argv[5]) != MARK / 2 || load_request(argv[4], argv[5])) {
        fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS REQUEST-FILE SEED PATIENCE\n");
        return 2;
    }
    port = atoi(argv[1]);
    patience = atof(argv[6]);
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
        timeouts += all[i].fd >= 0 && now - all[i].asked > patience;
    printf("requests=%lu seconds=%.6f connect=%lu read=%lu status=%lu timeout=%lu", answers, now - start,
           connect_errors, read_errors, status_errors, timeouts);
    print_latencies();
    return 0;
}
