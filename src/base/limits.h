/* limits.h - every bound of the house, named, with its reason. */
#ifndef STOA_BASE_LIMITS_H
#define STOA_BASE_LIMITS_H

/* Handles: an int's 31 bits are 8 of generation over 23 of slot. */
#define SLOT_BITS      23
#define GENERATION_MAX 255
#define CHUNK_SLOTS    1024 /* slots mapped at a time: 1/8192 of all */
#define SLOTS_FREE_MIN 256  /* times GENERATION_MAX: closes before a number comes again */

/* Fibers.  64 KiB of address space costs nothing until touched; printf of a
 * double needs about 8 KiB, getaddrinfo (which never runs on a fiber) 30. */
#define STACK_SIZE_DEFAULT ((size_t)64 << 10)
#define STACK_SIZE_MIN     ((size_t)16 << 10)
#define STACK_SIZE_MAX     ((size_t)64 << 20)
#define STACKS_PER_REGION  1024 /* stacks in one mapping: vm.max_map_count is 65,530 */
#define STACKS_HOT         256  /* free stacks of a worker whose pages are kept */

/* A region of large stacks holds fewer of them: address space may be limited, too. */
#define STACK_REGION_MAX ((size_t)1 << 30)

/* Guards by mprotect(2), where the kernel knows no other: two mappings each, so half of
 * vm.max_map_count is left to the program. */
#define STACK_GUARDS_BY_MPROTECT 16000

/* A worker's turn. */
#define EVENTS_PER_TURN 64  /* readiness taken by one epoll_wait(2); more leave the cache */
#define FIBERS_PER_TURN 256 /* fibers run before the backend is asked again */
#define OPS_INLINE_MAX  32  /* calls in a row that did not wait, before others run */

/* io_uring: a turn's calls, and room for their answers.  More of either is good, but goes round
 * through more of the cache: 8,192 answers cost 5 % at 16 KiB a message. */
#define RING_ENTRIES     256
#define RING_COMPLETIONS 1024

/* A close from elsewhere waits so long for a home that has the descriptor in its ring. */
#define CLOSE_WAIT_NS ((uint64_t)100 * 1000 * 1000)

/* A close looks so often whether those it has woken have left, and is asleep between. */
#define GUESTS_END_NS ((long)50 * 1000)

/* io_uring: how long a cancellation that may not have been heard is waited for. */
#define SETTLE_ASK_NS ((uint64_t)10 * 1000 * 1000)

#define WORKERS_MAX 1024

/* Listeners that a program is started with: a worker's each, and some. */
#define INHERITED_MAX 4096

/* Before a worker sleeps: how long it looks at a time where it has not been told, the most it can
 * be told, and a gap in its time that shows that others need the processor. */
#define LOOK_MAX_NS       ((int64_t)50 * 1000)
#define LOOK_MAX_WISH_US  1000
#define LOOK_DISTURBED_NS ((uint64_t)50 * 1000)

/* Announce: the port of a program that was killed is waited for, a second or so.  Counted, so
 * that a busy machine, which takes longer to give it back, is given longer. */
#define GHOST_TRIES    200
#define GHOST_PAUSE_NS ((uint64_t)5 * 1000 * 1000)

/* A handler that holds its worker: for how long unless the options say, how often it is told, and
 * how much of where it is. */
#define HOLD_NS      ((uint64_t)100 * 1000 * 1000)
#define HOLD_TOLD_NS ((uint64_t)1000 * 1000 * 1000)
#define SPOT_FRAMES  10

/* Who looks for such handlers: the gap between two looks is half of what is allowed, within these;
 * after so many looks at loops that do nothing it sleeps until one does, or a while. */
#define WATCH_GAP_MIN_NS  ((uint64_t)1000 * 1000)
#define WATCH_GAP_MAX_NS  ((uint64_t)500 * 1000 * 1000)
#define WATCH_GAP_HELD_NS ((uint64_t)10 * 1000 * 1000) /* while one holds: to see its end */
#define WATCH_IDLE_LOOKS  20
#define WATCH_SLEEP_NS    ((uint64_t)10 * 1000 * 1000 * 1000)

/* Accept: how long a full descriptor table is waited for, each time. */
#define ACCEPT_PAUSE_NS ((uint64_t)40 * 1000 * 1000)

/* Accept: clients that are lost in their queue and passed over, in a row; more is no bad luck, but
 * a system that refuses us (EPERM of a filter). */
#define ACCEPT_LOST_MAX 256

/* A full UNIX queue cannot be polled for: first and longest pause between tries. */
#define UNIX_FULL_PAUSE_NS     ((uint64_t)1000 * 1000)
#define UNIX_FULL_PAUSE_MAX_NS ((uint64_t)50 * 1000 * 1000)

/* An error queue that nobody reads is looked past this often. */
#define ERROR_QUEUE_REST_NS ((uint64_t)1000 * 1000)

/* Polite close: a peer that goes on sending is listened to for so long. */
#define LINGER_SILENCE_NS ((uint64_t)2 * 1000 * 1000 * 1000)
#define LINGER_TOTAL_NS   ((uint64_t)30 * 1000 * 1000 * 1000)
#define LINGER_EXIT_NS    ((uint64_t)2 * 1000 * 1000 * 1000)
#define LINGER_BYTES      ((uint64_t)64 << 20)

/* And a peer who has had no room for so long that he would be asked for it again so much later: for
 * how long, which is no less than Linux waits for him by itself, and how many.  stoa_serve() leaves
 * 64 descriptors to what else there is (serve/run.c); these take half. */
#define LINGER_GAP_MS   10000
#define LINGER_LATE_NS  ((uint64_t)300 * 1000 * 1000 * 1000)
#define LINGER_LATE_MAX 32

/* A served connection's data is sent again after so long at most, so that 15 times are 18 s. */
#define RTO_MAX_SERVED_MS 1200
#ifndef TCP_RTO_MAX_MS /* Linux 6.15 */
#define TCP_RTO_MAX_MS 44
#endif

/* Dial: RFC 8305 5, the Connection Attempt Delay, and the addresses tried. */
#define DIAL_NEXT_NS       ((uint64_t)250 * 1000 * 1000)
#define DIAL_ADDRESSES_MAX 16

/* Names: a host name has at most 253 characters (RFC 1035 2.3.4). */
#define HOST_NAME_MAX_LEN 253

/* A service's name: NI_MAXSERV of getnameinfo(3) less the 0; RFC 6335 5.1 allows 15. */
#define SERVICE_NAME_MAX_LEN 31

/* A UNIX path, or an abstract name without the 0 before it: sun_path less one byte. */
#define UNIX_NAME_MAX_LEN 107

/* Helper threads for calls that can only block, and how long an idle one stays. */
#define HELPERS_MAX     64
#define HELPER_IDLE_SEC 5

/* A sentence of stoa_errmsg(), and the address or reason kept for it. */
#define SENTENCE_MAX 1024
#define DETAIL_MAX   512

/* Bytes that a message quotes of what it complains about. */
#define TEXT_QUOTE_MAX 64

#endif
