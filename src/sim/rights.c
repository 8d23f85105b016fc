/* rights.c - a descriptor in a message is the file itself: it lives while the message does.
 *
 * Real descriptors can be passed, too: as duplicates, closed when nobody takes them.
 */
#include "sim/rights.h"

#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int take(struct world *w, struct rights *r, int fd)
{
    struct desc *d = file_desc(w, fd);
    int i = r->n;

    if (i == FILE_FDS_MAX)
        return -EINVAL;
    if (d) {
        r->file[i] = d->file;
        d->file->nright++;
    } else {
        r->is_real[i] = true;
        r->fd[i] = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (r->fd[i] < 0)
            return -errno;
    }
    r->n++;
    return 0;
}

int rights_of(struct world *w, const struct msghdr *m, struct rights **r)
{
    int error = 0;

    *r = NULL;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR((struct msghdr *)m, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (!*r)
            *r = calloc(1, sizeof(**r));
        CHECK(*r, "no memory for simulated descriptors");
        for (size_t i = 0; i < n && error == 0; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(h) + i * sizeof(fd), sizeof(fd));
            error = take(w, *r, fd);
        }
    }
    if (error < 0) {
        rights_drop(*r);
        *r = NULL;
    }
    return error;
}

static void drop_one(struct rights *r, int i)
{
    if (r->is_real[i]) {
        close(r->fd[i]);
        return;
    }
    r->file[i]->nright--;
    file_unused(r->file[i]);
}

void rights_drop(struct rights *r)
{
    for (int i = 0; r && i < r->n; i++)
        drop_one(r, i);
    free(r);
}

/* The descriptor that the receiver gets. */
static int give_one(struct rights *r, int i)
{
    int fd;

    if (r->is_real[i])
        return r->fd[i];
    fd = file_open(r->file[i]);
    r->file[i]->nright--;
    if (fd < 0)
        file_unused(r->file[i]);
    return fd;
}

void rights_give(struct rights *r, struct msghdr *m, size_t room)
{
    struct cmsghdr *h = m->msg_control;
    int given = 0;

    room = room > CMSG_LEN(0) ? (room - CMSG_LEN(0)) / sizeof(int) : 0;
    for (int i = 0; i < r->n; i++) {
        int fd = (size_t)given < room ? give_one(r, i) : -1;

        if ((size_t)given >= room)
            drop_one(r, i);
        if (fd < 0) {
            m->msg_flags |= MSG_CTRUNC;
            continue;
        }
        memcpy(CMSG_DATA(h) + (size_t)given++ * sizeof(fd), &fd, sizeof(fd));
    }
    m->msg_controllen = given ? CMSG_SPACE(sizeof(int) * (size_t)given) : 0;
    if (given) {
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)given);
    }
    free(r);
}
