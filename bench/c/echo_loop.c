/* The limit of an echo: an epoll loop that sends back what it receives.
 *
 *     echo_loop PORT
 *
 * It listens on 127.0.0.1. What the kernel does not take at once is kept, and nothing more is read from
 * that connection until it has gone.
 */
#define _GNU_SOURCE
#include "loop.h"

/* The number of bytes the kernel took, or -1 when the connection is broken. */
static ssize_t push(struct connection *c, const char *data, size_t size)
{
    ssize_t n = send(c->fd, data, size, MSG_NOSIGNAL);

    return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : n;
}

static void keep(struct connection *c, const char *data, size_t size)
{
    c->rest = malloc(size);
    if (!c->rest) {
        leave(c);
        return;
    }
    memcpy(c->rest, data, size);
    c->from = 0;
    c->to = size;
    watch(EPOLL_CTL_MOD, c, EPOLLOUT);
}

static void push_rest(struct connection *c)
{
    ssize_t n = push(c, c->rest + c->from, c->to - c->from);

    if (n < 0) {
        leave(c);
    } else if ((c->from += n) == c->to) {
        free(c->rest);
        c->rest = NULL;
        watch(EPOLL_CTL_MOD, c, EPOLLIN);
    }
}

static void echo(struct connection *c, uint32_t events)
{
    static char buffer[65536];
    ssize_t n, sent;

    (void)events;
    if (c->rest) {
        push_rest(c);
        return;
    }
    n = recv(c->fd, buffer, sizeof buffer, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || (sent = push(c, buffer, n)) < 0)
        leave(c);
    else if (sent < n)
        keep(c, buffer + sent, n - sent);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: echo_loop PORT\n");
        return 2;
    }
    return run(atoi(argv[1]), echo);
}
