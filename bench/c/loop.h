/* What the limits share: a listener on 127.0.0.1 and an epoll loop around serve(), level-triggered. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
    int fd;
    char *rest; /* what the kernel did not take: from this byte to that */
    size_t from, to;
};

static int loop;

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

static void watch(int operation, struct connection *c, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};

    epoll_ctl(loop, operation, c->fd, &event);
}

static void welcome(int listener)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    struct connection *c = fd < 0 ? NULL : calloc(1, sizeof *c);

    if (!c) {
        if (fd >= 0)
            close(fd);
        return;
    }
    c->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    watch(EPOLL_CTL_ADD, c, EPOLLIN);
}

static void leave(struct connection *c)
{
    close(c->fd);
    free(c->rest);
    free(c);
}

/* Serves for ever; returns only when it cannot. */
static int run(int port, void (*serve)(struct connection *, uint32_t))
{
    struct epoll_event events[256];
    struct connection listener = {.fd = listen_on(port)};

    if (listener.fd < 0)
        return fail("listen");
    if ((loop = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return fail("epoll");
    watch(EPOLL_CTL_ADD, &listener, EPOLLIN);
    for (;;) {
        int n = epoll_wait(loop, events, 256, -1);

        if (n < 0 && errno != EINTR)
            return fail("epoll_wait");
        for (int i = 0; i < n; i++)
            if (events[i].data.ptr == &listener)
                welcome(listener.fd);
            else
                serve(events[i].data.ptr, events[i].events);
    }
}
