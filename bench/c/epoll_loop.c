/* The limit: an epoll loop that answers each request head without looking at it.
 *
 *     epoll_loop PORT
 *
 * It listens on 127.0.0.1, keeps connections alive and knows one answer. All it asks of the input is that
 * it ends with a blank line, so that a head torn in two is not answered twice.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

static const char ANSWER[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world!";

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 1024))
        return -1;
    return fd;
}

static void watch(int loop, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    epoll_ctl(loop, EPOLL_CTL_ADD, fd, &event);
}

static void welcome(int loop, int listener)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(loop, fd);
}

static void answer(int fd)
{
    static char buffer[65536];
    ssize_t n = recv(fd, buffer, sizeof buffer, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        close(fd);
    else if (n >= 4 && memcmp(buffer + n - 4, "\r\n\r\n", 4) == 0)
        if (send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) != (ssize_t)sizeof ANSWER - 1)
            close(fd);
}

int main(int argc, char **argv)
{
    struct epoll_event events[256];
    int listener, loop;

    if (argc != 2) {
        fprintf(stderr, "usage: epoll_loop PORT\n");
        return 2;
    }
    if ((listener = listen_on(atoi(argv[1]))) < 0)
        return fail("listen");
    if ((loop = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return fail("epoll");
    watch(loop, listener);
    for (;;) {
        int n = epoll_wait(loop, events, 256, -1);

        if (n < 0 && errno != EINTR)
            return fail("epoll_wait");
        for (int i = 0; i < n; i++)
            if (events[i].data.fd == listener)
                welcome(loop, listener);
            else
                answer(events[i].data.fd);
    }
}
