/* address.c - a table of the client addresses that have connections, for all workers.
 *
 * An entry lives as long as its address has connections, so the table is never larger than the
 * server.  The lock is held for a few comparisons, once when a connection comes and once when
 * it goes.
 *
 * Limits: without memory for an entry a client is let in uncounted; what runs out then is
 * memory, and its address is not to blame.
 */
#include "serve/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define BUCKETS_MAX 65536

struct address {
    struct list link; /* in its bucket */
    uint64_t key;
    unsigned n;
    bool is_v6;
};

int addresses_init(struct addresses *a, unsigned max, bool spares_loopback, unsigned nconn)
{
    *a = (struct addresses){.nbucket = 64, .max = max, .spares_loopback = spares_loopback};
    while (a->nbucket < nconn && a->nbucket < BUCKETS_MAX)
        a->nbucket *= 2;
    a->bucket = calloc(a->nbucket, sizeof(*a->bucket));
    if (!a->bucket)
        return -ENOMEM;
    for (uint32_t i = 0; i < a->nbucket; i++)
        list_init(&a->bucket[i]);
    if (getrandom(&a->seed, sizeof(a->seed), GRND_NONBLOCK) < 0)
        a->seed = (uintptr_t)a->bucket;
    pthread_mutex_init(&a->lock, NULL);
    return 0;
}

void addresses_fini(struct addresses *a)
{
    if (!a->bucket)
        return;
    pthread_mutex_destroy(&a->lock);
    free(a->bucket);
    a->bucket = NULL;
}

/* What is one address.  False: it has none that is counted. */
static bool key_of(const struct addresses *a, const struct sockaddr *peer, uint64_t *key,
                   bool *is_v6)
{
    const struct in6_addr *six = &((const struct sockaddr_in6 *)(const void *)peer)->sin6_addr;
    struct in_addr four;

    *is_v6 = peer->sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(six);
    if (*is_v6) {
        memcpy(key, six, sizeof(*key));
        return !(a->spares_loopback && IN6_IS_ADDR_LOOPBACK(six));
    }
    if (peer->sa_family == AF_INET6)
        memcpy(&four, &six->s6_addr[12], sizeof(four));
    else if (peer->sa_family == AF_INET)
        four = ((const struct sockaddr_in *)(const void *)peer)->sin_addr;
    else
        return false;
    *key = four.s_addr;
    return !(a->spares_loopback && ntohl(four.s_addr) >> 24 == IN_LOOPBACKNET);
}

/* The finish of MurmurHash3, whose every bit depends on every bit (public domain). */
static struct list *bucket_of(const struct addresses *a, uint64_t key)
{
    key ^= a->seed;
    key = (key ^ key >> 33) * 0xff51afd7ed558ccdu;
    key = (key ^ key >> 33) * 0xc4ceb9fe1a85ec53u;
    return &a->bucket[(key ^ key >> 33) & (a->nbucket - 1)];
}

static struct address *find(struct list *bucket, uint64_t key, bool is_v6)
{
    for (struct list *n = bucket->next; n != bucket; n = n->next) {
        struct address *found = CONTAINER(n, struct address, link);

        if (found->key == key && found->is_v6 == is_v6)
            return found;
    }
    return NULL;
}

int addresses_enter(struct addresses *a, const struct sockaddr *peer, struct address **from)
{
    uint64_t key;
    bool is_v6;
    int r = 0;

    *from = NULL;
    if (!key_of(a, peer, &key, &is_v6))
        return 0;
    pthread_mutex_lock(&a->lock);
    struct list *bucket = bucket_of(a, key);
    struct address *one = find(bucket, key, is_v6);
    if (!one && (one = calloc(1, sizeof(*one)))) {
        one->key = key;
        one->is_v6 = is_v6;
        list_add(bucket, &one->link);
    }
    if (one && one->n >= a->max) {
        r = -EDQUOT;
    } else if (one) {
        one->n++;
        *from = one;
    }
    pthread_mutex_unlock(&a->lock);
    return r;
}

void addresses_leave(struct addresses *a, struct address *from)
{
    if (!from)
        return;
    pthread_mutex_lock(&a->lock);
    if (--from->n == 0) {
        list_remove(&from->link);
        free(from);
    }
    pthread_mutex_unlock(&a->lock);
}
