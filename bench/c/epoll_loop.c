/* The limit: an epoll loop that answers each request head without looking at it.
 *
 *     epoll_loop PORT
 *
 * It listens on 127.0.0.1, keeps connections alive and knows one answer. All it asks of the input is that
 * it ends with a blank line, so that a head torn in two is not answered twice.
 */
#define _GNU_SOURCE
#include "loop.h"

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";

static void answer(struct connection *c, uint32_t events)
{
    static char buffer[65536];
    ssize_t n = recv(c->fd, buffer, sizeof buffer, 0);

    (void)events;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        leave(c);
    else if (n >= 4 && memcmp(buffer + n - 4, "\r\n\r\n", 4) == 0)
        if (send(c->fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) != (ssize_t)sizeof ANSWER - 1)
            leave(c);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: epoll_loop PORT\n");
        return 2;
    }
    return run(atoi(argv[1]), answer);
}
